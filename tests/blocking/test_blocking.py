"""`BlockingSync`: what synchronous hosts call, from their threads, processes and transactions."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import os
import pydoc
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    Connection,
    Engine,
    StaticPool,
    create_engine,
    func,
    make_url,
    select,
    text,
)
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session

from tests.hosts.events import customer, invoice
from tests.hosts.shop import Client, Script, Shop, registry
from zoho_sync import (
    ConfigurationError,
    MappingError,
    Operation,
    Outcome,
    PayloadError,
    QueueUnavailable,
    ReceiptStatus,
    SyncEvent,
    UnknownEntityType,
    Unverified,
    ZohoSync,
)
from zoho_sync.abc import Capabilities
from zoho_sync.blocking.statement import enqueue_statement
from zoho_sync.blocking.sync import (
    BlockingDeadLetters,
    BlockingParkedEvents,
    BlockingQueuedEvents,
    BlockingSync,
)
from zoho_sync.events.event import Arrival
from zoho_sync.operate.dead_letters import DeadLetters
from zoho_sync.operate.parked import ParkedEvents
from zoho_sync.operate.queued import QueuedEvents
from zoho_sync.queues import SQLQueue
from zoho_sync.store.tables import library_tables
from zoho_sync.web import loop_thread

LATER, SOON, LAST, MIDDLE = "91", "92", "93", "94"

# The host's drivers are others as well.
pytestmark = pytest.mark.databases("sqlite", "postgresql")

TABLES = library_tables()
HOST_DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}
BODY = b'{"item": {"item_id": "1", "name": "Lamp", "last_modified_time": "2024-05-01T10:00:00Z"}}'

Factory = Callable[[], ZohoSync]


def factory(url: str, **options: Any) -> Factory:
    """Return a factory of `ZohoSync`, each with an engine of its own."""

    def make() -> ZohoSync:
        sessions = async_sessionmaker(create_async_engine(url), expire_on_commit=False)
        return ZohoSync(sessions, **({"verifier": Unverified()} | options))

    return make


@pytest.fixture
def host(database_url: str) -> Iterator[Engine]:
    """The host's own engine, a synchronous one, on the same database."""
    url = make_url(database_url)
    engine = create_engine(url.set(drivername=HOST_DRIVERS[url.get_backend_name()]))
    yield engine
    engine.dispose()


@pytest.fixture
def sync(database_url: str, host: Engine) -> Iterator[BlockingSync]:
    """A started one over the shop's tables, which are there."""
    Shop.metadata.create_all(host)
    with BlockingSync(factory(database_url, registry=registry())) as sync:
        sync.create_tables()
        yield sync


@pytest.fixture
def threads() -> Iterator[None]:
    """Fail where a test leaves a thread behind."""
    before = set(threading.enumerate())
    yield
    wait_for(lambda: set(threading.enumerate()) <= before)


def wait_for(reached: Callable[[], bool], seconds: float = 20) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def count(host: Engine, table: Any) -> int:
    with host.connect() as connection:
        return int(connection.scalar(select(func.count()).select_from(table)) or 0)


def rows(host: Engine) -> list[Any]:
    with host.connect() as connection:
        return list(connection.execute(select(TABLES.jobs).order_by(TABLES.jobs.c.id)))


# What is called


@pytest.mark.usefixtures("threads")
def test_a_delivery_goes_all_the_way(database_url: str) -> None:
    with BlockingSync(factory(database_url)) as sync:
        sync.create_tables()
        assert sync.check() == []
        receipt = sync.receive(BODY, headers={"content-type": "application/json"}, query="a=b")
        assert (receipt.status, receipt.http_status) == (ReceiptStatus.ACCEPTED, 200)
        assert sync.receive(BODY, entity="item").status == ReceiptStatus.DUPLICATE
        deleted = sync.receive(b"", entity="item", entity_id="1", method="DELETE")
        assert deleted.status == ReceiptStatus.ACCEPTED
        assert sync.status().queue.total == 2
        assert sync.drain() == {Outcome.APPLIED: 2}
        assert sync.status(timedelta(hours=1)).settled == {Outcome.APPLIED: 2}
        assert [e.state for e in sync.call(lambda inner: inner.history("product", "1"))] == [
            Outcome.APPLIED,
            Outcome.APPLIED,
        ]


