"""A worker that hangs: what is cancelled, and what `status` says of what cannot be."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text, update
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from tests.hosts.events import customer
from tests.hosts.shop import Client, Script, create_shop, registry
from tests.hosts.sql import Sessions, count, execute, rows
from zoho_sync import ConfigurationError, Outcome, RetryPolicy, SyncEvent, ZohoSync
from zoho_sync.exceptions import WorkerStopped
from zoho_sync.operate import StatusReport
from zoho_sync.store.tables import library_tables

pytestmark = [pytest.mark.databases("sqlite", "postgresql"), pytest.mark.breaks_connections]

TABLES = library_tables()
LATE = RetryPolicy(base_delay=timedelta(hours=1), max_delay=timedelta(hours=1))
SHORT = timedelta(seconds=0.4)
FOREVER = 60.0
Status = Callable[[], Any]


@pytest.fixture(autouse=True)
async def tables(engine: AsyncEngine, sessions: Sessions) -> None:
    await create_shop(engine)
    await ZohoSync(sessions).create_tables()


def hanging(how: Callable[[AsyncSession], Any], *guilty: str) -> Script:
    """Return a script that hangs at some entities."""

    async def hang(event: SyncEvent, session: AsyncSession) -> None:
        if event.entity_id in guilty:
            await how(session)

    return Script(before=hang)


async def wait(_session: AsyncSession) -> None:
    await asyncio.sleep(FOREVER)


async def swallow(_session: AsyncSession) -> None:
    """Answer a cancellation with an error of one's own, as drivers do."""
    try:
        await asyncio.sleep(FOREVER)
    except asyncio.CancelledError:
        raise LookupError("cancelled") from None


async def statement(session: AsyncSession) -> None:
    await session.execute(text(f"SELECT pg_sleep({FOREVER})"))


async def until(sync: ZohoSync, said: str, seconds: float = 20) -> StatusReport:
    """Wait until `status` says something; return its report."""
    async with asyncio.timeout(seconds):
        while True:
            report = await sync.status()
            if any(re.search(said, each) for each in report.problems):
                assert not report.healthy
                return report
            await asyncio.sleep(0.05)


@asynccontextmanager
async def running(sync: ZohoSync) -> AsyncIterator[asyncio.Task[None]]:
    """Run a worker while the body runs."""
    task = asyncio.create_task(sync.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})


@pytest.mark.parametrize("how", [wait, swallow])
async def test_an_event_that_takes_too_long_is_cancelled_alone(
    sessions: Sessions, how: Callable[[AsyncSession], Any]
) -> None:
    """It is tried again, like everything that may pass; the others are applied at once."""
    script = hanging(how, "13", "17")
    sync = ZohoSync(sessions, registry=registry(script), retry=LATE, handler_timeout=SHORT)
    await sync.enqueue([customer(str(number), 1) for number in range(11, 21)])
    begun = time.monotonic()
    async with asyncio.timeout(20):
        assert await sync.drain() == {Outcome.APPLIED: 8, Outcome.RETRY: 2}
    assert time.monotonic() - begun < 10 * SHORT.total_seconds() + 5
    for job in await rows(sessions, TABLES.jobs):
        assert (job["entity_id"] in {"13", "17"}, job["attempts"]) == (True, 1)
        (entry,) = job["history"]
        assert entry["error_type"] == "HandlerTimeout"
        assert "handler_timeout, 0.4 s" in entry["error"]


@pytest.mark.databases("postgresql", "psycopg")  # the statement is PostgreSQL's
async def test_a_statement_that_takes_too_long_is_cancelled_as_well(sessions: Sessions) -> None:
    """Its connection goes with it, and the others are applied on another."""
    script = hanging(statement, "13")
    sync = ZohoSync(sessions, registry=registry(script), retry=LATE, handler_timeout=SHORT)
    await sync.enqueue([customer(str(number), 1) for number in range(11, 16)])
    async with asyncio.timeout(20):
        assert await sync.drain() == {Outcome.APPLIED: 4, Outcome.RETRY: 1}
    (job,) = await rows(sessions, TABLES.jobs)
    assert [entry["error_type"] for entry in job["history"]] == ["HandlerTimeout"]


