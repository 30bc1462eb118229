"""From a claimed batch to its outcomes: splits, retries, hooks, cancellation, direct calls."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import StaticPool, delete, func, insert, select, text, tuple_
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from tests.hosts.events import customer, invoice
from tests.hosts.shop import Client, Invoice, Script, create_shop, registry
from tests.hosts.sql import Sessions, count
from zoho_sync import Outcome, PayloadError, RetryPolicy, SyncEvent, ZohoSync
from zoho_sync.abc import Job, SettledEvent
from zoho_sync.apply.batch import Batch
from zoho_sync.exceptions import QueueUnavailable, ReferenceFailed, RowRejected
from zoho_sync.queues import MemoryQueue, SQLQueue
from zoho_sync.store.ledger import Ledger, LedgerEntry, LedgerKey
from zoho_sync.store.tables import library_tables
from zoho_sync.worker.attempt import Attempt
from zoho_sync.worker.leases import LeaseKeeper, keep_leases
from zoho_sync.worker.settlement import Settlement

UNKNOWN = "93"

pytestmark = [
    pytest.mark.databases("sqlite", "postgresql", "mariadb"),
    pytest.mark.breaks_connections,
]

TABLES = library_tables()
LEASE = timedelta(seconds=60)


@pytest.fixture(autouse=True)
async def tables(engine: AsyncEngine, sessions: Sessions) -> None:
    await create_shop(engine)
    await ZohoSync(sessions).create_tables()


def clients(count: int) -> list[SyncEvent]:
    return [customer(f"1{number}", 1, stamp=f"s{number}") for number in range(count)]


async def jobs(sessions: Sessions) -> list[dict[str, Any]]:
    async with sessions() as session:
        rows = await session.execute(select(TABLES.jobs).order_by(TABLES.jobs.c.id))
        return [dict(row) for row in rows.mappings()]


def failing(error: Exception, *guilty: str) -> Script:
    """Return a script that fails for some entities."""

    async def fail(event: SyncEvent, session: AsyncSession) -> None:
        del session
        if event.entity_id in guilty:
            raise error

    return Script(after=fail)


async def test_a_document_that_is_wrong_is_dead_at_once_and_alone(sessions: Sessions) -> None:
    sync = ZohoSync(sessions, registry=registry(failing(PayloadError("a.b", "no"), "13")))
    await sync.enqueue(clients(7))
    assert await sync.drain() == {Outcome.APPLIED: 6, Outcome.DEAD_LETTER: 1}
    (letter,) = await sync.dead_letters.list()
    assert (letter.entity_id, letter.attempts, letter.path) == ("13", 1, "a.b")
    assert await count(sessions, Client.__table__) == 6


async def test_an_error_that_nobody_knows_is_tried_again(sessions: Sessions) -> None:
    """36: whatever is on no list is retried with its history, and never dead at once."""
    error = RuntimeError("greenlet_spawn has not been called")
    late = RetryPolicy(base_delay=timedelta(hours=1), max_delay=timedelta(hours=1))
    sync = ZohoSync(sessions, registry=registry(failing(error, "11")), retry=late)
    await sync.enqueue(clients(3))
    assert await sync.drain() == {Outcome.APPLIED: 2, Outcome.RETRY: 1}
    (job,) = await jobs(sessions)
    assert (job["attempts"], job["suspect"], job["lease_token"]) == (1, False, None)
    assert [(e["error_type"], e["error"]) for e in job["history"]] == [
        ("RuntimeError", "greenlet_spawn has not been called")
    ]
    assert await count(sessions, Client.__table__) == 2


async def test_what_the_hosts_schema_refuses_is_dead_and_takes_nobody_along(
    sessions: Sessions,
) -> None:
    sync = ZohoSync(sessions, registry=registry(), retry=RetryPolicy(max_attempts=1))
    sent = clients(4)
    sent[2] = customer("12", 1, contact_name="Client 11")
    await sync.enqueue(sent)
    assert await sync.drain() == {Outcome.APPLIED: 3, Outcome.DEAD_LETTER: 1}
    (letter,) = await sync.dead_letters.list()
    assert (letter.entity_id, letter.error_type) == ("12", "ValueTaken")
    assert "clients.name: row 2 has the value that a new row is to get" in letter.error
    assert "Client 11" not in letter.error


@pytest.mark.databases("postgresql")  # only PostgreSQL has constraint triggers
async def test_an_error_at_the_commit_falls_on_the_guilty_alone(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    """A deferred constraint speaks only at the COMMIT: the batch is halved until one is left."""
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                " IF NEW.note = 's5' THEN RAISE EXCEPTION 'not this one'"
                " USING ERRCODE = '23514'; END IF; RETURN NULL; END $$"
            )
        )
        await connection.execute(
            text(
                "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON clients DEFERRABLE"
                " INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()"
            )
        )
    told: list[SettledEvent] = []
    sync = ZohoSync(sessions, registry=registry(), hooks=[told.append])
    await sync.enqueue(clients(9))
    assert await sync.drain() == {Outcome.APPLIED: 8, Outcome.DEAD_LETTER: 1}
    (letter,) = await sync.dead_letters.list()
    assert (letter.entity_id, letter.attempts) == ("15", 1)
    assert sorted(event.event.entity_id for event in told) == [f"1{n}" for n in range(9)]


async def test_hooks_hear_once_after_the_commit_and_can_harm_nothing(
    sessions: Sessions, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[tuple[str, Outcome]] = []
    visible: list[int] = []

    async def look(settled: SettledEvent) -> None:
        heard.append((settled.event.entity_id, settled.result.outcome))
        assert settled.result.committed
        visible.append(await count(sessions, Client.__table__))

    def fail(settled: SettledEvent) -> None:
        raise RuntimeError(f"no mail for {settled.event.entity_id}")

    script = failing(PayloadError("1", "no"), "11")
    sync = ZohoSync(sessions, registry=registry(script), hooks=[fail, look], batch_size=2)
    await sync.enqueue([*clients(3), invoice("9", UNKNOWN, 1)])
    counts = await sync.drain()
    assert counts == {Outcome.APPLIED: 2, Outcome.DEAD_LETTER: 1, Outcome.PARKED: 1}
    assert sorted(heard) == [
        ("10", Outcome.APPLIED),
        ("11", Outcome.DEAD_LETTER),
        ("12", Outcome.APPLIED),
        ("9", Outcome.PARKED),
    ]
    assert visible == [1, 1, 2, 2]
    assert caplog.text.count("a hook failed") == 4


async def test_a_cancelled_batch_is_released_at_no_attempt(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    """46 and 47: wherever it is cancelled, jobs go back, rows do not stay, connections are clean.

    The moments are counted in turns of the event loop: every await of apply, commit and release.
    """
    at_work = asyncio.Event()

    async def mark(event: SyncEvent, session: AsyncSession) -> None:
        del event, session
        at_work.set()

    heard: list[str] = []
    sync = ZohoSync(
        sessions,
        registry=registry(Script(before=mark)),
        hooks=[lambda settled: heard.append(settled.event.id)],
        lease=LEASE,
    )
    sent: list[str] = []
    for turns in range(0, 120, 3):
        entity = f"9{turns}"
        event = customer(entity, 1, stamp=entity)
        sent.append(event.id)
        await sync.enqueue([event])
        at_work.clear()
        work = asyncio.create_task(sync._worker.drain())
        await at_work.wait()
        for _ in range(turns):
            await asyncio.sleep(0)
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work
        for job in await jobs(sessions):
            assert (job["attempts"], job["history"]) == (0, [])
            assert (job["lease_token"], job["suspect"]) == (None, False), f"after {turns} turns"
        await sync.drain()
        assert await jobs(sessions) == []
    async with sessions() as session:
        journalled = await session.execute(select(TABLES.journal.c.event_id))
        assert sorted(journalled.scalars()) == sorted(sent)
    assert await count(sessions, Client.__table__) == len(sent)
    assert len(heard) == len(set(heard))
    for _ in range(3):
        assert not await is_dirty(engine)


async def is_dirty(engine: AsyncEngine) -> bool:
    """Return whether a connection came back to the pool inside a transaction."""
    async with engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        if engine.dialect.name == "sqlite":
            return bool(driver.in_transaction)
        if engine.dialect.name == "mysql":
            return bool(await connection.scalar(text("SELECT @@in_transaction")))
        return bool(driver.is_in_transaction())


async def test_a_cancellation_is_never_swallowed(sessions: Sessions) -> None:
    """Cancelled while it stops its lease keeper, the worker is cancelled all the same."""
    queue = SQLQueue(sessions)

    class Slow(LeaseKeeper):
        async def run(self) -> None:
            try:
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(0.05)

    async def work() -> str:
        async with keep_leases(queue, [], LEASE):
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        return "went on"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("zoho_sync.worker.leases.LeaseKeeper", Slow)
        task = asyncio.create_task(work())
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


class Flaky(SQLQueue):
    """A queue whose database is away when it is told so."""

    away: set[str]

    def __init__(self, sessions: Sessions) -> None:
        super().__init__(sessions)
        self.away = set()
        self.extended: list[int] = []

    async def ack(self, jobs: Sequence[Job], *, connection: Any = None) -> None:
        if "ack" in self.away:
            raise QueueUnavailable
        await super().ack(jobs, connection=connection)

    async def release(self, jobs: Sequence[Job], *, delay: timedelta = timedelta(0)) -> None:
        if "release" in self.away:
            raise QueueUnavailable
        await super().release(jobs, delay=delay)

    async def extend(self, jobs: Sequence[Job], *, lease: timedelta) -> list[Job]:
        self.extended.append(len(jobs))
        if "extend" in self.away:
            raise RuntimeError("not even an error of ours")
        return await super().extend(jobs, lease=lease)


async def test_an_outage_makes_no_suspects(sessions: Sessions) -> None:
    """A worker that lives through an outage gives its jobs back, if need be later."""
    queue = Flaky(sessions)
    sync = ZohoSync(sessions, queue=queue, registry=registry(), lease=timedelta(seconds=30))
    await sync.enqueue(clients(2))
    queue.away = {"ack"}
    with pytest.raises(QueueUnavailable):
        await sync.drain()
    assert [(job["lease_token"], job["suspect"]) for job in await jobs(sessions)] == [
        (None, False)
    ] * 2
    queue.away = {"ack", "release"}
    with pytest.raises(QueueUnavailable):
        await sync.drain()
    assert all(job["lease_token"] for job in await jobs(sessions))
    queue.away = set()
    assert await sync.drain() == {Outcome.APPLIED: 2}


@pytest.mark.databases("sqlite", "postgresql")  # it takes its time
async def test_a_batch_that_takes_long_keeps_its_leases(sessions: Sessions) -> None:
    """Extensions that fail, or wait for the batch's own transaction, neither end nor delay it."""

    async def linger(event: SyncEvent, session: AsyncSession) -> None:
        del event
        for _ in range(33):
            await session.execute(select(1))
            await asyncio.sleep(0.1)

    queue = Flaky(sessions)
    sync = ZohoSync(
        sessions,
        queue=queue,
        registry=registry(Script(before=linger)),
        lease=timedelta(seconds=3),  # half of it may a busy machine stand still
    )
    for away in (set[str](), {"extend"}):
        queue.away = away
        await sync.enqueue([customer(f"1{len(away)}", 1)])
        async with asyncio.timeout(20):
            assert await sync.drain() == {Outcome.APPLIED: 1}
    assert len(queue.extended) >= 2


