"""What these tests share: a clock that they move, and plain SQL over the tables of both sides."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Executable, MetaData, Table, event, func, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from tests.laws.engines import QueueEngine, nobody
from zoho_sync._tables import library_tables

Sessions = async_sessionmaker[AsyncSession]

library = library_tables()

EXAMPLES: Final = int(os.environ.get("ZOHO_SYNC_PROPERTY_EXAMPLES", "0")) or 8
"""Of each property; a long run takes more."""

START = datetime(2024, 6, 1, 12, 0, tzinfo=UTC)
"""Where the clock of a test begins; the documents of the tests are older."""


@dataclass
class Hands:
    """A clock that moves when told to, and by a microsecond for every look at it."""

    now: datetime = START

    def __call__(self) -> datetime:
        """Return the time."""
        self.now += timedelta(microseconds=1)
        return self.now

    def move(self, **by: float) -> None:
        """Move the hands, by what `timedelta` takes."""
        self.now += timedelta(**by)


def at(second: int) -> str:
    """A time as Zoho writes it, before `START`."""
    return f"2024-05-17T10:00:{second:02}+0000"


async def make(sessions: Sessions, metadata: MetaData) -> None:
    """Make the host's tables, as the host does."""
    async with sessions() as session, session.begin():
        await (await session.connection()).run_sync(metadata.create_all)


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


async def counts(sessions: Sessions, tables: Iterable[Table]) -> dict[str, int]:
    """Return, by table, how many rows there are."""
    found = {}
    async with sessions() as session:
        for table in tables:
            statement = select(func.count()).select_from(table)
            found[table.name] = (await session.execute(statement)).scalar_one()
    return found


async def broken_off(
    engine: AsyncEngine,
    work: Coroutine[Any, Any, Any],
    after: int,
    queues: QueueEngine | None = None,
) -> bool:
    """Do some work, and cancel it in the middle of the statement of that number.

    Calls to the server of a queue engine count as well. Returns whether it got that far.
    """
    task = asyncio.ensure_future(work)
    left = after

    def count(*_: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            task.cancel()

    queues = queues or QueueEngine()
    queues.heard = count
    event.listen(engine.sync_engine, "before_cursor_execute", count)
    try:
        await asyncio.wait({task})
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", count)
        queues.heard = nobody
    if not task.cancelled():
        task.result()
    return left <= 0
