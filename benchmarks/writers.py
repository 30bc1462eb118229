"""Holds the peers' handlers: what one writes by hand to apply one event, at its best.

Both do the same. Handlers run at the same time, so that an older document may come after a newer
one; then nothing is written. The lines of an invoice are replaced in the transaction that has just
written, and so locked, its row.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import asyncpg  # type: ignore[import-untyped]  # it has no annotations
from sqlalchemy import Boolean, Delete, Insert, bindparam, delete, insert, literal_column
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from benchmarks.events import KINDS, Kind
from benchmarks.records import HEADS, LINES, Shape, read
from benchmarks.server import Database
from benchmarks.statements import DELETE_LINES, INSERT_LINES, REPLACED, UPSERT

__all__ = ["RawWriter", "SqlAlchemyWriter", "Writer"]


class Writer(Protocol):
    """Applies one event, as a handler does."""

    async def open(self, database: Database) -> None:
        """Open connections."""

    async def write(self, kind: Kind, text: str) -> None:
        """Apply one event, durably."""

    async def close(self) -> None:
        """Close them."""


@dataclass(frozen=True)
class _Slot:
    """Holds a connection and its statements, which were prepared once."""

    connection: Any
    upserts: dict[Kind, Any]
    delete_lines: Any
    insert_lines: Any


class RawWriter:
    """Writes with asyncpg alone.

    The connections are kept in a stack of our own: asyncpg's pool resets a connection whenever it
    is given back, which costs a round trip for each event.
    """

    def __init__(self, connections: int) -> None:
        self._count = connections
        self._slots: asyncio.LifoQueue[_Slot] = asyncio.LifoQueue()

    async def open(self, database: Database) -> None:
        """Open the connections, and prepare every statement on each."""
        for _ in range(self._count):
            connection = await asyncpg.connect(database.dsn)
            upserts = {kind: await connection.prepare(UPSERT[kind]) for kind in KINDS}
            lines = [await connection.prepare(sql) for sql in (DELETE_LINES, INSERT_LINES)]
            self._slots.put_nowait(_Slot(connection, upserts, *lines))

    async def write(self, kind: Kind, text: str) -> None:
        """Apply one event: an item in one statement, an invoice in a transaction."""
        record = read(kind, text)
        async with self._slot() as slot:
            if kind == "item":
                await slot.upserts[kind].fetchval(*record.row)
                return
            async with slot.connection.transaction():
                replaced = await slot.upserts[kind].fetchval(*record.row)
                if replaced:
                    await slot.delete_lines.fetchval(*record.row[:2])
                if replaced is not None:
                    await slot.insert_lines.executemany(record.lines)

    async def close(self) -> None:
        """Close the connections."""
        while not self._slots.empty():
            await self._slots.get_nowait().connection.close()

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[_Slot]:
        slot = await self._slots.get()
        try:
            yield slot
        finally:
            self._slots.put_nowait(slot)


class SqlAlchemyWriter:
    """Writes with SQLAlchemy Core on asyncpg, by statements that are built once."""

    def __init__(self, connections: int) -> None:
        self._count = connections
        self._upserts = {kind: _upsert(shape) for kind, shape in HEADS.items()}
        self._delete_lines = _delete_lines()
        self._insert_lines = insert(LINES.table)
        self._engine: AsyncEngine | None = None

    async def open(self, database: Database) -> None:
        """Make the engine, which opens its connections itself."""
        self._engine = create_async_engine(database.url, pool_size=self._count, max_overflow=0)

    async def write(self, kind: Kind, text: str) -> None:
        """Apply one event in a transaction."""
        if self._engine is None:
            raise RuntimeError("open it first")
        record = read(kind, text)
        row = dict(zip(HEADS[kind].columns, record.row, strict=True))
        async with self._engine.begin() as connection:
            replaced = await connection.scalar(self._upserts[kind], row)
            if replaced is None or kind == "item":
                return
            if replaced:
                owner = {"organization": record.row[0], "invoice": record.entity_id}
                await connection.execute(self._delete_lines, owner)
            await connection.execute(self._insert_lines, _dictionaries(LINES, record.lines))

    async def close(self) -> None:
        """Close the connections."""
        if self._engine is not None:
            await self._engine.dispose()


def _upsert(shape: Shape) -> Insert:
    statement = postgresql.insert(shape.table)
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=shape.keys,
        set_={name: new[name] for name in shape.changed},
        where=shape.table.c.last_modified_time <= new.last_modified_time,
    ).returning(literal_column(REPLACED, Boolean))


def _delete_lines() -> Delete:
    columns = LINES.table.c
    return delete(LINES.table).where(
        columns.organization_id == bindparam("organization"),
        columns.invoice_id == bindparam("invoice"),
    )


def _dictionaries(shape: Shape, rows: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(shape.columns, row, strict=True)) for row in rows]
