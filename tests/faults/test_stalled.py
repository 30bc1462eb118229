"""Workers that freeze before a commit, commits whose answer is lost, conflicts and locks."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import insert, make_url, select, text
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from tests.hosts.events import customer
from tests.hosts.shop import Client, Script, create_shop, registry
from tests.hosts.sql import Sessions
from zoho_sync import Outcome, SyncEvent, ZohoSync
from zoho_sync.abc import Job, SettledEvent
from zoho_sync.database.dialects import bound_waits
from zoho_sync.exceptions import QueueUnavailable
from zoho_sync.queues import SQLQueue
from zoho_sync.store.tables import library_tables

pytestmark = pytest.mark.breaks_connections

TABLES = library_tables()
LEASE = timedelta(seconds=60)


class Database:
    """What the host and its administrator see, by plain SQL on connections of their own."""

    def __init__(self, url: str) -> None:
        self._address = make_url(url).set(drivername="postgresql")

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        """Return what a statement finds."""
        address = self._address.render_as_string(hide_password=False)
        with psycopg.connect(address, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def count(self, table: str) -> int:
        """Return how many rows a table has."""
        statement = f"SELECT count(*) FROM {table}"  # noqa: S608  # the tests' own names
        return int(self.ask(statement)[0][0])

    def written_twice(self) -> dict[tuple[Any, ...], int]:
        """Return which documents the host's trigger saw written more than once."""
        writes = Counter(self.ask("SELECT table_name, row_id, stamp, gone FROM shop_writes"))
        return {write: count for write, count in writes.items() if count > 1}


@pytest.fixture
def database(postgres_url: str) -> Database:
    return Database(postgres_url)


