"""Tells where the host's values come from: the events of an entity, and which one wrote what."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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

_PLACES: Final = ("outbox", "jobs", "parked", "dead_letters", "journal")


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


class Histories:
    """Reads the library's tables for `ZohoSync.history` and `ZohoSync.provenance`."""

    def __init__(
        self,
        session_factory: Callable[[], AsyncSession],
        context: HandlerContext,
        organization: Callable[[str | None], str],
    ) -> None:
        self._sessions = session_factory
        self._context = context
        self._organization = organization

    async def history(
        self, entity_type: str, zoho_id: str, organization_id: str | None
    ) -> list[HistoryEntry]:
        """Return the events of an entity in the order of their arrival."""
        organization = self._organization(organization_id)
        kind = self._context.catalog.require(entity_type)
        catalog = self._context.catalog
        types = [name for name in catalog.kinds if catalog.namespace(name) == kind.namespace]
        async with self._sessions() as session, unit_of_work(session) as work:
            found = dict[str, tuple[tuple[datetime, int], HistoryEntry]]()
            for place in _PLACES:
                table: Table = getattr(self._context.tables, place)
                rows = await work.connection.execute(
                    select(table).where(
                        table.c.organization_id == organization,
                        table.c.entity_id == zoho_id,
                        table.c.entity_type.in_(types),
                    )
                )
                # What was published may be settled before it has left the outbox.
                found |= {
                    row["event_id"]: (_arrived(row), _entry(place, row)) for row in rows.mappings()
                }
        return [entry for _, entry in sorted(found.values(), key=lambda pair: pair[0])]

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
        async with self._sessions() as session, unit_of_work(session) as work:
            ledger = Ledger(work.connection, self._context.tables.ledger)
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
        state = entry.state
        names = sorted(state.carried | state.older.keys())
        versions = {name: state.written_by(name) for name in names}
        journal = self._context.tables.journal
        rows = await connection.execute(
            select(journal).where(
                journal.c.organization_id == key.organization_id,
                journal.c.entity_id == key.entity_id,
            )
        )
        received = list(rows.mappings())
        events = {_version(row): _writer(row, received) for row in received}
        return {
            name: ColumnSource(
                event_id=events.get((version.arrival, version.sequence)),
                effective_time=version.effective_time,
                arrived_at=from_microseconds(version.arrival),
            )
            for name, version in versions.items()
            if version is not None
        }


def _writer(row: Mapping[Any, Any], received: Sequence[Mapping[Any, Any]]) -> str:
    """Return the event that wrote what an event says: of a duplicate, the one that it equals."""
    event_id: str = row["event_id"]
    if row["outcome"] == Outcome.DUPLICATE:
        for each in received:
            is_equal = each["content_hash"] == row["content_hash"]
            if is_equal and each["outcome"] == Outcome.APPLIED:
                event_id = each["event_id"]
    return event_id


def _version(row: Mapping[Any, Any]) -> tuple[int, int]:
    return to_microseconds(row["arrival_time"]), row["arrival_sequence"]


def _arrived(row: Mapping[Any, Any]) -> tuple[datetime, int]:
    sequence = row["arrival_sequence"]
    return row["arrival_time"], row["id"] if sequence is None else sequence


def _entry(place: str, row: Mapping[Any, Any]) -> HistoryEntry:
    said: Mapping[str, tuple[str, str, Sequence[str], datetime | None]] = {
        "journal": (
            row.get("outcome", ""),
            row.get("reason", ""),
            row.get("changed", ()),
            row.get("settled_at"),
        ),
        "outbox": ("queued", "", (), None),
        "jobs": ("queued", "", (), None),
        "parked": ("parked", row.get("reason", ""), (), None),
        "dead_letters": ("dead_letter", row.get("error", ""), (), None),
    }
    state, reason, changed, settled_at = said[place]
    return HistoryEntry(
        event_id=row["event_id"],
        operation=row["operation"],
        effective_time=row["effective_time"],
        arrived_at=row["arrival_time"],
        state=state,
        reason=reason,
        changed=tuple(changed),
        settled_at=settled_at,
    )
