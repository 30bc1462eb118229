"""Lets procrastinate drain its queue."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from procrastinate import App, PsycopgConnector

from benchmarks.contestant import Contestant
from benchmarks.events import KINDS, Event, Kind
from benchmarks.peers.handled import Handled
from benchmarks.server import Database
from benchmarks.writers import RawWriter

__all__ = ["ProcrastinateRaw"]

_CONNECTIONS: Final = 10
_AT_ONCE: Final = 20


class ProcrastinateRaw(Contestant):
    """Drains procrastinate with a handler of prepared asyncpg statements.

    Its arguments are JSON; a document is one text in them, which its handler reads exactly.
    """

    name = "procrastinate, asyncpg handler"
    is_peer = True
    queue_table = "procrastinate_jobs"

    def __init__(self, database: Database, events: Sequence[Event]) -> None:
        super().__init__(database, events)
        self._handled = Handled(RawWriter(_CONNECTIONS), len(events))
        connector = PsycopgConnector(
            conninfo=database.dsn, min_size=_CONNECTIONS, max_size=_CONNECTIONS
        )
        self._app: Any = App(connector=connector)

    async def prepare(self) -> None:
        """Make its tables, queue the events in bulk, and open the handlers' connections."""
        # Each event is logged twice; nobody who measures wants that.
        logging.getLogger("procrastinate").setLevel(logging.WARNING)
        await self._app.open_async()
        await self._app.schema_manager.apply_schema_async()
        for kind in KINDS:
            task = self._app.task(name=kind)(self._handler(kind))
            texts = [{"text": each.text} for each in self.events if each.kind == kind]
            await task.batch_defer_async(*texts)
        await self._handled.writer.open(self.database)

    async def run(self) -> None:
        """Work until it finds nothing more; what is done is deleted, as elsewhere."""
        await self._app.run_worker_async(
            wait=False,
            concurrency=_AT_ONCE,
            listen_notify=False,
            delete_jobs="successful",
            install_signal_handlers=False,
        )

    def _handler(self, kind: Kind) -> Callable[..., Awaitable[None]]:
        async def handle(text: str) -> None:
            await self._handled.handle(kind, text)

        return handle

    async def waiting(self) -> int:
        """Count the jobs that are still in its table."""
        async with self.database.connection() as connection:
            count: int = await connection.fetchval("SELECT count(*) FROM procrastinate_jobs")
        return count

    async def close(self) -> None:
        """Close all connections."""
        await self._handled.writer.close()
        await self._app.close_async()
