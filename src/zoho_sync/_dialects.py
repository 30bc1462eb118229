"""What differs between databases, in one place: clocks, conflict clauses, locks, faults."""

from __future__ import annotations

import enum
import traceback
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Insert, Table, event, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    PendingRollbackError,
    ProgrammingError,
    StatementError,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from zoho_sync.exceptions import ConfigurationError, RowRejected, ZohoSyncError

__all__ = [
    "Clock",
    "Fault",
    "begin_immediately",
    "bound_waits",
    "breaks_reference",
    "classify",
    "database_time",
    "hide_values",
    "insert_if_absent",
    "lacks_table",
    "primary_message",
    "without_values",
]

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


class Fault(enum.Enum):
    """What an exception from the database means for the transaction that it hit."""

    CONFLICT = "conflict"
    """Deadlock, serialization failure, busy: the same statements may succeed at once."""
    LOCK_TIMEOUT = "lock timeout"
    """Another transaction holds a lock for too long."""
    CONNECTION = "connection"
    """The connection is gone, and the transaction with it."""
    REJECTED = "rejected"
    """The schema refuses the data, or the statement is wrong: it will always fail."""
    UNKNOWN = "unknown"
    """Anything else; it may pass."""


_CONFLICTS = {"40001", "40P01"}
_LOCK_TIMEOUTS = {"55P03"}
# Classes: data, constraints, names and types, views with a check; P0 is what triggers raise.
_REJECTIONS = {"22", "23", "42", "44", "P0"}
# From PostgreSQL 18 on, ON DELETE RESTRICT has a state of its own.
_REFERENCES = {"23503", "23001"}
# What is wrong with the statement itself, such as a column that does not exist, or with its values:
# SQLite's driver calls it operational.
_SQLITE_WRONG = {"SQLITE_ERROR", "SQLITE_MISMATCH", "SQLITE_TOOBIG", "SQLITE_RANGE"}
# Class 57 is operator intervention; 25P03 is the idle timeout that the worker sets for itself.
_CONNECTION_STATES = {"57P01", "57P02", "57P03", "57P05", "25P03", "25P04"}


def classify(error: BaseException) -> Fault:
    """Say what an exception means for the transaction that it hit."""
    if isinstance(error, PendingRollbackError):
        return Fault.CONNECTION
    if not isinstance(error, DBAPIError):
        return Fault.REJECTED if isinstance(error, StatementError) else Fault.UNKNOWN
    state = sqlstate(error)
    if state in _CONFLICTS or _sqlite_busy(error):
        return Fault.CONFLICT
    if state in _LOCK_TIMEOUTS:
        return Fault.LOCK_TIMEOUT
    if _is_lost(error, state):
        return Fault.CONNECTION
    return Fault.REJECTED if _is_rejected(error, state) else Fault.UNKNOWN


def _is_lost(error: DBAPIError, state: str) -> bool:
    if error.connection_invalidated or state in _CONNECTION_STATES or state.startswith("08"):
        return True
    return isinstance(error, InterfaceError) and not state


def _is_rejected(error: DBAPIError, state: str) -> bool:
    rejected = isinstance(error, (IntegrityError, DataError, ProgrammingError))
    return rejected or state[:2] in _REJECTIONS or _sqlite_name(error) in _SQLITE_WRONG


def breaks_reference(error: BaseException) -> bool:
    """Return whether a foreign key is what refused a statement."""
    if not isinstance(error, DBAPIError):
        return False
    # SQLite gives ON DELETE RESTRICT the code of a trigger; the text is the same for all.
    return sqlstate(error) in _REFERENCES or str(error.orig) == "FOREIGN KEY constraint failed"


def sqlstate(error: DBAPIError) -> str:
    """Return the SQLSTATE of an error; ``""`` where the driver gives none."""
    origin = error.orig
    for name in ("sqlstate", "pgcode"):
        state = getattr(origin, name, None)
        if isinstance(state, str):
            return state
    return ""


def _sqlite_busy(error: DBAPIError) -> bool:
    return _sqlite_name(error).startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


def _sqlite_name(error: DBAPIError) -> str:
    return getattr(error.orig, "sqlite_errorname", "") or ""


def lacks_table(error: BaseException) -> bool:
    """Return whether a statement failed because its table does not exist."""
    if not isinstance(error, DBAPIError):
        return False
    return sqlstate(error) == "42P01" or str(error.orig).startswith("no such table")


def without_values(error: BaseException) -> str:
    """Return an error for a log: what it is and where it was raised, down to its first cause.

    Drivers quote the values of a document, and so does a traceback; nothing of that is in it.
    """
    told, seen = [], error
    while True:
        told.append(f"{type(seen).__name__}{_text(seen)}")
        if seen.__cause__ is None or isinstance(seen, DBAPIError):
            break
        seen = seen.__cause__
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return " from ".join(told) + place


def hide_values(error: BaseException) -> None:
    """Keep the values that were sent out of the text of a driver's error."""
    if isinstance(error, StatementError):
        error.hide_parameters = True


def _text(error: BaseException) -> str:
    if isinstance(error, DBAPIError) and not isinstance(error, DataError):
        return f": {primary_message(error)[0]}"
    ours = isinstance(error, ZohoSyncError) and not isinstance(error, RowRejected)
    return f": {error}" if ours or isinstance(error, OSError) else ""


def primary_message(error: BaseException) -> tuple[str, str]:
    """Return the database's own message, and the constraint or column that it names.

    Only the first line, and never the statement's parameters: those hold the document.
    """
    origin = getattr(error, "orig", None) or error
    details = getattr(origin, "__cause__", None) or origin
    constraint = getattr(details, "constraint_name", None) or getattr(details, "column_name", None)
    message = str(getattr(details, "message", None) or origin).splitlines() or [
        type(error).__name__
    ]
    return message[0][:500].replace("\x00", ""), constraint or ""