@pytest.mark.usefixtures("threads")
def test_nothing_is_let_in_without_a_verifier(database_url: str) -> None:
    with BlockingSync(factory(database_url, verifier=None)) as sync:
        assert sync.receive(BODY).http_status == 401


def test_what_the_host_makes_itself(sync: BlockingSync, host: Engine) -> None:
    assert sync.ingest({"contact_id": "1", "contact_name": "A"}, entity="customer").event_ids
    receipts = sync.enqueue([customer("2"), customer("2")])
    assert [r.status for r in receipts] == [ReceiptStatus.ACCEPTED, ReceiptStatus.DUPLICATE]
    assert sync.drain() == {Outcome.APPLIED: 2}
    assert sync.apply(customer("3")).committed
    assert count(host, Client) == 3


def test_links(sync: BlockingSync, host: Engine) -> None:
    with Session(host) as session, session.begin():
        session.add(Client(id=7, name="Known"))
    pairs = [("x", 7), ("y", 8)]
    assert sync.link("customer", iter(pairs), dry_run=True).linked == ("x",)
    report = sync.link("customer", iter(pairs))
    assert (report.linked, [each.zoho_id for each in report.refused]) == (("x",), ["y"])


def test_dead_letters(sync: BlockingSync) -> None:
    bad = [SyncEvent("invoice", f"2{n}", {"invoice_id": f"2{n}", "total": "x"}) for n in range(3)]
    sync.enqueue(bad)
    assert sync.drain() == {Outcome.DEAD_LETTER: 3}
    letters = sync.dead_letters.list(limit=2)
    assert [each.id for each in letters] == [bad[0].id, bad[1].id]
    letter = sync.dead_letters.get(bad[0].id)
    assert letter is not None
    assert letter.error_type == "PayloadError"
    assert sync.dead_letters.replay(iter([bad[0].id])).queued == (bad[0].id,)
    assert sync.dead_letters.resolve(bad[1].id, reason="known") == 1
    assert sync.dead_letters.purge(each.id for each in bad) == 1
    assert sync.dead_letters.list() == []


def test_parked_events(sync: BlockingSync) -> None:
    sync.enqueue([invoice("9", "99"), invoice("10", SOON)])
    assert sync.drain() == {Outcome.PARKED: 2}
    assert len(sync.parked.list(limit=1)) == 1
    (parked,) = sync.parked.list(entity_type="invoice", waiting_for=("customer", SOON))
    assert parked.event.entity_id == "10"


def test_queued_events(sync: BlockingSync) -> None:
    sync.ingest({"contact": {"contact_id": "1", "contact_type": "customer"}})
    (queued,) = sync.queued.list(entity_type="customer")
    assert queued.event.entity_id == "1"
    assert sum(sync.drain().values()) == 1
    assert sync.queued.list() == []


MIRRORED: list[tuple[type, type, str]] = [
    *(
        (BlockingSync, ZohoSync, name)
        for name in (
            "create_tables",
            "check",
            "receive",
            "ingest",
            "apply",
            "drain",
            "pause",
            "resume",
            "status",
            "link",
        )
    ),
    *(
        (BlockingDeadLetters, DeadLetters, name)
        for name in ("list", "get", "replay", "resolve", "purge")
    ),
    (BlockingParkedEvents, ParkedEvents, "list"),
    (BlockingQueuedEvents, QueuedEvents, "list"),
]


@pytest.mark.parametrize(("mirror", "original", "name"), MIRRORED)
def test_a_method_reads_like_the_one_that_it_waits_for(
    mirror: type, original: type, name: str
) -> None:
    method, awaited = getattr(mirror, name), getattr(original, name)
    assert method.__name__ == name
    assert method.__doc__ == awaited.__doc__
    assert inspect.signature(method) == inspect.signature(awaited)
    assert not inspect.iscoroutinefunction(method)
    arguments = inspect.signature(awaited).replace(return_annotation=inspect.Signature.empty)
    page = pydoc.plain(pydoc.render_doc(mirror))
    assert f" |  {name}{arguments}" in page
    assert (awaited.__doc__ or "").splitlines()[0] in page


