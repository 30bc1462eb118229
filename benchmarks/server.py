"""Starts a PostgreSQL that keeps what it has said to be kept, and makes databases on it.

The server of the tests serves here as well, but with every write flushed: a queue that loses its
events with the power is quick, and no queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import asyncpg  # type: ignore[import-untyped]  # it has no annotations
from sqlalchemy.ext.asyncio import create_async_engine

from tests.servers.postgres import PrivatePostgres, private_postgres
from zoho_sync import mirror

__all__ = ["Database", "database", "durable_server", "server_version"]

_MUST_BE_ON: Final = ("fsync", "synchronous_commit", "full_page_writes")


class Database:
    """Gives access to the database of one run.

    Attributes:
        dsn: For drivers.
        url: For SQLAlchemy, with asyncpg.
    """

    def __init__(self, server: PrivatePostgres, name: str) -> None:
        self.url = server.url(name)
        self.dsn = self.url.replace("+asyncpg", "")

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """Open a connection of asyncpg for a moment."""
        connection = await asyncpg.connect(self.dsn)
        try:
            yield connection
        finally:
            await connection.close()

    async def make_mirror(self) -> None:
        """Make the mirror's tables: everybody writes into the same ones."""
        engine = create_async_engine(self.url)
        async with engine.begin() as connection:
            await connection.run_sync(mirror.metadata.create_all)
        await engine.dispose()

    async def settle(self) -> None:
        """Write everything down and read the statistics anew, so that all begin alike."""
        async with self.connection() as connection:
            await connection.execute("VACUUM (ANALYZE)")
            await connection.execute("CHECKPOINT")

    async def unlogged(self) -> set[str]:
        """Return the tables that a crash of the server would empty."""
        async with self.connection() as connection:
            found = await connection.fetch(
                "SELECT relname FROM pg_class WHERE relpersistence = 'u'"
            )
        return {row["relname"] for row in found}

    async def check_durable(self) -> None:
        """Check that nothing that is committed can be lost.

        Raises:
            RuntimeError: A setting is off that must be on.
        """
        async with self.connection() as connection:
            for setting in _MUST_BE_ON:
                if await connection.fetchval(f"SHOW {setting}") != "on":
                    raise RuntimeError(f"{setting} is off: nothing can be compared")


@contextmanager
def durable_server() -> Iterator[PrivatePostgres]:
    """Start a server of one's own on a free port of this machine; it is gone at the end."""
    with private_postgres(durable=True) as server:
        yield server


@asynccontextmanager
async def database(server: PrivatePostgres) -> AsyncIterator[Database]:
    """Make a database with the mirror's tables, and drop it at the end."""
    name = server.create_database()
    try:
        made = Database(server, name)
        await made.check_durable()
        await made.make_mirror()
        yield made
    finally:
        server.drop_database(name)


def server_version(server: PrivatePostgres) -> str:
    """Return the server's version."""

    async def asked() -> str:
        async with database(server) as own, own.connection() as connection:
            return str(await connection.fetchval("SHOW server_version"))

    return asyncio.run(asked())