@pytest.mark.databases("postgresql")
async def test_a_batch_longer_than_a_transaction_may_be_is_split(sessions: Sessions) -> None:
    """PostgreSQL ends a transaction after four leases: events that fit alone cost no attempt."""

    async def linger(event: SyncEvent, session: AsyncSession) -> None:
        del event
        await session.execute(select(func.pg_sleep(2.5)))

    handlers = registry(Script(before=linger))
    sync = ZohoSync(sessions, registry=handlers, lease=timedelta(seconds=1))
    await sync.enqueue([customer("1", 1), customer("2", 1)])
    async with asyncio.timeout(60):
        while (await sync.status()).queue.total:
            await sync.drain()
    async with sessions() as session:
        attempts = select(TABLES.journal.c.entity_id, TABLES.journal.c.attempts)
        assert sorted((await session.execute(attempts)).all()) == [("1", 0), ("2", 0)]


async def test_in_memory_a_long_batch_does_not_wait_for_itself() -> None:
    """All sessions share one connection: an extension would wait for the batch, and it for that."""
    engine = create_async_engine("sqlite+aiosqlite://", poolclass=StaticPool)
    sessions = async_sessionmaker(engine)
    await create_shop(engine)

    async def linger(event: SyncEvent, session: AsyncSession) -> None:
        del event, session
        await asyncio.sleep(0.3)

    sync = ZohoSync(
        sessions, registry=registry(Script(before=linger)), lease=timedelta(seconds=0.3)
    )
    await sync.create_tables()
    await sync.enqueue(clients(2))
    async with asyncio.timeout(10):
        assert await sync.drain() == {Outcome.APPLIED: 2}
    await engine.dispose()


