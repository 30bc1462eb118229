"""Tells what an error of a database means, and what the database says without its values."""

from __future__ import annotations

import enum
import re
from typing import Any

from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    PendingRollbackError,
    ProgrammingError,
    SQLAlchemyError,
    StatementError,
)

from zoho_sync.exceptions import HostTransactionLost, RowRejected
from zoho_sync.exceptions.wording import noted

__all__ = [
    "Fault",
    "breaks_reference",
    "breaks_uniqueness",
    "classify",
    "ends_transaction",
    "is_of_database",
    "is_of_whole_transaction",
    "lacks_table",
    "mariadb_code",
    "named_column",
    "note_place",
    "noted_place",
    "primary_message",
    "raised_by_host",
    "refuses_values",
    "remember",
    "unique_columns",
]


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
# MariaDB's own numbers, where its SQLSTATE says less or nothing: a row that has changed since the
# transaction saw it; a wait for a lock that was too long; connections that cannot be had, were
# ended by the server, or broke under the client; databases that are not there or not ours.
_MARIADB_CONFLICTS = {1020, 1213}
_MARIADB_LOCK_TIMEOUT = 1205
_MARIADB_LOST = {1040, 1044, 1045, 1049, 1053, 1080, 1130, 1927, *range(2000, 2060)}
_MARIADB_REFERENCES = {1216, 1217, 1451, 1452}
_MARIADB_UNIQUE = {1062, 1169, 1586}
_MARIADB_NO_TABLE = 1146
_LOCK_TIMEOUT = "55P03"
# Classes: data, constraints, names and types, views with a check; P0 and 45 is what triggers raise.
_REJECTIONS = {"22", "23", "42", "44", "45", "P0"}
_WRONG = "42"
# From PostgreSQL 18 on, ON DELETE RESTRICT has a state of its own.
_REFERENCES = {"23503", "23001"}
_UNIQUE = "23505"
_SQLITE_UNIQUE = re.compile(r"UNIQUE constraint failed: (.+)")
# What is wrong with the statement itself, such as a column that does not exist, or with its values:
# SQLite's driver calls it operational.
_SQLITE_WRONG_STATEMENT = "SQLITE_ERROR"
_SQLITE_WRONG = {_SQLITE_WRONG_STATEMENT, "SQLITE_MISMATCH", "SQLITE_TOOBIG", "SQLITE_RANGE"}
# Class 57 is operator intervention; 25P03 is the idle timeout that the worker sets for itself; the
# last two say that there are connections enough, and that the database is not there.
_CONNECTION_STATES = {"57P01", "57P02", "57P03", "57P05", "25P03", "25P04", "53300", "3D000"}
# Connections that failed, and logins.
_CONNECTION_CLASSES = {"08", "28"}
_STATE_LENGTH = 5

_DATA = "22"
_ARGUMENT = re.compile(r"(invalid input for query argument \$\d+): .*", re.DOTALL)
# Other reasons may quote the value once more.
_REASON = re.compile(r"\((value out of \w+ range|expected \w+, got \w+)\)$")
_QUOTED = re.compile(r"""['"].*['"]""", re.DOTALL)


def classify(error: BaseException) -> Fault:
    """Say what an exception means for the transaction that it hit."""
    state = sqlstate(error)
    lost = state in _CONNECTION_STATES or state[:2] in _CONNECTION_CLASSES
    if lost or isinstance(error, PendingRollbackError):
        return Fault.CONNECTION
    if not isinstance(error, DBAPIError):
        return Fault.REJECTED if isinstance(error, StatementError) else Fault.UNKNOWN
    code, name = mariadb_code(error), _sqlite_name(error)
    busy = name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))
    if busy or state in _CONFLICTS or code in _MARIADB_CONFLICTS:
        return Fault.CONFLICT
    if state == _LOCK_TIMEOUT or code == _MARIADB_LOCK_TIMEOUT:
        return Fault.LOCK_TIMEOUT
    broken = error.connection_invalidated or code in _MARIADB_LOST
    if broken or (isinstance(error, InterfaceError) and not state):
        return Fault.CONNECTION
    rejected = isinstance(error, (IntegrityError, DataError, ProgrammingError))
    wrong = rejected or state[:2] in _REJECTIONS or name in _SQLITE_WRONG
    return Fault.REJECTED if wrong else Fault.UNKNOWN


