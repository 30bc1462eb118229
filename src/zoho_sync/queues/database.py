"""Stores new events in the host's own database, and opens the transactions of its queues there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from zoho_sync.abc import DEFAULT_PRIORITY, Enqueued
from zoho_sync.database.creation import needing_tables
from zoho_sync.database.dialects import Clock, bound_waits, database_time
from zoho_sync.database.faults import Fault, classify, is_of_database, primary_message
from zoho_sync.database.sessions import dialect_of
from zoho_sync.database.unit_of_work import unit_of_work
from zoho_sync.events.event import SyncEvent
from zoho_sync.exceptions import QueueUnavailable
from zoho_sync.intake.resends import find_known, resend_key
from zoho_sync.store.new_events import NewEvents, check_priority
from zoho_sync.store.tables import Tables

__all__ = ["HostDatabase"]

_ATTEMPTS: Final = 3
_LONGEST_WAIT: Final = timedelta(seconds=30)


@dataclass(frozen=True)
class HostDatabase:
    """The host's database, as a queue uses it; ``clock`` replaces its own."""

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
            if classify(error) is Fault.REJECTED:
                raise
            message = f"the queue's database does not answer: {primary_message(error)[0]}"
            raise QueueUnavailable(message) from error

    def on(
        self, connection: AsyncConnection | None
    ) -> AbstractAsyncContextManager[AsyncConnection]:
        """Give a connection in a transaction: the caller's, or one of its own."""
        return self.transaction() if connection is None else nullcontext(connection)

    async def enqueue(
        self,
        queued: Sequence[Table],
        events: Sequence[SyncEvent],
        *,
        session: AsyncSession | None,
        fingerprints: Mapping[str, str] | None,
        priority: int = DEFAULT_PRIORITY,
    ) -> list[Enqueued]:
        """Store events durably, in the first of the tables whose events are queued.

        See `QueueBackend.enqueue`.
        """
        check_priority(priority)

        async def store() -> list[Enqueued]:
            async with self._joined(session) as connection:
                return await self._store(connection, queued, events, fingerprints or {}, priority)

        for _ in range(_ATTEMPTS if session is None else 0):
            try:
                return await store()
            except QueueUnavailable as error:
                # Two processes store equal events, each in the order in which they came to it.
                if not self._is_deadlock(error.__cause__):
                    raise
        return await store()

    def _is_deadlock(self, error: BaseException | None) -> bool:
        is_conflict = error is not None and classify(error) is Fault.CONFLICT
        return is_conflict and dialect_of(self.sessions) != "sqlite"

    async def _store(
        self,
        connection: AsyncConnection,
        queued: Sequence[Table],
        events: Sequence[SyncEvent],
        prints: Mapping[str, str],
        priority: int,
    ) -> list[Enqueued]:
        stored: dict[str, SyncEvent | None] = {}
        known = await find_known(connection, self.tables, queued, events, prints)
        for _ in range(_ATTEMPTS):
            fresh: dict[str, SyncEvent] = {}
            for event in events:
                if (key := resend_key(event)) not in known and stored.get(key) is None:
                    fresh.setdefault(key, event)
            if fresh:
                rows, now = NewEvents(connection, queued[0]), await self.now(connection)
                made = await rows.insert(list(fresh.values()), now, priority)
                stored |= zip(fresh, made, strict=True)
            missed = [event for key, event in fresh.items() if stored[key] is None]
            if not missed:
                break
            # Somebody else stored their equals at the same moment; or they have moved on.
            known |= await find_known(connection, self.tables, queued, missed, prints)
        return list(_answers(events, known, stored))

    @asynccontextmanager
    async def _joined(self, session: AsyncSession | None) -> AsyncIterator[AsyncConnection]:
        if session is None:
            async with self.transaction() as connection:
                yield connection
            return
        if not session.in_transaction():
            # A session that has done nothing yet begins now, as with any statement of its own:
            # its transaction is the host's, and so is its end.
            await session.connection()
        async with unit_of_work(session) as work:
            yield work.connection


def _answers(
    events: Sequence[SyncEvent], known: Mapping[str, str], stored: Mapping[str, SyncEvent | None]
) -> Iterator[Enqueued]:
    answered: set[str] = set()
    for event in events:
        key = resend_key(event)
        placed = stored.get(key)
        if placed is None:
            yield Enqueued(known.get(key, event.id), None, duplicate=True)
        elif key in answered:
            yield Enqueued(placed.id, None, duplicate=True)
        else:
            answered.add(key)
            yield Enqueued(placed.id, placed.arrival)
