"""A statement has 32,767 arguments at most: what is looked up by name may be more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_sessionmaker

from tests.hosts.sql import count
from zoho_sync import SyncEvent, ZohoSync
from zoho_sync.intake.resends import find_equals, find_known
from zoho_sync.store.dead_letter_rows import DeadLetterRows
from zoho_sync.store.places import find_places
from zoho_sync.store.tables import library_tables

pytestmark = pytest.mark.databases("sqlite", "postgresql", "mariadb")

TABLES = library_tables()
NUMBERS = range(40_000)
NAMES = [str(number) for number in NUMBERS]
Step = Callable[[AsyncConnection], Awaitable[Any]]


def events() -> list[SyncEvent]:
    moment = datetime(2024, 6, 1, tzinfo=UTC)
    return [SyncEvent("invoice", name, effective_time=moment) for name in NAMES]


STEPS: dict[str, Step] = {
    "removed dead letters": lambda c: DeadLetterRows(c, TABLES).remove(NUMBERS),
    "queued equals": lambda c: find_equals(c, TABLES.jobs, NAMES),
    "parked equals": lambda c: find_equals(c, TABLES.parked, NAMES),
    "settled equals": lambda c: find_known(c, TABLES, [TABLES.jobs], events(), {"invoice": "f"}),
    "places": lambda c: find_places(c, TABLES, NAMES),
}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
async def test_there_may_be_more_than_a_statement_has_arguments(
    sessions: async_sessionmaker[AsyncSession], step: Step
) -> None:
    await ZohoSync(sessions).create_tables()
    async with sessions() as session:
        assert not await step(await session.connection())


async def test_there_may_be_more_than_a_statement_has_bytes(
    sessions: async_sessionmaker[AsyncSession],
) -> None:
    """MariaDB ends the connection over a statement of more than 16 MB."""
    sync = ZohoSync(sessions)
    await sync.create_tables()
    large = [SyncEvent("invoice", f"7{n}", {"notes": '"' * 400_000}) for n in range(30)]
    small = [SyncEvent("invoice", f"8{n}", {"notes": "x"}) for n in range(1_500)]
    stored = await sync.enqueue([*large, *small, *large])
    assert sum(each.status == "accepted" for each in stored) == len([*large, *small])
    assert await count(sessions, TABLES.jobs) == len([*large, *small])
