"""What differs between databases, in one place: clocks, conflict clauses, locks."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Insert, Table, bindparam, event, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import AsyncConnection

from zoho_sync._column_types import UtcDateTime
from zoho_sync.exceptions import ConfigurationError

__all__ = [
    "Clock",
    "begin_immediately",
    "bound_waits",
    "chunks",
    "database_time",
    "execution_time",
    "insert_if_absent",
]

_T = TypeVar("_T")

_CHUNK = 1_000

Clock = Callable[[], datetime]
"""Gives the aware UTC time in place of the database's clock; for tests and simulations."""


async def database_time(connection: AsyncConnection, clock: Clock | None = None) -> datetime:
    """Return the time, aware UTC, by the database's clock.

    SQLite has no clock of its own: all its users are processes of one machine and share that
    machine's clock.
    """
    if clock is not None:
        return clock()
    if connection.dialect.name == "postgresql":
        moment: datetime = (await connection.execute(select(func.clock_timestamp()))).scalar_one()
        return moment.astimezone(UTC)
    return _machine_time()


def execution_time(dialect: str, clock: Clock | None = None) -> ColumnElement[datetime]:
    """Return what tells, in a statement, the time at which it is executed, as `database_time`.

    SQLite's own functions know milliseconds alone, and an arrival would seem to be before one that
    it follows.
    """
    if clock is None and dialect == "postgresql":
        return func.clock_timestamp()
    return bindparam("execution_time", callable_=clock or _machine_time, type_=UtcDateTime())


def _machine_time() -> datetime:
    return datetime.now(UTC)


def insert_if_absent(
    dialect: str, table: Table, rows: Sequence[Mapping[str, Any]], unique: Sequence[str] = ()
) -> Insert:
    """Return an INSERT that leaves out the rows which are there already.

    Args:
        dialect: SQLAlchemy's name of the database.
        table: Where to insert.
        rows: The rows, all with the same keys.
        unique: The columns whose conflict means "there already"; any unique constraint if empty.
    """
    elements: Any = [table.c[name] for name in unique] or None
    values = [dict(row) for row in rows]
    if dialect == "postgresql":
        return (
            postgresql.insert(table).values(values).on_conflict_do_nothing(index_elements=elements)
        )
    if dialect == "sqlite":
        return sqlite.insert(table).values(values).on_conflict_do_nothing(index_elements=elements)
    message = f"{dialect} is not supported; supported are postgresql and sqlite"
    raise ConfigurationError(message)


def chunks(values: Iterable[_T]) -> Iterator[list[_T]]:
    """Cut values into lists that can be a statement's arguments: there are 32,767 at most."""
    listed = list(values)
    for start in range(0, len(listed), _CHUNK):
        yield listed[start : start + _CHUNK]


async def begin_immediately(connection: AsyncConnection) -> None:
    """Make sure that a transaction has begun in the database itself.

    SQLite's drivers send no BEGIN before a SAVEPOINT, and a savepoint that is the first statement
    is a transaction of its own: it would survive the rollback of the one that the session believes
    to be in. The write lock is taken at once, since a reader that becomes a writer later can only
    fail.
    """
    if connection.dialect.name != "sqlite":
        return
    if not event.contains(connection.dialect, "handle_error", _close_cursor):
        event.listen(connection.dialect, "handle_error", _close_cursor)
    if not await in_driver_transaction(connection):
        await connection.exec_driver_sql("BEGIN IMMEDIATE")


def _close_cursor(failure: ExceptionContext) -> None:
    """Forget the rows of a statement that was cancelled, before its connection is closed.

    SQLite keeps a closed connection, and its locks, for as long as there is a statement whose rows
    were not all read; the traceback of the cancellation may hold that one for long. A rollback
    would give back the lock to write, but not the one to read, and then nobody else can commit.
    SQLAlchemy 2.1 keeps the driver's cursor in its own, 2.0 in a frame of that traceback.
    """
    execution, error = failure.execution_context, failure.original_exception
    if execution is not None and not isinstance(error, Exception):
        traceback.clear_frames(error.__traceback__)
        execution.cursor.close()


async def in_driver_transaction(connection: AsyncConnection) -> bool:
    """Return whether the SQLite driver is inside a transaction."""
    raw = await connection.get_raw_connection()
    return bool(raw.driver_connection.in_transaction)  # type: ignore[union-attr]  # sqlite's own


async def bound_waits(connection: AsyncConnection, lease: timedelta) -> None:
    """Bound how long this transaction may idle and wait for locks.

    A worker that is frozen in the middle of a batch must not hold its rows against a peer that
    takes the batch over, and one that waits for a lock must notice before its lease ends.
    """
    if connection.dialect.name == "postgresql":
        milliseconds = str(max(int(lease.total_seconds() * 500), 1))
        settings = ("idle_in_transaction_session_timeout", "lock_timeout")
        await connection.execute(
            select(*(func.set_config(name, milliseconds, True) for name in settings))  # noqa: FBT003  # SET LOCAL
        )
