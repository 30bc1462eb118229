"""Finds whose row has a value that must be unique, and sets such a value aside."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Column, Connection, String, Table, Uuid, func, inspect, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from zoho_sync.apply.statements import find_row, update_row
from zoho_sync.database.faults import (
    breaks_uniqueness,
    primary_message,
    unique_columns,
)
from zoho_sync.exceptions import RowRejected, ValueTaken
from zoho_sync.mapping.binding import BoundChild, BoundRows
from zoho_sync.mapping.keys import encode_key
from zoho_sync.mapping.values import Key, Values, equals, field_of

__all__ = [
    "WantedValues",
    "name_both_rows",
    "set_aside",
    "taken_columns",
    "value_taken",
    "wanting",
]

_LONGEST: Final = 33
"""Characters of a temporary text: a mark, and 128 random bits."""


@dataclass(frozen=True)
class WantedValues:
    """A row that is written, and what it is to hold.

    Attributes:
        key: The row's primary key; None for a row that was to be made.
        existing: The rows of the same entity that are written with it: itself, or all its lines.
        path: Where the document or line stands, for an error.
        owners: The table of the entities; for lines, that of what they are lines of.
    """

    rows: BoundRows
    values: Values
    key: Key | None
    existing: Sequence[Key]
    path: str
    owners: str

    @property
    def names(self) -> Mapping[Column[Any], str]:
        """The columns that documents fill, each with the name under which it is versioned."""
        named = {column: name for name, (column, _) in self.rows.columns.items()}
        named |= {reference.column: reference.name for reference in self.rows.references}
        # All columns of a list of lines are versioned as one.
        child = getattr(self.rows, "name", None)
        return {column: child or name for column, name in named.items()}


@contextmanager
def wanting(wanted: WantedValues) -> Iterator[None]:
    """Let a unique constraint that refuses a row say which row that was.

    Raises:
        ValueTaken: Another row has one of the values.
    """
    try:
        yield
    except IntegrityError as error:
        if not breaks_uniqueness(error):
            raise
        taken = value_taken(error, wanted.rows.table.name)
        taken.wanted = wanted
        raise taken from error


def value_taken(error: Exception, table: str) -> ValueTaken:
    """Return what a unique constraint refuses, in our words."""
    problem, constraint = primary_message(error)
    return ValueTaken(problem, table=table, constraint=constraint or unique_columns(error))


async def taken_columns(connection: AsyncConnection, taken: ValueTaken) -> list[Column[Any]]:
    """Return the columns of the constraint that refused a row; none where they are not known."""
    wanted: WantedValues | None = taken.wanted
    if wanted is None:
        return []
    for part in wanted.rows.parts:
        names = _named_by_sqlite(taken.constraint, part.table)
        if not names:
            names = await connection.run_sync(_reflected, part.table, taken.constraint)
        columns = [column for column in part.table.columns if column.name in names]
        if columns:
            return columns
    return []


def _named_by_sqlite(constraint: str, table: Table) -> list[str]:
    prefix = f"{table.name}."
    named = constraint.split(", ")
    if not all(each.startswith(prefix) for each in named):
        return []
    return [each.removeprefix(prefix) for each in named]


def _reflected(connection: Connection, table: Table, constraint: str) -> list[str]:
    inspector, schema = inspect(connection), connection.schema_for_object(table)
    primary = inspector.get_pk_constraint(table.name, schema)
    # MariaDB has one name for all of them.
    if constraint in {primary["name"], "PRIMARY"}:
        return list(primary["constrained_columns"])
    for index in inspector.get_indexes(table.name, schema):
        if index["name"] == constraint:
            # An expression has no column.
            return [name for name in index["column_names"] if name is not None]
    return []


async def name_both_rows(connection: AsyncConnection, ledger: Table, taken: ValueTaken) -> None:
    """Find the row that has the value, and say in the error which rows both are, and whose.

    What was refused is rolled back by then.
    """
    wanted: WantedValues | None = taken.wanted
    columns = await taken_columns(connection, taken)
    if wanted is None or not columns:
        return
    rows = wanted.rows
    taken.columns = tuple(column.name for column in columns)
    taken.row = wanted.key
    values = await _values_in(connection, wanted, columns)
    if values is not None:
        taken.holder = await find_row(connection, rows, equals(columns, values))
    if taken.holder is not None:
        taken.entity_id = await _entity_of(connection, ledger, wanted, taken.holder)
    table = columns[0].table.name
    taken.path = field_of(rows, table, columns[-1].name, wanted.path)
    where = f"{table}.{', '.join(taken.columns)}"
    whose = _told(taken.holder) if taken.holder is not None else "another row"
    mine = _told(taken.row) if taken.row is not None else "a new row"
    taken.args = (f"{where}: {whose} has the value that {mine} is to get",)


async def _entity_of(
    connection: AsyncConnection, ledger: Table, wanted: WantedValues, holder: Key
) -> str | None:
    """Return Zoho's id of the entity that a row, or the line that it is, belongs to."""
    rows, columns = wanted.rows, list(wanted.rows.primary_key)
    if isinstance(rows, BoundChild):
        columns = list(rows.parent)
    statement = select(*columns).select_from(rows.selectable)
    owner = (await connection.execute(statement.where(equals(rows.primary_key, holder)))).first()
    if owner is None:
        return None
    known = select(ledger.c.entity_id).where(
        ledger.c.table_name == wanted.owners, ledger.c.primary_key == encode_key(tuple(owner))
    )
    found: str | None = (await connection.execute(known)).scalar()
    return found


