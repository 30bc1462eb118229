"""Lists queued events for operators: what waits to be applied, and since when it could be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from zoho_sync.database.creation import needing_tables
from zoho_sync.database.unit_of_work import one_snapshot
from zoho_sync.events.event import SyncEvent
from zoho_sync.store.event_rows import event_from_row
from zoho_sync.store.outbox_rows import waits_in_outbox
from zoho_sync.store.tables import Tables

__all__ = ["QueuedEvent", "QueuedEvents"]


@dataclass(frozen=True, slots=True)
class QueuedEvent:
    """An event that waits to be applied.

    Attributes:
        event: The event.
        due_at: When it may be claimed: after a failure later than it arrived.
        leased_until: When the lease of the worker that has claimed it ends; None if none has.
        attempts: Attempts that failed with an error.
        priority: The smaller, the sooner; 0 of deliveries.
        in_outbox: Whether it waits in an `Outbox`, for a relay to hand it to its engine.
    """

    event: SyncEvent
    due_at: datetime
    leased_until: datetime | None
    attempts: int
    priority: int
    in_outbox: bool

    @property
    def entity_type(self) -> str:
        """The event's, as a dead letter has it."""
        return self.event.entity_type


class QueuedEvents:
    """The queued events of one `ZohoSync`, as far as they are in the host's database."""

    def __init__(self, session_factory: Callable[[], AsyncSession], tables: Tables) -> None:
        self._sessions = session_factory
        self._tables = tables

    async def list(self, *, entity_type: str | None = None, limit: int = 100) -> list[QueuedEvent]:
        """Return queued events, those that arrived first before the others.

        These are the jobs in the host's database, and what is in an outbox there. An engine
        outside shows nobody what it holds: events whose first attempt waits in Redis, RabbitMQ,
        NATS or memory are counted by `ZohoSync.status`, and not listed.

        Args:
            entity_type: Only events of this type.
            limit: At most so many.
        """
        jobs, outbox = self._tables.jobs, self._tables.outbox
        with needing_tables():
            async with one_snapshot(self._sessions) as connection:
                found: list[QueuedEvent] = []
                for table in (jobs, outbox):
                    statement = select(table).order_by(table.c.arrival_time, table.c.id)
                    if entity_type is not None:
                        statement = statement.where(table.c.entity_type == entity_type)
                    if table is outbox:
                        statement = statement.where(waits_in_outbox(self._tables))
                    rows = await connection.execute(statement.limit(limit))
                    found += [_queued(row, in_outbox=table is outbox) for row in rows.mappings()]
        return sorted(found, key=_arrival)[:limit]


def _queued(row: Mapping[Any, Any], *, in_outbox: bool) -> QueuedEvent:
    return QueuedEvent(
        event_from_row(row),
        due_at=row["arrival_time"] if in_outbox else row["not_before"],
        leased_until=None if in_outbox else row["lease_expires_at"],
        attempts=0 if in_outbox else row["attempts"],
        priority=0 if in_outbox else row["priority"],
        in_outbox=in_outbox,
    )


def _arrival(queued: QueuedEvent) -> Any:
    arrival = queued.event.arrival
    return arrival.time if arrival else queued.due_at
