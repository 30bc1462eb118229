"""Makes engines that know what earlier tests have compiled, like those of a long-lived process."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

__all__ = ["warm_engine"]

_STATEMENTS: Final = 2000
"""How many compiled statements are kept; those of many a test's own tables are among them."""
_LIKE_ANY_OTHER: Final = {"sqlite+aiosqlite", "postgresql+asyncpg"}
"""Drivers whose dialect knows nothing of the one database that it has been connected to."""

_first: dict[str, Engine] = {}


def warm_engine(url: str) -> AsyncEngine:
    """Make an engine with its default pool; to be disposed by the test.

    To compile statements is a quarter of what tests take, and a compiled statement belongs to a
    dialect: the engines of one driver share theirs, once a first connection has told it the
    server's version.
    """
    engine = create_async_engine(url, query_cache_size=_STATEMENTS)
    mine, driver = engine.sync_engine, engine.url.drivername
    first = _first.get(driver)
    if driver not in _LIKE_ANY_OTHER:
        return engine
    if first is None or first.dialect.server_version_info is None:
        _first[driver] = mine
    else:
        mine.dialect = first.dialect
        mine._compiled_cache = first._compiled_cache  # no option shares it
    return engine
