"""Refuses what is no factory of asynchronous sessions, and finds the engine of one that is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import URL, Connection, Engine, StaticPool
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session, sessionmaker

from zoho_sync.exceptions import ConfigurationError

__all__ = ["checked_session_factory", "dialect_of", "engine_of", "refuse_shared_connection"]

_REMEDY = """Make an asynchronous one:

    engine = create_async_engine("postgresql+asyncpg://…")
    session_factory = async_sessionmaker(engine, expire_on_commit=False)
    sync = ZohoSync(session_factory)"""


def checked_session_factory(candidate: Any) -> Callable[[], AsyncSession]:
    """Return the factory that was handed over.

    Raises:
        ConfigurationError: It does not give an `AsyncSession`.
    """
    if isinstance(candidate, sessionmaker):
        raise _no_factory("a synchronous sessionmaker")
    if isinstance(candidate, (Engine, AsyncEngine, URL, str)):
        raise _no_factory(f"{type(candidate).__name__}, which is no session factory")
    if isinstance(candidate, (AsyncSession, Session)):
        raise _no_factory("one session, not a factory that gives a new one for each transaction")
    if not callable(candidate):
        raise _no_factory(f"{type(candidate).__name__}, which cannot be called")
    session = candidate()
    if not isinstance(session, AsyncSession):
        raise _no_factory(f"a callable that gives {type(session).__name__}, not an AsyncSession")
    factory: Callable[[], AsyncSession] = candidate
    return factory


def engine_of(session_factory: Callable[[], AsyncSession]) -> AsyncEngine | None:
    """Return the engine of a factory's sessions, or None where they have no single one."""
    bind = _bind_of(session_factory)
    return AsyncEngine(bind) if isinstance(bind, Engine) else None


def dialect_of(session_factory: Callable[[], AsyncSession]) -> str:
    """Return SQLAlchemy's name of a factory's database; ``""`` where its sessions have several."""
    bind = _bind_of(session_factory)
    return bind.dialect.name if bind is not None else ""


def refuse_shared_connection(session_factory: Callable[[], AsyncSession]) -> None:
    """Refuse sessions of which only one can work at a time.

    Raises:
        ConfigurationError: They share one connection.
    """
    if isinstance(getattr(session_factory().get_bind(), "pool", None), StaticPool):
        message = (
            "every session shares one connection (StaticPool, as of an in-memory SQLite); "
            "use a database in a file, or call drain()"
        )
        raise ConfigurationError(message)


def _bind_of(session_factory: Callable[[], AsyncSession]) -> Engine | Connection | None:
    try:
        return session_factory().get_bind()
    except SQLAlchemyError:
        # A host that routes by class: its sessions find their engines themselves.
        return None


def _no_factory(found: str) -> ConfigurationError:
    return ConfigurationError(f"session_factory is {found}. {_REMEDY}")
