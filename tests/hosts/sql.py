"""Reads and writes the tables of both sides with plain SQL, not through the library."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Executable, MetaData, Table, func, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from zoho_sync.database.creation import create_missing
from zoho_sync.store.tables import library_tables

Sessions = async_sessionmaker[AsyncSession]

library = library_tables()


async def make(sessions: Sessions, metadata: MetaData) -> None:
    """Make the host's tables, as the host does."""
    async with sessions() as session, session.begin():
        await (await session.connection()).run_sync(create_missing, metadata)


async def clear(sessions: Sessions, *more: MetaData) -> None:
    """Empty the library's tables and the host's."""
    async with sessions() as session, session.begin():
        for metadata in (library.metadata, *more):
            for table in reversed(metadata.sorted_tables):
                await session.execute(table.delete())


async def execute(sessions: Sessions, *statements: Executable) -> None:
    """Do as the host does, in one transaction."""
    async with sessions() as session, session.begin():
        for statement in statements:
            await session.execute(statement)


async def rows(sessions: Sessions, table: Table, **where: Any) -> list[dict[str, Any]]:
    """Return rows in the order of their primary keys."""
    statement = select(table).order_by(*table.primary_key.columns)
    for name, value in where.items():
        statement = statement.where(table.c[name] == value)
    async with sessions() as session:
        return [dict(row) for row in (await session.execute(statement)).mappings()]


async def row(sessions: Sessions, table: Table, **where: Any) -> dict[str, Any]:
    """Return the one row that there is."""
    (found,) = await rows(sessions, table, **where)
    return found


async def count(sessions: Sessions, table: Any) -> int:
    """Return how many rows a table has."""
    async with sessions() as session:
        return int((await session.execute(select(func.count()).select_from(table))).scalar_one())


async def counts(sessions: Sessions, tables: Iterable[Table]) -> dict[str, int]:
    """Return, by table, how many rows there are."""
    return {table.name: await count(sessions, table) for table in tables}