async def test_a_direct_call_raises_what_would_be_a_dead_letter_or_a_retry(
    sessions: Sessions,
) -> None:
    sync = ZohoSync(sessions, registry=registry(failing(RuntimeError("no"), "11")))
    with pytest.raises(RuntimeError, match="no"):
        await sync.apply(customer("11", 1))
    with pytest.raises(PayloadError):
        await sync.apply(invoice("9", "10", 1, total="a lot"))
    assert (await sync.apply(customer("10", 1))).outcome is Outcome.APPLIED
    with pytest.raises(RowRejected):
        await sync.apply(customer("19", 1, contact_name="Client 10"))
    assert (await sync.apply(invoice("9", "17", 1))).outcome is Outcome.PARKED
    assert (await sync.apply(customer("17", 1))).outcome is Outcome.APPLIED
    assert await sync.drain() == {Outcome.APPLIED: 1}
    assert await count(sessions, Invoice.__table__) == 1
    assert await count(sessions, TABLES.dead_letters) == 0


async def everything(sessions: Sessions) -> dict[str, list[Any]]:
    """Return all rows of the library and of the shop, but ledger rows that say nothing yet."""
    tables: list[Any] = [*TABLES.metadata.sorted_tables, Client.__table__, Invoice.__table__]
    async with sessions() as session:
        rows = {t.name: list((await session.execute(select(t))).mappings()) for t in tables}
    ledger = TABLES.ledger.name
    return rows | {ledger: [row for row in rows[ledger] if row["arrival_time"] is not None]}


