"""Parked events, for operators: what waits, for what, and until when."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from zoho_sync._event_rows import event_from_row
from zoho_sync._schema import needing_tables
from zoho_sync._tables import Tables
from zoho_sync._unit_of_work import unit_of_work
from zoho_sync.events import SyncEvent

__all__ = ["ParkedEvent", "ParkedEvents"]


@dataclass(frozen=True, slots=True)
class ParkedEvent:
    """An event that waits for an entity.

    Attributes:
        event: The event.
        waiting_type: Type of the entity that it waits for.
        waiting_id: Zoho's id of that entity.
        reason: In words.
        parked_at: Since when.
        expires_at: When it becomes a dead letter.
    """

    event: SyncEvent
    waiting_type: str
    waiting_id: str
    reason: str
    parked_at: datetime
    expires_at: datetime

    @property
    def entity_type(self) -> str:
        """The event's, as a dead letter has it."""
        return self.event.entity_type

    @property
    def entity_id(self) -> str:
        """The event's, as a dead letter has it."""
        return self.event.entity_id


class ParkedEvents:
    """The parked events of one `ZohoSync`."""

    def __init__(self, session_factory: Callable[[], AsyncSession], tables: Tables) -> None:
        self._sessions = session_factory
        self._table = tables.parked

    async def list(
        self,
        *,
        entity_type: str | None = None,
        waiting_for: tuple[str, str] | None = None,
        limit: int = 100,
    ) -> list[ParkedEvent]:
        """Return parked events, oldest first.

        Args:
            entity_type: Only events of this type.
            waiting_for: Only events that wait for this entity: its type and Zoho's id.
            limit: At most so many.
        """
        table = self._table
        statement = select(table).order_by(table.c.id).limit(limit)
        if entity_type is not None:
            statement = statement.where(table.c.entity_type == entity_type)
        if waiting_for is not None:
            kind, zoho_id = waiting_for
            statement = statement.where(table.c.waiting_type == kind, table.c.waiting_id == zoho_id)
        with needing_tables():
            async with self._sessions() as session, unit_of_work(session) as work:
                rows = (await work.connection.execute(statement)).mappings().all()
        return [_parked(row) for row in rows]


def _parked(row: Mapping[Any, Any]) -> ParkedEvent:
    names = ("waiting_type", "waiting_id", "reason", "parked_at", "expires_at")
    return ParkedEvent(event_from_row(row), **{name: row[name] for name in names})
