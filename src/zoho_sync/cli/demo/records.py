"""Reads what became of an event from the library's tables: it is never assumed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from sqlalchemy import Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from zoho_sync.cli.output import counted
from zoho_sync.events.event import Operation
from zoho_sync.events.outcome import Outcome
from zoho_sync.store.tables import Tables

__all__ = ["State", "read_state"]

_SHOWN: Final = 3
_LIST: Final = "[]"


class State(NamedTuple):
    """Where an event is, and why, in words."""

    name: str
    why: str


async def read_state(connection: AsyncConnection, tables: Tables, event_id: str) -> State:
    """Return where an event is recorded: the journal, the dead letters, parked, or the queue."""
    if (row := await _row(connection, tables.journal, event_id)) is not None:
        return State(row["outcome"], row["reason"] or _effect(row))
    if (row := await _row(connection, tables.dead_letters, event_id)) is not None:
        return State(Outcome.DEAD_LETTER.value, row["error"])
    if (row := await _row(connection, tables.parked, event_id)) is not None:
        return State(Outcome.PARKED.value, row["reason"])
    queued = await _row(connection, tables.jobs, event_id)
    return State("queued", "") if queued is not None else State("lost", "recorded nowhere")


async def _row(
    connection: AsyncConnection, table: Table, event_id: str
) -> Mapping[Any, Any] | None:
    found = await connection.execute(select(table).where(table.c.event_id == event_id))
    return found.mappings().one_or_none()


def _effect(row: Mapping[Any, Any]) -> str:
    changed = row["changed"]
    if row["operation"] == Operation.DELETE.value:
        return "the row is marked" if changed else "the row and its lines are removed"
    columns = [name for name in changed if not name.endswith(_LIST)]
    lines = len(columns) < len(changed)
    short = len(columns) <= _SHOWN and not lines
    written = ", ".join(columns) if short else counted(len(columns), "column")
    return f"wrote {written}{' and the lines' if lines else ''}"
