"""Tells where the host's values come from: the events of an entity, and which one wrote what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Table, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from zoho_sync.apply.context import HandlerContext
from zoho_sync.database.unit_of_work import unit_of_work
from zoho_sync.events.outcome import Outcome
from zoho_sync.events.version import from_microseconds, to_microseconds
from zoho_sync.exceptions import ConfigurationError
from zoho_sync.mapping.binding import table_of
from zoho_sync.mapping.keys import encode_key
from zoho_sync.store.ledger import Ledger, LedgerEntry, LedgerKey

__all__ = ["ColumnSource", "Histories", "HistoryEntry", "Provenance"]

_STATES: Final = {
    "outbox": "queued",
    "jobs": "queued",
    "parked": "parked",
    "dead_letters": "dead_letter",
    "journal": None,
}
"""The state of events by the table that they are in; the journal says the outcome itself."""


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One event that was received of an entity, and what became of it.

    Attributes:
        event_id: The event's id.
        operation: ``"upsert"`` or ``"delete"``.
        effective_time: The document's own time; None if it has none.
        arrived_at: When it was received.
        state: ``"queued"``, ``"parked"``, ``"dead_letter"``, or the outcome it was settled with.
        reason: In words, where there is one.
        changed: The columns, and the lists of lines, that it wrote.
        settled_at: When it was settled; None while it is not.
    """

    event_id: str
    operation: str
    effective_time: datetime | None
    arrived_at: datetime
    state: str
    reason: str = ""
    changed: tuple[str, ...] = ()
    settled_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ColumnSource:
    """Which event wrote a column, or a list of lines, as it stands.

    Attributes:
        event_id: The event; None where the journal has no entry of it any more.
        effective_time: Its second in the version order.
        arrived_at: When it was received.
    """

    event_id: str | None
    effective_time: datetime
    arrived_at: datetime


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where the values of one row of the host come from.

    Attributes:
        organization_id: Zoho's organization.
        entity_type: The type of the entity that has the row.
        zoho_id: Its id.
        deleted_at: When it was deleted, if its newest event deleted it.
        columns: The mapping's names of columns, and of lists of lines, with who wrote them.
    """

    organization_id: str
    entity_type: str
    zoho_id: str
    deleted_at: datetime | None
    columns: Mapping[str, ColumnSource]


@dataclass(frozen=True, slots=True)
class Histories:
    """Reads the library's tables for `ZohoSync.history` and `ZohoSync.provenance`."""

    sessions: Callable[[], AsyncSession]
    context: HandlerContext
    organization: Callable[[str | None], str]

    async def history(
        self, entity_type: str, zoho_id: str, organization_id: str | None
    ) -> list[HistoryEntry]:
        """Return the events of an entity in the order of their arrival."""
        organization, catalog = self.organization(organization_id), self.context.catalog
        namespace = catalog.require(entity_type).namespace
        types = [name for name, kind in catalog.kinds.items() if kind.namespace == namespace]
        found: dict[str, tuple[str | None, Mapping[Any, Any]]] = {}
        async with self.sessions() as session, unit_of_work(session) as work:
            for place, state in _STATES.items():
                table: Table = getattr(self.context.tables, place)
                rows = await work.connection.execute(
                    select(table).where(
                        table.c.organization_id == organization,
                        table.c.entity_id == zoho_id,
                        table.c.entity_type.in_(types),
                    )
                )
                # What was published may be settled before it has left the outbox.
                found |= {row["event_id"]: (state, row) for row in rows.mappings()}
        by_arrival = sorted(found.values(), key=lambda pair: _arrived(pair[1]))
        return [_entry(state, row) for state, row in by_arrival]

    async def provenance(self, model: Any, primary_key: Any) -> Provenance | None:
        """Return where a row's values come from; None where no entity has it.

        Raises:
            ConfigurationError: ``model`` is no table.
        """
        table = table_of(model)
        if table is None:
            message = f"{model!r} is neither an ORM class nor a Table"
            raise ConfigurationError(message)
        values = tuple(primary_key) if isinstance(primary_key, (tuple, list)) else (primary_key,)
        async with self.sessions() as session, unit_of_work(session) as work:
            ledger = Ledger(work.connection, self.context.tables.ledger)
            owner = await ledger.owner(table.fullname, encode_key(values))
            if owner is None:
                return None
            key, entry = owner
            sources = await self._sources(work.connection, key, entry)
        return Provenance(
            organization_id=key.organization_id,
            entity_type=entry.entity_type or key.namespace,
            zoho_id=key.entity_id,
            deleted_at=entry.state.deleted_at,
            columns=sources,
        )

    async def _sources(
        self, connection: AsyncConnection, key: LedgerKey, entry: LedgerEntry
    ) -> dict[str, ColumnSource]:
        state, journal = entry.state, self.context.tables.journal
        names = sorted(state.carried | state.older.keys())
        versions = {name: state.written_by(name) for name in names}
        rows = await connection.execute(
            select(journal).where(
                journal.c.organization_id == key.organization_id,
                journal.c.entity_id == key.entity_id,
            )
        )
        received = list(rows.mappings())
        applied = {
            row["content_hash"]: row["event_id"]
            for row in received
            if row["outcome"] == Outcome.APPLIED
        }
        events = dict[tuple[int, int], str]()
        for row in received:
            # What a duplicate says was written by the one that it equals.
            equal = row["content_hash"] if row["outcome"] == Outcome.DUPLICATE else None
            moment = to_microseconds(row["arrival_time"]), row["arrival_sequence"]
            events[moment] = applied.get(equal, row["event_id"])
        return {
            name: ColumnSource(
                event_id=events.get((version.arrival, version.sequence)),
                effective_time=version.effective_time,
                arrived_at=from_microseconds(version.arrival),
            )
            for name, version in versions.items()
            if version is not None
        }


def _arrived(row: Mapping[Any, Any]) -> tuple[datetime, int]:
    sequence = row["arrival_sequence"]
    return row["arrival_time"], row["id"] if sequence is None else sequence


def _entry(state: str | None, row: Mapping[Any, Any]) -> HistoryEntry:
    return HistoryEntry(
        event_id=row["event_id"],
        operation=row["operation"],
        effective_time=row["effective_time"],
        arrived_at=row["arrival_time"],
        state=state or row["outcome"],
        reason=row.get("reason") or row.get("error") or "",
        changed=tuple(row.get("changed", ())),
        settled_at=row.get("settled_at"),
    )
