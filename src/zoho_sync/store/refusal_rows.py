"""Keeps the counts of refused deliveries: how many, why, and when last; nothing else of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from zoho_sync.database.insertion import insert_absent
from zoho_sync.store.tables import Rows, Tables

__all__ = ["Refusal", "RefusalRows", "Refused"]


class Refusal(NamedTuple):
    """Why a delivery was refused.

    Attributes:
        reason: In words that are the same for all of the kind.
        stranger: Whether nothing in the request so much as claimed to be genuine.
    """

    reason: str
    stranger: bool


class RefusalRows(Rows):
    """The rows of the refusals table, on one connection, inside one transaction."""

    def __init__(self, connection: AsyncConnection, tables: Tables) -> None:
        super().__init__(connection, tables.refusals)

    async def add(self, counts: Mapping[Refusal, int], now: datetime) -> None:
        """Add to the counts of the reasons, in the order of their names."""
        table, kinds = self._table, sorted(counts)
        fresh = {"count": 0, "first_at": now, "last_at": now}
        rows = [{**kind._asdict(), **fresh} for kind in kinds]
        await insert_absent(self._connection, table, rows, ["reason"])
        for kind in kinds:
            raised = update(table).where(table.c.reason == kind.reason)
            await self._connection.execute(
                raised.values(count=table.c.count + counts[kind], last_at=now)
            )

    async def since(self, start: datetime) -> list[Refused]:
        """Return the reasons for which a delivery was refused since ``start``, the usual first."""
        table = self._table
        found = await self._connection.execute(
            select(table.c.reason, table.c.stranger, table.c.count, table.c.last_at)
            .where(table.c.last_at > start)
            .order_by(table.c.count.desc(), table.c.reason)
        )
        return [Refused(*row) for row in found]


class Refused(NamedTuple):
    """How often a delivery was refused for one reason, and when last."""

    reason: str
    stranger: bool
    times: int
    last_at: datetime