def is_of_whole_transaction(error: BaseException) -> bool:
    """Return whether PostgreSQL ended a transaction that was too long as a whole."""
    # asyncpg has a state of its own for what the server said while it closed the connection.
    return sqlstate(error) == "25P04" or "due to transaction timeout" in str(error)


def is_of_database(error: BaseException) -> bool:
    """Return whether an error is the database's, its driver's or the network's.

    To be asked where nothing but the library's own statements run: a handler's own errors look the
    same. While it connects, SQLAlchemy 2.0 hands on the errors of some drivers as they are; what
    they have in common is an SQLSTATE.
    """
    return isinstance(error, (SQLAlchemyError, OSError)) or len(sqlstate(error)) == _STATE_LENGTH


def refuses_values(error: BaseException) -> bool:
    """Return whether the host's schema refused values, and the statement itself was right."""
    if isinstance(error, RowRejected):
        return error.__cause__ is None or refuses_values(error.__cause__)
    if not isinstance(error, DBAPIError) or classify(error) is not Fault.REJECTED:
        return False
    return sqlstate(error)[:2] != _WRONG and _sqlite_name(error) != _SQLITE_WRONG_STATEMENT


def ends_transaction(error: BaseException) -> bool:
    """Return whether nothing more can be done in the transaction that an error came from."""
    ends = {Fault.CONFLICT, Fault.LOCK_TIMEOUT, Fault.CONNECTION}
    return isinstance(error, HostTransactionLost) or classify(error) in ends


def breaks_reference(error: BaseException) -> bool:
    """Return whether a foreign key is what refused a statement."""
    if not isinstance(error, DBAPIError):
        return False
    known = mariadb_code(error) in _MARIADB_REFERENCES or sqlstate(error) in _REFERENCES
    # SQLite gives ON DELETE RESTRICT the code of a trigger; the text is the same for all.
    return known or str(error.orig) == "FOREIGN KEY constraint failed"


def breaks_uniqueness(error: BaseException) -> bool:
    """Return whether a unique constraint or index is what refused a statement."""
    mine = isinstance(error, DBAPIError) and mariadb_code(error) in _MARIADB_UNIQUE
    return mine or sqlstate(error) == _UNIQUE or bool(unique_columns(error))


def unique_columns(error: BaseException) -> str:
    """Return what SQLite says of the unique constraint that refused a statement.

    ``table.column, table.column``, or ``index 'name'`` for one on an expression; ``""`` elsewhere.
    """
    found = _SQLITE_UNIQUE.fullmatch(str(getattr(error, "orig", "")))
    return found[1] if found else ""


def sqlstate(error: BaseException) -> str:
    """Return the SQLSTATE of an error; ``""`` where the driver gives none."""
    origin = error.orig if isinstance(error, DBAPIError) else error
    states = (getattr(origin, name, None) for name in ("sqlstate", "pgcode"))
    return next((state for state in states if isinstance(state, str)), "")


def mariadb_code(error: DBAPIError) -> int:
    """Return MariaDB's own number of an error; 0 for other databases."""
    # An error of the operating system has a number as well.
    if isinstance(error.orig, OSError):
        return 0
    first = next(iter(getattr(error.orig, "args", ())), None)
    return first if isinstance(first, int) else 0


def _sqlite_name(error: DBAPIError) -> str:
    return getattr(error.orig, "sqlite_errorname", "") or ""


def lacks_table(error: BaseException) -> bool:
    """Return whether a statement failed because its table does not exist."""
    if not isinstance(error, DBAPIError):
        return False
    known = mariadb_code(error) == _MARIADB_NO_TABLE or sqlstate(error) == "42P01"
    return known or str(error.orig).startswith("no such table")


_TOLD = "_zoho_sync_told"


def remember(error: BaseException) -> None:
    """Keep with an error what it tells now, for when its text will have been taken away."""
    if _TOLD not in vars(error):
        vars(error)[_TOLD] = primary_message(error), named_column(error)


def raised_by_host(error: BaseException) -> bool:
    """Return whether a trigger or function of the host's own refused something, in its own words.

    These may quote what it was given.
    """
    if not isinstance(error, DBAPIError) or breaks_reference(error):
        return False
    return sqlstate(error)[:2] in _RAISED or _sqlite_name(error) == "SQLITE_CONSTRAINT_TRIGGER"


