"""Wakes idle workers of other processes at once: PostgreSQL's LISTEN and NOTIFY.

Nothing depends on it. A worker that hears nothing looks for itself, twice a second.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cached_property
from typing import Any, Final

from sqlalchemy import Engine, Table, event, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

from zoho_sync.database.cancellation import errors_alone, finish
from zoho_sync.database.hiding import without_values
from zoho_sync.database.reserved import room_of

__all__ = ["Wakeup", "channel_of"]

_log = logging.getLogger(__name__)

_PAUSE: Final = 0.05
_AGAIN: Final = 5.0
_NEEDED: Final = 3  # one applies, one lengthens the leases, one listens


def channel_of(jobs: Table) -> str:
    """Return the channel of a jobs table: of its own for each schema."""
    return f"zoho_sync_{hashlib.sha256(jobs.fullname.encode()).hexdigest()[:16]}"


class Wakeup:
    """Says that something was enqueued, and hears what other processes say.

    It is said after the commit, for everything of a moment once. NOTIFY takes a lock of the whole
    server at its commit; so it has a transaction of its own, and whoever enqueues does not wait for
    it. It is heard over a connection of the host's pool that is kept.
    """

    def __init__(self, sessions: Callable[[], AsyncSession], channel: str) -> None:
        self._sessions, self._channel = sessions, channel
        self._due = False
        self._task: asyncio.Task[None] | None = None

    def tell(self) -> None:
        """Say it soon, where the database can."""
        if not self._speaks:
            return
        self._due = True
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._send(), name="zoho_sync notify")

    def tell_after(self, session: AsyncSession) -> None:
        """Say it once the host has committed."""
        event.listen(session.sync_session, "after_commit", lambda _: self.tell(), once=True)

    async def close(self) -> None:
        """Leave unsaid what was not said yet."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    @cached_property
    def _speaks(self) -> bool:
        return self._sessions().get_bind().dialect.name == "postgresql"

    async def _send(self) -> None:
        while self._due:
            await asyncio.sleep(_PAUSE)
            self._due = False
            try:
                async with self._sessions() as session:
                    await session.execute(select(func.pg_notify(self._channel, "")))
                    await session.commit()
            except Exception as error:  # noqa: BLE001  # whatever it is, workers look for themselves
                _log.info("no worker was woken: %s", without_values(error))

    @asynccontextmanager
    async def listening(self, notify: Callable[[], None]) -> AsyncIterator[None]:
        """Call a function whenever something is said, while the body runs."""
        bind = self._sessions().get_bind()
        if not isinstance(bind, Engine) or bind.dialect.name != "postgresql":
            yield
            return
        room = room_of(bind)
        if room is not None and room < _NEEDED:
            _log.info("the pool has no connection to spare to listen: the worker polls")
            yield
            return
        task = asyncio.create_task(self._keep(AsyncEngine(bind), notify), name="zoho_sync listen")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def _keep(self, engine: AsyncEngine, notify: Callable[[], None]) -> None:
        warned = False
        while True:
            try:
                with errors_alone():
                    async with self._connection(engine) as connection:
                        await self._listen(connection, notify)
            except Exception as error:  # noqa: BLE001  # drivers and poolers have errors of their own
                if not warned:
                    problem = without_values(error)
                    _log.warning("cannot listen: %s; the worker polls meanwhile", problem)
                warned = True
            await asyncio.sleep(_AGAIN)

    @asynccontextmanager
    async def _connection(self, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        connection = await engine.connect()
        try:
            yield connection
        finally:
            # Nobody else is to have a connection that listens.
            await finish(_closed(connection))

    async def _listen(self, connection: AsyncConnection, notify: Callable[[], None]) -> None:
        """Listen until the connection is lost."""
        raw = await connection.get_raw_connection()
        driver: Any = raw.driver_connection
        if hasattr(driver, "notifies"):  # psycopg's
            await driver.set_autocommit(True)
            await driver.execute(f'LISTEN "{self._channel}"')
            notify()
            async for _ in driver.notifies():
                notify()
            return
        lost = asyncio.Event()
        driver.add_termination_listener(lambda _: lost.set())
        await driver.add_listener(self._channel, lambda *_: notify())
        # What came before it listened was said to nobody.
        notify()
        await lost.wait()


async def _closed(connection: AsyncConnection) -> None:
    if not connection.closed:
        await connection.invalidate()
        await connection.close()
