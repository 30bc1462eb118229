"""A pause: whom it stops, what it lets through, and what it does to deadlines."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from tests.hosts import application, tables
from tests.hosts.clock import Clock
from tests.hosts.documents import invoice as invoice_document
from tests.hosts.events import customer, invoice
from tests.hosts.shop import Script, create_shop, registry
from tests.hosts.sql import Sessions
from zoho_sync import Outcome, SyncEvent, Unverified, ZohoSync
from zoho_sync.abc import Capabilities
from zoho_sync.exceptions import ConfigurationError
from zoho_sync.queues import MemoryQueue

pytestmark = pytest.mark.breaks_connections

DAY = timedelta(hours=24)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def sync(engine: AsyncEngine, sessions: Sessions, clock: Clock) -> ZohoSync:
    await create_shop(engine)
    sync = ZohoSync(sessions, registry=registry(), clock=clock, verifier=Unverified())
    await sync.create_tables()
    return sync


async def test_it_says_since_when(sync: ZohoSync, clock: Clock) -> None:
    began = clock.now
    assert await sync.pause()
    clock.now += timedelta(hours=1)
    assert not await sync.pause()
    report = await sync.status()
    assert report.paused_since == began
    assert report.problems == (
        f"the queue has been paused since {began.isoformat()}, and nothing is applied",
    )


async def test_what_it_lets_through(sync: ZohoSync) -> None:
    """Deliveries are taken in, and what the host calls itself works."""
    await sync.pause()
    body = b'{"contact": {"contact_id": "1", "contact_type": "customer", "contact_name": "A"}}'
    assert (await sync.receive(body)).http_status == 200
    assert (await sync.apply(customer("2", 1))).outcome is Outcome.APPLIED
    assert await sync.drain() == {}
    assert (await sync.status()).queue.ready == 1
    await sync.resume()
    assert await sync.drain() == {Outcome.APPLIED: 1}


# SQLite has one writer: the pause is written before an event is applied, or after.
@pytest.mark.databases("postgresql")
async def test_a_worker_finishes_what_it_has_and_goes_on_when_told(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    await create_shop(engine)
    began, go, applied = asyncio.Event(), asyncio.Event(), asyncio.Queue[str]()

    async def linger(event: SyncEvent, session: AsyncSession) -> None:
        del session
        if event.entity_id == "1":
            began.set()
            await go.wait()

    sync = ZohoSync(
        sessions,
        registry=registry(Script(before=linger)),
        batch_size=1,
        hooks=[lambda settled: applied.put_nowait(settled.event.entity_id)],
    )
    await sync.create_tables()
    await sync.enqueue([customer("1", 1), customer("2", 1)])
    running = asyncio.create_task(sync.run())
    async with asyncio.timeout(20):
        await began.wait()
        await sync.pause()
        go.set()
        assert await applied.get() == "1"
        await asyncio.sleep(0.6)  # longer than a worker waits before it looks again
        assert (applied.empty(), (await sync.status()).queue.ready) == (True, 1)
        await sync.resume()
        assert await applied.get() == "2"
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_deadline_stands_still(sync: ZohoSync, clock: Clock) -> None:
    """What is awaited may be in the queue; both begin where they were."""
    await sync.enqueue([invoice("21", "11", 1)])
    assert await sync.drain() == {Outcome.PARKED: 1}
    clock.now += timedelta(hours=23)
    await sync.pause()
    await sync.enqueue([customer("11", 1)])
    assert (await sync.apply(invoice("22", "12", 1))).outcome is Outcome.PARKED
    clock.now += timedelta(hours=50)
    assert await sync.drain() == {}
    await sync._worker._maintenance.run_if_leader()
    assert (await sync.status()).dead_letters == 0
    await sync.resume()
    first, second = await sync.parked.list()
    assert first.expires_at == clock.now + timedelta(hours=1)
    assert second.expires_at == clock.now + DAY
    assert await sync.drain() == {Outcome.APPLIED: 2}
    clock.now += DAY
    assert await sync.drain() == {Outcome.DEAD_LETTER: 1}


async def test_nobody_is_woken_meanwhile(sessions: Sessions) -> None:
    """A row that the host makes itself is found once it is over."""
    host = await application.open_host(sessions)
    assert await host.take(invoice_document()) == {Outcome.PARKED: 1}
    await host.sync.pause()
    own = {"zoho_id": "11", "name": "Own", "created_by": "host"}
    await host.write(insert(tables.clients).values(own))
    assert await host.sync.drain() == {}
    assert await host.sync._worker._maintenance.sweep() == 0
    assert (await host.sync.status()).parked == 1
    await host.sync.resume()
    assert await host.sync.drain() == {Outcome.APPLIED: 1}


async def test_two_pause_and_two_resume_at_once(sync: ZohoSync, sessions: Sessions) -> None:
    assert sorted(await asyncio.gather(*(sync.pause() for _ in range(4)))) == [False] * 3 + [True]
    assert sorted(await asyncio.gather(*(sync.resume() for _ in range(4)))) == [False] * 3 + [True]
    async with sessions() as session:
        pauses = sync._runtime.context.tables.pauses
        assert (await session.execute(select(pauses))).all() == []


@pytest.mark.parametrize("inside", [True, False])
async def test_every_engine_stops(
    sync: ZohoSync, sessions: Sessions, monkeypatch: pytest.MonkeyPatch, *, inside: bool
) -> None:
    """Also one that knows nothing of pauses: its worker looks for it."""
    engine = MemoryQueue()
    declared = Capabilities(completes_in_transaction=inside, durable=False)
    monkeypatch.setattr(MemoryQueue, "capabilities", declared)
    other = ZohoSync(sessions, queue=engine, registry=registry())
    await other.enqueue([customer("1", 1)])
    await sync.pause()
    assert await other.drain() == {}
    assert (await engine.depth()).ready == 1
    await sync.resume()
    assert await other.drain() == {Outcome.APPLIED: 1}


@pytest.mark.without_tables
async def test_without_tables_it_says_what_to_do(engine: AsyncEngine, sessions: Sessions) -> None:
    del engine
    with pytest.raises(ConfigurationError, match="create_tables"):
        await ZohoSync(sessions).pause()