def primary_message(error: BaseException) -> tuple[str, str]:
    """Return the database's own message, and the constraint or column that it names.

    Only the first line, and never a value, nor the statement's parameters: those hold the document.
    """
    if _TOLD in vars(error):
        told: tuple[str, str] = vars(error)[_TOLD][0]
        return told
    origin = getattr(error, "orig", None) or error
    if isinstance(error, DBAPIError) and mariadb_code(error):
        return _of_mariadb(error)
    details = _details(origin)
    constraint = getattr(details, "constraint_name", None) or getattr(details, "column_name", None)
    said = getattr(details, "message", None) or getattr(details, "message_primary", None)
    return _first_line(error, _cut_values(error, str(said or origin))), constraint or ""


def _first_line(error: BaseException, message: str) -> str:
    lines = message.splitlines() or [type(error).__name__]
    return lines[0][:500].replace("\x00", "")


# Of these the quotes hold names alone: nulls, unknown columns and tables, foreign keys and checks,
# columns that are too short or have no default, locks.
_MARIADB_NAMES_ALONE = {
    *_MARIADB_REFERENCES,
    *_MARIADB_LOST,
    *(1048, 1054, 1146, 1205, 1213, 1264, 1265, 1364, 1406, 4025),
}
_MARIADB_DUPLICATE = re.compile(r"Duplicate entry '.*' for key '([^']*)'", re.DOTALL)
_MARIADB_COLUMN = re.compile(r"(?:[Cc]olumn|Field) '([^']+)'|\.`([^`.]+)` at row")
_MARIADB_NAMED = re.compile(rf"for key '([^']+)'|CONSTRAINT `([^`]+)`|{_MARIADB_COLUMN.pattern}")
_RAISED = {"45", "P0"}


def _of_mariadb(error: DBAPIError) -> tuple[str, str]:
    """Return a message of MariaDB, and the constraint or column in it: there is no other field."""
    origin = error.orig
    message = str(origin.args[-1]) if origin is not None else ""
    if duplicate := _MARIADB_DUPLICATE.search(message):
        return f"Duplicate entry for key '{duplicate[1]}'", duplicate[1]
    by_host = sqlstate(error)[:2] in _RAISED
    found = None if by_host else _MARIADB_NAMED.search(message)
    named = next(filter(None, found.groups()), "") if found else ""
    if not by_host and mariadb_code(error) not in _MARIADB_NAMES_ALONE:
        message = _QUOTED.sub("'…'", message)
    return _first_line(error, message), named


def _details(origin: BaseException) -> Any:
    """Return what has the fields of an error of PostgreSQL: each driver keeps them elsewhere."""
    return getattr(origin, "diag", None) or getattr(origin, "__cause__", None) or origin


def _cut_values(error: BaseException, message: str) -> str:
    """Take the values out of a message: drivers and databases quote what they cannot convert."""
    message = _ARGUMENT.sub(_without_argument, message)
    before_sending = isinstance(error, StatementError) and not isinstance(error, DBAPIError)
    if before_sending or sqlstate(error).startswith(_DATA):
        # From the first quote to the last: a value may hold quotes itself.
        message = _QUOTED.sub("'…'", message)
    return message


def _without_argument(found: re.Match[str]) -> str:
    reason = _REASON.search(found[0])
    return f"{found[1]} {reason[0]}" if reason else found[1]


_PLACE = "zoho_sync: while writing "


def note_place(error: BaseException, table: str, column: str) -> None:
    """Keep with an error which table was written, and which column is to blame, if that is known.

    Drivers do not say it of every error: SQLite of no foreign key, and none of what they cannot
    convert.
    """
    error.add_note(f"{_PLACE}{table}.{column}")


def noted_place(error: BaseException) -> tuple[str, str]:
    """Return the table and the column that were noted; ``""`` where there are none."""
    table, _, column = noted(error, _PLACE).rpartition(".")
    return table, column


_SQLITE_COLUMN = re.compile(r"(?:NOT NULL|UNIQUE) constraint failed: ([^.,]+)\.([^.,]+)")


def named_column(error: BaseException) -> tuple[str, str]:
    """Return the table and the one column that the database names; ``""`` where it names none."""
    if _TOLD in vars(error):
        told: tuple[str, str] = vars(error)[_TOLD][1]
        return told
    origin = getattr(error, "orig", None) or error
    if found := _SQLITE_COLUMN.fullmatch(str(origin)):
        return found[1], found[2]
    if isinstance(error, DBAPIError) and mariadb_code(error):
        column = _MARIADB_COLUMN.search(str(origin))
        return "", next(filter(None, column.groups()), "") if column else ""
    details = _details(origin)
    return getattr(details, "table_name", None) or "", getattr(details, "column_name", None) or ""
