"""A file of SQLite that may not grow any more; for servers it is among the scenarios."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event as sa_event
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine

from tests.hosts.events import customer
from tests.hosts.shop import create_shop, registry
from zoho_sync import Outcome, QueueUnavailable, RetryPolicy, SyncEvent, ZohoSync

HUGE = "x" * 20_000


async def cramped(url: str, engine: AsyncEngine, more: int) -> AsyncEngine:
    """Return an engine for which the file may have so many more pages than it has now."""
    async with engine.connect() as connection:
        pages = (await connection.execute(text("PRAGMA page_count"))).scalar_one()
    made = create_async_engine(url)

    def bound(connection: Any, _: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages + more}")

    sa_event.listen(made.sync_engine, "connect", bound)
    return made


def opened(engine: AsyncEngine) -> ZohoSync:
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    return ZohoSync(sessions, registry=registry(), retry=RetryPolicy(max_attempts=1))


def large(number: int) -> SyncEvent:
    return customer(f"1{number}", 1, stamp=f"1{number}", remark=HUGE)


async def is_accepted(sync: ZohoSync, sent: SyncEvent) -> bool:
    """Return whether an event was accepted; if not, the sender is asked to come again."""
    try:
        await sync.enqueue([sent])
    except QueueUnavailable:
        return False
    return True


@pytest.fixture
async def engine(sqlite_url: str) -> AsyncEngine:
    made = create_async_engine(sqlite_url)
    await create_shop(made)
    await opened(made).create_tables()
    return made


async def test_what_was_accepted_is_applied_once_there_is_room(
    sqlite_url: str, engine: AsyncEngine
) -> None:
    full = await cramped(sqlite_url, engine, 60)
    accepted = 0
    while await is_accepted(opened(full), large(accepted)):
        accepted += 1
        assert accepted < 60, "the file is not full, and should be"
    assert accepted > 3
    await full.dispose()
    assert await opened(engine).drain() == {Outcome.APPLIED: accepted}
    await engine.dispose()


async def test_what_cannot_become_a_dead_letter_stays_queued(
    sqlite_url: str, engine: AsyncEngine
) -> None:
    wrong = SyncEvent("customer", "11", {"contact_id": "11", "contact_name": [HUGE]})
    sync = opened(engine)
    await sync.enqueue([wrong])
    full = await cramped(sqlite_url, engine, 0)
    with pytest.raises(QueueUnavailable):
        await opened(full).drain()
    report = await sync.status()
    assert (report.queue.total, report.dead_letters) == (1, 0)
    await full.dispose()
    assert await sync.drain() == {Outcome.DEAD_LETTER: 1}
    await engine.dispose()
