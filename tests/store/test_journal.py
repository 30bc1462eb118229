"""The journal's rows by themselves: which of them an event is equal to."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from zoho_sync import Outcome, SyncEvent
from zoho_sync.events.event import Arrival
from zoho_sync.events.version import to_microseconds
from zoho_sync.store.journal import Journal, JournalEntry
from zoho_sync.store.tables import library_tables

MOMENT = datetime(2024, 6, 1, tzinfo=UTC)
FIRST = Arrival(MOMENT, 7)
EVENT = SyncEvent("invoice", "1", {"total": "5"}, effective_time=MOMENT, arrival=FIRST)


@pytest.mark.databases("sqlite")
async def test_equals_are_those_that_the_same_mapping_settled(
    sessions: async_sessionmaker[AsyncSession],
) -> None:
    resend = replace(EVENT, id="resend", arrival=Arrival(MOMENT, 8))
    other = SyncEvent("invoice", "1", {"total": "6"}, effective_time=MOMENT)
    asked = {(to_microseconds(MOMENT), sequence) for sequence in (6, 7, 8)}
    found = {(to_microseconds(FIRST.time), FIRST.sequence)}
    async with sessions.begin() as session:
        journal = Journal(await session.connection(), library_tables().journal)
        entry = JournalEntry(EVENT, Outcome.APPLIED, MOMENT, fingerprint="today's")
        assert await journal.equals_among(asked, resend, "today's", [entry]) == found
        assert await journal.equals_among(asked, resend, "today's", ()) == set()
        await journal.append([entry])
        assert await journal.equals_among(asked, resend, "today's", ()) == found
        assert await journal.equals_among(asked, resend, "yesterday's", ()) == set()
        assert await journal.equals_among(asked, other, "today's", ()) == set()
        assert await journal.equals_among(asked - found, resend, "today's", ()) == set()
