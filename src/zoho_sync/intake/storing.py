"""Stores what the front door has read: events in the queue, other bodies as dead letters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncSession

from zoho_sync.abc import DEFAULT_PRIORITY, Enqueued, QueueBackend
from zoho_sync.database.creation import needing_tables
from zoho_sync.database.dialects import Clock, database_time
from zoho_sync.database.faults import Fault, classify, is_of_database, primary_message
from zoho_sync.database.transactions import repeat_conflicts
from zoho_sync.database.unit_of_work import unit_of_work
from zoho_sync.events.event import SyncEvent
from zoho_sync.exceptions import PayloadError, QueueUnavailable
from zoho_sync.intake.groups import Groups
from zoho_sync.store.dead_letter_rows import DeadLetterRows, Undecoded
from zoho_sync.store.tables import Tables

__all__ = ["Intake"]


@dataclass(eq=False)
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
    _groups: Groups = field(init=False)

    def __post_init__(self) -> None:
        self._groups = Groups(self._store)

    async def enqueue(
        self,
        events: Sequence[SyncEvent],
        *,
        session: AsyncSession | None = None,
        priority: int = DEFAULT_PRIORITY,
    ) -> list[Enqueued]:
        """Store events durably, with what others bring at once; see `QueueBackend.enqueue`.

        Raises:
            QueueUnavailable: Nothing was stored; also where the library's tables are not what they
                should be. In a session of the host's the error is the database's own.
        """
        if session is not None:
            return await self._store(events, priority, session)
        with _available():
            return await self._groups.store(events, priority)

    async def _store(
        self, events: Sequence[SyncEvent], priority: int, session: AsyncSession | None = None
    ) -> list[Enqueued]:
        stored = await self.queue.enqueue(
            events, session=session, fingerprints=self.fingerprints, priority=priority
        )
        self.notify()
        return stored

    async def keep(self, received: Undecoded, error: PayloadError) -> str:
        """Keep a body that is not understood, and return the id of its dead letter."""

        async def kept() -> str:
            async with self.sessions() as session, unit_of_work(session) as work:
                now = await database_time(work.connection, self.clock)
                return await DeadLetterRows(work.connection, self.tables).keep_body(
                    received, error, now
                )

        with _available(), needing_tables():
            # Equal bodies that come at once want one row.
            return await repeat_conflicts(kept)


@contextmanager
def _available() -> Iterator[None]:
    """Let whatever is wrong with the database mean that the sender is to come again.

    Raises:
        QueueUnavailable: It does not answer, or refuses our own statements: nothing was stored.
    """
    try:
        yield
    except Exception as error:
        if not is_of_database(error):
            raise
        refused = classify(error) is Fault.REJECTED
        problem = "refuses to store events" if refused else "does not answer"
        message = f"the database {problem}: {primary_message(error)[0]}"
        raise QueueUnavailable(message) from error
