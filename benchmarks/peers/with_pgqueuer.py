"""Lets pgqueuer drain its queue."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import asyncpg  # type: ignore[import-untyped]  # it has no annotations
from pgqueuer.qm import QueueManager
from pgqueuer.queries import Queries

from benchmarks.contestant import Contestant
from benchmarks.events import KINDS, Event, Kind
from benchmarks.peers.handled import Handled
from benchmarks.server import Database
from benchmarks.writers import RawWriter, SqlAlchemyWriter

__all__ = ["PgqueuerRaw", "PgqueuerSqlAlchemy", "enqueue_all"]

_CLAIMED_AT_ONCE: Final = 200
_CONNECTIONS: Final = 20


class _Pgqueuer(Contestant):
    is_peer = True
    queue_table = "pgqueuer"

    def __init__(self, database: Database, events: Sequence[Event], writer: Any) -> None:
        super().__init__(database, events)
        self._handled = Handled(writer, len(events))
        self._connection: Any = None

    async def prepare(self) -> None:
        """Install its tables, queue the events in bulk, and open the handlers' connections."""
        self._connection = await asyncpg.connect(self.database.dsn)
        queries = Queries.from_asyncpg_connection(self._connection)
        await queries.install()
        await enqueue_all(queries, self.events)
        await self._handled.writer.open(self.database)

    async def run(self) -> None:
        """Work until the last handler has returned, and what it says is written."""
        manager = QueueManager(Queries.from_asyncpg_connection(self._connection))
        for kind in KINDS:
            manager.entrypoint(kind)(self._handler(kind))
        self._handled.at_end = manager.shutdown.set
        await manager.run(batch_size=_CLAIMED_AT_ONCE)

    def _handler(self, kind: Kind) -> Callable[[Any], Awaitable[None]]:
        async def handle(job: Any) -> None:
            await self._handled.handle(kind, job.payload.decode())

        return handle

    async def waiting(self) -> int:
        """Count the jobs that are still in its table."""
        count: int = await self._connection.fetchval("SELECT count(*) FROM pgqueuer")
        return count

    async def close(self) -> None:
        """Close all connections."""
        await self._handled.writer.close()
        await self._connection.close()


class PgqueuerRaw(_Pgqueuer):
    """Drains pgqueuer with a handler of prepared statements."""

    name = "pgqueuer, asyncpg handler"

    def __init__(self, database: Database, events: Sequence[Event]) -> None:
        super().__init__(database, events, RawWriter(_CONNECTIONS))


class PgqueuerSqlAlchemy(_Pgqueuer):
    """Drains pgqueuer with a handler of SQLAlchemy's statements."""

    name = "pgqueuer, SQLAlchemy handler"

    def __init__(self, database: Database, events: Sequence[Event]) -> None:
        super().__init__(database, events, SqlAlchemyWriter(_CONNECTIONS))


async def enqueue_all(queries: Any, events: Sequence[Event]) -> None:
    """Queue events in bulk."""
    kinds = [event.kind for event in events]
    await queries.enqueue(kinds, [event.text.encode() for event in events], [0] * len(events))
