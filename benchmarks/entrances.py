"""Holds what takes events in: the library's two front doors, and what a peer offers."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar, Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from benchmarks.events import ORGANIZATION, Event
from benchmarks.own import ENTITY_TYPES
from benchmarks.server import Database
from zoho_sync import SignedRequest, SyncEvent, ZohoSync
from zoho_sync.intake.signature import SIGNATURE_HEADER
from zoho_sync.intake.signed_string import sign
from zoho_sync.store.tables import library_tables

__all__ = ["Enqueue", "Entrance", "Receive"]

_SECRET: Final = "benchmark0000"  # noqa: S105  # nobody's


class Entrance(ABC):
    """Queues events in one way; made anew for every run, on a database of its own.

    Attributes:
        takes_many: Whether one call takes several events.
    """

    name: ClassVar[str]
    is_peer: ClassVar[bool] = False
    takes_many: ClassVar[bool] = True

    def __init__(self, database: Database) -> None:
        self.database = database

    @abstractmethod
    async def open(self) -> None:
        """Make the tables, and open the connections that a running application has open."""

    @abstractmethod
    def prepared(self, event: Event) -> Any:
        """Return what the caller holds in its hand when it queues the event."""

    @abstractmethod
    async def queue(self, held: Sequence[Any]) -> None:
        """Queue what callers hold, durably; several only where it takes many."""

    @abstractmethod
    async def count(self) -> int:
        """Return how many events are queued."""

    @abstractmethod
    async def close(self) -> None:
        """Close the connections."""


class _Library(Entrance):
    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._engine = create_async_engine(database.url)
        self._sync = ZohoSync(
            async_sessionmaker(self._engine, expire_on_commit=False),
            organization_id=ORGANIZATION,
            verifier=SignedRequest(_SECRET),
        )

    async def open(self) -> None:
        """Make the library's tables."""
        await self._sync.create_tables()

    async def count(self) -> int:
        """Count the jobs."""
        async with self._engine.connect() as connection:
            jobs = select(func.count()).select_from(library_tables().jobs)
            return await connection.scalar(jobs) or 0

    async def close(self) -> None:
        """Close the queue and the connections."""
        await self._sync.close()
        await self._engine.dispose()


class Enqueue(_Library):
    """Calls `enqueue` for documents that the host has read: the library hashes and recognises."""

    name = "zoho_sync, enqueue"

    def prepared(self, event: Event) -> Any:
        """Return the names and the document."""
        document = json.loads(event.text, parse_float=Decimal)
        return ENTITY_TYPES[event.kind], event.entity_id, document

    async def queue(self, held: Sequence[Any]) -> None:
        """Make events of the documents, and queue them in one call."""
        await self._sync.enqueue([SyncEvent(*each) for each in held])


class Receive(_Library):
    """Calls `receive` for signed deliveries: it authenticates, decodes and recognises."""

    name = "zoho_sync, receive (signed)"
    takes_many = False

    def prepared(self, event: Event) -> Any:
        """Return the body and the headers of a delivery, signed by the sender."""
        headers = {
            "Content-Type": "application/json",
            SIGNATURE_HEADER: sign(_SECRET, event.body),
        }
        return event.body, headers

    async def queue(self, held: Sequence[tuple[bytes, Mapping[str, str]]]) -> None:
        """Take in one delivery."""
        ((body, headers),) = held
        receipt = await self._sync.receive(body, headers=headers)
        if len(receipt.event_ids) != 1:
            raise RuntimeError(f"not taken: {receipt}")