@pytest.mark.parametrize("place", ["settled", "queued", "parked", "a dead letter"])
async def test_a_direct_call_with_an_event_that_is_in_a_place_writes_nothing(
    sessions: Sessions, place: str
) -> None:
    heard: list[SettledEvent] = []
    sync = ZohoSync(sessions, registry=registry(), hooks=[heard.append])
    event = customer("3", 1)
    if place == "settled":
        await sync.apply(event)
    elif place == "queued":
        await sync.enqueue([event])
    else:
        event = invoice("9", "3", 1, total="5" if place == "parked" else "a lot")
        await sync.enqueue([event])
        await sync.drain()
    before, told = await everything(sessions), len(heard)
    result = await sync.apply(event)
    assert result.outcome is (Outcome.PARKED if place == "parked" else Outcome.DUPLICATE)
    assert result.reason == f"{place} already"
    assert await everything(sessions) == before
    assert len(heard) == told


async def test_an_event_that_is_applied_directly_twice_at_once_is_applied_once(
    sessions: Sessions,
) -> None:
    sync = ZohoSync(sessions, registry=registry())
    event = customer("3", 1)
    results = await asyncio.gather(*(sync.apply(event) for _ in range(5)))
    assert sorted(result.outcome for result in results) == ["applied", *["duplicate"] * 4]
    assert await count(sessions, TABLES.journal) == 1


