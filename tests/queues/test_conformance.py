"""The queue in the host's database keeps the contract of all engines, on every database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from zoho_sync import ZohoSync
from zoho_sync.abc import QueueBackend
from zoho_sync.queues import SQLQueue
from zoho_sync.testing import QueueMachine, QueueSuite


class Hands:
    """The database's clock, moved by hand."""

    now = datetime(2024, 6, 2, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(microseconds=1)
        return self.now


@asynccontextmanager
async def sql_queue(
    url: str, hands: Hands
) -> AsyncIterator[tuple[QueueBackend, async_sessionmaker[AsyncSession]]]:
    """Open the queue of an empty database, and give the sessions of its host."""
    engine = create_async_engine(url)
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    await ZohoSync(sessions).create_tables()
    queue = SQLQueue(sessions, clock=hands)
    yield queue, sessions
    await queue.close()
    await engine.dispose()


class TestSQLQueue(QueueSuite):
    # Time is moved by hand. A lease also bounds how long the process may pause in a transaction.
    lease = timedelta(minutes=1)

    @pytest.fixture(autouse=True)
    def empty_database(self, database_url: str) -> None:
        self.url = database_url
        self.hands = Hands()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[QueueBackend]:
        async with sql_queue(self.url, self.hands) as (queue, self.sessions):
            yield queue

    def host_session(self) -> AsyncSession:
        return self.sessions()

    async def elapse(self, seconds: float) -> None:
        self.hands.now += timedelta(seconds=seconds)


class Machine(QueueMachine):
    """On SQLite in memory: a database for each example."""

    lease = timedelta(minutes=10)

    def __init__(self) -> None:
        super().__init__()
        self.hands = Hands()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[QueueBackend]:
        async with sql_queue("sqlite+aiosqlite:///:memory:", self.hands) as (queue, _):
            yield queue

    async def elapse(self, seconds: float) -> None:
        self.hands.now += timedelta(seconds=seconds)


TestMachine = Machine.TestCase
TestMachine.settings = settings(
    max_examples=15,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
