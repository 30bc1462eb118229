"""Two hosts and three workers lock the same rows in opposite orders, and nothing is lost."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    async_sessionmaker,
    create_async_engine,
)

from tests.amounts import amount
from tests.hosts.events import customer, invoice
from tests.hosts.shop import create_shop, registry
from tests.hosts.sql import Sessions
from zoho_sync import HostTransactionLost, SyncEvent, ZohoSync
from zoho_sync.database.faults import Fault, classify

# Their transactions run into one another; those of SQLite do not.
pytestmark = [pytest.mark.databases("postgresql", "mariadb"), pytest.mark.breaks_connections]

SECONDS = float(os.environ.get("ZOHO_SYNC_DEADLOCK_SECONDS", amount(core=3, everything=6)))
SEED = int(os.environ.get("ZOHO_SYNC_FAULT_SEED", "20240501"))
WORKERS = 3
CLIENTS = [str(1000 + number) for number in range(8)]
INVOICES = [str(5000 + number) for number in range(8)]
ENDED_BY_THE_DATABASE = {Fault.CONFLICT, Fault.LOCK_TIMEOUT}
DEADLOCKS = {
    "postgresql": "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()",
    "mysql": (
        "SELECT variable_value FROM information_schema.global_status "
        "WHERE variable_name = 'innodb_deadlocks'"
    ),
}


@dataclass
class Book:
    """What was sent and what the hosts committed: the oracle.

    Attributes:
        sent: Events that were queued.
        joined: Events that were applied inside a host's transaction that committed.
        newest: Zoho's id → second and stamp of the newest document.
        visits: Zoho's id of a client → how often a host has committed a visit.
        refused: Host transactions that the database ended.
    """

    sent: int = 0
    joined: int = 0
    newest: dict[str, tuple[int, str]] = field(default_factory=dict)
    visits: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    _second: int = 0

    def document(self, entity_id: str) -> SyncEvent:
        """Return a new document of an entity, newer than all before."""
        self._second += 1
        stamp = f"{entity_id}.{self._second}"
        if entity_id in CLIENTS:
            return customer(entity_id, self._second, stamp=stamp)
        return invoice(entity_id, CLIENTS[int(entity_id) % len(CLIENTS)], self._second, stamp=stamp)

    def accept(self, event: SyncEvent) -> None:
        """Note a document that was queued, or committed by a host."""
        second = int(event.payload["notes"].split(".")[1])
        told = (second, event.payload["notes"])
        self.newest[event.entity_id] = max(self.newest.get(event.entity_id, told), told)


@pytest.fixture
async def engines(database_url: str) -> AsyncIterator[list[AsyncEngine]]:
    """An engine for each party; deadlocks are found quickly, so that many fit into the time."""
    # MariaDB finds them at once.
    quick = {"server_settings": {"deadlock_timeout": "20ms"}} if "asyncpg" in database_url else {}
    made = [create_async_engine(database_url, connect_args=quick) for _ in range(WORKERS + 2)]
    yield made
    for engine in made:
        await engine.dispose()


def cause(error: Exception) -> BaseException:
    """Return what the database said."""
    lost = isinstance(error, HostTransactionLost)
    return error.__cause__ if lost and error.__cause__ is not None else error


@contextmanager
def counted(book: Book) -> Iterator[None]:
    """Count a host transaction that the database ended; anything else is an error of the test."""
    try:
        yield
    except (DBAPIError, HostTransactionLost) as error:
        # MariaDB ends the whole transaction, whoever's statement it was.
        if classify(cause(error)) not in ENDED_BY_THE_DATABASE:
            raise
        book.refused += 1


async def visit(sync: ZohoSync, sessions: Sessions, book: Book, dice: random.Random) -> None:
    """Be a host: lock several rows in any order, and apply an event in the same transaction."""
    seen = dice.sample(CLIENTS, 4)
    joined = book.document(dice.choice(CLIENTS))
    with counted(book):
        async with sessions() as session, session.begin():
            for number, client in enumerate(seen):
                await session.execute(
                    text("UPDATE clients SET visits = visits + 1 WHERE name = :name"),
                    {"name": f"Client {client}"},
                )
                await asyncio.sleep(0.005)
                if number == 1:
                    handler = sync.handler("customer", session)
                    await handler.sync(joined.payload)
        book.visits.update(seen)
        book.accept(joined)
        book.joined += 1


async def send(sync: ZohoSync, book: Book, dice: random.Random) -> None:
    """Queue a document of several entities, in any order."""
    events = [book.document(entity) for entity in (*CLIENTS, *INVOICES)]
    dice.shuffle(events)
    await sync.enqueue(events)
    for event in events:
        book.accept(event)
    book.sent += len(events)


async def repeat(seconds: float, action: Any) -> None:
    """Do something again and again."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while loop.time() < end:
        await action()
        await asyncio.sleep(0)