def test_what_is_read_belongs_to_the_thread_that_calls(sync: BlockingSync) -> None:
    readers = []

    def reading(*given: Any) -> Iterator[Any]:
        for each in given:
            readers.append(threading.current_thread())
            yield each

    sync.link("customer", reading(("x", 7)))
    sync.link(pairs=reading(("x", 7)), entity_type="customer")
    sync.dead_letters.replay(reading("1"))
    sync.dead_letters.resolve(which=reading("1"))
    sync.dead_letters.purge(reading("1"))
    assert readers == [threading.current_thread()] * 5


def test_a_subclass_of_the_factorys_is_asked(database_url: str) -> None:
    class Loud(ZohoSync):
        async def check(self) -> list[str]:
            return ["loud"]

    def make() -> ZohoSync:
        return Loud(async_sessionmaker(create_async_engine(database_url)))

    with BlockingSync(make) as sync:
        assert sync.check() == ["loud"]


def test_all_that_is_asked_goes_through_call(sqlite_url: str) -> None:
    """So that a host which overrides it measures, or repeats, every question."""

    class Counting(BlockingSync):
        calls = 0

        def call(self, work: Callable[[ZohoSync], Any]) -> Any:
            self.calls += 1
            return super().call(work)

    with Counting(factory(sqlite_url)) as own:
        own.create_tables()
        own.enqueue([])
        own.dead_letters.list()
        own.parked.list()
        assert own.calls == 4


def test_a_misspelt_argument_is_an_error_of_the_caller(sync: BlockingSync) -> None:
    with pytest.raises(TypeError, match=r"receive\(\) got an unexpected keyword argument 'heders'"):
        sync.receive(BODY, heders={})  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="missing a required argument: 'pairs'"):
        sync.link("customer")  # type: ignore[call-arg]


def test_errors_keep_their_types(sync: BlockingSync, host: Engine) -> None:
    with pytest.raises(PayloadError, match=r"invoice\.total"):
        sync.apply(SyncEvent("invoice", "9", {"invoice_id": "9", "total": "a lot"}))
    with pytest.raises(UnknownEntityType):
        sync.enqueue([SyncEvent("unheard_of", "1")])
    with pytest.raises(TypeError):
        sync.ingest(1)  # type: ignore[arg-type]
    TABLES.metadata.drop_all(host)
    with pytest.raises(ConfigurationError, match="tables are missing"):
        sync.enqueue([customer("1")])


@pytest.mark.breaks_connections
@pytest.mark.usefixtures("threads")
def test_a_database_that_is_away_is_no_obstacle_to_the_start() -> None:
    url = "postgresql+asyncpg://nobody@127.0.0.1:1/nowhere"
    with BlockingSync(factory(url)) as sync:
        with pytest.raises(QueueUnavailable):
            sync.receive(BODY)
        sync.start_worker()
        sync.stop_worker()


def test_from_several_threads_at_once(sync: BlockingSync, host: Engine) -> None:
    def work(number: int) -> ReceiptStatus:
        sync.status()
        return sync.enqueue([customer(f"1{number}")])[0].status

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(work, range(24))) == {ReceiptStatus.ACCEPTED}
        drained = list(pool.map(lambda _: sync.drain(), range(2)))
    assert sum(each.get(Outcome.APPLIED, 0) for each in drained) == 24
    assert count(host, Client) == 24


# Start and close


