"""Keeps a connection for what a worker does that must not wait for the host's pool."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession
from sqlalchemy.pool import QueuePool

from zoho_sync.database.cancellation import finish
from zoho_sync.database.faults import is_of_database
from zoho_sync.database.hiding import without_values
from zoho_sync.exceptions import ConfigurationError

__all__ = ["ReservedConnection", "room_of"]

_NEEDED: Final = 2  # one applies, one lengthens the leases

_log = logging.getLogger(__name__)


class ReservedConnection:
    """Gives the host's sessions, over a connection that is kept for them while there is one."""

    def __init__(self, sessions: Callable[[], AsyncSession]) -> None:
        self._sessions = sessions
        self._lock = asyncio.Lock()
        self._engine: AsyncEngine | None = None
        self._connection: AsyncConnection | None = None

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Keep a connection while the body runs.

        Where the database cannot be reached now, the first session tries again. A factory whose
        sessions are bound to a connection, and not to an engine, has none to spare.

        Raises:
            ConfigurationError: The pool has room for one connection only.
        """
        bind = self._sessions().get_bind()
        if isinstance(bind, Engine):
            room = room_of(bind)
            if room is not None and room < _NEEDED:
                message = (
                    "the engine's pool has room for one connection, and a worker needs two: one "
                    "applies, one lengthens the leases; pass pool_size=2 or more to "
                    "create_async_engine"
                )
                raise ConfigurationError(message)
            self._engine = AsyncEngine(bind)
        try:
            await self._connect()
        except Exception as error:
            if not is_of_database(error):
                raise
            _log.warning("no connection could be reserved yet: %s", without_values(error))
        try:
            yield
        finally:
            self._engine, kept, self._connection = None, self._connection, None
            if kept is not None:
                await finish(kept.close())

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """Give a session: over the kept connection, or as the host's factory makes it."""
        async with self._sessions() as session:
            if self._engine is None:
                yield session
                return
            async with self._lock:
                connection = await self._connect()
                if connection is not None:
                    # The host's own session, so that whatever it sets up is set up here as well.
                    session.bind = connection
                    session.sync_session.bind = connection.sync_connection
                yield session

    async def _connect(self) -> AsyncConnection | None:
        if self._connection is None and self._engine is not None:
            self._connection = await self._engine.connect()
        return self._connection


def room_of(engine: Engine) -> int | None:
    """Return how many connections a pool may have at most; None where nothing limits them."""
    pool = engine.pool
    if not isinstance(pool, QueuePool):
        return None
    size, overflow = pool.size(), pool._max_overflow  # noqa: SLF001  # there is no public name
    return size + overflow if size > 0 and overflow >= 0 else None
