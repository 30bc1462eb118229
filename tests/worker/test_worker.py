"""The worker: what `drain` counts, how `run` waits, survives outages, and stops."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import StaticPool, select, text, update
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from tests.hosts.events import customer, invoice
from tests.hosts.shop import Client, Script, create_shop, registry
from tests.hosts.sql import Sessions, count
from tests.servers.postgres import PostgresServer, PrivatePostgres
from zoho_sync import Outcome, SyncEvent, ZohoSync
from zoho_sync.abc import Job, SettledEvent
from zoho_sync.exceptions import ConfigurationError
from zoho_sync.queues import SQLQueue
from zoho_sync.store.tables import library_tables

WOKEN, PARKED, NEVER, RETRIED, LEASED = "41", "42", "43", "44", "45"
DELAYED, SUSPECT, OTHER, SLOW = "46", "47", "48", "49"

pytestmark = [
    pytest.mark.databases("sqlite", "postgresql", "mariadb"),
    pytest.mark.breaks_connections,
]

TABLES = library_tables()


@pytest.fixture(autouse=True)
async def tables(engine: AsyncEngine, sessions: Sessions) -> None:
    await create_shop(engine)
    await ZohoSync(sessions).create_tables()


async def until_empty(sessions: Sessions, seconds: float = 30) -> None:
    """Wait until there is no job left."""
    async with asyncio.timeout(seconds):
        while await count(sessions, TABLES.jobs):  # noqa: ASYNC110  # the database sends no event
            await asyncio.sleep(0.05)


async def stop(running: asyncio.Task[None]) -> None:
    """Cancel a worker, as its host does at the end."""
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_drain_counts_each_event_by_its_last_outcome(sessions: Sessions) -> None:
    async def fail(event: SyncEvent, session: AsyncSession) -> None:
        del session
        if event.entity_id == RETRIED:
            raise RuntimeError("not now")

    sync = ZohoSync(sessions, registry=registry(Script(before=fail)), batch_size=3)
    newer, older = customer("1", 2, stamp="2"), customer("1", 1, stamp="1")
    await sync.enqueue(
        [
            invoice(WOKEN, "2", 1),
            invoice(PARKED, NEVER, 1),
            newer,
            older,
            customer("2", 1),
            customer(RETRIED, 1),
            SyncEvent("invoice", "50", {"invoice_id": "50", "total": "a lot"}),
        ]
    )
    assert await sync.drain() == {
        Outcome.APPLIED: 3,
        Outcome.STALE: 1,
        Outcome.PARKED: 1,
        Outcome.RETRY: 1,
        Outcome.DEAD_LETTER: 1,
    }
    assert {o: n for o, n in (await sync.drain()).items() if o is not Outcome.RETRY} == {}


async def test_a_drain_of_nothing_is_empty(sessions: Sessions) -> None:
    assert await ZohoSync(sessions).drain() == {}


async def test_a_drain_does_not_wait_for_others(sessions: Sessions) -> None:
    """Neither delayed jobs nor those that a peer has leased are awaited."""
    sync = ZohoSync(sessions, registry=registry(), lease=timedelta(minutes=5))
    queue = sync._runtime.queue
    await sync.enqueue([customer(LEASED, 1), customer(DELAYED, 1)])
    leased, delayed = await queue.claim(2, lease=timedelta(minutes=5))
    await queue.release([delayed], delay=timedelta(minutes=5))
    assert await sync.drain() == {}
    await queue.ack([leased])
    assert (await queue.depth()).delayed == 1


async def test_run_applies_what_comes_at_once(sessions: Sessions) -> None:
    """What this process enqueues wakes its worker; it need not wait for its poll."""
    done = asyncio.Event()
    sync = ZohoSync(sessions, registry=registry(), hooks=[lambda _: done.set()])
    running = asyncio.create_task(sync.run())
    for number in range(3):
        await asyncio.sleep(0.1)
        done.clear()
        await sync.enqueue([customer(f"1{number}", 1)])
        async with asyncio.timeout(5):
            await done.wait()
    await stop(running)
    assert await count(sessions, Client.__table__) == 3


async def test_run_refuses_a_shared_connection() -> None:
    engine = create_async_engine("sqlite+aiosqlite://", poolclass=StaticPool)
    sync = ZohoSync(async_sessionmaker(engine), registry=registry())
    with pytest.raises(ConfigurationError, match="StaticPool"):
        await sync.run()
    await engine.dispose()


async def test_many_loops_share_the_work(sessions: Sessions) -> None:
    sync = ZohoSync(sessions, registry=registry(), concurrency=4, batch_size=5)
    sent = [customer(f"1{number}", 1) for number in range(60)]
    sent += [invoice(f"2{number}", f"1{59 - number}", 1) for number in range(60)]
    await sync.enqueue(sent)
    running = asyncio.create_task(sync.run())
    await until_empty(sessions)
    await stop(running)
    report = await sync.status()
    assert (report.settled, report.parked) == ({Outcome.APPLIED: 120}, 0)


async def test_cancelled_twice_it_still_ends_and_loses_nothing(sessions: Sessions) -> None:
    """A second signal during the release is not lost either."""
    at_work = asyncio.Event()

    async def linger(event: SyncEvent, session: AsyncSession) -> None:
        del event, session
        at_work.set()
        await asyncio.sleep(5)

    sync = ZohoSync(sessions, registry=registry(Script(before=linger)))
    await sync.enqueue([customer("1", 1)])
    running = asyncio.create_task(sync.run())
    await at_work.wait()
    running.cancel()
    await asyncio.sleep(0)
    await stop(running)
    calm = ZohoSync(sessions, registry=registry())
    async with asyncio.timeout(10):
        while not await count(sessions, Client.__table__):
            await calm.drain()
            await asyncio.sleep(0.05)
    async with sessions() as session:
        assert await session.scalar(select(TABLES.journal.c.attempts)) == 0


# SQLite has one writer: nothing is applied beside anything.
@pytest.mark.databases("postgresql", "mariadb")
async def test_a_suspect_is_alone_in_its_process(sessions: Sessions) -> None:
    """What may have killed a worker shares its process with no other batch, suspect or not."""
    together: list[set[str]] = []
    running: set[str] = set()
    met = asyncio.Event()

    async def watch(event: SyncEvent, session: AsyncSession) -> None:
        del session
        running.add(event.entity_id)
        together.append(set(running))
        if len(running) > 1:
            met.set()
        await asyncio.sleep(0.02)
        if event.entity_id.startswith(OTHER):
            # A slow machine claims the next one later than this.
            with suppress(TimeoutError):
                await asyncio.wait_for(met.wait(), 10)
        running.discard(event.entity_id)

    sync = ZohoSync(sessions, registry=registry(Script(before=watch)), concurrency=4, batch_size=1)
    await sync.enqueue([customer(f"{SUSPECT}{number}", 1) for number in range(5)])
    await sync._runtime.queue.claim(5, lease=timedelta(seconds=0.5))
    await asyncio.sleep(0.5)
    await sync.enqueue([customer(f"{OTHER}{number}", 1) for number in range(20)])
    working = asyncio.create_task(sync.run())
    await until_empty(sessions)
    await stop(working)
    crowds = [crowd for crowd in together if any(name.startswith(SUSPECT) for name in crowd)]
    assert crowds
    assert {len(crowd) for crowd in crowds} == {1}
    assert max(len(crowd) for crowd in together) > 1


@pytest.mark.databases("postgresql")  # SQLite's write lock is the lease's fence
async def test_an_exhausted_pool_costs_no_lease(database_url: str, sessions: Sessions) -> None:
    """The host has taken every connection: leases are lengthened over one that was reserved."""
    lease, at_work = timedelta(seconds=3), asyncio.Event()

    async def linger(event: SyncEvent, session: AsyncSession) -> None:
        del event
        at_work.set()
        for _ in range(45):
            await session.execute(select(1))
            await asyncio.sleep(0.1)

    small = create_async_engine(database_url, pool_size=2, max_overflow=1, pool_timeout=0.5)
    crowded = async_sessionmaker(small)
    sync = ZohoSync(crowded, registry=registry(Script(before=linger)), lease=lease)
    await sync.enqueue([customer("1", 1)])
    running = asyncio.create_task(sync.run())
    await at_work.wait()
    async with AsyncExitStack() as host:
        with suppress(PoolTimeout):
            while True:
                await host.enter_async_context(small.connect())
        await asyncio.sleep(3.5)
        assert await SQLQueue(sessions).claim(1, lease=lease) == []
    await until_empty(sessions)
    await stop(running)
    await small.dispose()
    async with sessions() as session:
        assert await session.scalar(select(TABLES.journal.c.attempts)) == 0


async def test_a_pool_without_room_for_the_leases_is_refused(database_url: str) -> None:
    tiny = create_async_engine(database_url, pool_size=1, max_overflow=0)
    sync = ZohoSync(async_sessionmaker(tiny), registry=registry())
    with pytest.raises(ConfigurationError, match="pool_size=2"):
        await sync.run()
    await tiny.dispose()


async def test_run_outlives_an_error_that_nobody_expected(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Drivers have errors of their own for an outage; no worker ends with one."""
    monkeypatch.setattr("zoho_sync.worker.loop._POLL", 0.01)
    sync = ZohoSync(sessions, registry=registry())
    queue, failures = sync._runtime.queue, 2
    claim = queue.claim

    async def fail(limit: int, *, lease: timedelta) -> Any:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise LookupError("of the driver")
        return await claim(limit, lease=lease)

    monkeypatch.setattr(queue, "claim", fail)
    monkeypatch.setattr(sync._worker._maintenance, "run_if_leader", fail)
    await sync.enqueue([customer("1", 1)])
    with caplog.at_level(logging.ERROR):
        running = asyncio.create_task(sync.run())
        await until_empty(sessions)
        await stop(running)
    assert caplog.text.count("the worker cannot work") >= 1
    assert "maintenance failed" in caplog.text


