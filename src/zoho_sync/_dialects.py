"""What differs between databases, in one place: clocks, conflict clauses, locks."""

from __future__ import annotations

import traceback
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from sqlalchemy import (
    ColumnElement,
    Insert,
    Select,
    Table,
    bindparam,
    event,
    func,
    insert,
    literal_column,
    select,
    tuple_,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.pool import PoolResetState

from zoho_sync._column_types import MARIADB, UtcDateTime
from zoho_sync._faults import breaks_uniqueness, mariadb_code
from zoho_sync.exceptions import ConfigurationError

__all__ = [
    "Clock",
    "begin_immediately",
    "bound_waits",
    "chunks",
    "database_time",
    "execution_time",
    "indexed",
    "insert_absent",
    "insert_if_absent",
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
    if clock is not None:
        return clock()
    if connection.dialect.name == "postgresql":
        moment: datetime = (await connection.execute(select(func.clock_timestamp()))).scalar_one()
        return moment.astimezone(UTC)
    if is_mariadb(connection):
        now = func.utc_timestamp(literal_column("6"), type_=UtcDateTime())
        return (await connection.execute(select(now))).scalar_one()
    return _machine_time()


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


async def insert_absent(
    connection: AsyncConnection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    unique: Sequence[str] = (),
    *,
    returning: Sequence[ColumnElement[Any]] = (),
) -> list[tuple[Any, ...]]:
    """Insert the rows that are not there already; return columns of those that were inserted.

    Args:
        connection: Where to insert.
        table: The table.
        rows: The rows, all with the same keys; in the order in which they are to be locked.
        unique: The columns whose conflict means "there already"; any unique constraint if empty.
        returning: The columns that are wanted.

    Raises:
        IntegrityError: Another constraint refuses a row.
    """
    if is_mariadb(connection):
        return await _insert_absent_on_mariadb(connection, table, rows, unique, returning)
    statement = insert_if_absent(connection.dialect.name, table, rows, unique)
    if not returning:
        await connection.execute(statement)
        return []
    result = await connection.execute(statement.returning(*returning))
    return [tuple(row) for row in result]


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
    wanted = await _absent(connection, table, rows, unique)
    if len(wanted) > 1:
        try:
            return await _insert_all(connection, table, wanted, returning)
        except IntegrityError as error:
            if not breaks_uniqueness(error):
                raise
    inserted = []
    for row in wanted:
        try:
            inserted += await _insert_all(connection, table, [row], returning)
        except IntegrityError as error:
            other = unique and not await _is_there(connection, table, row, unique)
            if other or not breaks_uniqueness(error):
                raise
    return inserted


async def _insert_all(
    connection: AsyncConnection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    returning: Sequence[ColumnElement[Any]],
) -> list[tuple[Any, ...]]:
    statement = insert(table).values([dict(row) for row in rows])
    if not returning:
        await connection.execute(statement)
        return []
    return [tuple(row) for row in await connection.execute(statement.returning(*returning))]


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


def indexed(statement: _S, table: Table, index: str) -> _S:
    """Let MariaDB find the rows of a locking SELECT by an index.

    It reads a small table whole otherwise, and waits for every row that another transaction holds.
    """
    for dialect in MARIADB:
        statement = statement.with_hint(table, f"FORCE INDEX ({index})", dialect)
    return statement


def insert_if_absent(
    dialect: str, table: Table, rows: Sequence[Mapping[str, Any]], unique: Sequence[str] = ()
) -> Insert:
    """Return an INSERT that leaves out the rows which are there already.

    On MariaDB it is for the library's own rows alone, whose values are known to fit: there an
    INSERT that ignores one conflict ignores every other error as well.

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
    if dialect in MARIADB and not unique:
        return insert(table).values(values).prefix_with("IGNORE")
    message = f"{dialect} is not supported; supported are postgresql, mariadb and sqlite"
    raise ConfigurationError(message)


def chunks(values: Iterable[_T]) -> Iterator[list[_T]]:
    """Cut values into lists that can be a statement's arguments: there are 32,767 at most."""
    listed = list(values)
    for start in range(0, len(listed), _CHUNK):
        yield listed[start : start + _CHUNK]


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
    """
    if is_mariadb(connection):
        await _bound_session(connection, max(int(lease.total_seconds() / 2), 1))
    if connection.dialect.name == "postgresql":
        milliseconds = str(max(int(lease.total_seconds() * 500), 1))
        settings = ("idle_in_transaction_session_timeout", "lock_timeout")
        await connection.execute(
            select(*(func.set_config(name, milliseconds, True) for name in settings))  # noqa: FBT003  # SET LOCAL
        )


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
