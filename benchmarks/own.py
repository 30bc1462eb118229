"""Lets the library drain its own queue, and shows the floor: the same rows without any queue."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, ClassVar, Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine

from benchmarks.contestant import Contestant
from benchmarks.events import KINDS, ORGANIZATION, Event, Kind
from benchmarks.records import HEADS, LINES, Record, Shape, read
from benchmarks.server import Database
from benchmarks.statements import conflict
from zoho_sync import SyncEvent, ZohoSync
from zoho_sync.store.tables import library_tables

__all__ = ["ENTITY_TYPES", "CopyFloor", "Library", "Library50", "Library500"]

ENTITY_TYPES: Final = {"item": "product", "invoice": "invoice"}
"""The library's names of what is measured."""
_QUEUED_AT_ONCE: Final = 500


def _sync_event(event: Event) -> SyncEvent:
    """Return an event as a host hands it to the library."""
    document = json.loads(event.text, parse_float=Decimal)
    return SyncEvent(ENTITY_TYPES[event.kind], event.entity_id, document)


class Library(Contestant):
    """Drains onto the library's mirror, as it is without any setting."""

    name = "zoho_sync"
    queue_table = library_tables().jobs.name
    settings: ClassVar[dict[str, Any]] = {}

    def __init__(self, database: Database, events: Sequence[Event]) -> None:
        super().__init__(database, events)
        self._engine: AsyncEngine = create_async_engine(database.url)
        sessions = async_sessionmaker(self._engine, expire_on_commit=False)
        self._sync = ZohoSync(sessions, organization_id=ORGANIZATION, **self.settings)

    async def prepare(self) -> None:
        """Make the tables and queue the events, with a worker that has started."""
        await self._sync.create_tables()
        await self._sync.drain()  # checks the mapping, once
        for start in range(0, len(self.events), _QUEUED_AT_ONCE):
            part = self.events[start : start + _QUEUED_AT_ONCE]
            await self._sync.enqueue([_sync_event(each) for each in part])

    async def run(self) -> None:
        """Drain the queue."""
        await self._sync.drain()

    async def waiting(self) -> int:
        """Count what the journal does not have."""
        async with self._engine.connect() as connection:
            journal = select(func.count()).select_from(library_tables().journal)
            settled = await connection.scalar(journal) or 0
        return len(self.events) - settled

    async def close(self) -> None:
        """Close the queue and the connections."""
        await self._sync.close()
        await self._engine.dispose()


class Library50(Library):
    """Drains in batches of 50."""

    name = "zoho_sync, batches of 50"
    settings: ClassVar = {"batch_size": 50}


class Library500(Library):
    """Drains in batches of 500."""

    name = "zoho_sync, batches of 500"
    settings: ClassVar = {"batch_size": 500}


class CopyFloor(Contestant):
    """Takes the quickest way that we know to the same rows: COPY, one upsert, and no queue.

    All documents are read, and the newest of each entity is kept. There is nothing to claim, to
    fence or to record: what a queue costs is above this.
    """

    name = "COPY and one upsert, no queue"

    async def prepare(self) -> None:
        """Do nothing: there is no queue."""

    async def run(self) -> None:
        """Read, copy and upsert everything in one transaction."""
        newest: dict[Kind, dict[str, Record]] = {kind: {} for kind in KINDS}
        for event in self.events:
            record = read(event.kind, event.text)
            known = newest[event.kind].get(record.entity_id)
            if known is None or known.time <= record.time:
                newest[event.kind][record.entity_id] = record
        async with self.database.connection() as connection, connection.transaction():
            for kind, shape in HEADS.items():
                rows = [record.row for record in newest[kind].values()]
                await _copy(connection, shape, rows)
                await connection.execute(f"{_take_over(shape)} {conflict(shape)}")
            lines = [line for each in newest["invoice"].values() for line in each.lines]
            await _copy(connection, LINES, lines)
            await connection.execute(_DELETE_LINES)
            await connection.execute(_take_over(LINES))

    async def waiting(self) -> int:
        """Return 0: what is not there shows in the rows."""
        return 0


_DELETE_LINES: Final = (
    f"DELETE FROM {LINES.table.name} USING new_{HEADS['invoice'].table.name} AS new"
    f" WHERE {LINES.table.name}.organization_id = new.organization_id"
    f" AND {LINES.table.name}.invoice_id = new.invoice_id"
)


async def _copy(connection: Any, shape: Shape, rows: Sequence[Sequence[Any]]) -> None:
    table = f"new_{shape.table.name}"
    await connection.execute(
        f"CREATE TEMPORARY TABLE {table} (LIKE {shape.table.name}) ON COMMIT DROP"
    )
    await connection.copy_records_to_table(table, records=rows, columns=shape.columns)


def _take_over(shape: Shape) -> str:
    columns = ", ".join(shape.columns)
    return (
        f"INSERT INTO {shape.table.name} ({columns}) SELECT {columns} FROM new_{shape.table.name}"
    )