@pytest.mark.parametrize("place", ["settled", "parked"])
async def test_an_event_that_was_applied_directly_while_it_was_queued_is_completed(
    sessions: Sessions, place: str
) -> None:
    """It was in no queue when it was looked for: the worker finds it where it is."""
    sync = ZohoSync(sessions, registry=registry())
    event = customer("3", 1) if place == "settled" else invoice("9", "3", 1)
    await sync.enqueue([event])
    async with sessions() as session, session.begin():
        (row,) = [dict(row) for row in (await session.execute(select(TABLES.jobs))).mappings()]
        await session.execute(delete(TABLES.jobs))
    await sync.apply(event)
    before = await everything(sessions)
    async with sessions() as session, session.begin():
        await session.execute(insert(TABLES.jobs).values(row))
    assert await sync.drain() == {}
    assert await everything(sessions) == before


async def test_an_event_that_is_woken_while_it_is_queued_is_applied(sessions: Sessions) -> None:
    sync = ZohoSync(sessions, registry=registry())
    event = invoice("9", "3", 1)
    await sync.enqueue([event])
    async with sessions() as session, session.begin():
        (row,) = [dict(row) for row in (await session.execute(select(TABLES.jobs))).mappings()]
    await sync.drain()
    async with sessions() as session, session.begin():
        await session.execute(insert(TABLES.jobs).values(row))
    await sync.apply(customer("3", 1))
    assert await count(sessions, TABLES.journal) == 1
    assert await sync.drain() == {Outcome.APPLIED: 1}
    assert await count(sessions, Invoice.__table__) == 1
    assert (await sync.status()).accepted == 2


@pytest.mark.databases("postgresql", "mariadb")  # SQLite has one writer
async def test_a_direct_call_waits_for_whoever_holds_what_it_misses(sessions: Sessions) -> None:
    """The entity that is missing is just being written: it is not parked for."""
    writing, go = asyncio.Event(), asyncio.Event()

    async def pause(event: SyncEvent, session: AsyncSession) -> None:
        del event, session
        writing.set()
        await go.wait()

    slow = ZohoSync(sessions, registry=registry(Script(after=pause)))
    first = asyncio.create_task(slow.apply(customer("3", 1)))
    await writing.wait()
    sync = ZohoSync(sessions, registry=registry())
    second = asyncio.create_task(sync.apply(invoice("9", "3", 1)))
    await asyncio.sleep(0.3)
    assert not second.done()
    go.set()
    assert (await second).outcome is Outcome.APPLIED
    assert (await first).outcome is Outcome.APPLIED


@pytest.mark.databases("postgresql", "mariadb")  # SQLite has one writer
async def test_a_queued_event_is_released_while_what_it_misses_is_held(sessions: Sessions) -> None:
    """A held target is not waited for: the event comes again a second later, at no attempt."""
    sync = ZohoSync(sessions, registry=registry())
    await sync.enqueue([invoice("9", "3", 1)])
    assert await sync.drain() == {Outcome.PARKED: 1}
    async with sessions() as stranger:
        ledger = TABLES.ledger
        # With its whole key: MariaDB locks all that it looks at.
        key = tuple_(ledger.c.organization_id, ledger.c.namespace, ledger.c.entity_id)
        held = select(ledger).where(key == ("default", "contact", "3")).with_for_update()
        assert (await stranger.execute(held)).first() is not None
        await sync.enqueue([invoice("8", "3", 1)])
        assert await sync.drain() == {}
        (job,) = await jobs(sessions)
        assert (job["attempts"], job["history"], job["lease_token"]) == (0, [], None)


