"""Reapplies a changed mapping: queues the kept documents of its entities once more.

A mapping's fingerprint is kept with every entity. Where it differs from the mapping in force, the
newest document is queued once more, under the version that it had: an equal version under another
mapping is applied, so a column that is new to the mapping is filled, and nothing newer is lost.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Column, Select, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from zoho_sync import mirror
from zoho_sync.abc import BULK_PRIORITY, DEFAULT_PRIORITY, QueueBackend
from zoho_sync.apply.context import HandlerContext
from zoho_sync.database.unit_of_work import unit_of_work
from zoho_sync.events.event import REAPPLIED, Arrival, SyncEvent, with_own_time
from zoho_sync.events.version import Version, from_microseconds
from zoho_sync.exceptions import ConfigurationError
from zoho_sync.mapping.binding import BoundEntity
from zoho_sync.mapping.declaration import DOCUMENT
from zoho_sync.mapping.keys import decode_key
from zoho_sync.mapping.values import equals
from zoho_sync.operate.linking import mapping_of
from zoho_sync.store.ledger import Ledger, LedgerEntry, LedgerKey

__all__ = ["Reapplication", "ReapplyReport"]

_BATCH: Final = 200


@dataclass(frozen=True, slots=True)
class ReapplyReport:
    """What became of the entities of one type.

    Attributes:
        queued: Their newest document was queued once more.
        unchanged: They were written by the mapping in force, or are queued already.
        without_document: No document of them is kept; Zoho's next event writes them.
    """

    queued: int = 0
    unchanged: int = 0
    without_document: int = 0


@dataclass(frozen=True, slots=True)
class Reapplication:
    """Queues documents that were kept, and calls ``notify`` when it has."""

    sessions: Callable[[], AsyncSession]
    context: HandlerContext
    queue: QueueBackend
    notify: Callable[[], None]

    async def reapply(self, entity_type: str) -> ReapplyReport:
        """Queue the newest document of every entity that another mapping wrote.

        Raises:
            ConfigurationError: The type has no mapping, or its documents are kept nowhere.
        """
        bound = mapping_of(self.context, entity_type, "reapply")
        if not _own_columns(bound) and not _mirrored(bound):
            message = (
                f"the documents of {bound.entity_type} are kept nowhere; map a column to DOCUMENT"
            )
            raise ConfigurationError(message)
        queued, unchanged, without_document, after = 0, 0, 0, None
        # Deliveries do not wait for them, where the queue can tell.
        priority = BULK_PRIORITY if self.queue.capabilities.prioritises else DEFAULT_PRIORITY
        prints = {bound.entity_type: bound.fingerprint}
        while True:
            async with self.sessions() as session, unit_of_work(session) as work:
                ledger = Ledger(work.connection, self.context.tables.ledger)
                page = await ledger.page(bound.entity_type, after, _BATCH)
                outdated = [
                    entity for entity in page if entity[1].state.fingerprint != bound.fingerprint
                ]
                found = [await self._event(work.connection, bound, *entity) for entity in outdated]
            events = [event for event in found if event is not None]
            stored = await self.queue.enqueue(events, fingerprints=prints, priority=priority)
            duplicates = sum(each.duplicate for each in stored)
            queued += len(events) - duplicates
            unchanged += len(page) - len(outdated) + duplicates
            without_document += len(outdated) - len(events)
            if len(page) < _BATCH:
                self.notify()
                return ReapplyReport(queued, unchanged, without_document)
            after = page[-1][0]

    async def _event(
        self, connection: AsyncConnection, bound: BoundEntity, key: LedgerKey, entry: LedgerEntry
    ) -> SyncEvent | None:
        for name, statement in _documents(bound, key, entry):
            version = entry.state.written_by(name)
            document = (await connection.execute(statement)).scalar()
            if version is None or not isinstance(document, Mapping):
                continue
            event = SyncEvent(
                entity_type=bound.entity_type,
                entity_id=key.entity_id,
                payload=document,
                organization_id=key.organization_id,
                arrival=Arrival(from_microseconds(version.arrival), version.sequence),
                id=_reapplied_id(key, version, f"{bound.fingerprint}{entry.event_id}"),
            )
            context = self.context
            return with_own_time(event, time_zone=context.time_zone, formats=context.date_formats)
        return None


def _documents(
    bound: BoundEntity, key: LedgerKey, entry: LedgerEntry
) -> Iterator[tuple[str, Select[Any]]]:
    """Give what reads an entity's document, and the mapping's name of the column it is kept in.

    It may be in the host's own row, or in the mirror.
    """
    own, primary_key = _own_columns(bound), bound.primary_key
    # A handler's own code may have returned another key; the mirror is not looked up by it.
    if own and entry.table_name == bound.table.fullname:
        row = equals(primary_key, decode_key(entry.primary_key or "[]", primary_key))
        for name, column in own.items():
            yield name, select(column).select_from(bound.selectable).where(row)
    for kept in _mirrored(bound):
        ids = (kept.table.c.organization_id, kept.table.c[kept.key])
        row = equals(ids, (key.organization_id, key.entity_id))
        yield "raw", select(kept.table.c.raw).where(row)


def _own_columns(bound: BoundEntity) -> dict[str, Column[Any]]:
    """Return the host's own columns that keep documents as they were received."""
    return {
        name: column
        for name, (column, source) in bound.columns.items()
        if source is DOCUMENT and column.table.metadata is not mirror.metadata
    }


def _mirrored(bound: BoundEntity) -> list[mirror.MirrorTable]:
    """Return the mirror's tables that keep documents of a type."""
    return [
        entry
        for entry in mirror.tables.entries.values()
        if not entry.parent and getattr(entry.model, "entity_type", "") == bound.entity_type
    ]


def _reapplied_id(key: LedgerKey, version: Version, fingerprint: str) -> str:
    """Return the id of a document that is queued once more: the same one for the same mapping."""
    parts = [*key, *map(str, version), fingerprint]
    digest = hashlib.sha256("\x1f".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
    return REAPPLIED + digest[:32]
