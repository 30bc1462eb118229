"""Does what differs between databases: clocks, locks, how transactions begin and wait."""

from __future__ import annotations

import traceback
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from sqlalchemy import (
    ColumnElement,
    Select,
    Table,
    bindparam,
    case,
    event,
    func,
    literal_column,
    select,
)
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.pool import PoolResetState

from zoho_sync.database.faults import mariadb_code
from zoho_sync.database.types import MARIADB, UtcDateTime

__all__ = [
    "Clock",
    "begin_immediately",
    "bound_waits",
    "chunks",
    "database_time",
    "database_time_and",
    "execution_time",
    "indexed",
    "is_mariadb",
    "isolated",
    "sees_commits",
]

_T = TypeVar("_T")
_S = TypeVar("_S", bound=Select[Any])

_CHUNK = 1_000

# Restores what `bound_waits` has set, when a connection goes back to its pool.
_UNBOUNDED: Final = (
    "SET SESSION idle_transaction_timeout = @zoho_sync_idle, "
    "SESSION innodb_lock_wait_timeout = @zoho_sync_wait"
)
_BOUND: Final = "zoho_sync.waits_are_bound"
_SEES_COMMITS: Final = "zoho_sync.sees_commits"
_IN_TRANSACTION: Final = 1568
_LONGEST: Final = "transaction_timeout"
_ENDS_TRANSACTIONS: Final = (17,)
_LEASES: Final = 4

Clock = Callable[[], datetime]
"""Gives the aware UTC time in place of the database's clock; for tests and simulations."""


def is_mariadb(connection: AsyncConnection) -> bool:
    """Return whether a connection is to MariaDB."""
    return connection.dialect.name in MARIADB


async def database_time(connection: AsyncConnection, clock: Clock | None = None) -> datetime:
    """Return the time, aware UTC, by the database's clock.

    SQLite has no clock of its own: all its users are processes of one machine and share that
    machine's clock.
    """
    dialect = connection.dialect.name
    if clock is not None or dialect == "sqlite":
        return (clock or _machine_time)()
    moment = (await connection.execute(select(execution_time(dialect)))).scalar_one()
    return moment.astimezone(UTC)


async def database_time_and(
    connection: AsyncConnection, clock: Clock | None, read: ColumnElement[_T]
) -> tuple[datetime, _T]:
    """Return the time as `database_time`, and what an expression gives, in one statement."""
    dialect = connection.dialect.name
    if clock is not None or dialect == "sqlite":
        found: _T = (await connection.execute(select(read))).scalar_one()
        return await database_time(connection, clock), found
    moment, found = (await connection.execute(select(execution_time(dialect), read))).one()
    return moment.astimezone(UTC), found


def execution_time(dialect: str, clock: Clock | None = None) -> ColumnElement[datetime]:
    """Return what tells, in a statement, the time at which it is executed, as `database_time`.

    SQLite's own functions know milliseconds alone, and an arrival would seem to be before one that
    it follows.
    """
    if clock is None and dialect == "postgresql":
        return func.clock_timestamp()
    if clock is None and dialect in MARIADB:
        return func.utc_timestamp(literal_column("6"), type_=UtcDateTime())
    return bindparam("execution_time", callable_=clock or _machine_time, type_=UtcDateTime())


def _machine_time() -> datetime:
    return datetime.now(UTC)


def indexed(statement: _S, table: Table, index: str) -> _S:
    """Let MariaDB find the rows of a locking SELECT by an index.

    It reads a small table whole otherwise, and waits for every row that another transaction holds.
    """
    for dialect in MARIADB:
        statement = statement.with_hint(table, f"FORCE INDEX ({index})", dialect)
    return statement


def chunks(values: Iterable[_T], size: int = _CHUNK) -> Iterator[list[_T]]:
    """Cut values into lists that can be a statement's arguments: there are 32,767 at most."""
    listed = list(values)
    for start in range(0, len(listed), size):
        yield listed[start : start + size]


@asynccontextmanager
async def isolated(connection: AsyncConnection) -> AsyncIterator[None]:
    """Let a transaction that has not begun yet see what others commit while it runs.

    MariaDB's transactions would go on to read the state that they saw first, and would lock the
    gaps between rows as well. The other databases do neither.
    """
    if not is_mariadb(connection):
        yield
        return
    # Of the driver's connection, so that it is found again through another object of SQLAlchemy's.
    info = connection.sync_connection.info  # type: ignore[union-attr]  # it is open
    try:
        await connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        info[_SEES_COMMITS] = True
    except DBAPIError as error:
        # The connection is the host's, and so is a transaction that it has begun on it.
        if mariadb_code(error) != _IN_TRANSACTION:
            raise
    try:
        yield
    finally:
        info.pop(_SEES_COMMITS, None)


def sees_commits(connection: AsyncConnection) -> bool:
    """Return whether statements see what others have committed since the transaction began.

    Those of a host on MariaDB may not, unless they lock what they read.
    """
    return not is_mariadb(connection) or _SEES_COMMITS in connection.sync_connection.info  # type: ignore[union-attr]  # it is open


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
    takes the batch over, and one that waits for a lock must notice before its lease ends. MariaDB
    counts in whole seconds, one at least.

    A session that is between two messages of one statement is not idle in PostgreSQL's eyes, and
    asyncpg sends two where it prepares one. From PostgreSQL 17 on its transaction ends all the
    same, after some leases: those of a worker that lives are lengthened for longer than that only
    where a single event takes as long.
    """
    if is_mariadb(connection):
        await _bound_session(connection, max(int(lease.total_seconds() / 2), 1))
    if connection.dialect.name == "postgresql":
        milliseconds = str(max(int(lease.total_seconds() * 500), 1))
        settings = ("idle_in_transaction_session_timeout", "lock_timeout")
        bounds = [func.set_config(name, milliseconds, True) for name in settings]  # noqa: FBT003  # SET LOCAL
        if (connection.dialect.server_version_info or ()) >= _ENDS_TRANSACTIONS:
            hosts = func.current_setting(_LONGEST)
            own = str(max(int(lease.total_seconds() * 1000 * _LEASES), 1))
            bounds.append(func.set_config(_LONGEST, case((hosts == "0", own), else_=hosts), True))  # noqa: FBT003  # SET LOCAL
        await connection.execute(select(*bounds))


async def _bound_session(connection: AsyncConnection, seconds: int) -> None:
    """Bound the waits of a MariaDB session, which knows no settings of one transaction.

    The host's own settings are kept there, and set again when the connection goes back to the
    pool: its own transactions may idle for as long as it likes.
    """
    info, pool = connection.sync_connection.info, connection.sync_connection.engine.pool  # type: ignore[union-attr]  # it is open
    names = ("idle_transaction_timeout", "innodb_lock_wait_timeout")
    values = ", ".join(f"SESSION {name} = {seconds}" for name in names)
    if info.get(_BOUND):
        await connection.exec_driver_sql(f"SET {values}")
        return
    if not event.contains(pool, "reset", _unbind):
        event.listen(pool, "reset", _unbind)
    info[_BOUND] = True
    await connection.exec_driver_sql(
        "SET @zoho_sync_idle = @@SESSION.idle_transaction_timeout, "
        f"@zoho_sync_wait = @@SESSION.innodb_lock_wait_timeout, {values}"
    )


def _unbind(connection: Any, record: Any, state: PoolResetState) -> None:
    """Give a connection's waits back to the host; one that is only thrown away needs nothing."""
    if record.info.pop(_BOUND, False) and not state.terminate_only:
        cursor = connection.cursor()
        cursor.execute(_UNBOUNDED)
        cursor.close()
