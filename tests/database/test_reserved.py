"""The connection that a worker keeps to itself: where there is none to keep, it does without."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from zoho_sync.database.reserved import ReservedConnection


async def works(reserved: ReservedConnection) -> AsyncConnection:
    """Execute something, and return the connection."""
    async with reserved.session() as session:
        assert await session.scalar(text("SELECT 1")) == 1
        return await session.connection()


async def test_one_connection_is_kept_for_all_sessions(
    sessions: async_sessionmaker[AsyncSession],
) -> None:
    reserved = ReservedConnection(sessions)
    async with reserved.kept():
        first, second = await works(reserved), await works(reserved)
        assert first.sync_connection is second.sync_connection
    other = await works(reserved)
    assert other.sync_connection is not first.sync_connection


async def test_any_pool_will_do(database_url: str) -> None:
    engine = create_async_engine(database_url, poolclass=NullPool)
    reserved = ReservedConnection(async_sessionmaker(engine))
    async with reserved.kept():
        await works(reserved)
    await engine.dispose()


async def test_sessions_on_one_connection_have_none_to_spare(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        reserved = ReservedConnection(async_sessionmaker(connection))
        async with reserved.kept():
            assert (await works(reserved)).sync_connection is connection.sync_connection


async def test_a_database_that_is_away_is_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "later"
    engine = create_async_engine(f"sqlite+aiosqlite:///{folder / 'test.db'}")
    reserved = ReservedConnection(async_sessionmaker(engine))
    with caplog.at_level(logging.WARNING):
        async with reserved.kept():
            assert "no connection could be reserved yet" in caplog.text
            folder.mkdir()
            first, second = await works(reserved), await works(reserved)
            assert first.sync_connection is second.sync_connection
        async with reserved.kept():
            pass
    await engine.dispose()


async def test_an_unreachable_database_leaves_nothing_to_close(tmp_path: Path) -> None:
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'nowhere' / 'test.db'}")
    async with ReservedConnection(async_sessionmaker(engine)).kept():
        pass
    await engine.dispose()


async def test_who_waits_while_the_worker_ends_has_a_session_of_the_hosts(
    sessions: async_sessionmaker[AsyncSession],
) -> None:
    reserved = ReservedConnection(sessions)
    async with reserved.kept():
        async with reserved.session() as session:
            kept = await session.connection()
            waiting = asyncio.create_task(works(reserved))
            await asyncio.sleep(0)
            reserved._engine, reserved._connection = None, None
        other = await waiting
    assert other.sync_connection is not kept.sync_connection
    await kept.close()
