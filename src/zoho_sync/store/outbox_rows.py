"""Leases and removes the rows of the outbox: events on their way to a queue elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from zoho_sync.abc import Depth
from zoho_sync.database.dialects import chunks, indexed
from zoho_sync.events.event import SyncEvent
from zoho_sync.store.event_rows import event_from_row
from zoho_sync.store.new_events import NewEvents
from zoho_sync.store.places import find_places, is_placed
from zoho_sync.store.tables import Tables

__all__ = ["OutboxRows", "waits_in_outbox"]


def waits_in_outbox(tables: Tables) -> ColumnElement[bool]:
    """Say, in a statement, whether a row's event waits to be published, or may do so.

    What a relay has published and not removed yet waits until it is found elsewhere.
    """
    table = tables.outbox
    return table.c.lease_token.is_(None) | ~is_placed(tables, table.c.event_id)


class OutboxRows(NewEvents):
    """The rows of the outbox, on one connection, inside one transaction."""

    def __init__(self, connection: AsyncConnection, tables: Tables) -> None:
        super().__init__(connection, tables.outbox)
        self._tables = tables

    async def lease(
        self, limit: int, *, token: str, now: datetime, expires: datetime
    ) -> tuple[dict[int, SyncEvent], int]:
        """Lease the oldest rows that no relay has.

        Returns their events, by the ids of the rows, oldest first; and how many rows it removed,
        whose events were published already.

        Of those that another relay has left behind it is not known whether they were published.
        They were, where their events are elsewhere by now; what is published twice does no harm.
        """
        table = self._table
        free = table.c.lease_expires_at.is_(None) | (table.c.lease_expires_at <= now)
        oldest = select(table).where(free).order_by(table.c.id).limit(limit)
        statement = indexed(oldest.with_for_update(skip_locked=True), table, "PRIMARY")
        rows = (await self._connection.execute(statement)).mappings().all()
        again = [row["event_id"] for row in rows if row["lease_token"] is not None]
        known = await find_places(self._connection, self._tables, again)
        events = {row["id"]: event_from_row(row) for row in rows if row["event_id"] not in known}
        await self.remove(row["id"] for row in rows if row["event_id"] in known)
        if events:
            await self._connection.execute(
                update(table)
                .where(table.c.id.in_(list(events)))
                .values(lease_token=token, lease_expires_at=expires)
            )
        return events, len(known)

    async def held(self, ids: Iterable[int], token: str) -> set[int]:
        """Lock rows, and return those that are still leased under a token."""
        table, held = self._table, set[int]()
        for chunk in chunks(ids):
            mine = (table.c.id.in_(chunk), table.c.lease_token == token)
            statement = select(table.c.id).where(*mine).order_by(table.c.id).with_for_update()
            held |= set(await self._connection.scalars(indexed(statement, table, "PRIMARY")))
        return held

    async def give_back(self, ids: Iterable[int], token: str, now: datetime) -> None:
        """End leases; the token stays, since the rows may have been published."""
        table = self._table
        for chunk in chunks(ids):
            mine = (table.c.id.in_(chunk), table.c.lease_token == token)
            await self._connection.execute(update(table).where(*mine).values(lease_expires_at=now))

    async def remove(self, ids: Iterable[int]) -> None:
        """Remove rows: their events are in a queue, or settled."""
        for chunk in chunks(ids):
            await self._connection.execute(delete(self._table).where(self._table.c.id.in_(chunk)))

    async def depth(self) -> Depth:
        """Return how much waits to be published."""
        columns = func.count(), func.min(self._table.c.arrival_time)
        statement = select(*columns).where(waits_in_outbox(self._tables))
        count, oldest = (await self._connection.execute(statement)).one()
        return Depth(count, 0, 0, oldest=oldest, claimable_since=oldest)
