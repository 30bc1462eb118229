"""Inserts rows, or finds that they are there, which every database does in a way of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Insert, Table, insert, select, tuple_
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from zoho_sync.database.dialects import is_mariadb
from zoho_sync.database.faults import breaks_uniqueness
from zoho_sync.database.types import MARIADB
from zoho_sync.exceptions import ConfigurationError

__all__ = ["insert_absent", "insert_if_absent", "insert_or_update"]

_LONGEST: Final = 4 * 1024 * 1024
"""Characters of one statement's values: a quarter of what a server takes, for what is escaped."""


async def insert_absent(
    connection: AsyncConnection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    unique: Sequence[str] = (),
    *,
    returning: Sequence[ColumnElement[Any]] = (),
) -> list[tuple[Any, ...]]:
    """Insert the rows that are not there already; return columns of those that were inserted.

    All rows have the same keys, and stand in the order in which they are to be locked. A conflict
    in the columns ``unique`` means "there already"; in any unique constraint if they are empty.

    Raises:
        IntegrityError: Another constraint refuses a row.
    """
    if is_mariadb(connection):
        return await _insert_absent_on_mariadb(connection, table, rows, unique, returning)
    statement = insert_if_absent(connection.dialect.name, table, unique)
    return await _run(connection, statement, rows, returning)


async def _insert_absent_on_mariadb(
    connection: AsyncConnection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    unique: Sequence[str],
    returning: Sequence[ColumnElement[Any]],
) -> list[tuple[Any, ...]]:
    """Insert, look at what is refused, and insert the others one by one.

    MariaDB cannot say which constraint may be in conflict: its IGNORE would hide every error, cut
    long text and break foreign keys. A row that is refused costs its statement alone there, and
    not the transaction.
    """
    inserted = []
    for wanted in _portions(await _absent(connection, table, rows, unique)):
        inserted += await _insert_portion(connection, table, wanted, unique, returning)
    return inserted


async def _insert_portion(
    connection: AsyncConnection,
    table: Table,
    wanted: Sequence[Mapping[str, Any]],
    unique: Sequence[str],
    returning: Sequence[ColumnElement[Any]],
) -> list[tuple[Any, ...]]:
    if len(wanted) > 1:
        try:
            return await _run(connection, insert(table), wanted, returning)
        except IntegrityError as error:
            if not breaks_uniqueness(error):
                raise
    inserted = []
    for row in wanted:
        try:
            inserted += await _run(connection, insert(table), [row], returning)
        except IntegrityError as error:
            other = unique and not await _is_there(connection, table, row, unique)
            if other or not breaks_uniqueness(error):
                raise
    return inserted


def _portions(rows: Sequence[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """Cut rows into statements that MariaDB takes: over a longer one it ends the connection."""
    portion: list[Mapping[str, Any]] = []
    size = 0
    for row in rows:
        more = len(str(row))
        if portion and size + more > _LONGEST:
            yield portion
            portion, size = [], 0
        portion.append(row)
        size += more
    yield portion


async def _run(
    connection: AsyncConnection,
    statement: Insert,
    rows: Sequence[Mapping[str, Any]],
    returning: Sequence[ColumnElement[Any]],
) -> list[tuple[Any, ...]]:
    if not rows:
        return []
    if returning:
        statement = statement.returning(*returning)
    # Several as a list of parameters: a statement with them all inside is compiled anew each time.
    # One may have expressions among its values.
    one = len(rows) == 1
    made = await connection.execute(
        statement.values(dict(rows[0])) if one else statement,
        None if one else [dict(row) for row in rows],
    )
    return [tuple(row) for row in made] if returning else []


async def _absent(
    connection: AsyncConnection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    unique: Sequence[str],
) -> Sequence[Mapping[str, Any]]:
    """Return the rows whose unique columns no other row has; all where none are named."""
    if not unique:
        return rows
    columns = [table.c[name] for name in unique]
    keys = [tuple(row[name] for name in unique) for row in rows]
    found = await connection.execute(select(*columns).where(tuple_(*columns).in_(keys)))
    there = {tuple(row) for row in found}
    return [row for row, key in zip(rows, keys, strict=True) if key not in there]


async def _is_there(
    connection: AsyncConnection, table: Table, row: Mapping[str, Any], unique: Sequence[str]
) -> bool:
    same = [table.c[name] == row[name] for name in unique]
    # Locked, since what is in the way may be newer than what the transaction sees.
    statement = select(table.c[unique[0]]).where(*same).with_for_update(read=True)
    return (await connection.execute(statement)).first() is not None


def insert_if_absent(dialect: str, table: Table, unique: Sequence[str] = ()) -> Insert:
    """Return an INSERT, without its rows, that leaves out those which are there already.

    On MariaDB it is for the library's own rows alone, whose values are known to fit: there an
    INSERT that ignores one conflict ignores every other error as well. For ``unique`` see
    `insert_absent`.
    """
    if dialect in {"postgresql", "sqlite"}:
        own = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
        elements: Any = [table.c[name] for name in unique] or None
        return own.on_conflict_do_nothing(index_elements=elements)
    if dialect in MARIADB and not unique:
        return insert(table).prefix_with("IGNORE")
    raise _unsupported(dialect)


def insert_or_update(
    dialect: str,
    table: Table,
    row: Mapping[str, Any],
    unique: str,
    changes: Mapping[str, Any],
) -> Insert:
    """Return an INSERT that changes the row which has the same value in a unique column instead.

    ``changes`` are values by column, which may be made of the columns of the row that is there. On
    MariaDB no other unique column of the row may be in conflict.

    Raises:
        ConfigurationError: The database is not supported.
    """
    if dialect in MARIADB:
        return mysql.insert(table).values(dict(row)).on_duplicate_key_update(dict(changes))
    if dialect in {"postgresql", "sqlite"}:
        own = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
        inserted = own.values(dict(row))
        return inserted.on_conflict_do_update(index_elements=[table.c[unique]], set_=dict(changes))
    raise _unsupported(dialect)


def _unsupported(dialect: str) -> ConfigurationError:
    message = f"{dialect} is not supported; supported are postgresql, mariadb and sqlite"
    return ConfigurationError(message)