async def test_after_the_last_attempt_it_is_a_failure(sessions: Sessions) -> None:
    sync = ZohoSync(
        sessions,
        registry=registry(hanging(wait, "13")),
        retry=RetryPolicy(max_attempts=1),
        handler_timeout=SHORT,
    )
    await sync.enqueue([customer("13", 1)])
    assert await sync.drain() == {Outcome.DEAD_LETTER: 1}
    (letter,) = await sync.dead_letters.list()
    assert (letter.kind, letter.error_type) == ("failure", "HandlerTimeout")


@pytest.mark.databases("sqlite")
def test_it_is_four_leases_unless_it_is_said(sessions: Sessions) -> None:
    lease = timedelta(seconds=7)
    assert ZohoSync(sessions, lease=lease)._runtime.patience.limit == 4 * lease
    given = ZohoSync(sessions, lease=lease, handler_timeout=SHORT)
    assert given._runtime.patience.limit == SHORT


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("given", [timedelta(0), timedelta(seconds=-1), 30, "30 s"])
def test_it_is_a_time_span(sessions: Sessions, given: Any) -> None:
    with pytest.raises(ConfigurationError, match="handler_timeout must be a time span above zero"):
        ZohoSync(sessions, handler_timeout=given)


@pytest.mark.databases("postgresql", "mariadb")  # nobody closes SQLite's connections
@pytest.mark.parametrize("touches", [True, False])
async def test_who_outlives_half_a_lease_is_told_what_closed_the_connection(
    sessions: Sessions, *, touches: bool
) -> None:
    async def linger(session: AsyncSession) -> None:
        await asyncio.sleep(2.5)
        if touches:
            await session.execute(text("SELECT 1"))

    lease = timedelta(seconds=2)
    script = hanging(linger, "13")
    sync = ZohoSync(sessions, registry=registry(script), retry=LATE, lease=lease)
    await sync.enqueue([customer("12", 1), customer("13", 1)])
    async with asyncio.timeout(20):
        assert await sync.drain() == {Outcome.APPLIED: 1, Outcome.RETRY: 1}
    (job,) = await rows(sessions, TABLES.jobs)
    (entry,) = job["history"]
    assert entry["error_type"] == "HandlerTimeout"
    assert "the database closed its connection" in entry["error"]
    assert "half a lease, 1 s" in entry["error"]


async def test_status_names_what_is_under_way_for_long(sessions: Sessions) -> None:
    """Within a lease from when it began to be long: which event, since when, and with whom."""
    lease = timedelta(seconds=1)
    sync = ZohoSync(sessions, registry=registry(hanging(wait, "13")), lease=lease)
    await sync.enqueue([customer("12", 1), customer("13", 1)])
    async with running(sync):
        report = await until(sync, r"under way since")
        (worker,) = report.workers
        said = " ".join(report.problems)
        assert f"with worker {worker.name}" in said
        assert "customer 13" in said or "customer 12 among them" in said


