"""Makes engines for hosts that give a database URL instead of an application."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, Final

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError, InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from zoho_sync.exceptions import ConfigurationError, MissingExtra

__all__ = ["new_engine", "parsed_url"]

_DRIVERS: Final = {
    "sqlite": ("sqlite+aiosqlite",),
    "postgresql": ("postgresql+asyncpg", "postgresql+psycopg"),
    "postgres": ("postgresql+asyncpg", "postgresql+psycopg"),
    "mysql": ("mysql+asyncmy",),
    "mariadb": ("mariadb+asyncmy",),
}
_EXTRAS: Final = {
    "aiosqlite": "sqlite",
    "asyncpg": "postgres",
    "psycopg": "psycopg",
    "asyncmy": "mysql",
}


def parsed_url(given: str) -> URL:
    """Return a database URL, with an asynchronous driver where it names none.

    Raises:
        ConfigurationError: It is no URL, or no such database is supported.
        MissingExtra: Its driver is not installed.
    """
    try:
        url = make_url(given)
    except (ArgumentError, ValueError):
        # Without the text: it may hold the password.
        raise ConfigurationError(
            "the database URL cannot be read; it looks like sqlite:///file.db, "
            "postgresql://user:password@host/name or mariadb://user:password@host/name"
        ) from None
    if url.host and "@" in f"{url.host}{url.database}":
        # What follows is a part of the password, which drivers would quote as the host's name.
        raise ConfigurationError(
            "the database URL has more than one @; in a user or a password, @ is %40 and / is %2F"
        )
    candidates = _DRIVERS.get(url.drivername, (url.drivername,))
    installed = (name for name in candidates if find_spec(name.partition("+")[2] or "-"))
    chosen = next(installed, candidates[0])
    driver = chosen.partition("+")[2]
    if driver in _EXTRAS and find_spec(driver) is None:
        raise MissingExtra(_EXTRAS[driver], f"a database URL of {chosen}")
    if driver not in _EXTRAS:
        raise ConfigurationError(
            f"{url.drivername} is not supported; supported are sqlite+aiosqlite, "
            "postgresql+asyncpg, postgresql+psycopg and mariadb+asyncmy"
        )
    return url.set(drivername=chosen)


def new_engine(url: URL, *, search_path: str | None = None) -> AsyncEngine:
    """Return an engine whose errors do not show parameters: those hold documents.

    Its driver is asynchronous, and a search path, on PostgreSQL, is the only schema.

    Raises:
        ConfigurationError: SQLAlchemy cannot make an engine of it.
    """
    options: dict[str, Any] = {}
    if search_path is not None and url.get_driver_name() == "asyncpg":
        options = {"server_settings": {"search_path": search_path}}
    elif search_path is not None:
        options = {"options": f"-csearch_path={search_path}"}
    try:
        return create_async_engine(url, hide_parameters=True, connect_args=options)
    except (ArgumentError, InvalidRequestError, TypeError, ValueError) as error:
        message = f"the database URL cannot be used ({type(error).__name__})"
        raise ConfigurationError(message) from None
