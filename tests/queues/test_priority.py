"""Priorities: the smaller, the sooner, wherever an event has been meanwhile."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tests.hosts.events import customer, invoice
from tests.hosts.shop import Script, create_shop, registry
from tests.hosts.sql import Sessions, make
from zoho_sync import (
    DOCUMENT,
    EntityMap,
    HandlerRegistry,
    Outcome,
    SyncEvent,
    ZohoSync,
)
from zoho_sync.abc import BULK_PRIORITY, Job
from zoho_sync.database.types import ExactJSON
from zoho_sync.exceptions import ConfigurationError
from zoho_sync.handlers import ProductHandler
from zoho_sync.queues import MemoryQueue, SQLQueue

SOONER, SOON, NORMAL, LATER, BULK, BAD = "1", "2", "3", "4", "5", "6"

LEASE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
async def tables(engine: AsyncEngine, sessions: Sessions) -> None:
    await create_shop(engine)
    await ZohoSync(sessions).create_tables()


def names(jobs: list[Job]) -> list[str]:
    return [job.event.entity_id for job in jobs]


async def claimed(sync: ZohoSync, count: int) -> list[Job]:
    """Claim as a worker does that takes one at a time."""
    queue = sync._runtime.queue
    return [job for _ in range(count) for job in await queue.claim(1, lease=LEASE)]


async def test_the_smaller_comes_first(sessions: Sessions) -> None:
    sync = ZohoSync(sessions, registry=registry())
    await sync.enqueue([customer(LATER, 1)], priority=7)
    await sync.enqueue([customer(NORMAL, 1)])
    await sync.enqueue([customer(SOON, 1)], priority=-1)
    async with sessions() as session, session.begin():
        await sync.enqueue([customer(SOONER, 1)], session, priority=-2)
    jobs = await claimed(sync, 4)
    assert names(jobs) == [SOONER, SOON, NORMAL, LATER]
    assert [job.priority for job in jobs] == [-2, -1, 0, 7]


@pytest.mark.parametrize("priority", [40_000, -32_769, 1.5, "high", True, None])
async def test_what_is_no_priority_is_refused(sessions: Sessions, priority: Any) -> None:
    for queue in (None, MemoryQueue()):
        sync = ZohoSync(sessions, queue=queue, registry=registry())
        with pytest.raises(ConfigurationError, match="the smaller, the sooner"):
            await sync.enqueue([customer("7", 1)], priority=priority)
        assert (await sync.status()).accepted == 0


async def test_it_stays_with_a_parked_event(sessions: Sessions) -> None:
    sync = ZohoSync(sessions, registry=registry())
    await sync.enqueue([invoice("21", "11", 1)], priority=3)
    assert await sync.drain() == {Outcome.PARKED: 1}
    await sync.apply(customer("11", 1))
    await sync.enqueue([customer(NORMAL, 1)])
    jobs = await claimed(sync, 2)
    assert [(job.event.entity_id, job.priority) for job in jobs] == [(NORMAL, 0), ("21", 3)]


async def test_it_stays_with_a_dead_letter(sessions: Sessions) -> None:
    sync = ZohoSync(sessions, registry=registry())
    bad = SyncEvent("invoice", BAD, {"invoice_id": BAD, "total": "a lot"})
    await sync.enqueue([bad], priority=3)
    assert await sync.drain() == {Outcome.DEAD_LETTER: 1}
    await sync.dead_letters.replay(bad.id)
    (job,) = await claimed(sync, 1)
    assert job.priority == 3
    body = await sync.ingest(b"{not json")
    assert (await sync.dead_letters.replay(body.event_ids[0])).still_dead == body.event_ids


async def test_an_engine_outside_is_between_what_is_sooner_and_what_is_later(
    sessions: Sessions,
) -> None:
    engine = MemoryQueue()
    sync = ZohoSync(sessions, queue=engine, registry=registry())
    await sync.enqueue([customer(f"{BULK}{n}", 1) for n in range(5)], priority=BULK_PRIORITY)
    await sync.enqueue([customer(SOON, 1)], priority=-1)
    await sync.enqueue([customer(f"{NORMAL}{n}", 1) for n in range(3)])
    assert ((await engine.depth()).total, (await sync.status()).queue.total) == (3, 9)
    queue = sync._runtime.queue
    first = await queue.claim(3, lease=LEASE)
    assert names(first) == [SOON, f"{NORMAL}0", f"{NORMAL}1"]
    second = await queue.claim(3, lease=LEASE)
    assert names(second) == [f"{NORMAL}2", f"{BULK}0", f"{BULK}1"]
    assert {job.outside for job in second if job.event.entity_id.startswith(BULK)} == {False}
    await queue.release([*first, *second])
    assert await sync.drain() == {Outcome.APPLIED: 9}


async def test_what_an_engine_failed_at_is_not_behind_bulk(sessions: Sessions) -> None:
    """A retry of a delivery is a row of the database, and a delivery all the same."""
    fails = True

    async def fail(event: SyncEvent, session: AsyncSession) -> None:
        del session
        if event.entity_id == NORMAL and fails:
            raise TimeoutError

    sync = ZohoSync(sessions, queue=MemoryQueue(), registry=registry(Script(before=fail)))
    await sync.enqueue([customer(NORMAL, 1)])
    (job,) = await sync._runtime.queue.claim(1, lease=LEASE)
    await sync._runtime.queue.release([job], delay=timedelta(microseconds=1))
    await sync.enqueue([customer(BULK, 1)], priority=BULK_PRIORITY)
    fails = False
    assert names(await claimed(sync, 2)) == [NORMAL, BULK]


class Base(DeclarativeBase):
    """The host's ORM classes."""


class Lamp(Base):
    """What the host sells."""

    __tablename__ = "priority_lamps"
    __table_args__ = ({"sqlite_autoincrement": True},)
    id: Mapped[int] = mapped_column(primary_key=True)
    zoho_id: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str | None]
    colour: Mapped[str | None]
    document: Mapped[Any] = mapped_column(ExactJSON())


def lamps(columns: dict[str, Any]) -> HandlerRegistry:
    class Lamps(ProductHandler):
        mapping = EntityMap(
            table=Lamp, key="zoho_id", columns={"document": DOCUMENT} | columns, on_delete="hard"
        )

    return HandlerRegistry([Lamps])


@pytest.mark.parametrize("outside", [True, False])
async def test_what_is_applied_again_delays_no_delivery(
    sessions: Sessions, *, outside: bool
) -> None:
    table = Base.metadata.tables["priority_lamps"]
    await make(sessions, Base.metadata)
    queue = MemoryQueue() if outside else SQLQueue(sessions)
    before = ZohoSync(sessions, queue=queue, registry=lamps({"name": "name"}))
    for number in range(1, 5):
        await before.ingest({"item": {"item_id": str(number), "name": f"Lamp {number}"}})
    await before.drain()
    after = ZohoSync(
        sessions,
        queue=queue,
        registry=lamps({"name": "name", "colour": "description"}),
        batch_size=1,
    )
    assert (await after.reapply("product")).queued == 4
    await after.ingest({"item": {"item_id": "9", "name": "Live", "description": "red"}})
    jobs = await after._runtime.queue.claim(10, lease=LEASE)
    assert [job.priority for job in jobs] == [0] + [BULK_PRIORITY] * 4
    assert jobs[0].event.entity_id == "9"
    await after._runtime.queue.release(jobs)
    assert await after.drain() == {Outcome.APPLIED: 5}
    async with sessions() as session:
        assert len((await session.execute(select(table))).all()) == 5