@pytest.mark.databases("postgresql")
async def test_a_restart_of_the_database_needs_none_of_the_worker(
    postgres_server: PostgresServer, sessions: Sessions
) -> None:
    """The server crashes and comes back: the worker goes on, and nothing is lost or doubled."""
    if not isinstance(postgres_server, PrivatePostgres):
        pytest.skip("needs a PostgreSQL server of its own")
    sync = ZohoSync(sessions, registry=registry(), concurrency=2, batch_size=4)
    await sync.enqueue([customer(f"1{number}", 1) for number in range(120)])
    running = asyncio.create_task(sync.run())
    await asyncio.sleep(0.15)
    await asyncio.to_thread(postgres_server.kill)
    await asyncio.sleep(0.5)
    port = postgres_server.address.port
    await asyncio.to_thread(postgres_server.start)
    assert postgres_server.address.port == port, "somebody took the port"
    assert not running.done()
    await until_empty(sessions, 60)
    await stop(running)
    async with sessions() as session:
        rows = await session.execute(
            text("SELECT outcome, count(*) FROM zoho_sync_journal GROUP BY 1")
        )
        assert [tuple(row) for row in rows] == [("applied", 120)]
        twice = text("SELECT stamp FROM shop_writes GROUP BY row_id, stamp HAVING count(*) > 1")
        assert list(await session.scalars(twice)) == []


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_suspect_waits_for_what_is_under_way(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch, *, cancelled: bool
) -> None:
    """It is claimed, and applied once the process has nothing else to do, or given back."""
    monkeypatch.setattr("zoho_sync.worker.loop._POLL", 0.02)
    sync = ZohoSync(sessions, registry=registry(), concurrency=2, batch_size=1)
    worker, began, go, order = sync._worker, asyncio.Event(), asyncio.Event(), list[str]()
    execute = worker._executor.execute

    async def slowly(claimed: Sequence[Job]) -> list[SettledEvent]:
        order.append(claimed[0].event.entity_id)
        began.set()
        await go.wait()
        return await execute(claimed)

    monkeypatch.setattr(worker._executor, "execute", slowly)
    await sync.enqueue([customer(SUSPECT, 1)])
    (dead,) = await sync._runtime.queue.claim(1, lease=timedelta(minutes=5))

    async def token() -> str | None:
        jobs = TABLES.jobs.c
        async with sessions() as session:
            held = select(jobs.lease_token).where(jobs.entity_id == SUSPECT)
            return await session.scalar(held)

    await sync.enqueue([customer(SLOW, 1)])
    running = asyncio.create_task(sync.run())
    await began.wait()
    async with sessions() as session, session.begin():
        jobs = TABLES.jobs.c
        over = {"lease_expires_at": datetime(2024, 6, 1, tzinfo=UTC)}
        await session.execute(update(TABLES.jobs).where(jobs.entity_id == SUSPECT).values(over))
    async with asyncio.timeout(10):
        while await token() in {dead.lease_token, None}:  # noqa: ASYNC110  # the database sends no event
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.1)
    assert order == [SLOW]
    if not cancelled:
        go.set()
        await until_empty(sessions)
        assert order == [SLOW, SUSPECT]
    await stop(running)
    assert await token() is None
