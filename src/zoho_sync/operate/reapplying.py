"""Reapplies a changed mapping: queues the kept documents of its entities once more.

A mapping's fingerprint is kept with every entity. Where it differs from the mapping in force, the
newest document is queued once more, under the version that it had: an equal version under another
mapping is applied, so a column that is new to the mapping is filled, and nothing newer is lost.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, select
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


class Reapplication:
    """Queues documents that were kept.

    Args:
        session_factory: Gives an `AsyncSession` on the host's database.
        context: The library's tables, and where each entity type is mapped.
        queue: Where events wait.
        notify: Called when something was queued.
    """

    def __init__(
        self,
        session_factory: Callable[[], AsyncSession],
        context: HandlerContext,
        queue: QueueBackend,
        notify: Callable[[], None],
    ) -> None:
        self._sessions = session_factory
        self._context = context
        self._queue = queue
        self._notify = notify

    async def queue(self, entity_type: str) -> ReapplyReport:
        """Queue the newest document of every entity that another mapping wrote.

        Raises:
            ConfigurationError: The type has no mapping, or its documents are kept nowhere.
        """
        kind = self._context.catalog.require(entity_type)
        bound = self._context.bindings.get(kind.entity_type)
        if bound is None:
            message = f"{kind.entity_type} has no mapping, so that there is nothing to reapply"
            raise ConfigurationError(message)
        keepers = _keepers(bound)
        if not keepers:
            message = (
                f"the documents of {kind.entity_type} are kept nowhere; map a column to DOCUMENT"
            )
            raise ConfigurationError(message)
        counts, after = [0, 0, 0], None
        # Deliveries do not wait for them, where the queue can tell.
        priority = BULK_PRIORITY if self._queue.capabilities.prioritises else DEFAULT_PRIORITY
        while True:
            async with self._sessions() as session, unit_of_work(session) as work:
                ledger = Ledger(work.connection, self._context.tables.ledger)
                entities = await ledger.page(kind.entity_type, after, _BATCH)
                events = await self._events(work.connection, bound, keepers, entities, counts)
            prints = {kind.entity_type: bound.fingerprint}
            stored = await self._queue.enqueue(events, fingerprints=prints, priority=priority)
            duplicates = sum(1 for each in stored if each.duplicate)
            counts[0] += len(events) - duplicates
            counts[1] += duplicates
            if len(entities) < _BATCH:
                self._notify()
                return ReapplyReport(*counts)
            after = entities[-1][0]

    async def _events(
        self,
        connection: AsyncConnection,
        bound: BoundEntity,
        keepers: Sequence[_Keeper],
        entities: Sequence[tuple[LedgerKey, LedgerEntry]],
        counts: list[int],
    ) -> list[SyncEvent]:
        events = []
        for key, entry in entities:
            if entry.state.fingerprint == bound.fingerprint:
                counts[1] += 1
                continue
            event = None
            for keeper in keepers:
                event = event or await self._event(connection, keeper, bound, key, entry)
            if event is None:
                counts[2] += 1
            else:
                events.append(event)
        return events

    async def _event(
        self,
        connection: AsyncConnection,
        keeper: _Keeper,
        bound: BoundEntity,
        key: LedgerKey,
        entry: LedgerEntry,
    ) -> SyncEvent | None:
        version = entry.state.written_by(keeper.name)
        document = await keeper.document(connection, key, entry)
        if version is None or document is None:
            return None
        event = SyncEvent(
            entity_type=bound.entity_type,
            entity_id=key.entity_id,
            payload=document,
            organization_id=key.organization_id,
            arrival=Arrival(from_microseconds(version.arrival), version.sequence),
            id=_reapplied_id(key, version, f"{bound.fingerprint}{entry.event_id}"),
        )
        context = self._context
        return with_own_time(event, time_zone=context.time_zone, formats=context.date_formats)


@dataclass(frozen=True)
class _Keeper:
    """A column that keeps documents as they were received.

    Attributes:
        name: Of the column in the mapping that fills it.
        column: The column.
        rows: The mapping by whose link its row is found; None for the mirror.
        zoho_id: The mirror's column of Zoho's id.
    """

    name: str
    column: Column[Any]
    rows: BoundEntity | None = None
    zoho_id: Column[Any] | None = None

    async def document(
        self, connection: AsyncConnection, key: LedgerKey, entry: LedgerEntry
    ) -> Mapping[str, Any] | None:
        where = self._where(key, entry)
        if where is None:
            return None
        source = self.column.table if self.rows is None else self.rows.selectable
        statement = select(self.column).select_from(source).where(where)
        found: Any = (await connection.execute(statement)).scalar()
        return found if isinstance(found, Mapping) else None

    def _where(self, key: LedgerKey, entry: LedgerEntry) -> ColumnElement[bool] | None:
        table = self.column.table
        if self.zoho_id is not None:
            columns = (table.c.organization_id, self.zoho_id)
            return equals(columns, (key.organization_id, key.entity_id))
        if self.rows is None or entry.table_name != self.rows.table.fullname:
            return None
        primary_key = self.rows.primary_key
        return equals(primary_key, decode_key(entry.primary_key or "[]", primary_key))


def _keepers(bound: BoundEntity) -> list[_Keeper]:
    """Return where the documents of a type may be: in the host's own column, or in the mirror."""
    found = [
        _Keeper(name, column, rows=bound)
        for name, (column, source) in bound.columns.items()
        if source is DOCUMENT and column.table.metadata is not mirror.metadata
    ]
    for entry in mirror.tables.entries.values():
        if not entry.parent and getattr(entry.model, "entity_type", "") == bound.entity_type:
            raw, zoho_id = entry.table.c.raw, entry.table.c[entry.key]
            found.append(_Keeper("raw", raw, zoho_id=zoho_id))
    return found


def _reapplied_id(key: LedgerKey, version: Version, fingerprint: str) -> str:
    """Return the id of a document that is queued once more: the same one for the same mapping."""
    parts = [*key, *map(str, version), fingerprint]
    digest = hashlib.sha256("\x1f".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
    return REAPPLIED + digest[:32]
