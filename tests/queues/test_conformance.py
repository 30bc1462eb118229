"""The queue in the host's database keeps the contract of all engines, on every database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from zoho_sync._schema import create_all
from zoho_sync._tables import library_tables
from zoho_sync.abc import QueueBackend
from zoho_sync.queues import SQLQueue
from zoho_sync.testing import QueueMachine, QueueSuite

TABLES = library_tables()


class Hands:
    """The database's clock, moved by hand."""

    now = datetime(2024, 6, 2, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(microseconds=1)
        return self.now


@asynccontextmanager
async def sql_queue(url: str, hands: Hands) -> AsyncIterator[QueueBackend]:
    """Open the queue of a database, with nothing in it."""
    engine = create_async_engine(url)
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    await create_all(sessions, [TABLES.metadata])
    async with engine.begin() as connection:
        await connection.execute(TABLES.jobs.delete())
    queue = SQLQueue(sessions, clock=hands)
    yield queue
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
        async with sql_queue(self.url, self.hands) as queue:
            yield queue

    async def elapse(self, seconds: float) -> None:
        self.hands.now += timedelta(seconds=seconds)


class Machine(QueueMachine):
    """On one database, which is emptied for each example."""

    lease = timedelta(minutes=10)
    url: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.hands = Hands()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[QueueBackend]:
        async with sql_queue(self.url, self.hands) as queue:
            yield queue

    async def elapse(self, seconds: float) -> None:
        self.hands.now += timedelta(seconds=seconds)


def test_the_queue_agrees_with_the_model(database_url: str) -> None:
    class OnThisDatabase(Machine):
        url = database_url

    share = 1 if database_url.startswith("sqlite") else 3
    run_state_machine_as_test(
        OnThisDatabase,
        settings=settings(
            max_examples=15 // share,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
