"""Lists parked events for operators: what waits, for what, and until when."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from zoho_sync.database.creation import needing_tables
from zoho_sync.database.unit_of_work import unit_of_work
from zoho_sync.store.parked_rows import ParkedEvent, parked_from_row
from zoho_sync.store.tables import Tables

__all__ = ["ParkedEvent", "ParkedEvents"]


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
        return [parked_from_row(row) for row in rows]
