"""Pauses the queue and lets it go on: by a row of the database, which every worker looks at."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, bindparam, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from zoho_sync.database.creation import needing_tables
from zoho_sync.database.dialects import Clock, database_time
from zoho_sync.database.insertion import insert_absent
from zoho_sync.database.unit_of_work import unit_of_work
from zoho_sync.store.tables import Tables

__all__ = ["Pause", "PauseSwitch", "paused_at"]

_QUEUE: Final = "all"
"""The row's name. There is one queue; a part of it would have a name of its own."""


def paused_at(tables: Tables) -> ColumnElement[Any]:
    """Return what gives, in a statement, since when the queue has been paused, or NULL."""
    table = tables.pauses
    return select(table.c.paused_at).where(table.c.queue == _QUEUE).scalar_subquery()


class Pause:
    """The row of the pauses table, on one connection, inside one transaction."""

    def __init__(self, connection: AsyncConnection, tables: Tables) -> None:
        self._connection = connection
        self._tables = tables

    async def since(self) -> datetime | None:
        """Return since when the queue has been paused; None if it is not."""
        since: datetime | None = await self._connection.scalar(select(paused_at(self._tables)))
        return since

    async def begin(self, now: datetime) -> bool:
        """Pause the queue; return whether it was not paused before."""
        table = self._tables.pauses
        row = {"queue": _QUEUE, "paused_at": now}
        made = insert_absent(self._connection, table, [row], ["queue"], returning=[table.c.queue])
        return bool(await made)

    async def end(self, now: datetime) -> bool:
        """End the pause; return whether there was one.

        What waited for another entity had no chance to meet it: its deadline is put off for as long
        as the pause was.
        """
        since, table = await self.since(), self._tables.pauses
        ended = await self._connection.execute(delete(table).where(table.c.queue == _QUEUE))
        if since is None or ended.rowcount == 0:
            return False
        table = self._tables.parked
        found = await self._connection.execute(
            select(table.c.id, table.c.expires_at, table.c.parked_at).order_by(table.c.id)
        )
        later = [
            {"row": row_id, "expires": expires_at + (now - max(since, parked_at))}
            for row_id, expires_at, parked_at in found
        ]
        if later:
            put_off = update(table).where(table.c.id == bindparam("row"))
            await self._connection.execute(put_off.values(expires_at=bindparam("expires")), later)
        return True


class PauseSwitch:
    """Pauses the queue and lets it go on, each in a transaction of its own."""

    def __init__(
        self, session_factory: Callable[[], AsyncSession], tables: Tables, clock: Clock | None
    ) -> None:
        self._sessions, self._tables, self._clock = session_factory, tables, clock

    async def pause(self) -> bool:
        """Pause the queue; return whether it was not paused before."""
        return await self._turn(Pause.begin)

    async def resume(self) -> bool:
        """End the pause; return whether there was one."""
        return await self._turn(Pause.end)

    async def _turn(self, step: Callable[[Pause, datetime], Awaitable[bool]]) -> bool:
        with needing_tables():
            async with self._sessions() as session, unit_of_work(session) as work:
                now = await database_time(work.connection, self._clock)
                return await step(Pause(work.connection, self._tables), now)
