"""Locks the ledger rows of entities, reads what was applied to them last, and writes it anew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Column, ColumnElement, Table, and_, literal, select, true, tuple_, update

from zoho_sync.database.dialects import chunks, indexed
from zoho_sync.database.insertion import insert_absent
from zoho_sync.events.decision import LedgerState
from zoho_sync.events.entities import EntityCatalog
from zoho_sync.events.event import SyncEvent
from zoho_sync.events.version import Version, from_microseconds, to_microseconds
from zoho_sync.store.tables import Rows

__all__ = ["Ledger", "LedgerEntry", "LedgerKey", "is_behind", "is_of", "key_columns"]

_BATCH = 200


class LedgerKey(NamedTuple):
    """An entity, as the ledger names it; keys are locked in their sort order.

    Customers and vendors share the namespace ``contact``.
    """

    organization_id: str
    namespace: str
    entity_id: str

    @classmethod
    def of(cls, event: SyncEvent, catalog: EntityCatalog) -> LedgerKey:
        """Return the key of an event's entity."""
        return cls(event.organization_id, catalog.namespace(event.entity_type), event.entity_id)


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """What the ledger holds about one entity.

    Attributes:
        state: What the version order needs.
        entity_type: The type that its newest event had; None while the entity is unknown.
        event_id: Of the newest event.
        table_name: The host's table that holds the entity.
        primary_key: The host's primary key, as the text that `mapping.keys` reads and writes.
    """

    state: LedgerState = field(default_factory=LedgerState)
    entity_type: str | None = None
    event_id: str | None = None
    table_name: str | None = None
    primary_key: str | None = None

    @property
    def row(self) -> tuple[str | None, str | None]:
        """The host's row: its table and its primary key."""
        return self.table_name, self.primary_key


class Ledger(Rows):
    """The ledger's rows, on one connection, inside one transaction."""

    async def prepare(self, keys: Iterable[LedgerKey]) -> None:
        """Make an empty row for every entity that has none, so that there is one to lock."""
        for chunk in chunks(sorted(set(keys)), _BATCH):
            rows = [
                {**key._asdict(), "content_hash": "", "fingerprint": "", "carried": [], "older": {}}
                for key in chunk
            ]
            await insert_absent(self._connection, self._table, rows, LedgerKey._fields)

    async def lock(self, keys: Iterable[LedgerKey]) -> dict[LedgerKey, LedgerEntry]:
        """Lock entities in key order, waiting, and return what the locked rows say.

        The rows are read by the locking statement itself: an earlier snapshot could be old.
        """
        return await self._found(keys, {})

    async def try_lock(self, keys: Iterable[LedgerKey]) -> dict[LedgerKey, LedgerEntry]:
        """Lock entities that no other transaction holds, and return what the rows say."""
        return await self._found(keys, {"skip_locked": True})

    async def hold(self, keys: Iterable[LedgerKey]) -> set[LedgerKey]:
        """Take entities that are waited for, and return those that were free.

        Nobody can make such an entity appear until this transaction ends, so nobody can miss the
        event that parks for it. A row that another transaction holds is skipped, never waited for.
        """
        return {*await self._found(keys, {"read": True, "skip_locked": True})}

    async def read(self, keys: Iterable[LedgerKey]) -> dict[LedgerKey, LedgerEntry]:
        """Return what the ledger says now, without a lock."""
        return await self._found(keys)

    async def owner(
        self, table_name: str, primary_key: str
    ) -> tuple[LedgerKey, LedgerEntry] | None:
        """Return the entity that has a row of the host; None where none has it."""
        table = self._table
        linked = (table.c.table_name == table_name, table.c.primary_key == primary_key)
        rows = await self._connection.execute(select(table).where(*linked))
        row = rows.mappings().first()
        return None if row is None else (_key(row), _entry(row))

    async def page(
        self, entity_type: str, after: LedgerKey | None, limit: int
    ) -> list[tuple[LedgerKey, LedgerEntry]]:
        """Return entities of a type that events were applied to, in key order, behind ``after``."""
        table, columns = self._table, key_columns(self._table)
        applied = (table.c.entity_type == entity_type, table.c.effective_time.is_not(None))
        statement = select(table).where(*applied, is_behind(columns, after))
        rows = await self._connection.execute(statement.order_by(*columns).limit(limit))
        return [(_key(row), _entry(row)) for row in rows.mappings()]

    async def write(self, key: LedgerKey, entry: LedgerEntry) -> None:
        """Store what the ledger knows of an entity from now on."""
        statement = update(self._table).where(is_of(self._table, key)).values(_row(entry))
        await self._connection.execute(statement)

    async def unlink(self, entry: LedgerEntry, owner: LedgerKey) -> None:
        """Take the link to an entry's row from whichever entity had the row before.

        The host has deleted the row that the link was made for, and the database has given its
        primary key away, or the host has written another Zoho id into the row.
        """
        table = self._table
        if entry.primary_key is not None:
            statement = update(table).where(
                table.c.table_name == entry.table_name,
                table.c.primary_key == entry.primary_key,
                # The same id in another organization is a stranger: its row is not to be had.
                table.c.entity_id != owner.entity_id,
            )
            await self._connection.execute(statement.values(table_name=None, primary_key=None))

    async def _found(
        self, keys: Iterable[LedgerKey], lock: Mapping[str, Any] | None = None
    ) -> dict[LedgerKey, LedgerEntry]:
        """Return what rows say, locked in key order if it is said how."""
        table, columns = self._table, key_columns(self._table)
        entries: dict[LedgerKey, LedgerEntry] = {}
        for chunk in chunks(sorted(set(keys)), _BATCH):
            wanted = tuple_(*columns).in_([tuple(key) for key in chunk])
            statement = select(table).where(wanted).order_by(*columns)
            if lock is not None:
                statement = indexed(statement, table, "PRIMARY").with_for_update(**lock)
            rows = await self._connection.execute(statement)
            entries |= {_key(row): _entry(row) for row in rows.mappings()}
        return entries