async def test_status_of_another_process_names_what_blocks_the_loop(
    database_url: str, sessions: Sessions
) -> None:
    """Nothing can cancel it. Its lease is lost, and nothing is applied twice."""
    blocked, free = threading.Event(), threading.Event()

    async def block(_session: AsyncSession) -> None:
        blocked.set()
        free.wait(FOREVER)

    async def work() -> None:
        engine = create_async_engine(database_url)
        sync = ZohoSync(
            async_sessionmaker(engine),
            registry=registry(hanging(block, "13")),
            lease=timedelta(seconds=1),
            retry=RetryPolicy(base_delay=timedelta(milliseconds=1)),
        )
        task = asyncio.create_task(sync.run())
        while not ended.is_set():  # noqa: ASYNC110  # it is set in another thread
            await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.wait({task})
        await engine.dispose()

    ended = threading.Event()
    calm = ZohoSync(sessions, registry=registry(), lease=timedelta(seconds=1))
    await calm.enqueue([customer("13", 1)])
    thread = threading.Thread(target=asyncio.run, args=(work(),))
    thread.start()
    try:
        await asyncio.to_thread(blocked.wait, 20)
        report = await until(calm, r"event\(s\) have been under way since .*customer 13 among them")
        report = await until(calm, r"was last heard of at")
        (worker,) = report.workers
        assert not worker.lives
        assert worker.name in " ".join(report.problems)
        free.set()
        async with asyncio.timeout(30):
            while await count(sessions, TABLES.jobs):  # noqa: ASYNC110  # the database sends no event
                await asyncio.sleep(0.05)
    finally:
        free.set()
        ended.set()
        await asyncio.to_thread(thread.join)
    assert await count(sessions, Client.__table__) == 1
    assert await count(sessions, TABLES.journal) == 1


@pytest.mark.databases("sqlite")
async def test_status_names_a_worker_that_claims_nothing(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = ZohoSync(sessions, registry=registry(), lease=timedelta(seconds=0.5))

    async def never(*_: Any, **__: Any) -> Any:
        await asyncio.sleep(FOREVER)

    monkeypatch.setattr(sync._runtime.queue, "claim", never)
    async with running(sync):
        await asyncio.sleep(1)
        assert not any("claimed nothing" in each for each in (await sync.status()).problems)
        await sync.enqueue([customer("13", 1)])
        report = await until(sync, r"has claimed nothing since .* although 1 event\(s\) are ready")
        (worker,) = report.workers
        assert worker.lives
        assert worker.claimed_at is None


@pytest.mark.databases("sqlite")
async def test_status_names_a_worker_that_cannot_reach_its_engine(sessions: Sessions) -> None:
    """And tells what the database knows, and what it cannot tell."""
    sync = ZohoSync(sessions, queue="redis://127.0.0.1:1/0", registry=registry())
    await sync.apply(customer("12", 1))
    async with running(sync):
        report = await until(sync, r"^worker \S+: the worker cannot work: QueueUnavailable")
    assert any("the queue's engine cannot be reached" in each for each in report.unknown)
    assert report.settled == {Outcome.APPLIED: 1}
    await sync.close()


@pytest.mark.databases("sqlite")
async def test_a_worker_that_ends_is_not_missed(sessions: Sessions) -> None:
    sync = ZohoSync(sessions, registry=registry(), lease=timedelta(seconds=1))
    async with running(sync):
        async with asyncio.timeout(20):
            while not (await sync.status()).workers:  # noqa: ASYNC110  # the database sends no event
                await asyncio.sleep(0.05)
        report = await sync.status()
        assert [worker.lives for worker in report.workers] == [True]
        assert not [problem for problem in report.problems if "worker" in problem]
    report = await sync.status()
    assert report.workers == ()
    assert not [problem for problem in report.problems if "worker" in problem]


@pytest.mark.databases("sqlite")
async def test_a_worker_whose_tables_become_anothers_ends_loudly(sessions: Sessions) -> None:
    sync = ZohoSync(sessions, registry=registry(), lease=timedelta(seconds=1))
    async with running(sync) as task:
        async with asyncio.timeout(20):
            while not (await sync.status()).workers:  # noqa: ASYNC110  # the database sends no event
                await asyncio.sleep(0.05)
        await execute(sessions, update(TABLES.versions).values(version=0))
        async with asyncio.timeout(20):
            with pytest.raises(WorkerStopped, match="heartbeat") as raised:
                await task
    assert "of version 0" in str(raised.value.__cause__)
    with pytest.raises(ConfigurationError, match="of version 0"):
        await sync.status()
