"""Writes the SQL of the peers' handlers and of the reference, once for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from benchmarks.events import Kind
from benchmarks.records import HEADS, LINES, Shape
from zoho_sync import mirror

__all__ = ["CHECKSUMS", "DELETE_LINES", "INSERT", "INSERT_LINES", "REPLACED", "UPSERT", "conflict"]


def _insert(shape: Shape) -> str:
    places = ", ".join(f"${position + 1}" for position in range(len(shape.columns)))
    return f"INSERT INTO {shape.table.name} ({', '.join(shape.columns)}) VALUES ({places})"


def conflict(shape: Shape) -> str:
    """Return the clause that lets a newer document replace an older one, and never the reverse."""
    changes = ", ".join(f"{name} = EXCLUDED.{name}" for name in shape.changed)
    return (
        f"ON CONFLICT ({', '.join(shape.keys)}) DO UPDATE SET {changes} "
        f"WHERE {shape.table.name}.last_modified_time <= EXCLUDED.last_modified_time"
    )


def _checksum(shape: Shape) -> str:
    """Return what reads the number of rows, and one checksum of all their columns.

    JSON is compared by what it says: who keeps a document may write its keys and blanks anew.
    """
    source = next(
        each.table for each in mirror.tables.entries.values() if each.table.name == shape.table.name
    )
    values = ", ".join(
        f"{each.name}::jsonb" if isinstance(each.type, mirror.ExactJSON) else each.name
        for each in source.columns
    )
    return (
        f"SELECT count(*), md5(string_agg(md5(ROW({values})::text), '' "
        f"ORDER BY {', '.join(shape.keys)})) FROM {shape.table.name}"
    )


REPLACED: Final = "xmax <> 0"
"""Whether a row that was written was there before: a new invoice has no lines to be deleted."""
INSERT: Final[Mapping[Kind, str]] = {kind: _insert(shape) for kind, shape in HEADS.items()}
UPSERT: Final[Mapping[Kind, str]] = {
    kind: f"{INSERT[kind]} {conflict(shape)} RETURNING {REPLACED}" for kind, shape in HEADS.items()
}
"""Returns nothing where a newer document is there."""
DELETE_LINES: Final = (
    f"DELETE FROM {LINES.table.name} WHERE organization_id = $1 AND invoice_id = $2"
)
INSERT_LINES: Final = _insert(LINES)
CHECKSUMS: Final[Mapping[str, str]] = {
    shape.table.name: _checksum(shape) for shape in (*HEADS.values(), LINES)
}
