"""The queue in the host's database keeps the contract of all engines, on every database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import NullPool, delete, text
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from tests.amounts import examples
from tests.servers.mariadb import MariaDBServer
from tests.servers.postgres import PostgresServer
from zoho_sync.abc import QueueBackend
from zoho_sync.queues import SQLQueue
from zoho_sync.store.tables import library_tables
from zoho_sync.testing import QueueMachine, QueueSuite
from zoho_sync.testing.host import MovedClock, metadata

pytestmark = [
    pytest.mark.databases("sqlite", "postgresql", "mariadb"),
    pytest.mark.every_line,
    pytest.mark.breaks_connections,
]


@pytest.fixture(scope="module", params=["sqlite", "postgresql", "mariadb"])
def suite_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A database with the tables of the library, which all checks share and each empties."""
    if request.param == "sqlite":
        url = f"sqlite+aiosqlite:///{tmp_path_factory.mktemp('suite') / 'suite.db'}"
        asyncio.run(create_tables(url))
        yield url
        return
    fixture = "postgres_server" if request.param == "postgresql" else "mariadb_server"
    server: PostgresServer | MariaDBServer = request.getfixturevalue(fixture)
    name = server.create_database()
    asyncio.run(create_tables(server.url(name)))
    yield server.url(name)
    server.drop_database(name)


async def create_tables(url: str) -> None:
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        for each in (library_tables().metadata, metadata):
            await connection.run_sync(each.create_all)
    await engine.dispose()


async def empty(engine: AsyncEngine) -> None:
    """Delete what the check before has left."""
    async with engine.begin() as connection:
        for each in (library_tables().metadata, metadata):
            for table in reversed(each.sorted_tables):
                await connection.execute(delete(table))


class TestSQLQueue(QueueSuite):
    # Time is moved by hand. A lease also bounds how long the process may pause in a transaction.
    lease = timedelta(minutes=1)

    @pytest.fixture(autouse=True)
    def use_database(self, suite_url: str) -> None:
        self.url = suite_url

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[QueueBackend]:
        engine = create_async_engine(self.url)
        try:
            await empty(engine)
            self.sessions = async_sessionmaker(engine, expire_on_commit=False)
            yield SQLQueue(self.sessions, clock=self.clock)
        finally:
            await engine.dispose()

    @asynccontextmanager
    async def database(
        self, queue: QueueBackend
    ) -> AsyncIterator[async_sessionmaker[AsyncSession]]:
        del queue
        yield self.sessions

    async def elapse(self, seconds: float) -> None:
        self.clock.forward(seconds)

    async def cut(self, queue: QueueBackend) -> bool:
        del queue
        return await end_connections(self.url)


async def end_connections(url: str) -> bool:
    """End all connections to a database but one's own; SQLite has none."""
    engine = create_async_engine(url, poolclass=NullPool)
    async with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            await connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
        elif engine.dialect.name != "sqlite":
            others = text(
                "SELECT id FROM information_schema.processlist"
                " WHERE db = DATABASE() AND id <> CONNECTION_ID()"
            )
            for (number,) in (await connection.execute(others)).all():
                await connection.exec_driver_sql(f"KILL {number}")
    await engine.dispose()
    return engine.dialect.name != "sqlite"


class Machine(QueueMachine):
    """On one database, which is emptied for each example."""

    lease = timedelta(minutes=10)
    url: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.clock = MovedClock()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[QueueBackend]:
        engine = create_async_engine(self.url)
        await empty(engine)
        yield SQLQueue(async_sessionmaker(engine, expire_on_commit=False), clock=self.clock)
        await engine.dispose()

    async def elapse(self, seconds: float) -> None:
        self.clock.forward(seconds)


def test_the_queue_agrees_with_the_model(suite_url: str) -> None:
    class OnThisDatabase(Machine):
        url = suite_url

    share = 1 if suite_url.startswith("sqlite") else 3
    run_state_machine_as_test(
        OnThisDatabase,
        settings=settings(
            max_examples=examples(core=6, everything=15) // share,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
