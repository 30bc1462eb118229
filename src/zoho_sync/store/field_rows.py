"""Remembers which mapped custom fields a document ever had: a name that none had may be a slip."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from zoho_sync.database.insertion import insert_absent
from zoho_sync.store.tables import Rows, Tables

__all__ = ["FieldRows"]


class FieldRows(Rows):
    """The rows of the table of fields, on one connection, inside one transaction."""

    def __init__(self, connection: AsyncConnection, tables: Tables) -> None:
        super().__init__(connection, tables.fields)

    async def note(self, entity_type: str, names: Iterable[str]) -> set[str]:
        """Note that a document had these fields; return those that were noted before."""
        table, ordered = self._table, sorted(names)
        rows = [{"entity_type": entity_type, "name": name} for name in ordered]
        key = ["entity_type", "name"]
        made = await insert_absent(self._connection, table, rows, key, returning=[table.c.name])
        return {*ordered} - {str(row[0]) for row in made}

    async def known(self) -> set[tuple[str, str]]:
        """Return the types and fields that were noted."""
        found = await self._connection.execute(
            select(self._table.c.entity_type, self._table.c.name)
        )
        return {(str(row[0]), str(row[1])) for row in found}
