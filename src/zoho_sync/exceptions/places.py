"""Finds the line of the application's own code that an error came from."""

from __future__ import annotations

import sys
import traceback
from types import FrameType
from typing import Final

__all__ = ["own_line"]

_LIBRARY: Final = __name__.partition(".")[0]
# What runs between the library and the application, or below it, besides Python's own modules.
_BETWEEN: Final = {
    *("sqlalchemy", "greenlet", "pydantic", "pydantic_core", "aiosqlite", "asyncpg", "psycopg"),
    *("psycopg_pool", "asyncmy", "redis", "aio_pika", "aiormq", "nats"),
}


def own_line(error: BaseException) -> str:
    """Return ``path/to/module.py:12``, the line of the application that an error came from.

    Of several, the innermost one in the package that the library has called: what that package
    calls in turn, such as a client of a service, is not where to look first. Return ``""`` where
    no such line was running.
    """
    seen: BaseException | None = error
    found = ""
    while seen is not None:
        # The first cause is nearest to the mistake.
        found = _own_line(seen) or found
        seen = seen.__cause__
    return found


def _own_line(error: BaseException) -> str:
    found, package = "", ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        name = _package(frame)
        if name == _LIBRARY:
            # Code of the application may be called by the library, which that had called.
            package = ""
        elif name not in _BETWEEN and name not in sys.stdlib_module_names:
            package = package or name
            if name == package:
                found = f"{frame.f_code.co_filename}:{line}"
    return found


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]
