"""Stores what the front door has read: events in the queue, other bodies as dead letters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from zoho_sync.abc import DEFAULT_PRIORITY, Enqueued, QueueBackend
from zoho_sync.database.creation import needing_tables
from zoho_sync.database.dialects import Clock, database_time
from zoho_sync.database.faults import hide_values, is_of_database
from zoho_sync.database.unit_of_work import unit_of_work
from zoho_sync.events.event import SyncEvent
from zoho_sync.exceptions import PayloadError, QueueUnavailable
from zoho_sync.store.dead_letter_rows import DeadLetterRows, Undecoded
from zoho_sync.store.tables import Tables

__all__ = ["Intake"]


@dataclass(frozen=True, slots=True)
class Intake:
    """The store of a `Receiver`, and of the events that the host makes itself.

    Attributes:
        clock: Replaces the database's clock.
        fingerprints: The mapping in force, by entity type.
        notify: Called when something was queued.
    """

    sessions: Callable[[], AsyncSession]
    queue: QueueBackend
    tables: Tables
    clock: Clock | None
    fingerprints: Mapping[str, str]
    notify: Callable[[], None]

    async def enqueue(
        self,
        events: Sequence[SyncEvent],
        *,
        session: AsyncSession | None = None,
        priority: int = DEFAULT_PRIORITY,
    ) -> list[Enqueued]:
        """Store events durably; see `QueueBackend.enqueue`."""
        stored = await self.queue.enqueue(
            events, session=session, fingerprints=self.fingerprints, priority=priority
        )
        self.notify()
        return stored

    async def keep(self, received: Undecoded, error: PayloadError) -> str:
        """Keep a body that is not understood, and return the id of its dead letter."""
        try:
            with needing_tables():
                async with self.sessions() as session, unit_of_work(session) as work:
                    now = await database_time(work.connection, self.clock)
                    rows = DeadLetterRows(work.connection, self.tables)
                    return await rows.keep_body(received, error, now)
        except Exception as failure:
            if not is_of_database(failure):
                raise
            hide_values(failure)
            message = "the database does not answer"
            raise QueueUnavailable(message) from failure