def test_nothing_is_left_behind(
    database_url: str, host: Engine, request: pytest.FixtureRequest
) -> None:
    before = set(threading.enumerate())
    with BlockingSync(factory(database_url)) as sync:
        sync.create_tables()
        sync.start_worker()
        sync.receive(BODY)
        wait_for(lambda: sync.status().queue.total == 0)
    wait_for(lambda: set(threading.enumerate()) <= before)
    if host.dialect.name == "postgresql":
        others = text(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        with host.connect() as connection:
            wait_for(lambda: connection.scalar(others) == 0)
    else:
        # No journal stays open beside the file.
        folder = request.getfixturevalue("tmp_path")
        assert [path.name for path in folder.iterdir()] == ["test.db"]


@pytest.mark.usefixtures("threads")
def test_it_is_open_between_start_and_close_alone(sqlite_url: str) -> None:
    sync = BlockingSync(factory(sqlite_url))
    uses: list[Callable[[], object]] = [sync.create_tables, lambda: sync.enqueue_statement([])]
    for use in uses:
        with pytest.raises(ConfigurationError, match="not started"):
            use()
    sync.start()
    with pytest.raises(ConfigurationError, match="started before"):
        sync.start()
    sync.create_tables()
    sync.close()
    sync.close()
    for use in (*uses, sync.start, sync.stop_worker):
        with pytest.raises(ConfigurationError, match="closed"):
            use()


def test_closed_before_it_is_started(sqlite_url: str) -> None:
    sync = BlockingSync(factory(sqlite_url))
    sync.close()
    with pytest.raises(ConfigurationError, match="closed"):
        sync.start()


@pytest.mark.usefixtures("threads")
def test_a_body_that_fails_closes_too(sqlite_url: str) -> None:
    sync = BlockingSync(factory(sqlite_url))

    def work() -> None:
        with sync:
            sync.create_tables()
            raise LookupError

    with pytest.raises(LookupError):
        work()
    with pytest.raises(ConfigurationError, match="closed"):
        sync.drain()


@pytest.mark.usefixtures("threads")
def test_a_factory_that_fails(sqlite_url: str) -> None:
    def fail() -> ZohoSync:
        raise LookupError("no settings")

    sync = BlockingSync(fail)
    with pytest.raises(LookupError, match="no settings"):
        sync.start()
    with pytest.raises(ConfigurationError, match="closed"):
        sync.drain()
    sync.close()
    with pytest.raises(ConfigurationError, match="gives str"), BlockingSync(lambda: sqlite_url):  # type: ignore[arg-type,return-value]
        pytest.fail("it was started")


@pytest.mark.usefixtures("threads")
def test_an_error_while_it_closes_is_raised_once_all_is_closed(sqlite_url: str) -> None:
    class Stubborn(SQLQueue):
        async def close(self) -> None:
            raise LookupError("not now")

    def make() -> ZohoSync:
        sessions = async_sessionmaker(create_async_engine(sqlite_url))
        return ZohoSync(sessions, queue=Stubborn(sessions))

    sync = BlockingSync(make)
    sync.start()
    sync.create_tables()
    with pytest.raises(LookupError, match="not now"):
        sync.close()
    sync.close()


@pytest.mark.usefixtures("threads")
def test_sessions_that_find_their_engines_themselves() -> None:
    """These are the host's to dispose of."""
    with BlockingSync(lambda: ZohoSync(async_sessionmaker())) as sync:
        assert sync.receive(BODY).http_status == 401


@pytest.mark.usefixtures("threads")
def test_close_lets_calls_end(sqlite_url: str) -> None:
    sync = BlockingSync(factory(sqlite_url))
    sync.start()
    begun = threading.Event()

    async def nap(_: ZohoSync) -> str:
        begun.set()
        await asyncio.sleep(0.2)
        return "slept"

    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(sync.call, nap)
        begun.wait()
        sync.close()
        assert call.result() == "slept"


@pytest.mark.usefixtures("threads")
def test_close_cancels_calls_that_do_not_end(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_thread, "_GRACE", 0.05)
    sync = BlockingSync(factory(sqlite_url))
    sync.start()
    begun = threading.Event()

    async def sleep(_: ZohoSync) -> None:
        begun.set()
        await asyncio.sleep(3600)

    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(sync.call, sleep)
        begun.wait()
        sync.close()
        with pytest.raises(ConfigurationError, match="closed while the call was under way"):
            call.result()


@pytest.mark.skipif(
    threading.current_thread() is not threading.main_thread(), reason="signals go to the main one"
)
def test_a_caller_that_is_interrupted_takes_its_call_along(sqlite_url: str) -> None:
    cancelled = threading.Event()

    async def sleep(_: ZohoSync) -> None:
        # By then the caller waits for its answer: before, there would be no call to take along.
        asyncio.get_running_loop().call_later(1, os.kill, os.getpid(), signal.SIGUSR1)
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with BlockingSync(factory(sqlite_url)) as sync:
            with pytest.raises(KeyboardInterrupt):
                sync.call(sleep)
            assert cancelled.wait(10)
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.usefixtures("threads")
def test_code_that_ends_the_loop_is_heard_of(sqlite_url: str) -> None:
    async def leave(_: ZohoSync) -> None:
        sys.exit("out")

    sync = BlockingSync(factory(sqlite_url))
    sync.start()
    with pytest.raises(SystemExit, match="out"):
        sync.call(leave)
    wait_for(lambda: not sync._thread._thread.is_alive())
    with pytest.raises(ConfigurationError, match="closed"):
        sync.drain()
    with pytest.raises(SystemExit, match="out"):
        sync.close()


@pytest.mark.usefixtures("threads")
def test_calls_in_its_own_loop_are_refused(sqlite_url: str) -> None:
    async def call(event: SyncEvent, _session: object) -> None:
        del event
        uses: list[Callable[[], object]] = [
            own.drain,
            own.close,
            lambda: own.enqueue_statement([]),
        ]
        for use in uses:
            with pytest.raises(ConfigurationError, match="its own event loop"):
                use()

    own = BlockingSync(factory(sqlite_url, registry=registry(Script(before=call))))
    with own:
        own.create_tables()

        async def create(inner: ZohoSync) -> None:
            async with inner._runtime.sessions() as session, session.begin():
                connection = await session.connection()
                await connection.run_sync(Shop.metadata.create_all)

        own.call(create)
        assert own.apply(customer("1")).outcome is Outcome.APPLIED


# Processes

SCRIPT = """
import os, sys
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from zoho_sync import ConfigurationError, ZohoSync
from zoho_sync.abc import Capabilities
from zoho_sync.blocking.sync import BlockingSync

def make():
    return ZohoSync(async_sessionmaker(create_async_engine(sys.argv[1])))

sync = BlockingSync(make)
"""


def run_script(body: str, url: str) -> list[str]:
    """Run a program that has a `BlockingSync`, and return the lines that it prints."""
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT + textwrap.dedent(body), url],
        env={**os.environ, "PYTHONDEVMODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "Error" not in ran.stderr
    return ran.stdout.splitlines()


def test_a_process_is_known_by_its_number(
    sync: BlockingSync, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: -1)
        with pytest.raises(ConfigurationError, match="in each process"):
            sync.status()
        sync.close()
    assert sync.status().queue.total == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_another_process_is_told_to_make_its_own(sqlite_url: str) -> None:
    printed = run_script(
        """
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # forks with threads, from 3.12 on
        sync.start()
        sync.create_tables()
        child = os.fork()
        if not child:
            for use in (sync.status, sync.start, lambda: sync.enqueue_statement([])):
                try:
                    use()
                except ConfigurationError as error:
                    print(error, flush=True)
            sync.close()
            # Nothing else: what the other threads held at the fork, they hold here for ever.
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), sync.status().queue.total)
        """,
        sqlite_url,
    )
    assert len(printed) == 4
    assert all("in each process" in line for line in printed[:3])
    assert printed[3] == "0 0"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_what_is_not_started_yet_starts_in_each_process(sqlite_url: str) -> None:
    printed = run_script(
        """
        child = os.fork()
        if child:
            os.waitpid(child, 0)
        with sync:
            sync.create_tables()
            print(sync.status().queue.total, flush=True)
        """,
        sqlite_url,
    )
    assert printed == ["0", "0"]


def test_a_host_that_forgets_to_close_ends_all_the_same(sqlite_url: str, tmp_path: Path) -> None:
    printed = run_script(
        """
        sync.start()
        sync.create_tables()
        sync.start_worker()
        print(sync.status().queue.total)
        """,
        sqlite_url,
    )
    assert printed == ["0"]
    assert [path.name for path in tmp_path.iterdir()] == ["test.db"]


# The worker


def test_the_worker_starts_and_stops(sync: BlockingSync, host: Engine) -> None:
    sync.stop_worker()
    sync.start_worker()
    sync.start_worker()
    sync.enqueue([customer("1")])
    wait_for(lambda: count(host, Client) == 1)
    sync.stop_worker()
    sync.enqueue([customer("2")])
    time.sleep(0.7)
    assert count(host, Client) == 1
    sync.start_worker()
    wait_for(lambda: count(host, Client) == 2)


def test_several_threads_start_one_worker(sync: BlockingSync) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: sync.start_worker(), range(8)))

    async def workers(_: ZohoSync) -> int:
        return sum(task.get_name() == "zoho_sync run" for task in asyncio.all_tasks())

    assert sync.call(workers) == 1


