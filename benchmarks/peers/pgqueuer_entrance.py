"""Lets pgqueuer queue events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import asyncpg  # type: ignore[import-untyped]  # it has no annotations
from pgqueuer.queries import Queries

from benchmarks.entrances import Entrance
from benchmarks.events import Event
from benchmarks.server import Database

__all__ = ["PgqueuerEnqueue"]

_CONNECTIONS: Final = 10


class PgqueuerEnqueue(Entrance):
    """Calls the `enqueue` of pgqueuer, which stores bytes and recognises nothing."""

    name = "pgqueuer, enqueue"
    is_peer = True

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._pool: Any = None
        self._queries: Any = None

    async def open(self) -> None:
        """Install its tables, and open a pool that resets nothing, which saves a round trip."""
        self._pool = await asyncpg.create_pool(
            self.database.dsn, min_size=_CONNECTIONS, max_size=_CONNECTIONS, reset=_keep
        )
        self._queries = Queries.from_asyncpg_pool(self._pool)
        await self._queries.install()

    def prepared(self, event: Event) -> Any:
        """Return the name and the bytes."""
        return event.kind, event.text.encode()

    async def queue(self, held: Sequence[Any]) -> None:
        """Queue them in one call."""
        if len(held) == 1:
            await self._queries.enqueue(*held[0])
            return
        kinds, payloads = zip(*held, strict=True)
        await self._queries.enqueue([*kinds], [*payloads], [0] * len(held))

    async def count(self) -> int:
        """Count the jobs."""
        return int(await self._pool.fetchval("SELECT count(*) FROM pgqueuer"))

    async def close(self) -> None:
        """Close the pool."""
        await self._pool.close()


async def _keep(_connection: Any) -> None:
    """Leave a connection as it is."""