def _told(key: Key) -> str:
    """Name a row by its primary key, but for one of text: that may be of the document."""
    if not all(isinstance(each, (int, uuid.UUID)) for each in key):
        return "a row that was there"
    return f"row {key[0] if len(key) == 1 else key}"


async def _values_in(
    connection: AsyncConnection, wanted: WantedValues, columns: Sequence[Column[Any]]
) -> list[Any] | None:
    """Return what the row was to hold in some columns; what was not written is read."""
    if wanted.key is None:
        held = wanted.values
        return [held[c] for c in columns] if all(c in held for c in columns) else None
    where = equals(wanted.rows.primary_key, wanted.key)
    statement = select(*columns).select_from(wanted.rows.selectable).where(where)
    row = (await connection.execute(statement)).first()
    if row is None:
        return None
    return [wanted.values.get(column, now) for column, now in zip(columns, row, strict=True)]


async def set_aside(
    connection: AsyncConnection, wanted: WantedValues, columns: Sequence[Column[Any]]
) -> frozenset[str]:
    """Take the contested value out of an entity's rows, until the event writes its own.

    Args:
        connection: Inside a savepoint that is rolled back if the event does not write them.
        wanted: The rows, and what is written into them.
        columns: Of the constraint.

    Returns:
        The names under which that is versioned which the event must write now; none where it
        writes none of the columns.

    Raises:
        RowRejected: No column can be set aside.
    """
    names = wanted.names
    mapped = [column for column in columns if column in names and column in wanted.values]
    if not wanted.existing or not mapped:
        return frozenset()
    # What may be NULL is in nobody's way then; what refers to other rows must name one.
    column = min(mapped, key=lambda each: (not each.nullable, bool(each.foreign_keys)))
    for position, key in enumerate(wanted.existing):
        value = await _temporary(connection, column, position)
        await update_row(connection, wanted.rows, key, {column: value})
    return frozenset({names[column]})


async def _temporary(connection: AsyncConnection, column: Column[Any], position: int) -> Any:
    """Return a value of a column that no row has: NULL, or one beyond all others."""
    if column.nullable:
        return None
    if isinstance(column.type, String):
        text = f"~{uuid.uuid4().hex}"
        return text[: min(column.type.length or _LONGEST, _LONGEST)]
    if isinstance(column.type, Uuid):
        return uuid.uuid4() if column.type.as_uuid else uuid.uuid4().hex
    greatest = (await connection.execute(select(func.max(column)))).scalar()
    if isinstance(greatest, (int, Decimal)):
        return greatest + 1 + position
    if isinstance(greatest, date):
        return greatest + timedelta(days=1 + position)
    message = f"{column.table.name}.{column.name}: no value can stand in for another"
    raise RowRejected(message, table=column.table.name, constraint=column.name)
