"""Keeps the rows of the workers: who works, with which mappings, and since when at what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from zoho_sync.store.tables import Rows, Tables

__all__ = ["WorkerRow", "WorkerRows"]

_FORGOTTEN: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """What a worker has said of itself.

    Attributes:
        name: Its host, its process, and a number.
        release: Of the library.
        fingerprints: Entity type → fingerprint of the mapping; ``""`` for a type without one.
        lease_milliseconds: How long its claims last.
        started_at: When it began.
        seen_at: When it said all this.
        claimed_at: When it could ask its queue last; None if it never could.
        busy_since: Since when it applies what it has applied for longest; None if that is nothing.
        busy_with: What that is: entity type and id.
        trouble: Why it cannot work; ``""`` if it can.
    """

    name: str
    release: str
    fingerprints: Mapping[str, str]
    lease_milliseconds: int
    started_at: datetime
    seen_at: datetime
    claimed_at: datetime | None = None
    busy_since: datetime | None = None
    busy_with: str = ""
    trouble: str = ""

    @property
    def lease(self) -> timedelta:
        """How long its claims last."""
        return timedelta(milliseconds=self.lease_milliseconds)


class WorkerRows(Rows):
    """The rows of the workers, on one connection, inside one transaction."""

    def __init__(self, connection: AsyncConnection, tables: Tables) -> None:
        super().__init__(connection, tables.workers)

    async def write(self, row: WorkerRow) -> None:
        """Write what a worker says."""
        values: dict[str, Any] = asdict(row)
        mine = self._table.c.name == row.name
        known = await self._connection.execute(update(self._table).where(mine).values(values))
        if not known.rowcount:
            await self._connection.execute(insert(self._table).values(values))

    async def remove(self, name: str) -> None:
        """Forget a worker that has ended."""
        await self._connection.execute(delete(self._table).where(self._table.c.name == name))

    async def forget(self, now: datetime) -> None:
        """Forget workers that have said nothing for a day."""
        old = self._table.c.seen_at < now - _FORGOTTEN
        await self._connection.execute(delete(self._table).where(old))

    async def all(self) -> list[WorkerRow]:
        """Return all workers, those that began first before the others."""
        statement = select(self._table).order_by(self._table.c.started_at, self._table.c.name)
        return [WorkerRow(**row) for row in (await self._connection.execute(statement)).mappings()]
