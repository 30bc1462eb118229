"""Finds and writes one row of the host, which inheritance may spread over several tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import ColumnElement, Dialect, Table, delete, insert, select, update
from sqlalchemy.exc import StatementError
from sqlalchemy.ext.asyncio import AsyncConnection

from zoho_sync.database.dialects import sees_commits
from zoho_sync.database.faults import note_place
from zoho_sync.database.insertion import insert_absent
from zoho_sync.mapping.binding import BoundRows
from zoho_sync.mapping.inheritance import Part
from zoho_sync.mapping.values import Key, Values, equals, suspect, with_defaults

__all__ = ["delete_row", "find_row", "insert_row", "update_row"]


async def find_row(
    connection: AsyncConnection,
    rows: BoundRows,
    condition: ColumnElement[bool],
    *,
    to_write: bool = False,
    **lock: Any,
) -> Key | None:
    """Return the primary key of the row that meets a condition; None where there is none.

    With ``lock``, arguments of ``with_for_update``, it is locked. A row that is written next must
    be looked at as it is now: where the transaction shows an earlier state, it is locked as well.
    """
    statement = select(*rows.primary_key).select_from(rows.selectable).where(condition)
    if lock or (to_write and not sees_commits(connection)):
        statement = statement.with_for_update(**lock)
    row = (await connection.execute(statement)).first()
    return None if row is None else tuple(row)


async def insert_row(
    connection: AsyncConnection, rows: BoundRows, values: Values, *, unique: bool
) -> Key | None:
    """Insert a row and return its primary key.

    With ``unique``, a row with the same Zoho identity may be there already: then nothing is
    written, and None is returned.
    """
    held = with_defaults(values, inserting=True)
    if (kind := rows.discriminator) is not None:
        held.setdefault(kind.column, kind.written)
    for part in rows.parts:
        conflict = [c for c in rows.identity if c.table is part.table] if unique else []
        values, key = _of_part(rows, part, held), [*part.table.primary_key.columns]
        named = {column.key: value for column, value in values.items()}
        with _noted(part.table, values, connection.dialect):
            if conflict:
                names = [column.key for column in conflict]
                found = await insert_absent(connection, part.table, [named], names, returning=key)
                made = found[0] if found else None
            else:
                result = await connection.execute(insert(part.table).values(named))
                made = tuple(result.inserted_primary_key or ())
        if made is None:
            # What the tables above it hold of the row by now is taken back.
            for before in reversed(rows.parts[: rows.parts.index(part)]):
                key = [*before.table.primary_key.columns]
                where = equals(key, [held[column] for column in key])
                await connection.execute(delete(before.table).where(where))
            return None
        held |= dict(zip(key, made, strict=True))
    return tuple(held[column] for column in rows.primary_key)


async def update_row(
    connection: AsyncConnection, rows: BoundRows, key: Key, values: Values
) -> bool:
    """Write columns of a row; return whether the row is there."""
    missed = False
    for part in rows.parts:
        mine = {c.key: value for c, value in values.items() if c.table is part.table}
        if mine:
            statement = update(part.table).where(equals(part.key, key)).values(mine)
            with _noted(part.table, values, connection.dialect):
                missed |= (await connection.execute(statement)).rowcount != 1
    # A trigger of the host may suppress an update that changes nothing.
    if not missed:
        return True
    condition = equals(rows.primary_key, key)
    return await find_row(connection, rows, condition, to_write=True) is not None


async def delete_row(connection: AsyncConnection, rows: BoundRows, key: Key) -> None:
    """Remove a row."""
    for part in reversed(rows.parts):
        with _noted(part.table, {}, connection.dialect):
            await connection.execute(delete(part.table).where(equals(part.key, key)))


@contextmanager
def _noted(table: Table, values: Values, dialect: Dialect) -> Iterator[None]:
    """Note the table, and the column that is to blame, with what the database refuses."""
    try:
        yield
    except StatementError as error:
        mine = {column: value for column, value in values.items() if column.table is table}
        column = suspect(mine, dialect)
        note_place(error, table.name, "" if column is None else column.name)
        raise


def _of_part(rows: BoundRows, part: Part, held: Values) -> Values:
    """Return what one table holds of a row."""
    values = {column: value for column, value in held.items() if column.table is part.table}
    values |= {mine: held[other] for mine, other in part.inherits if other in held}
    # A key that the mapping itself gives is the key of every table.
    given = zip(part.key, rows.primary_key, strict=True)
    return values | {mine: held[own] for mine, own in given if own in held}
