"""Stores new events in the jobs table, or in the outbox, which has some of its columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Insert, Table, false, insert, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from zoho_sync.abc import DEFAULT_PRIORITY
from zoho_sync.database.dialects import Clock, chunks, execution_time
from zoho_sync.database.insertion import insert_absent, insert_if_absent
from zoho_sync.events.event import Arrival, SyncEvent
from zoho_sync.store.job_rows import queued_row

__all__ = ["NewEvents", "enqueueing"]


class NewEvents:
    """The rows of a table in which new events are stored, on one connection and transaction."""

    def __init__(self, connection: AsyncConnection, table: Table) -> None:
        self._connection = connection
        self._table = table

    async def insert(
        self, events: Sequence[SyncEvent], now: datetime, priority: int = DEFAULT_PRIORITY
    ) -> list[SyncEvent | None]:
        """Store new events; one whose equal is there gives None in its position.

        An event without an arrival arrives now, and its row's id is its sequence.
        """
        stored = []
        for event in events:
            table, row = self._table, _new_row(self._table, event, now, priority)
            made = await insert_absent(self._connection, table, [row], returning=[table.c.id])
            arrival = event.arrival or Arrival(now, made[0][0] if made else 0)
            stored.append(replace(event, arrival=arrival) if made else None)
        return stored

    async def queued(self, keys: Iterable[str]) -> dict[str, str]:
        """Return, by dedupe key, the ids of events that are there."""
        table, found = self._table, dict[str, str]()
        for chunk in chunks(keys):
            statement = select(table.c.dedupe_key, table.c.event_id)
            rows = await self._connection.execute(statement.where(table.c.dedupe_key.in_(chunk)))
            found |= {row.dedupe_key: row.event_id for row in rows}
        return found

    async def known(self, event_ids: Iterable[str]) -> set[str]:
        """Return which of these very events are there."""
        column, known = self._table.c.event_id, set[str]()
        for chunk in chunks(event_ids):
            found = await self._connection.execute(select(column).where(column.in_(chunk)))
            known |= set(found.scalars())
        return known


def enqueueing(
    dialect: str,
    table: Table,
    events: Sequence[SyncEvent],
    clock: Clock | None,
    priority: int = DEFAULT_PRIORITY,
) -> Insert:
    """Return a statement that stores new events when it is executed, on whichever connection.

    Those that are there already, under their own id or as an equal, are left out.
    """
    if events:
        now = execution_time(dialect, clock)
        rows = [_new_row(table, event, now, priority) for event in events]
        statement = insert_if_absent(dialect, table, rows)
    else:
        nothing = select(literal("")).where(false())
        statement = insert(table).from_select(["event_id"], nothing, include_defaults=False)
    return statement.execution_options(preserve_rowcount=True)


def _new_row(table: Table, event: SyncEvent, now: Any, priority: int) -> dict[str, Any]:
    """Return the row of an event that arrives now, a time or what tells it in the database."""
    if event.arrival is not None:
        row = queued_row(event, now, priority)
    else:
        arrived = replace(event, arrival=Arrival(now, 0))
        row = queued_row(arrived, now, priority) | {"arrival_sequence": None}
    return {name: value for name, value in row.items() if name in table.c}
