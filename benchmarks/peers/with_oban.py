"""Lets Oban drain its queue; it needs Python 3.12 or later."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import oban
from oban.schema import install

from benchmarks.contestant import Contestant
from benchmarks.events import Event
from benchmarks.peers.handled import Handled
from benchmarks.server import Database
from benchmarks.writers import RawWriter

__all__ = ["ObanRaw"]

_CONNECTIONS: Final = 20
_AT_ONCE: Final = 300
_QUEUE: Final = "events"


class _Applied:
    """Works for Oban, which knows a class by its name; so what it works with stands here."""

    handled: Handled | None = None

    async def process(self, job: Any) -> None:
        """Apply the event of a job."""
        if self.handled is None:
            raise RuntimeError("nobody has said how")
        await self.handled.handle(job.args["kind"], job.args["text"])


class ObanRaw(Contestant):
    """Drains Oban with a handler of prepared asyncpg statements.

    Its arguments are JSON; a document is one text in them, which its handler reads exactly.
    """

    name = "oban, asyncpg handler"
    is_peer = True
    queue_table = "oban_jobs"

    def __init__(self, database: Database, events: Sequence[Event]) -> None:
        super().__init__(database, events)
        self._handled = Handled(RawWriter(_CONNECTIONS), len(events))
        self._pool: Any = None

    async def prepare(self) -> None:
        """Make its tables, queue the events, and open the handlers' connections."""
        _Applied.handled = self._handled
        worker: Any = oban.worker(queue=_QUEUE)(_Applied)
        self._pool = await oban.Oban.create_pool(
            self.database.dsn, min_size=_CONNECTIONS, max_size=_CONNECTIONS
        )
        await install(self._pool)
        client = oban.Oban(pool=self._pool)
        jobs = [worker.new({"kind": each.kind, "text": each.text}) for each in self.events]
        await client.enqueue_many(jobs)
        await self._handled.writer.open(self.database)

    async def run(self) -> None:
        """Work until the last handler has returned, and what it says is written."""
        done = asyncio.Event()
        self._handled.at_end = done.set
        async with oban.Oban(pool=self._pool, queues={_QUEUE: _AT_ONCE}):
            await done.wait()

    async def waiting(self) -> int:
        """Count the jobs that it does not hold for completed."""
        async with self.database.connection() as connection:
            count: int = await connection.fetchval(
                "SELECT count(*) FROM oban_jobs WHERE state <> 'completed'"
            )
        return count

    async def close(self) -> None:
        """Close all connections."""
        await self._handled.writer.close()
        await self._pool.close()
