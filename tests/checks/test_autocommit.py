"""Engines that commit each statement by itself: one event could not be one transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from zoho_sync import ZohoSync
from zoho_sync.exceptions import MappingError

pytestmark = pytest.mark.databases("sqlite", "postgresql", "psycopg", "mariadb")

AUTOCOMMIT = "AUTOCOMMIT"


class Autocommitting(AsyncSession):
    """Says so for each of its connections."""

    async def connection(self, *_: Any, **arguments: Any) -> Any:
        options = {"isolation_level": AUTOCOMMIT}
        return await super().connection(**{"execution_options": options, **arguments})


def of_engine(url: str) -> tuple[AsyncEngine, Any]:
    engine = create_async_engine(url, isolation_level=AUTOCOMMIT)
    return engine, async_sessionmaker(engine)


def of_options(url: str) -> tuple[AsyncEngine, Any]:
    engine = create_async_engine(url)
    return engine, async_sessionmaker(engine.execution_options(isolation_level=AUTOCOMMIT))


def of_engines_options(url: str) -> tuple[AsyncEngine, Any]:
    engine = create_async_engine(url, execution_options={"isolation_level": AUTOCOMMIT})
    return engine, async_sessionmaker(engine)


def of_session(url: str) -> tuple[AsyncEngine, Any]:
    engine = create_async_engine(url)
    return engine, async_sessionmaker(engine, class_=Autocommitting)


@pytest.mark.parametrize("made", [of_engine, of_options, of_engines_options, of_session])
async def test_it_is_refused_with_the_remedy(
    database_url: str, made: Callable[[str], tuple[AsyncEngine, Any]]
) -> None:
    plain = create_async_engine(database_url)
    await ZohoSync(async_sessionmaker(plain)).create_tables()
    engine, sessions = made(database_url)
    sync = ZohoSync(sessions)
    for call in (sync.check, sync.drain, sync.run):
        with pytest.raises(MappingError) as raised:
            await call()
        (finding,) = raised.value.findings
        assert finding.where == "session_factory"
        assert "AUTOCOMMIT" in finding.problem
        assert "isolation_level" in finding.remedy
    await plain.dispose()
    await engine.dispose()


@pytest.fixture
async def own_begin(database_url: str) -> AsyncIterator[AsyncEngine]:
    """An engine whose driver commits by itself, and which begins transactions all the same.

    As SQLAlchemy's documentation has it for SQLite.
    """
    engine = create_async_engine(database_url)

    @event.listens_for(engine.sync_engine, "connect")
    def connected(connection: Any, _record: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(engine.sync_engine, "begin")
    def begun(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN")

    yield engine
    await engine.dispose()


@pytest.mark.databases("sqlite")
async def test_a_driver_that_is_told_when_to_begin_is_taken(own_begin: AsyncEngine) -> None:
    sync = ZohoSync(async_sessionmaker(own_begin))
    await sync.check()
    await sync.ingest({"item": {"item_id": "71"}})
    await sync.drain()


@pytest.mark.parametrize("level", ["READ COMMITTED", "SERIALIZABLE"])
async def test_other_levels_are_taken(database_url: str, level: str) -> None:
    if "sqlite" in database_url and level == "READ COMMITTED":
        pytest.skip("SQLite has no such level")
    engine = create_async_engine(database_url, isolation_level=level)
    sync = ZohoSync(async_sessionmaker(engine))
    await sync.create_tables()
    await sync.check()
    await engine.dispose()
