"""Idle workers of other processes are woken at once, where PostgreSQL can; else they look."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from tests.hosts.events import customer
from tests.hosts.shop import create_shop, registry
from zoho_sync import ZohoSync
from zoho_sync.queues import SQLQueue
from zoho_sync.queues.wakeup import Wakeup, channel_of
from zoho_sync.store.tables import library_tables

FIRST = "91"

pytestmark = [pytest.mark.databases("postgresql", "psycopg"), pytest.mark.breaks_connections]

NEVER = 300.0
"""Seconds between two looks of a worker: only who is woken finds anything."""


LISTENING = "FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN %'"


class Worker:
    """A worker with an engine of its own, and what it has applied."""

    def __init__(self, url: str, **pool: Any) -> None:
        self.engine = create_async_engine(url, **pool)
        sessions = async_sessionmaker(self.engine, expire_on_commit=False)
        self.applied = asyncio.Queue[str]()
        self.sync = ZohoSync(
            sessions,
            queue=SQLQueue(sessions, listen=True),
            registry=registry(),
            hooks=[lambda settled: self.applied.put_nowait(settled.event.entity_id)],
        )

    async def next(self, seconds: float = 20) -> str:
        async with asyncio.timeout(seconds):
            return await self.applied.get()


@asynccontextmanager
async def at_work(url: str, **pool: Any) -> AsyncIterator[Worker]:
    """A worker that runs, and has done what there was to do."""
    worker = Worker(url, **pool)
    await worker.sync.enqueue([customer(FIRST, 1)])
    running = asyncio.create_task(worker.sync.run())
    try:
        assert await worker.next() == FIRST
        yield worker
    finally:
        running.cancel()
        await asyncio.wait({running})
        await worker.sync.close()
        await worker.engine.dispose()


async def listeners(engine: AsyncEngine) -> int:
    """How many connections listen now."""
    listen = text(f"SELECT count(*) {LISTENING}")
    async with engine.connect() as connection:
        return int((await connection.execute(listen)).scalar_one())


async def until_listening(engine: AsyncEngine) -> None:
    async with asyncio.timeout(20):
        while not await listeners(engine):  # noqa: ASYNC110  # the database sends no event
            await asyncio.sleep(0.02)


async def until_nobody_listens(engine: AsyncEngine) -> None:
    """The server notices a moment later that a client has gone."""
    async with asyncio.timeout(20):
        while await listeners(engine):  # noqa: ASYNC110  # as above
            await asyncio.sleep(0.02)


@pytest.fixture
def url(database_url: str) -> str:
    return database_url


@pytest.fixture
async def engine(url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(url)
    await create_shop(engine)
    await ZohoSync(async_sessionmaker(engine)).create_tables()
    yield engine
    await engine.dispose()


@pytest.fixture
def sender(engine: AsyncEngine) -> ZohoSync:
    """The front door of another process."""
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    return ZohoSync(sessions, queue=SQLQueue(sessions, listen=True), registry=registry())


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoho_sync.worker.loop._POLL", NEVER)


@pytest.mark.usefixtures("idle")
async def test_a_worker_is_woken_by_another_process(
    engine: AsyncEngine, sender: ZohoSync, url: str
) -> None:
    async with at_work(url) as worker:
        await until_listening(engine)
        await sender.enqueue([customer("1", 1)])
        assert await worker.next() == "1"
        sessions = async_sessionmaker(engine)
        async with sessions() as session, session.begin():
            await sender.enqueue([customer("2", 1)], session)
            await asyncio.sleep(0.1)
            assert worker.applied.empty()
        assert await worker.next() == "2"
    await sender.close()


@pytest.mark.usefixtures("idle")
async def test_a_connection_that_is_lost_is_made_anew(
    engine: AsyncEngine, sender: ZohoSync, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoho_sync.queues.wakeup._AGAIN", 0.05)
    async with at_work(url) as worker:
        await until_listening(engine)
        async with engine.connect() as connection:
            await connection.execute(text(f"SELECT pg_terminate_backend(pid, 5000) {LISTENING}"))
        # What is enqueued meanwhile is found as it listens again.
        await sender.enqueue([customer("1", 1)])
        assert await worker.next() == "1"
        await until_listening(engine)
        await sender.enqueue([customer("2", 1)])
        assert await worker.next() == "2"
    await until_nobody_listens(engine)
    await sender.close()


async def test_what_comes_together_is_said_once(engine: AsyncEngine) -> None:
    """Whoever enqueues does not wait for it, and the server's lock is not taken for each."""
    said = asyncio.Queue[int]()
    sessions = async_sessionmaker(engine)

    def counted() -> AsyncSession:
        said.put_nowait(1)
        return sessions()

    herald = Wakeup(counted, "channel")
    herald.tell()
    said.get_nowait()  # that was a look at what database it is
    for _ in range(50):
        herald.tell()
    async with asyncio.timeout(20):
        await said.get()
        herald.tell()  # while the first is on its way
        await said.get()
    await asyncio.sleep(0.2)
    assert said.empty()
    await herald.close()


async def test_a_pool_without_room_polls(
    engine: AsyncEngine, sender: ZohoSync, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        async with at_work(url, pool_size=2, max_overflow=0) as worker:
            await sender.enqueue([customer("1", 1)])
            assert await worker.next() == "1"
            assert await listeners(engine) == 0
    assert "the worker polls" in caplog.text
    await sender.close()


async def test_who_cannot_listen_polls_and_says_so_once(
    sender: ZohoSync, url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As behind a pooler that forbids it."""
    monkeypatch.setattr("zoho_sync.queues.wakeup._AGAIN", 0.01)
    # A name that PostgreSQL refuses stands for whatever else it may refuse.
    monkeypatch.setattr("zoho_sync.queues.sql.channel_of", lambda _: "")
    async with at_work(url) as worker:
        await asyncio.sleep(0.2)
        await sender.enqueue([customer("1", 1)])
        assert await worker.next() == "1"
    assert caplog.text.count("cannot listen") == 1
    await sender.close()


async def test_other_databases_have_nothing_to_say(sqlite_url: str) -> None:
    engine = create_async_engine(sqlite_url)
    await create_shop(engine)
    await ZohoSync(async_sessionmaker(engine)).create_tables()
    await engine.dispose()
    async with at_work(sqlite_url) as worker:
        await worker.sync.enqueue([customer("1", 1)])
        assert await worker.next() == "1"


def test_each_schema_has_a_channel() -> None:
    names = {channel_of(library_tables(schema).jobs) for schema in (None, "1", "2")}
    assert len(names) == 3
    assert all(len(name) < 64 for name in names)
