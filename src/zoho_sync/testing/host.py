"""Opens a host for the checks that look at a whole `ZohoSync`: its database, table and handler."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ParamSpec, TypeVar

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, insert, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from zoho_sync.abc import QueueBackend
from zoho_sync.app.sync import ZohoSync
from zoho_sync.database.creation import create_all
from zoho_sync.events.event import SyncEvent
from zoho_sync.events.outcome import SyncResult
from zoho_sync.handlers import BaseEntityHandler
from zoho_sync.handlers.registry import HandlerRegistry
from zoho_sync.payloads import InvoicePayload
from zoho_sync.store.schema_version import write_version
from zoho_sync.store.tables import library_tables
from zoho_sync.testing.bench import Checked, Checking, QueueBench, as_test

__all__ = ["Host", "MovedClock", "WorkBench", "change", "metadata", "on_host"]

_P = ParamSpec("_P")
_BenchT = TypeVar("_BenchT")
Sessions = async_sessionmaker[AsyncSession]
Step = Callable[[SyncEvent], Awaitable[None]]
Check = Callable[["Host"], Awaitable[None]]

metadata = MetaData()
"""The host's own tables."""

_writes = Table(
    "suite_writes",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("entity_id", String(64), nullable=False),
    Column("notes", String(64), nullable=False),
)


class MovedClock:
    """The database's clock, moved by hand; each look at it is a microsecond later."""

    def __init__(self) -> None:
        self.now = datetime(2024, 6, 2, tzinfo=UTC)

    def __call__(self) -> datetime:
        """Return the time."""
        self.now += timedelta(microseconds=1)
        return self.now

    def forward(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)


def change(entity_id: str, second: int = 0) -> SyncEvent:
    """Return one change of an invoice, which says of itself which one it is."""
    notes = f"{entity_id}@{second}"
    document = {"invoice_id": entity_id, "notes": notes}
    moment = datetime(2024, 6, 1, tzinfo=UTC) + timedelta(seconds=second)
    return SyncEvent("invoice", entity_id, document, effective_time=moment)


@dataclass
class Host:
    """An application with one table, into which each event that is applied adds a row.

    A step runs in the transaction that applies, once the row is written.
    """

    queue: QueueBackend
    sessions: Sessions
    clock: MovedClock
    step: Step | None = None

    def open(self, **options: Any) -> ZohoSync:
        """Return the library as a process that has just started has it."""
        registry = HandlerRegistry([self._handler()])
        return ZohoSync(
            self.sessions, queue=self.queue, registry=registry, clock=self.clock, **options
        )

    async def written(self) -> list[str]:
        """Return which changes were applied, in their order."""
        async with self.sessions() as session:
            return list(await session.scalars(select(_writes.c.notes).order_by(_writes.c.id)))

    def _handler(self) -> type[BaseEntityHandler[Any]]:
        host = self

        class Invoices(BaseEntityHandler[InvoicePayload]):
            entity_type = "invoice"
            payload_model = InvoicePayload

            async def upsert(self, payload: InvoicePayload) -> Any:
                row = {"entity_id": payload.invoice_id, "notes": payload.notes}
                await self.execute_with_context(insert(_writes).values(row))

            async def after_apply(self, event: SyncEvent, result: SyncResult) -> None:
                del result
                if host.step is not None:
                    await host.step(event)

        return Invoices


class WorkBench(QueueBench):
    """An engine to be checked, with a host that works with it.

    An engine outside the database needs nothing more: the host's is a file of SQLite. One that
    takes part in the host's transactions brings its own, by overriding `database`, and keeps time
    by `clock`.
    """

    @cached_property
    def clock(self) -> MovedClock:
        """The database's clock."""
        return MovedClock()

    @asynccontextmanager
    async def database(self, queue: QueueBackend) -> AsyncIterator[Sessions]:
        """Open the host's database, and give its sessions; for the engine that `opened` gave."""
        can = queue.capabilities
        if can.enqueues_in_transaction or can.completes_in_transaction:
            raise TypeError(f"{type(self).__name__} must override database(): its engine has one")
        with TemporaryDirectory() as folder:
            engine = create_async_engine(f"sqlite+aiosqlite:///{Path(folder) / 'host.db'}")
            try:
                yield async_sessionmaker(engine, expire_on_commit=False)
            finally:
                await engine.dispose()

    @asynccontextmanager
    async def host(self) -> AsyncIterator[Host]:
        """Open the engine and the database, with the tables of the library and the host."""
        async with self.opened() as queue, self.database(queue) as sessions:
            library = library_tables()
            written = partial(write_version, tables=library)
            await create_all(sessions, [library.metadata, metadata], first=written)
            yield Host(queue, sessions, self.clock)

    def work(self, check: Check, *, needs: str = "") -> None:
        """Run a check on a host of its own; see `QueueBench.run`."""

        async def checked() -> None:
            async with self.host() as host:
                if needs and not getattr(host.queue.capabilities, needs):
                    pytest.skip(f"the engine declares {needs}=False")
                await check(host)

        asyncio.run(checked())


def on_host(needs: str = "") -> Callable[[Checking[_BenchT, Host, _P]], Checked[_BenchT, _P]]:
    """Make a test of a coroutine that is given a host of its own; see `WorkBench.work`."""
    return as_test(lambda bench: bench.work, needs)
