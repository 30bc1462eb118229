"""What `status` says of workers that disagree, and of engines that are away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.hosts.clock import Clock
from tests.hosts.events import customer, invoice
from tests.hosts.shop import CLIENTS, INVOICES, create_shop
from tests.hosts.sql import Sessions, execute, rows
from zoho_sync import HandlerRegistry, Outcome, ZohoSync
from zoho_sync.abc import Depth
from zoho_sync.exceptions import QueueUnavailable
from zoho_sync.handlers import CustomerHandler, InvoiceHandler
from zoho_sync.operate import StatusReport
from zoho_sync.queues import MemoryQueue, Outbox
from zoho_sync.store.tables import library_tables

pytestmark = [pytest.mark.databases("sqlite"), pytest.mark.breaks_connections]

TABLES = library_tables()


def well(report: StatusReport) -> bool:
    """Return whether nothing is wrong but that nothing was received, which is so here."""
    return all("nothing was ever received" in problem for problem in report.problems)


@pytest.fixture(autouse=True)
async def tables(engine: AsyncEngine) -> None:
    await create_shop(engine)


def app(sessions: Sessions, *handlers: type, **options: Any) -> ZohoSync:
    return ZohoSync(sessions, registry=HandlerRegistry(handlers), **options)


Clients = type("Clients", (CustomerHandler,), {"mapping": CLIENTS})
Noted = type("Noted", (CustomerHandler,), {"mapping": replace(CLIENTS, revision="2")})
Invoices = type("Invoices", (InvoiceHandler,), {"mapping": INVOICES})


@asynccontextmanager
async def working(*syncs: ZohoSync) -> AsyncIterator[None]:
    """Run workers, and let the body see all of them live."""
    tasks = [asyncio.create_task(each.run()) for each in syncs]
    try:
        async with asyncio.timeout(20):
            while len((await syncs[0].status()).workers) < len(syncs):  # noqa: ASYNC110  # no event
                await asyncio.sleep(0.02)
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def test_workers_of_one_mapping_agree(sessions: Sessions) -> None:
    async with working(app(sessions, Clients), app(sessions, Clients)):
        assert well(await app(sessions, Clients).status())


@pytest.mark.parametrize(
    ("one", "other", "name"),
    [
        ((Clients,), (Noted,), "customer"),
        ((Clients,), (CustomerHandler,), "customer"),
        ((Clients, Invoices), (Clients,), "invoice"),
        ((Clients,), (Clients, Invoices), "invoice"),
        ((Clients, Invoices), (Noted,), "customer, invoice"),
    ],
)
async def test_workers_that_live_and_have_different_mappings_are_named(
    sessions: Sessions, one: tuple[type, ...], other: tuple[type, ...], name: str
) -> None:
    syncs = app(sessions, *one), app(sessions, *other)
    async with working(*syncs):
        report = await syncs[0].status()
        (problem,) = report.problems
        assert problem.startswith(f"workers have different mappings for {name}: ")
        assert all(worker.name in problem for worker in report.workers)
    assert well(await syncs[0].status())


async def test_a_worker_of_a_release_that_is_not_served_is_named(sessions: Sessions) -> None:
    sync = app(sessions, Clients)
    async with working(sync):
        await execute(sessions, update(TABLES.workers).values(release="0.0.9"))
        (problem,) = (await sync.status()).problems
    assert "runs zoho-sync 0.0.9, and the library's tables serve 0.1.0 and later" in problem


async def test_the_newer_workers_take_what_the_older_one_does_not_know(
    sessions: Sessions,
) -> None:
    clock = Clock(datetime(2024, 6, 1, tzinfo=UTC))
    older = app(sessions, Clients, clock=clock)
    newer = app(sessions, Invoices, Clients, clock=clock)
    await newer.enqueue([customer("71", 1), invoice("81", "71", 1)])
    assert await older.drain() == {Outcome.APPLIED: 1, Outcome.RETRY: 1}
    assert await newer.drain() == {}
    clock.now += timedelta(seconds=1)
    assert await older.drain() == {Outcome.RETRY: 1}
    clock.now += timedelta(seconds=1)
    assert await newer.drain() == {}
    clock.now += timedelta(seconds=1)
    assert await newer.drain() == {Outcome.APPLIED: 1}
    _, entry = await rows(sessions, TABLES.journal)
    assert (entry["entity_id"], entry["attempts"]) == ("81", 2)


async def test_a_worker_that_was_killed_is_missed_and_forgotten(sessions: Sessions) -> None:
    clock = Clock(datetime(2024, 6, 1, tzinfo=UTC))
    sync = app(sessions, Clients, clock=clock, lease=timedelta(minutes=1))
    sync._worker._presence.begin()
    await sync._worker._presence.tell()
    assert well(await sync.status())
    clock.now += timedelta(seconds=61)
    (problem,) = (await sync.status()).problems
    assert "was last heard of at 2024-06-01T00:00:00+00:00" in problem
    clock.now += timedelta(minutes=10)
    report = await sync.status()
    assert (report.workers, well(report)) == ((), True)
    clock.now += timedelta(days=1)
    await sync._worker._maintenance.run_if_leader()
    assert await rows(sessions, TABLES.workers) == []


class Away(MemoryQueue):
    """An engine that does not answer."""

    silent = False

    async def depth(self, *, connection: Any = None) -> Depth:
        del connection
        if self.silent:
            await asyncio.sleep(60)
        raise QueueUnavailable("no answer")


@pytest.mark.parametrize("outbox", [False, True])
@pytest.mark.parametrize("silent", [False, True])
async def test_status_tells_what_the_database_knows(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch, *, outbox: bool, silent: bool
) -> None:
    """Nothing is missing but what is in the engine, and that is said."""
    monkeypatch.setattr("zoho_sync.operate.status._PATIENCE", 0.2)
    engine = Away()
    engine.silent = silent
    sync = app(sessions, Clients, queue=Outbox(engine) if outbox else engine)
    await sync.apply(customer("71", 1))
    await sync.enqueue([customer("72", 1)], priority=1)
    await sync.ingest(b"{")
    if outbox:
        await sync.enqueue([customer("73", 1)])
    report = await sync.status()
    assert report.settled == {Outcome.APPLIED: 1}
    assert (report.queue.ready, report.dead_letters) == (2 if outbox else 1, 1)
    (unknown,) = report.unknown
    assert unknown.startswith("the queue's engine cannot be reached, and what waits in it is not")
    assert unknown in report.problems
    await sync.close()


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1", "amqp://127.0.0.1:1", "nats://127.0.0.1:1"])
async def test_any_engine_may_be_away(sessions: Sessions, url: str) -> None:
    async with app(sessions, Clients, queue=url) as sync:
        report = await sync.status()
    assert len(report.unknown) == 1
    assert not report.healthy