async def test_what_always_fails_is_a_dead_letter_in_the_end(sessions: Sessions) -> None:
    """Attempts are counted where they cannot be lost: in a transaction of their own."""
    error = OperationalError("SELECT 'secret'", {}, RuntimeError("pool is tired"))
    retry = RetryPolicy(
        max_attempts=3, base_delay=timedelta(microseconds=1), max_delay=timedelta(microseconds=1)
    )
    sync = ZohoSync(sessions, registry=registry(failing(error, "10")), retry=retry)
    await sync.enqueue(clients(1))
    total: dict[Outcome, int] = {}
    for _ in range(10):
        total |= await sync.drain()
        await asyncio.sleep(0.01)
    assert total[Outcome.DEAD_LETTER] == 1
    (letter,) = await sync.dead_letters.list()
    assert (letter.attempts, len(letter.history)) == (3, 3)
    assert "secret" not in str(letter)


async def test_a_reference_that_must_exist_is_a_dead_letter(sessions: Sessions) -> None:
    sync = ZohoSync(sessions, registry=registry(failing(ReferenceFailed("customer", "9"), "10")))
    await sync.enqueue(clients(1))
    assert await sync.drain() == {Outcome.DEAD_LETTER: 1}


async def test_what_a_hook_adds_belongs_to_its_event(sessions: Sessions) -> None:
    """Flushed with it: what the schema refuses there takes nobody along."""

    async def add(event: SyncEvent, session: AsyncSession) -> None:
        twin = "Client 10" if event.entity_id == "11" else f"twin of {event.entity_id}"
        session.add(Client(name=twin))

    sync = ZohoSync(sessions, registry=registry(Script(after=add)))
    await sync.enqueue(clients(3))
    assert await sync.drain() == {Outcome.APPLIED: 2, Outcome.DEAD_LETTER: 1}
    async with sessions() as session:
        names = list(await session.scalars(select(Client.name).order_by(Client.name)))
    assert names == ["Client 10", "Client 12", "twin of 10", "twin of 12"]
    (letter,) = await sync.dead_letters.list()
    assert letter.entity_id == "11"


LOST = OperationalError("COMMIT", {}, ConnectionError("gone"), connection_invalidated=True)


def losing_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the answer to the first commit of a batch get lost."""
    transaction, losses = LeaseKeeper.transaction, [LOST]

    @contextmanager
    def lossy(keeper: LeaseKeeper) -> Iterator[None]:
        with transaction(keeper):
            yield  # the transaction, until it has committed
            if losses:
                raise losses.pop()

    monkeypatch.setattr(LeaseKeeper, "transaction", lossy)


@pytest.mark.parametrize("outcome", [Outcome.APPLIED, Outcome.DEAD_LETTER])
async def test_a_commit_that_was_not_heard_of_is_not_repeated(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch, outcome: Outcome
) -> None:
    """A dead letter is in no journal: that its job is gone says it all."""
    guilty = ["10"] if outcome is Outcome.DEAD_LETTER else []
    sync = ZohoSync(sessions, registry=registry(failing(PayloadError("1", "no"), *guilty)))
    await sync.enqueue(clients(1))
    losing_the_answer(monkeypatch)
    assert await sync.drain() == {outcome: 1}
    assert (await sync.status()).accepted == 1


async def test_a_commit_of_which_nothing_can_be_found_out_is_left_to_the_queue(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The database stays away: nothing is settled a second time, and nothing is forgotten."""
    sync = ZohoSync(sessions, registry=registry())
    await sync.enqueue(clients(2))
    with monkeypatch.context() as outage:
        losing_the_answer(outage)
        outage.setattr("zoho_sync.database.transactions._ASK_AGAIN", (0.0, 0.0))
        asked: list[Settlement] = []

        async def away(_: Attempt, settlement: Settlement) -> bool:
            asked.append(settlement)
            raise OSError

        outage.setattr(Attempt, "committed", away)
        with pytest.raises(QueueUnavailable, match="in the middle of a transaction"):
            await sync.drain()
        assert len(asked) == 2
    assert caplog.text.count("it is not known yet whether a transaction committed") == 2
    assert await sync.drain() == {}
    assert (await sync.status()).settled == {Outcome.APPLIED: 2}