@pytest.fixture
async def engine(postgres_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(postgres_url)
    await create_shop(engine)
    await ZohoSync(async_sessionmaker(engine)).create_tables()
    yield engine
    await engine.dispose()


def clients(count: int) -> list[SyncEvent]:
    return [customer(f"1{number}", number, stamp=f"s{number}") for number in range(count)]


async def attempts(sessions: Sessions) -> list[tuple[int, list[Any], bool]]:
    async with sessions() as session:
        jobs = TABLES.jobs.c
        rows = await session.execute(select(jobs.attempts, jobs.history, jobs.suspect))
        return [tuple(row) for row in rows]


@pytest.mark.parametrize("step", ["claim", "extend", "prepare"])
async def test_a_worker_frozen_before_a_commit_holds_nothing_for_long(
    engine: AsyncEngine, database: Database, sessions: Sessions, step: str
) -> None:
    """Wherever a worker freezes with a transaction open, its rows are free within half a lease."""
    lease = timedelta(seconds=1)
    frozen = FrozenSession.factory(engine)
    worker = ZohoSync(frozen.sessions, registry=registry(), lease=lease)
    peer = ZohoSync(sessions, registry=registry(), lease=lease)
    await peer.enqueue(clients(3))
    if step == "extend":
        jobs = await SQLQueue(sessions).claim(3, lease=lease)
        frozen.freeze_at = 1
        stuck = asyncio.create_task(_as_none(SQLQueue(frozen.sessions).extend(jobs, lease=lease)))
    else:
        # The first commit is the claim's, the second that of the ledger's empty rows.
        frozen.freeze_at = {"claim": 1, "prepare": 2}[step]
        stuck = asyncio.create_task(_as_none(worker._worker.drain()))
    await frozen.frozen.wait()
    await asyncio.sleep(1.1)
    try:
        async with asyncio.timeout(20):
            while database.count("zoho_sync_jobs"):
                await peer.drain()
                await asyncio.sleep(0.1)
    finally:
        frozen.thaw.set()
        await asyncio.wait({stuck})
    assert database.count("zoho_sync_journal") == 3
    assert isinstance(stuck.exception(), QueueUnavailable | type(None))
    assert database.written_twice() == {}


@pytest.mark.parametrize("hosts_own", ["0", "300ms"])
async def test_a_worker_frozen_in_the_middle_of_a_statement_holds_nothing_for_long(
    engine: AsyncEngine, hosts_own: str
) -> None:
    """What a driver sends while it prepares a statement is not idle in PostgreSQL's eyes."""
    locking = select(Client).with_for_update()
    async with engine.begin() as host:
        await host.execute(insert(Client).values(name="1"))
    async with engine.connect() as frozen, engine.connect() as peer:
        await frozen.exec_driver_sql(f"SET transaction_timeout = '{hosts_own}'")
        await frozen.commit()
        await bound_waits(frozen, timedelta(milliseconds=500))
        bound = (await frozen.exec_driver_sql("SHOW transaction_timeout")).scalar()
        # The host's own is the shorter one. That it ends sooner, a busy machine would not show.
        assert bound == ("2s" if hosts_own == "0" else hosts_own)
        await frozen.execute(locking)
        await frozen.begin_nested()
        driver: Any = (await frozen.get_raw_connection()).driver_connection
        await driver.prepare("SELECT 1")
        began = time.monotonic()
        try:
            async with asyncio.timeout(20):
                await peer.execute(locking)
        finally:
            await frozen.invalidate()
        assert hosts_own != "0" or time.monotonic() - began > 1.5


async def _as_none(step: Any) -> None:
    await step


class FrozenSession(AsyncSession):
    """A session whose nth commit never happens: its process is frozen before it."""

    frozen: asyncio.Event
    thaw: asyncio.Event
    freeze_at: int = 0
    commits: int = 0
    sessions: Sessions

    @classmethod
    def factory(cls, engine: AsyncEngine) -> type[FrozenSession]:
        """Return a session class of its own, with its factory."""

        class Own(cls):  # type: ignore[misc, valid-type]  # a class for each test
            pass

        Own.frozen, Own.thaw = asyncio.Event(), asyncio.Event()
        Own.sessions = async_sessionmaker(engine, class_=Own, expire_on_commit=False)
        return Own

    async def commit(self) -> None:
        cls = type(self)
        cls.commits += 1
        if cls.commits >= cls.freeze_at > 0:
            # From then on the whole process stands still, the keeper of its leases included.
            cls.frozen.set()
            await cls.thaw.wait()
        await super().commit()


class CutSession(AsyncSession):
    """A session whose connection breaks while its COMMIT is on the way."""

    cuts: int = 0

    async def commit(self) -> None:
        connection = await self.connection()
        raw = await connection.get_raw_connection()
        driver = raw.driver_connection
        ended = asyncio.create_task(super().commit())
        slow = await self._is_slow()
        if slow and driver is not None:
            await asyncio.sleep(0.2)
            type(self).cuts += 1
            driver.terminate()
        await ended

    async def _is_slow(self) -> bool:
        return bool(self.info.get("slow"))


def _slow_commit(ends_well: bool) -> list[str]:  # noqa: FBT001  # one of two outcomes
    """Return the host's statements that make a COMMIT take a while, once, and then end."""
    ending = "" if ends_well else "RAISE EXCEPTION 'the disk is full' USING ERRCODE = '53100';"
    function = (
        "CREATE FUNCTION slow_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF nextval('slow_commits') = 1 THEN PERFORM pg_sleep(1.0); {ending} END IF;"
        " RETURN NULL; END $$"
    )
    trigger = (
        "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON clients DEFERRABLE"
        " INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow_commit()"
    )
    return ["CREATE SEQUENCE slow_commits", function, trigger]


@pytest.mark.parametrize("direct", [False, True], ids=["queued", "direct"])
@pytest.mark.parametrize("ends_well", [True, False], ids=["committed", "rolled back"])
async def test_a_commit_whose_answer_is_lost_is_decided_by_the_journal(
    engine: AsyncEngine,
    database: Database,
    ends_well: bool,  # noqa: FBT001  # one of two outcomes
    direct: bool,  # noqa: FBT001  # one of two ways in
) -> None:
    """The connection breaks while the database is still at the COMMIT, and ends it either way."""
    for statement in _slow_commit(ends_well):
        database.ask(statement)
    told: list[SettledEvent] = []

    async def mark(event: SyncEvent, session: AsyncSession) -> None:
        del event
        session.info["slow"] = CutSession.cuts == 0

    CutSession.cuts = 0
    sync = ZohoSync(
        async_sessionmaker(engine, class_=CutSession, expire_on_commit=False),
        registry=registry(Script(after=mark)),
        hooks=[told.append],
        lease=LEASE,
    )
    sent = customer("1", 1, stamp="once")
    if direct and ends_well:
        assert (await sync.apply(sent)).outcome is Outcome.APPLIED
    elif direct:
        with pytest.raises(Exception, match="connection"):
            await sync.apply(sent)
        assert database.count("clients") == 0
        assert (await sync.apply(sent)).outcome is Outcome.APPLIED
    else:
        await sync.enqueue([sent])
        while not database.count("zoho_sync_journal"):
            await sync.drain()
        retried = [] if ends_well else [Outcome.RETRY]
        assert [each.result.outcome for each in told] == [*retried, Outcome.APPLIED]
    assert CutSession.cuts == 1
    assert database.ask("SELECT note FROM clients") == [("once",)]
    assert database.written_twice() == {}
    assert database.count("zoho_sync_journal") == 1
    assert database.count("zoho_sync_jobs") == 0
    assert [t.result.outcome for t in told].count(Outcome.APPLIED) == 1


@pytest.mark.usefixtures("engine")
async def test_a_conflict_at_the_commit_repeats_the_batch(
    sessions: Sessions, database: Database
) -> None:
    """A serialization failure may come as late as the COMMIT; leases are kept all the same."""
    database.ask("CREATE SEQUENCE commits")
    database.ask(
        "CREATE FUNCTION conflict() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF nextval('commits') = 1 THEN RAISE EXCEPTION 'no' USING ERRCODE = '40001'; END IF;"
        " RETURN NULL; END $$"
    )
    database.ask(
        "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON clients DEFERRABLE"
        " INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION conflict()"
    )
    sync = ZohoSync(sessions, registry=registry())
    await sync.enqueue(clients(3))
    assert await sync.drain() == {Outcome.APPLIED: 3}
    assert database.ask("SELECT last_value FROM commits") == [(4,)]
    assert database.written_twice() == {}


@pytest.mark.usefixtures("engine")
async def test_a_real_deadlock_between_two_workers_is_resolved(
    sessions: Sessions, database: Database
) -> None:
    """48: two handlers that lock each other's rows; one of them is repeated, at no attempt."""
    meet = asyncio.Barrier(2)

    def crossing(first: int, second: int) -> Script:
        async def cross(event: SyncEvent, session: AsyncSession) -> None:
            del event
            for number, key in enumerate((first, second)):
                await session.execute(text(f"SELECT pg_advisory_xact_lock({key})"))
                if number == 0 and not meet.broken:
                    try:
                        async with asyncio.timeout(2):
                            await meet.wait()
                    except (TimeoutError, asyncio.BrokenBarrierError):
                        await meet.abort()

        return Script(before=cross)

    workers = [
        ZohoSync(sessions, registry=registry(crossing(*keys)), batch_size=1)
        for keys in ((1, 2), (2, 1))
    ]
    await workers[0].enqueue(clients(2))
    totals = await asyncio.gather(*(worker.drain() for worker in workers))
    assert totals == [{Outcome.APPLIED: 1}] * 2
    assert database.ask("SELECT max(attempts) FROM zoho_sync_journal") == [(0,)]
    assert database.written_twice() == {}


class Watched(SQLQueue):
    """A queue that notes for how long jobs are released."""

    def __init__(self, sessions: Sessions) -> None:
        super().__init__(sessions)
        self.delays: list[float] = []

    async def release(self, jobs: Sequence[Job], *, delay: timedelta = timedelta(0)) -> None:
        self.delays.append(delay.total_seconds())
        await super().release(jobs, delay=delay)


@pytest.mark.usefixtures("engine")
async def test_a_lock_timeout_releases_with_growing_delay(
    sessions: Sessions, database: Database
) -> None:
    """A row that a stranger holds delays its own event alone, longer each time, at no attempt."""
    queue = Watched(sessions)
    sync = ZohoSync(sessions, queue=queue, registry=registry(), lease=timedelta(seconds=1))
    await sync.enqueue([customer("11", 0, stamp="first")])
    await sync.drain()
    async with sessions() as stranger:
        await stranger.execute(select(Client).with_for_update())
        await sync.enqueue([customer("11", 1, stamp="held"), *clients(1)])
        assert await sync.drain() == {Outcome.APPLIED: 1}
        for _ in range(2):
            database.ask("UPDATE zoho_sync_jobs SET not_before = now()")
            assert await sync.drain() == {}
        assert await attempts(sessions) == [(0, [], False)]
    # A drain on a slow machine comes back to it by itself.
    assert len(queue.delays) >= 3
    assert queue.delays == [2.0**turn for turn in range(len(queue.delays))]
    database.ask("UPDATE zoho_sync_jobs SET not_before = now()")
    assert await sync.drain() == {Outcome.APPLIED: 1}
    assert database.ask("SELECT note FROM clients WHERE name = 'Client 11'") == [("held",)]
