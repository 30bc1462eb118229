"""What queues do in the host's own database: their transactions, and how they store new events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from zoho_sync.abc import DEFAULT_PRIORITY, Enqueued
from zoho_sync.database.creation import needing_tables
from zoho_sync.database.dialects import Clock, bound_waits, database_time
from zoho_sync.database.faults import Fault, classify, hide_values, is_of_database, primary_message
from zoho_sync.database.unit_of_work import unit_of_work
from zoho_sync.events.event import SyncEvent
from zoho_sync.exceptions import QueueUnavailable
from zoho_sync.store.event_rows import dedupe_key
from zoho_sync.store.job_rows import check_priority
from zoho_sync.store.journal import Journal
from zoho_sync.store.new_events import NewEvents
from zoho_sync.store.parked_rows import Parked
from zoho_sync.store.places import find_places
from zoho_sync.store.tables import Tables

__all__ = ["HostDatabase"]

_ATTEMPTS: Final = 3
_LONGEST_WAIT: Final = timedelta(seconds=30)


@dataclass(frozen=True)
class HostDatabase:
    """The host's database, as a queue uses it.

    Attributes:
        sessions: Gives an `AsyncSession` on it.
        tables: The library's tables.
        clock: Replaces its clock.
    """

    sessions: Callable[[], AsyncSession]
    tables: Tables
    clock: Clock | None

    async def now(self, connection: AsyncConnection) -> datetime:
        """Return the time."""
        return await database_time(connection, self.clock)

    @asynccontextmanager
    async def transaction(
        self,
        lease: timedelta = _LONGEST_WAIT,
        sessions: Callable[[], AbstractAsyncContextManager[AsyncSession]] | None = None,
    ) -> AsyncIterator[AsyncConnection]:
        """Give a connection in a transaction that is committed in the end.

        Raises:
            QueueUnavailable: The database does not answer.
        """
        try:
            with needing_tables():
                async with (sessions or self.sessions)() as session, unit_of_work(session) as work:
                    await bound_waits(work.connection, lease)
                    yield work.connection
        except Exception as error:
            if not is_of_database(error):
                raise
            hide_values(error)
            if classify(error) is Fault.REJECTED:
                raise
            message = f"the queue's database does not answer: {primary_message(error)[0]}"
            raise QueueUnavailable(message) from error

    async def enqueue(
        self,
        queued: Sequence[Table],
        events: Sequence[SyncEvent],
        *,
        session: AsyncSession | None,
        fingerprints: Mapping[str, str] | None,
        priority: int = DEFAULT_PRIORITY,
    ) -> list[Enqueued]:
        """Store events durably; see `QueueBackend.enqueue`.

        Args:
            queued: The tables whose events are queued; new ones are stored in the first.
            events: What to store.
            session: The host's session, if they belong into its transaction.
            fingerprints: Entity type → fingerprint of the mapping in force.
            priority: Of all of them.
        """
        check_priority(priority)
        prints = fingerprints or {}
        if session is not None:
            if not session.in_transaction():
                # A session that has done nothing yet begins now, as with any statement of its own:
                # its transaction is the host's, and so is its end.
                await session.connection()
            async with unit_of_work(session) as work:
                storing = _Storing(self, work.connection, queued, prints, priority)
                return await storing.run(events)
        async with self.transaction() as connection:
            return await _Storing(self, connection, queued, prints, priority).run(events)


@dataclass(frozen=True)
class _Storing:
    """One call of `HostDatabase.enqueue`."""

    database: HostDatabase
    connection: AsyncConnection
    queued: Sequence[Table]
    fingerprints: Mapping[str, str]
    priority: int

    async def run(self, events: Sequence[SyncEvent]) -> list[Enqueued]:
        known = await self._known(events)
        stored: dict[str, SyncEvent | None] = {}
        for _ in range(_ATTEMPTS):
            fresh: dict[str, SyncEvent] = {}
            for event in events:
                if (key := _key(event)) not in known and stored.get(key) is None:
                    fresh.setdefault(key, event)
            stored |= await self._insert(fresh)
            missed = [event for key, event in fresh.items() if stored[key] is None]
            if not missed:
                break
            # Somebody else stored their equals at the same moment; or they have moved on by now.
            known |= await self._known(missed)
        return _answers(events, known, stored)

    async def _known(self, events: Sequence[SyncEvent]) -> dict[str, str]:
        """Return the ids of events that are there, or their equals are, by dedupe key or id."""
        connection, tables = self.connection, self.database.tables
        keys = [key for event in events if (key := dedupe_key(event))]
        prints = [self.fingerprints.get(event.entity_type, "") for event in events]
        known = await Journal(connection, tables.journal).equals(keys, prints) if keys else {}
        known |= await Parked(connection, tables).equals(keys) if keys else {}
        ids = {event.id for event in events}
        # A host that did not hear the answer enqueues once more what may be settled by now.
        present = set(await find_places(connection, tables, ids))
        for table in self.queued:
            there = NewEvents(connection, table)
            known |= await there.queued(keys) if keys else {}
            if table is not tables.jobs:
                present |= await there.known(ids)
        return known | {_key(event): event.id for event in events if event.id in present}

    async def _insert(self, fresh: Mapping[str, SyncEvent]) -> dict[str, SyncEvent | None]:
        if not fresh:
            return {}
        now = await self.database.now(self.connection)
        rows = NewEvents(self.connection, self.queued[0])
        stored = await rows.insert(list(fresh.values()), now, self.priority)
        return dict(zip(fresh, stored, strict=True))


def _key(event: SyncEvent) -> str:
    return dedupe_key(event) or event.id


def _answers(
    events: Sequence[SyncEvent],
    known: Mapping[str, str],
    stored: Mapping[str, SyncEvent | None],
) -> list[Enqueued]:
    answers: list[Enqueued] = []
    answered: set[str] = set()
    for event in events:
        key = _key(event)
        placed = stored.get(key)
        if placed is None:
            answers.append(Enqueued(known.get(key, event.id), None, duplicate=True))
        elif key in answered:
            answers.append(Enqueued(placed.id, None, duplicate=True))
        else:
            answered.add(key)
            answers.append(Enqueued(placed.id, placed.arrival))
    return answers