@pytest.mark.without_tables
@pytest.mark.usefixtures("threads")
def test_a_worker_that_cannot_run_is_refused_at_once(database_url: str) -> None:
    with (
        BlockingSync(factory(database_url)) as sync,
        pytest.raises(MappingError, match="create_tables"),
    ):
        sync.start_worker()


@pytest.mark.usefixtures("threads")
def test_a_worker_over_one_shared_connection_is_refused_at_once() -> None:
    def make() -> ZohoSync:
        engine = create_async_engine("sqlite+aiosqlite://", poolclass=StaticPool)
        return ZohoSync(async_sessionmaker(engine))

    with BlockingSync(make) as sync:
        sync.create_tables()
        for _ in range(2):
            with pytest.raises(ConfigurationError, match="drain"):
                sync.start_worker()
        sync.stop_worker()
        sync.ingest(BODY)
        assert sync.drain() == {Outcome.APPLIED: 1}


@pytest.mark.usefixtures("threads")
def test_a_worker_that_ends_by_itself_is_logged(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(self: ZohoSync) -> None:
        del self
        await asyncio.sleep(0.01)
        raise LookupError("a value of the document")

    with BlockingSync(factory(sqlite_url)) as sync:
        sync.create_tables()
        with monkeypatch.context() as patch, caplog.at_level(logging.ERROR):
            patch.setattr(ZohoSync, "run", fail)
            sync.start_worker()
            wait_for(lambda: "the worker has ended: LookupError" in caplog.text)
        assert "document" not in caplog.text
        sync.start_worker()
        sync.ingest(BODY)
        wait_for(lambda: sync.status().queue.total == 0)


# In the host's own transaction


def test_jobs_come_with_the_commit_and_go_with_the_rollback(
    sync: BlockingSync, host: Engine
) -> None:
    statement = sync.enqueue_statement([customer("1", 0), customer("2", None)])
    with Session(host) as session:
        session.add(Client(name="the host's own"))
        session.execute(statement)
        if host.dialect.name == "postgresql":  # SQLite has one writer
            assert sync.status().queue.total == 0
        session.rollback()
    assert (sync.drain(), count(host, Client)) == ({}, 0)
    with Session(host) as session, session.begin():
        session.add(Client(name="the host's own"))
        session.execute(statement)
    assert sync.drain() == {Outcome.APPLIED: 2}
    assert count(host, Client) == 3


def test_a_savepoint_of_the_hosts(sync: BlockingSync, host: Engine) -> None:
    with Session(host) as session, session.begin():
        session.add(Client(name="the host's own"))
        session.flush()
        with contextlib.suppress(LookupError), session.begin_nested():
            session.execute(sync.enqueue_statement([customer("1")]))
            raise LookupError
        session.execute(sync.enqueue_statement([customer("2")]))
    assert [row.entity_id for row in rows(host)] == ["2"]


def test_a_priority_decides_who_comes_first(sync: BlockingSync, host: Engine) -> None:
    with host.begin() as connection:
        connection.execute(sync.enqueue_statement([customer(LATER)], priority=1))
        connection.execute(sync.enqueue_statement([customer(SOON)], priority=-1))
    sync.enqueue([customer(LAST)], priority=2)
    sync.enqueue([customer(MIDDLE)])
    jobs = sync.call(lambda inner: inner._runtime.queue.claim(9, lease=timedelta(minutes=1)))
    assert [job.event.entity_id for job in jobs] == [SOON, MIDDLE, LATER, LAST]
    with pytest.raises(ConfigurationError, match="the smaller, the sooner"):
        sync.enqueue_statement([customer("1")], priority=2**15)


def test_a_pause(sync: BlockingSync, host: Engine) -> None:
    assert sync.pause()
    sync.enqueue([customer("1")])
    assert (sync.drain(), sync.status().healthy, count(host, Client)) == ({}, False, 0)
    assert sync.resume()
    assert sync.drain() == {Outcome.APPLIED: 1}


def test_what_is_queued_already_is_left_out(sync: BlockingSync, host: Engine) -> None:
    timeless = customer("2", None)
    sync.enqueue([customer("1", 1)])
    events = [customer("1", 1), customer("1", 2), timeless, customer("1", 2), timeless]
    with host.begin() as connection:
        assert connection.execute(sync.enqueue_statement(events)).rowcount == 2
        assert connection.execute(sync.enqueue_statement(events)).rowcount == 0
    assert [row.entity_id for row in rows(host)] == ["1", "1", "2"]


def test_a_statement_and_an_enqueue_recognise_each_other(sync: BlockingSync, host: Engine) -> None:
    with host.begin() as connection:
        connection.execute(sync.enqueue_statement([customer("1", 1)]))
    assert sync.enqueue([customer("1", 1)])[0].status is ReceiptStatus.DUPLICATE


def test_a_resend_of_a_settled_event_is_decided_by_the_ledger(
    sync: BlockingSync, host: Engine
) -> None:
    first, second = customer("1", 1, stamp="old"), customer("1", 2, stamp="new")
    sync.enqueue([first, second])
    assert sync.drain()[Outcome.APPLIED] >= 1
    resent = [customer("1", 1, stamp="old"), customer("1", 2, stamp="new"), second]
    with host.begin() as connection:
        assert connection.execute(sync.enqueue_statement(resent)).rowcount == 2
    assert Outcome.APPLIED not in sync.drain()
    with Session(host) as session:
        assert [each.note for each in session.scalars(select(Client))] == ["new"]
    with host.begin() as connection:
        # Itself, under its id: the journal holds it, and nothing is written.
        assert connection.execute(sync.enqueue_statement([second])).rowcount == 1
    sync.drain()
    assert (rows(host), sync.dead_letters.list()) == ([], [])


def test_a_resend_of_a_parked_event_is_applied_once(sync: BlockingSync, host: Engine) -> None:
    sync.enqueue([invoice("9", "3", 1)])
    assert sync.drain() == {Outcome.PARKED: 1}
    with host.begin() as connection:
        connection.execute(sync.enqueue_statement([invoice("9", "3", 1), customer("3")]))
    sync.drain()
    outcomes = [e.state for e in sync.call(lambda inner: inner.history("invoice", "9"))]
    assert sorted(outcomes) == [Outcome.APPLIED, Outcome.STALE]
    assert (rows(host), sync.parked.list()) == ([], [])


def test_events_arrive_when_the_statement_is_executed(sync: BlockingSync, host: Engine) -> None:
    statement = sync.enqueue_statement([customer("1", None), customer("2", None)])
    time.sleep(0.05)
    with host.begin() as connection:
        begun = database_now(connection)
        time.sleep(0.05)
        connection.execute(statement)
        executed = database_now(connection)
    for row in rows(host):
        assert begun + timedelta(seconds=0.04) < row.arrival_time < executed
        assert row.arrival_time <= row.not_before < executed
        assert row.arrival_sequence is None
    sync.drain()
    assert len({row.id for row in rows(host)}) == 0


def database_now(connection: Connection) -> datetime:
    """Return the time by the clock of the database; in PostgreSQL now() stands still meanwhile."""
    if connection.dialect.name == "sqlite":
        return datetime.now(UTC)
    moment: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    return moment


def test_of_events_at_one_second_the_later_arrival_wins(sync: BlockingSync, host: Engine) -> None:
    sync.enqueue([customer("1", 1, stamp="1")])
    two = [customer("1", 1, stamp="2"), customer("1", 1, stamp="3")]
    with host.begin() as connection:
        connection.execute(sync.enqueue_statement(two))
    sync.drain()
    with Session(host) as session:
        assert [each.note for each in session.scalars(select(Client))] == ["3"]


def test_an_arrival_that_is_known_is_kept(sync: BlockingSync, host: Engine) -> None:
    arrival = Arrival(datetime(2024, 6, 1, tzinfo=UTC), 5)
    with host.begin() as connection:
        known = replace(customer("1"), arrival=arrival)
        connection.execute(sync.enqueue_statement([known, customer("2")]))
    first, second = rows(host)
    assert (first.arrival_time, first.arrival_sequence) == arrival
    assert first.not_before >= second.arrival_time - timedelta(seconds=1)
    assert sync.drain() == {Outcome.APPLIED: 2}


@pytest.mark.usefixtures("threads")
def test_the_clock_of_the_zoho_sync_is_heeded(database_url: str, host: Engine) -> None:
    now = datetime(2024, 6, 1, tzinfo=UTC)
    with BlockingSync(factory(database_url, clock=lambda: now)) as sync:
        sync.create_tables()
        with host.begin() as connection:
            connection.execute(sync.enqueue_statement([SyncEvent("product", "1")]))
        known = rows(host)[0]
        assert (known.arrival_time, known.not_before) == (now, now)


def test_no_events_make_a_statement_that_does_nothing(sync: BlockingSync, host: Engine) -> None:
    with host.begin() as connection:
        assert connection.execute(sync.enqueue_statement([])).rowcount == 0
    assert rows(host) == []


def test_a_statement_has_an_end(sync: BlockingSync, host: Engine) -> None:
    events = [customer(f"1{number}") for number in range(1001)]
    with pytest.raises(ConfigurationError, match="at most 1000"):
        sync.enqueue_statement(events)
    with host.begin() as connection:
        assert connection.execute(sync.enqueue_statement(events[:1000])).rowcount == 1000
    assert [row.entity_id for row in rows(host)] == [each.entity_id for each in events[:1000]]


def test_the_host_checks_its_events_before_it_stores_them(sync: BlockingSync) -> None:
    with pytest.raises(UnknownEntityType):
        sync.enqueue_statement([SyncEvent("unheard_of", "1")])
    late = {"invoice_id": "1", "last_modified_time": "late"}
    with pytest.raises(PayloadError, match=r"invoice\.last_modified_time"):
        sync.enqueue_statement([SyncEvent("invoice", "1", late)])


def test_a_statement_needs_no_loop(database_url: str, host: Engine) -> None:
    made = factory(database_url, organization_id="10")()
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()
    gone = SyncEvent("items", "1", operation=Operation.DELETE)
    statement = enqueue_statement(made, [gone])
    with BlockingSync(factory(database_url, organization_id="10")) as sync:
        sync.create_tables()
        with host.begin() as connection:
            connection.execute(statement)
        (row,) = rows(host)
        assert (row.organization_id, row.entity_type, row.operation) == ("10", "product", "delete")
        assert sync.drain() == {Outcome.APPLIED: 1}


def test_a_queue_outside_the_database_has_no_statement(sqlite_url: str) -> None:
    class Elsewhere(SQLQueue):
        @property
        def capabilities(self) -> Capabilities:
            return Capabilities()

    sessions = async_sessionmaker(create_async_engine(sqlite_url))
    sync = ZohoSync(sessions, queue=Elsewhere(sessions))
    with pytest.raises(ConfigurationError, match=r"queue=Outbox.*after your commit"):
        enqueue_statement(sync, [customer("1")])
