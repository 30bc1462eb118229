"""PostgreSQL behind a pooler that gives each transaction another connection of the server's.

There is no state of a session there: no prepared statements, no LISTEN, no settings that outlive a
transaction, no locks that do.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from tests.faults.processes import WorkerProcess
from tests.faults.routes import Route
from tests.faults.worker_process import Conduct
from tests.hosts.events import customer, invoice
from tests.hosts.shop import Client, Script, create_shop, registry
from tests.servers import ServerUnavailableError, skip_or_fail
from tests.servers.pgbouncer import Pooler, available_pooler
from tests.servers.postgres import PostgresServer
from zoho_sync import Outcome, SyncEvent, ZohoSync
from zoho_sync.queues import SQLQueue
from zoho_sync.store.tables import library_tables

pytestmark = pytest.mark.breaks_connections

TABLES = library_tables()
"""What a host must say to its drivers behind such a pooler; as in docs/how-to/queues.md."""
OPTIONS: dict[str, dict[str, Any]] = {
    "asyncpg": {
        "statement_cache_size": 0,
        "prepared_statement_cache_size": 0,
        "prepared_statement_name_func": lambda: f"__asyncpg_{uuid.uuid4()}__",
    },
    "psycopg": {"prepare_threshold": None},
}


@pytest.fixture(scope="module")
def pooler(postgres_server: PostgresServer) -> Iterator[Pooler]:
    try:
        with available_pooler(postgres_server) as started:
            yield started
    except ServerUnavailableError as reason:
        skip_or_fail(reason)


@pytest.fixture(params=["asyncpg", "psycopg"])
def url(request: pytest.FixtureRequest, pooler: Pooler) -> Iterator[str]:
    name = pooler.server.create_database()
    yield pooler.url(name, request.param)
    pooler.server.drop_database(name)


@pytest.fixture
async def engine(url: str) -> AsyncIterator[AsyncEngine]:
    engine = pooled(url)
    await create_shop(engine)
    await ZohoSync(async_sessionmaker(engine)).create_tables()
    yield engine
    await engine.dispose()


def pooled(url: str) -> AsyncEngine:
    """The host's engine: with a pool of its own in front of the pooler."""
    return create_async_engine(url, connect_args=OPTIONS[driver_of(url)])


def driver_of(url: str) -> str:
    return url.partition("+")[2].partition(":")[0]


async def count(engine: AsyncEngine, table: str) -> int:
    async with engine.connect() as connection:
        found = await connection.execute(text(f"SELECT count(*) FROM {table}"))  # noqa: S608  # our own
        return int(found.scalar_one())


async def test_from_the_front_door_to_the_rows(engine: AsyncEngine) -> None:
    """With more clients than the pooler has connections, and everything that is recorded."""
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    syncs = [ZohoSync(sessions, registry=registry(), batch_size=5) for _ in range(3)]
    bodies = [{**customer(f"1{n}", 1).payload, "contact_type": "customer"} for n in range(20)]
    receipts = await asyncio.gather(*(syncs[0].ingest({"contact": body}) for body in bodies))
    assert {receipt.http_status for receipt in receipts} == {200}
    await syncs[1].enqueue([invoice(f"2{n}", f"1{19 - n}", 1) for n in range(20)])
    await syncs[1].enqueue([SyncEvent("invoice", "99", {"invoice_id": "99", "total": "a lot"})])
    counts = await asyncio.gather(*(sync.drain() for sync in syncs))
    assert sum(each.get(Outcome.DEAD_LETTER, 0) for each in counts) == 1
    await syncs[0].drain()
    report = await syncs[2].status()
    assert (report.settled, report.queue.total, report.parked) == ({Outcome.APPLIED: 40}, 0, 0)
    assert await count(engine, "invoices") == 20
    await syncs[0].pause()
    assert (await syncs[1].status()).paused_since is not None
    await syncs[2].resume()


async def test_leases_are_lengthened(engine: AsyncEngine) -> None:
    """A handler that takes longer than its lease, and a peer that would take the job."""
    lease, began = timedelta(seconds=2), asyncio.Event()

    async def linger(event: SyncEvent, session: AsyncSession) -> None:
        del event
        began.set()
        for _ in range(25):
            await session.execute(select(1))
            await asyncio.sleep(0.1)

    sessions = async_sessionmaker(engine, expire_on_commit=False)
    slow = ZohoSync(sessions, registry=registry(Script(before=linger)), lease=lease)
    peer = ZohoSync(sessions, registry=registry(), lease=lease)
    await slow.enqueue([customer("1", 1, stamp="once")])
    working = asyncio.create_task(slow.run())
    await began.wait()
    async with asyncio.timeout(40):
        while await count(engine, "zoho_sync_jobs"):
            assert await peer.drain() == {}
            await asyncio.sleep(0.2)
    working.cancel()
    await asyncio.wait({working})
    async with sessions() as session:
        assert list(await session.scalars(select(Client.note))) == ["once"]
        assert list(await session.scalars(select(TABLES.journal.c.attempts))) == [0]


async def test_a_worker_that_would_listen_polls(engine: AsyncEngine) -> None:
    """LISTEN is lost with its transaction here, and nobody is told: it must not be missed."""
    sessions, applied = async_sessionmaker(engine, expire_on_commit=False), asyncio.Event()
    queue = SQLQueue(sessions, listen=True)
    hooks = [lambda _: applied.set()]
    sync = ZohoSync(sessions, queue=queue, registry=registry(), hooks=hooks)
    running = asyncio.create_task(sync.run())
    await asyncio.sleep(0.3)
    await ZohoSync(sessions, registry=registry()).enqueue([customer("1", 1)])
    async with asyncio.timeout(30):
        await applied.wait()
    running.cancel()
    await asyncio.wait({running})
    await sync.close()


async def test_a_worker_is_killed_in_the_middle(
    engine: AsyncEngine, url: str, tmp_path: Path
) -> None:
    """Its process ends, and another one takes over once its leases have ended."""
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    sync = ZohoSync(sessions, registry=registry(), lease=timedelta(seconds=2))
    await sync.enqueue([customer(f"1{n}", 1, stamp=f"s{n}") for n in range(20)])
    # Statements without a name need none of the server's memory of them.
    options = {n: v for n, v in OPTIONS[driver_of(url)].items() if not callable(v)}
    worker = WorkerProcess(Route(url), Conduct(lease=2, connect_args=options), tmp_path)
    try:
        async with asyncio.timeout(40):
            while "works" not in worker.said:  # noqa: ASYNC110  # another process says it
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
    finally:
        worker.end()
    async with asyncio.timeout(60):
        while await count(engine, "zoho_sync_jobs"):
            await sync.drain()
            await asyncio.sleep(0.2)
    report = await sync.status()
    assert report.settled == {Outcome.APPLIED: 20}
    async with engine.connect() as connection:
        twice = text("SELECT 1 FROM shop_writes GROUP BY row_id, stamp HAVING count(*) > 1")
        assert (await connection.execute(twice)).all() == []
