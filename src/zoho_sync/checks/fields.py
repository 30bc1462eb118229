"""Names the mapped custom fields that no document ever had: Zoho sends those that have a value."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from zoho_sync.mapping.binding import BoundEntity
from zoho_sync.store.field_rows import FieldRows
from zoho_sync.store.tables import Tables

__all__ = ["unseen_fields"]


async def unseen_fields(
    connection: AsyncConnection, tables: Tables, bindings: Mapping[str, BoundEntity]
) -> list[tuple[str, str]]:
    """Return types and fields that are mapped, and that no document of that type has had.

    Types of which nothing was applied yet are left out.
    """
    mapped = {
        (entity_type, name)
        for entity_type, bound in bindings.items()
        for name in bound.mapping.custom_fields
    }
    if not mapped:
        return []
    ledger = tables.ledger
    applied = select(ledger.c.entity_type).where(ledger.c.event_id.is_not(None)).distinct()
    types = {str(name) for name in await connection.scalars(applied)}
    known = await FieldRows(connection, tables).known()
    return sorted(each for each in mapped - known if each[0] in types)
