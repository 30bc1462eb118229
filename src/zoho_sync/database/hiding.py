"""Keeps the values of a document out of errors of a database, and out of errors in the log."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import DataError, DBAPIError, SQLAlchemyError, StatementError

from zoho_sync.database.faults import primary_message, raised_by_host, remember, sqlstate
from zoho_sync.exceptions import RowRejected, ZohoSyncError
from zoho_sync.exceptions.wording import one_line, raised_in

__all__ = ["hide_values", "hiding_values", "without_values"]

_OTHERS: Final = "Original exception was"
_LONGEST: Final = 2_000
# Whose errors of the network say nothing but who does not answer.
_DRIVERS: Final = {"aiosqlite", "asyncmy", "asyncpg", "psycopg", "sqlalchemy"}
_CLIENTS: Final = {"aio_pika", "aiormq", "nats", "redis", "valkey"}
_NETWORK: Final = {"asyncio", "selectors", "socket", "ssl", *_DRIVERS, *_CLIENTS}


@contextmanager
def hiding_values() -> Iterator[None]:
    """Let no error of a database out of the body before its values are hidden.

    Every transaction of the library runs in this, the host's that it joins included: whoever gets
    the error, or one that was raised from it, may print it with its traceback.
    """
    try:
        yield
    except Exception as error:
        hide_values(error)
        raise


def hide_values(error: BaseException) -> None:
    """Take the values out of all errors of a database that a traceback of this one would print.

    SQLAlchemy prints the parameters of a statement; its ``hide_parameters`` leaves what the
    database (``DETAIL: Key (number)=(…)``) and the driver quote. What the error means, and which
    constraint or column it names, can be asked as before.
    """
    left, seen = [error], set[int]()
    while left:
        each = left.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, StatementError):
            _hide(each)
        elif isinstance(each, SQLAlchemyError) and each.args:
            # It quotes another error, parameters included.
            each.args = (str(each.args[0]).partition(_OTHERS)[0], *each.args[1:])
        if isinstance(each, BaseExceptionGroup):
            left += each.exceptions
        left += [one for one in (each.__cause__, each.__context__) if one is not None]


def _hide(error: StatementError) -> None:
    remember(error)
    error.hide_parameters = True
    origin, said = error.orig, primary_message(error)[0]
    if origin is None or isinstance(origin, ZohoSyncError):
        return
    if raised_by_host(error):
        said = "refused by the database's own code, whose words are not repeated here"
    error.args = (f"({type(origin).__module__}.{type(origin).__qualname__}) {said}",)
    _say(origin, said)
    cause = origin.__cause__
    # asyncpg's own error is behind the one that SQLAlchemy makes of it.
    if cause is not None and sqlstate(cause):
        _say(cause, said)
        _cut_off(cause)
    else:
        _cut_off(origin)


def _say(error: BaseException, said: str) -> None:
    """Let a driver's error say this, and no more."""
    if isinstance(error, OSError):
        return
    # Those of MariaDB begin with its number.
    number = error.args[:1] if error.args and isinstance(error.args[0], int) else ()
    error.args = (*number, said)
    for name in {"detail", "hint"} & vars(error).keys():
        setattr(error, name, None)


def _cut_off(error: BaseException) -> None:
    """Forget what a driver's error was raised from: it could not read a value, say, and quotes it.

    What the network said is kept.
    """
    if not isinstance(error.__cause__, OSError):
        error.__cause__ = None
    if not isinstance(error.__context__, OSError):
        error.__context__ = None


def without_values(error: BaseException) -> str:
    """Return an error for a log: what it is and where it was raised, down to its first cause.

    Drivers quote the values of a document, and so do a traceback and the messages of users' code;
    nothing of that is in it. An error that a mapping's callable raised is told with the attribute
    that holds the callable.
    """
    causes, seen = [], error
    while True:
        place = raised_in(seen)
        causes.append(f"{type(seen).__name__}{_text(seen)}{f' in {place}' if place else ''}")
        if seen.__cause__ is None or isinstance(seen, DBAPIError):
            break
        seen = seen.__cause__
    # The first cause is nearest to the mistake; but a driver's error is raised in the driver.
    origin = error if isinstance(seen, DBAPIError) else seen
    frames = traceback.extract_tb(origin.__traceback__)
    place = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return one_line(" from ".join(causes), _LONGEST) + place


def _text(error: BaseException) -> str:
    if isinstance(error, DBAPIError) and not isinstance(error, DataError):
        state = sqlstate(error)
        if raised_by_host(error):
            return f" {state}" if state else ""
        return f": {primary_message(error)[0]}"
    if isinstance(error, RowRejected):
        # Its text may be the driver's; names are the schema's.
        names = [name for name in (error.table, error.constraint) if name]
        return f" ({', '.join(names)})" if names else ""
    ours = {"zoho_sync"} if isinstance(error, ZohoSyncError) else {"zoho_sync", *_NETWORK}
    told = isinstance(error, (ZohoSyncError, OSError)) and _raised_by(error) in {"", *ours}
    return f": {error}" if told else ""


def _raised_by(error: BaseException) -> str:
    """Return the package whose code raised an error; ``""`` for one that nobody raised."""
    frames = list(traceback.walk_tb(error.__traceback__))
    module = frames[-1][0].f_globals.get("__name__") if frames else ""
    return str(module).partition(".")[0]