async def ask(engine: AsyncEngine, statement: str) -> list[tuple[Any, ...]]:
    """Return what a statement finds."""
    async with engine.connect() as connection:
        return [tuple(row) for row in await connection.execute(text(statement))]


async def settled(engine: AsyncEngine) -> None:
    """Wait until the queue is empty; released events come again within a minute."""
    async with asyncio.timeout(90):
        while await ask(engine, "SELECT id FROM zoho_sync_jobs LIMIT 1"):  # noqa: ASYNC110  # other tasks empty it
            await asyncio.sleep(0.1)


async def prepare(engine: AsyncEngine, sync: ZohoSync, book: Book) -> None:
    """Make the tables and the first rows, and give the clients a column of the host's own."""
    await create_shop(engine)
    async with engine.begin() as connection:
        await connection.execute(
            text("ALTER TABLE clients ADD COLUMN visits integer NOT NULL DEFAULT 0")
        )
    await sync.create_tables()
    await send(sync, book, random.Random(SEED))  # noqa: S311  # seeded
    await sync.drain()


@pytest.mark.timeout(int(SECONDS) + 180)
async def test_rows_locked_in_opposite_orders_lose_nothing(engines: list[AsyncEngine]) -> None:
    """Lesson 48, at full size: every row right, every event applied or stale, no attempt spent."""
    factories = [async_sessionmaker(engine, expire_on_commit=False) for engine in engines]
    syncs = [ZohoSync(each, registry=registry(), batch_size=8) for each in factories]
    book, watcher = Book(), engines[0]
    dice = random.Random(SEED)  # noqa: S311  # seeded: a run can be repeated
    await prepare(watcher, syncs[0], book)
    workers = [asyncio.create_task(sync.run()) for sync in syncs[:WORKERS]]
    async with asyncio.TaskGroup() as tasks:
        for number in (WORKERS, WORKERS + 1):
            sync, sessions = syncs[number], factories[number]
            tasks.create_task(repeat(SECONDS, lambda a=sync, b=sessions: visit(a, b, book, dice)))
        tasks.create_task(repeat(SECONDS, lambda: send(syncs[0], book, dice)))
    await settled(watcher)
    for worker in workers:
        worker.cancel()
    ended = await asyncio.gather(*workers, return_exceptions=True)
    assert [error for error in ended if not isinstance(error, asyncio.CancelledError)] == []

    rows = await ask(watcher, "SELECT name, note, visits FROM clients")
    assert {name: stamp for name, stamp, _ in rows} == {
        f"Client {client}": book.newest[client][1] for client in CLIENTS
    }
    assert {name: visits for name, _, visits in rows} == {
        f"Client {client}": book.visits[client] for client in CLIENTS
    }
    assert dict(await ask(watcher, "SELECT zoho_id, note FROM invoices")) == {
        number: book.newest[number][1] for number in INVOICES
    }
    became = dict(
        await ask(watcher, "SELECT outcome, count(*) FROM zoho_sync_journal GROUP BY outcome")
    )
    assert became.keys() <= {"applied", "stale"}
    assert sum(became.values()) == book.sent + book.joined
    assert await ask(watcher, "SELECT max(attempts) FROM zoho_sync_journal") == [(0,)]
    for table in ("zoho_sync_parked", "zoho_sync_dead_letters"):
        assert await ask(watcher, f"SELECT count(*) FROM {table}") == [(0,)]  # noqa: S608  # our own names
    deadlocks = await ask(watcher, DEADLOCKS[watcher.dialect.name])
    assert book.joined > 0
    assert int(deadlocks[0][0]) > 0, "there was none: the test has proved nothing"