def key_columns(table: Table) -> tuple[Column[Any], ...]:
    """Return the columns that name a row's entity, in the order of keys."""
    return tuple(table.c[name] for name in LedgerKey._fields)


def is_of(table: Table, key: LedgerKey) -> ColumnElement[bool]:
    """Say, in a statement, whether a row is of an entity."""
    pairs = zip(key_columns(table), key, strict=True)
    return and_(*(column == value for column, value in pairs))


def is_behind(columns: Iterable[Column[Any]], after: LedgerKey | None) -> ColumnElement[bool]:
    """Say, in a statement, whether columns name an entity behind another; all do behind None."""
    return true() if after is None else tuple_(*columns) > tuple_(*map(literal, after))


def _key(row: Mapping[Any, Any]) -> LedgerKey:
    return LedgerKey(*(row[name] for name in LedgerKey._fields))


def _entry(row: Mapping[Any, Any]) -> LedgerEntry:
    version = None
    if row["effective_time"] is not None:
        version = Version(
            second=int(row["effective_time"].timestamp()),
            rank=row["version_rank"],
            arrival=to_microseconds(row["arrival_time"]),
            sequence=row["arrival_sequence"],
        )
    state = LedgerState(
        version=version,
        deleted_at=row["deleted_at"],
        content_hash=row["content_hash"],
        fingerprint=row["fingerprint"],
        carried=frozenset(row["carried"]),
        older={column: Version(*parts) for column, parts in row["older"].items()},
    )
    return LedgerEntry(
        state, row["entity_type"], row["event_id"], row["table_name"], row["primary_key"]
    )


def _row(entry: LedgerEntry) -> dict[str, Any]:
    state, version = entry.state, entry.state.version
    return {
        "entity_type": entry.entity_type,
        "event_id": entry.event_id,
        "content_hash": state.content_hash,
        "fingerprint": state.fingerprint,
        "deleted_at": state.deleted_at,
        "carried": sorted(state.carried),
        "older": {column: list(state.older[column]) for column in sorted(state.older)},
        "table_name": entry.table_name,
        "primary_key": entry.primary_key,
        "effective_time": version.effective_time if version else None,
        "version_rank": version.rank if version else None,
        "arrival_time": from_microseconds(version.arrival) if version else None,
        "arrival_sequence": version.sequence if version else None,
    }
