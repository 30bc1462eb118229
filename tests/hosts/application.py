"""Wires the library to the ERP of the tests, or to the mirror, and looks at what comes of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Executable, Table

from tests.hosts import sql
from tests.hosts.handlers import HANDLERS
from tests.hosts.sql import Sessions, library
from tests.hosts.tables import metadata
from zoho_sync import BaseEntityHandler, HandlerRegistry, Outcome, Receipt, ZohoSync


@dataclass(frozen=True)
class Host:
    """An application that uses the library, and looks at its own tables with plain SQL."""

    sync: ZohoSync
    sessions: Sessions

    async def take(self, *bodies: Any, **said: Any) -> dict[Outcome, int]:
        """Take bodies in, and work them off."""
        return await take(self.sync, *bodies, **said)

    async def receive(self, *bodies: Any, **said: Any) -> list[Receipt]:
        """Take bodies in without working them off."""
        return [await self.sync.ingest(body, **said) for body in bodies]

    async def rows(self, table: Table, **where: Any) -> list[dict[str, Any]]:
        """Return a table's rows in the order of their primary keys."""
        return await sql.rows(self.sessions, table, **where)

    async def row(self, table: Table, **where: Any) -> dict[str, Any]:
        """Return the one row that there is."""
        return await sql.row(self.sessions, table, **where)

    async def count(self, table: Table) -> int:
        """Return how many rows a table has."""
        return await sql.count(self.sessions, table)

    async def write(self, *statements: Executable) -> None:
        """Change tables as the host does: not through the library."""
        await sql.execute(self.sessions, *statements)

    async def journal(self, **where: Any) -> list[tuple[str, str]]:
        """Return outcome and reason of all settled events, in the order of their settlement."""
        rows = await self.rows(library.journal, **where)
        return [(row["outcome"], row["reason"]) for row in rows]

    async def dead(self) -> list[tuple[str, str]]:
        """Return field and text of all dead letters."""
        return [(letter.path, letter.error) for letter in await self.sync.dead_letters.list()]


async def take(sync: ZohoSync, *bodies: Any, **said: Any) -> dict[Outcome, int]:
    """Take bodies in through the trusted door, work off the queue, say what they came to."""
    for body in bodies:
        await sync.ingest(body, **said)
    return await sync.drain()


async def open_host(
    sessions: Sessions,
    handlers: Iterable[type[BaseEntityHandler[Any]]] | None = HANDLERS,
    **options: Any,
) -> Host:
    """Wire the library to these handlers, and make the tables they need.

    Without handlers they are those of the mirror, which is made by `create_tables`.
    """
    if handlers is None:
        sync = ZohoSync(sessions, **options)
        await sync.create_tables()
        return Host(sync, sessions)
    sync = ZohoSync(sessions, registry=HandlerRegistry(handlers), **options)
    for each in (library.metadata, metadata):
        await sql.make(sessions, each)
    return Host(sync, sessions)
