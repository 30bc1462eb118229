"""Stores new events in the jobs table, or in the outbox, which has some of its columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Insert, Table, false, insert, literal, select

from zoho_sync.abc import DEFAULT_PRIORITY, Job
from zoho_sync.database.dialects import Clock, chunks, execution_time
from zoho_sync.database.insertion import insert_absent, insert_if_absent
from zoho_sync.events.event import Arrival, SyncEvent
from zoho_sync.exceptions import ConfigurationError
from zoho_sync.store.event_rows import queued_row
from zoho_sync.store.tables import Rows

__all__ = ["NewEvents", "check_priority", "enqueueing"]

_AT_ONCE: Final = 500
"""Rows of one statement."""
_FARTHEST: Final = 2**15  # what a SMALLINT begins with


class NewEvents(Rows):
    """The rows of a table in which new events are stored, on one connection and transaction."""

    async def insert(
        self, events: Sequence[SyncEvent], now: datetime, priority: int = DEFAULT_PRIORITY
    ) -> list[SyncEvent | None]:
        """Store new events; one whose equal is there gives None in its position.

        An event without an arrival arrives now, and its row's id is its sequence.
        """
        table, ids = self._table, dict[str, int]()
        returning = [table.c.event_id, table.c.id]
        for chunk in chunks(events, _AT_ONCE):
            rows = [_new_row(table, event, now, priority) for event in chunk]
            # Ids grow in the order of the rows, since it is one statement's list of values.
            made = await insert_absent(self._connection, table, rows, returning=returning)
            ids |= {each[0]: each[1] for each in made}
        stored: list[SyncEvent | None] = []
        for event in events:
            # Taken once: of two under one id, the second was not stored.
            row_id = ids.pop(event.id, None)
            arrival = event.arrival or Arrival(now, row_id or 0)
            stored.append(None if row_id is None else replace(event, arrival=arrival))
        return stored

    async def known(self, event_ids: Iterable[str]) -> set[str]:
        """Return which of these very events are there."""
        column, known = self._table.c.event_id, set[str]()
        for chunk in chunks(event_ids):
            known |= set(await self._connection.scalars(select(column).where(column.in_(chunk))))
        return known


def check_priority(priority: Any) -> None:  # whatever the host gave
    """Refuse what is no priority.

    Raises:
        ConfigurationError: The message says which numbers are.
    """
    is_number = isinstance(priority, int) and not isinstance(priority, bool)
    if not is_number or not -_FARTHEST <= priority < _FARTHEST:
        message = (
            f"priority must be a whole number from {-_FARTHEST} to {_FARTHEST - 1}; the smaller, "
            f"the sooner, and {DEFAULT_PRIORITY} is that of deliveries"
        )
        raise ConfigurationError(message)


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
        statement = insert_if_absent(dialect, table).values(rows)
    else:
        nothing = select(literal("")).where(false())
        statement = insert(table).from_select(["event_id"], nothing, include_defaults=False)
    return statement.execution_options(preserve_rowcount=True)


def _new_row(table: Table, event: SyncEvent, now: Any, priority: int) -> dict[str, Any]:
    """Return the row of an event that arrives now, a time or what tells it in the database."""
    arrived = replace(event, arrival=event.arrival or Arrival(now, 0))
    row = queued_row(Job(None, arrived, "", priority=priority), now)
    if event.arrival is None:
        row["arrival_sequence"] = None
    return {name: value for name, value in row.items() if name in table.c}