class Extending(Flaky):
    """A queue whose extensions take as long as they are let."""

    def __init__(self, sessions: Sessions, seconds: float = 60) -> None:
        super().__init__(sessions)
        self.seconds = seconds
        self.extending = asyncio.Event()
        self.begun, self.cancelled, self.ended = 0, 0, 0

    async def extend(self, jobs: Sequence[Job], *, lease: timedelta) -> list[Job]:
        del jobs, lease
        self.begun += 1
        self.extending.set()
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.ended += 1
        return []


async def hold_until_cancelled_twice(queue: Extending) -> None:
    """Hold a job, and be cancelled in the middle of an extension, twice in a row."""

    async def hold() -> None:
        job = Job(None, customer("1", 1), "token")
        async with keep_leases(queue, [job], timedelta(seconds=0.06)):
            await asyncio.sleep(60)

    holding = asyncio.create_task(hold())
    await queue.extending.wait()
    for _ in range(2):
        holding.cancel()
        await asyncio.sleep(0.01)
    await asyncio.wait({holding})


async def test_an_extension_that_does_not_end_is_cancelled_in_the_end(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoho_sync.worker.leases._GRACE", 0.05)
    queue, lease = Extending(sessions), timedelta(seconds=0.06)
    job = Job(None, customer("1", 1), "token")
    async with keep_leases(queue, [job], lease):
        await asyncio.sleep(0.1)
    assert (queue.begun, queue.cancelled) == (1, 1)


async def test_a_second_cancellation_leaves_no_extension_behind(sessions: Sessions) -> None:
    """It uses a connection that is closed next."""
    queue = Extending(sessions, 0.3)
    await hold_until_cancelled_twice(queue)
    assert (queue.begun, queue.ended) == (1, 1)


async def test_a_second_cancellation_ends_an_extension_that_does_not_end(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("worker.leases", "database.cancellation"):
        monkeypatch.setattr(f"zoho_sync.{module}._GRACE", 0.2)
    queue = Extending(sessions)
    await hold_until_cancelled_twice(queue)
    assert (queue.begun, queue.cancelled) == (1, 1)


async def test_without_jobs_nothing_is_extended(sessions: Sessions) -> None:
    queue, job = Extending(sessions), Job(None, customer("1", 1), "token")
    async with keep_leases(queue, [job], timedelta(seconds=0.03)) as keeper:
        keeper.forget([job])
        await asyncio.sleep(0.1)
    assert queue.begun == 0


async def test_an_entity_of_which_nothing_was_applied_stays_unknown(sessions: Sessions) -> None:
    key = LedgerKey("default", "contact", "1")
    async with sessions() as session, session.begin():
        ledger = Ledger(await session.connection(), TABLES.ledger)
        await ledger.prepare([key])
        await ledger.write(key, LedgerEntry())
        assert (await ledger.lock([key]))[key] == LedgerEntry()
        assert (await ledger.read([key]))[key] == LedgerEntry()


async def test_what_another_worker_has_settled_does_not_come_again(sessions: Sessions) -> None:
    """No lease fences who stood still over a message of an engine outside the database."""
    sync = ZohoSync(sessions, queue=MemoryQueue(), registry=registry())
    event = customer("1", 1)
    await sync.enqueue([event])
    (late,) = await sync._runtime.queue.claim(1, lease=timedelta(seconds=5))
    assert late.outside
    await sync.apply(event)  # as the worker does to which it was delivered next
    async with keep_leases(sync._runtime.queue, [late], timedelta(seconds=5)) as keeper:
        attempt = Attempt(sync._runtime, Batch([late]), keeper)
        settlement = await attempt.give_up(late, TimeoutError("it took too long"))
    assert settlement.completed == [late]
    async with sessions() as session:
        assert (await session.scalars(select(TABLES.jobs.c.event_id))).all() == []
        assert (await session.scalars(select(TABLES.dead_letters.c.event_id))).all() == []
