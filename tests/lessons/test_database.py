"""Looks for what differs between databases: times, exact numbers, one connection, creation."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlalchemy.pool import StaticPool

from tests.hosts import tables
from tests.hosts.application import Host, open_host
from tests.hosts.documents import customer, item
from tests.hosts.sql import Sessions, library
from zoho_sync import ConfigurationError, Outcome, ZohoSync, mirror

pytestmark = pytest.mark.databases("sqlite", "postgresql", "mariadb")


@pytest.fixture
def far_east(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process whose local time is far from UTC."""
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.breaks_connections
@pytest.mark.databases("sqlite", "postgresql")
@pytest.mark.usefixtures("far_east")
async def test_lesson_40_times_are_aware_and_utc(engine: AsyncEngine, sessions: Sessions) -> None:
    """It would be back if a naive time were guessed, or a local one stored or compared."""
    if engine.dialect.name == "postgresql":
        async with engine.begin() as connection:
            name = engine.url.database
            await connection.execute(text(f"ALTER DATABASE \"{name}\" SET timezone = 'Asia/Tokyo'"))
        await engine.dispose()
    host = await open_host(sessions, None)
    noon = datetime(2024, 5, 17, 12, tzinfo=UTC)
    # Later on the wall clock, earlier in time.
    bodies = [
        customer(contact_name="New", last_modified_time="2024-05-17T04:00:00-0800"),
        customer(contact_name="Old", last_modified_time="2024-05-17T17:00:00+0530"),
        customer(contact_name="Naive", last_modified_time="2024-05-17T23:00:00"),
    ]
    counts = await host.take(bodies[0])
    assert counts == {Outcome.APPLIED: 1}
    assert await host.take(*bodies[1:]) == {Outcome.STALE: 1}
    row = await host.row(mirror.customers)
    assert (row["contact_name"], row["last_modified_time"]) == ("New", noon)
    assert [path for path, _ in await host.dead()] == ["customer.last_modified_time"]
    report = await host.sync.status()
    for moment in (report.at, report.last_arrival):
        assert moment is not None
        assert moment.utcoffset() == timedelta(0)
        assert abs(datetime.now(UTC) - moment) < timedelta(minutes=5)
    ledger = await host.row(library.ledger)
    assert ledger["effective_time"] == noon


@pytest.mark.without_tables
async def test_lesson_63_tables_are_created_by_many_at_once(database_url: str) -> None:
    """It would be back if "look, then create" raced: "relation already exists"."""
    engines = [create_async_engine(database_url) for _ in range(6)]
    try:
        factories = [async_sessionmaker(engine) for engine in engines]
        await asyncio.gather(*(ZohoSync(factory).create_tables() for factory in factories))
        async with engines[0].connect() as connection:
            names = await connection.run_sync(lambda c: inspect(c).get_table_names())
        expected = {*library.metadata.tables, *mirror.metadata.tables}
        assert set(names) == expected
        await ZohoSync(factories[0]).create_tables()
    finally:
        for engine in engines:
            await engine.dispose()


@pytest.mark.breaks_connections
async def test_ruling_exact_decimal_in_a_table_of_the_host(erp: Host) -> None:
    """SQLite's NUMERIC would give back …99.98."""
    assert mirror.ExactDecimal is type(tables.products.c.price.type)
    await erp.take(item(rate="99999999999999.99"))
    price = (await erp.row(tables.products))["price"]
    assert price == Decimal("99999999999999.99")


@pytest.fixture
async def memory() -> AsyncIterator[Sessions]:
    """An in-memory database, whose one connection all sessions share."""
    engine = create_async_engine("sqlite+aiosqlite://", poolclass=StaticPool)
    yield async_sessionmaker(engine)
    await engine.dispose()


@pytest.mark.breaks_connections
async def test_ruling_one_shared_connection_is_serialised(memory: Sessions) -> None:
    """Otherwise parallel callers would commit, and roll back, each other's halves."""
    host = await open_host(memory)
    bodies = [customer(f"1{n}", email=["x"] if n % 3 == 0 else "a") for n in range(12)]
    await asyncio.gather(*(host.sync.ingest(body) for body in bodies))
    await asyncio.gather(host.sync.drain(), host.sync.drain(), host.sync.ingest(customer("99")))
    await host.sync.drain()
    assert await host.count(tables.clients) == 9
    assert (await host.sync.status()).dead_letters == 4
    with pytest.raises(ConfigurationError, match="drain"):
        await host.sync.run()
