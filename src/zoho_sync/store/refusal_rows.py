"""Keeps the counts of refused deliveries: how many, why, and when last; nothing else of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from zoho_sync.database.insertion import insert_absent
from zoho_sync.store.tables import Rows, Tables

__all__ = ["RefusalRows"]


class RefusalRows(Rows):
    """The rows of the refusals table, on one connection, inside one transaction."""

    def __init__(self, connection: AsyncConnection, tables: Tables) -> None:
        super().__init__(connection, tables.refusals)

    async def add(self, counts: Mapping[str, int], now: datetime) -> None:
        """Add to the counts of the reasons, in the order of their names."""
        table, reasons = self._table, sorted(counts)
        fresh = {"count": 0, "first_at": now, "last_at": now}
        rows = [{"reason": reason, **fresh} for reason in reasons]
        await insert_absent(self._connection, table, rows, ["reason"])
        for reason in reasons:
            raised = update(table).where(table.c.reason == reason)
            await self._connection.execute(
                raised.values(count=table.c.count + counts[reason], last_at=now)
            )

    async def since(self, start: datetime) -> dict[str, int]:
        """Return the counts of the reasons for which a delivery was refused since ``start``."""
        table = self._table
        found = await self._connection.execute(
            select(table.c.reason, table.c.count)
            .where(table.c.last_at > start)
            .order_by(table.c.count.desc(), table.c.reason)
        )
        return {str(row[0]): int(row[1]) for row in found}
