"""Links between Zoho's entities and rows that the host has already.

Adoption links an entity when it is heard of first. What a natural key cannot tell is linked here,
by pairs that the host knows, before the first event or afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Final

from sqlalchemy import Column, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from zoho_sync.apply.adoption import is_unkeyed, unlinked_match
from zoho_sync.apply.context import HandlerContext
from zoho_sync.apply.debts import pay_debts
from zoho_sync.apply.resolving import find_key
from zoho_sync.apply.statements import find_row, update_row
from zoho_sync.database.dialects import database_time
from zoho_sync.database.unit_of_work import unit_of_work
from zoho_sync.events.decision import LedgerState
from zoho_sync.exceptions import AmbiguousMatch, ConfigurationError
from zoho_sync.mapping.binding import BoundEntity
from zoho_sync.mapping.keys import decode_key, encode_key, plain_key
from zoho_sync.mapping.values import Key, coerce, deletion_mark, equals, identity_values
from zoho_sync.store.ledger import Ledger, LedgerEntry, LedgerKey
from zoho_sync.store.parked_rows import Parked

__all__ = ["Ambiguous", "LinkReport", "Linker", "Matches", "RefusedLink", "mapping_of"]

_BATCH: Final = 200


@dataclass(frozen=True, slots=True)
class RefusedLink:
    """A pair that was not linked.

    Attributes:
        zoho_id: Zoho's id.
        primary_key: The host's.
        reason: In words.
    """

    zoho_id: str
    primary_key: Any
    reason: str


@dataclass(frozen=True, slots=True)
class LinkReport:
    """What became of the pairs that were to be linked.

    Attributes:
        linked: Zoho's ids of the pairs that were linked now, or would be.
        unchanged: Zoho's ids of those that were linked before.
        refused: The others.
    """

    linked: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    refused: tuple[RefusedLink, ...] = ()


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """An entity, by Zoho's id, that several rows match, by their primary keys."""

    zoho_id: str
    rows: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Matches:
    """What natural keys find.

    Attributes:
        pairs: Zoho's id, and the primary key of the one row that matches.
        unmatched: Zoho's ids that no row matches.
        ambiguous: Those that several match.
    """

    pairs: tuple[tuple[str, Any], ...]
    unmatched: tuple[str, ...]
    ambiguous: tuple[Ambiguous, ...]


@dataclass
class _Found:
    linked: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    refused: list[RefusedLink] = field(default_factory=list)


class _DryRunError(Exception):
    """Rolls back what a dry run has done."""


@dataclass(frozen=True, slots=True)
class Linker:
    """Links entities to rows; ``organization`` decides which of Zoho's organizations is meant."""

    sessions: Callable[[], AsyncSession]
    context: HandlerContext
    organization: Callable[[str | None], str]

    async def link(
        self,
        entity_type: str,
        pairs: Iterable[tuple[str, Any]],
        organization_id: str | None = None,
        *,
        dry_run: bool = False,
    ) -> LinkReport:
        """Link entities to rows, a few hundred to a transaction; see `ZohoSync.link`."""
        organization, bound = self.organization(organization_id), self.bound(entity_type)
        namespace = self.context.catalog.namespace(bound.entity_type)
        found, rest = _Found(), iter(pairs)
        while chunk := list(islice(rest, _BATCH)):
            keys = [
                (LedgerKey(organization, namespace, str(zoho_id)), _as_key(bound, row))
                for zoho_id, row in chunk
            ]
            with suppress(_DryRunError):
                async with self.sessions() as session, unit_of_work(session) as work:
                    await _Linking(work.connection, self.context, bound, found).link(keys)
                    if dry_run:
                        raise _DryRunError
        return LinkReport(tuple(found.linked), tuple(found.unchanged), tuple(found.refused))

    async def match(
        self,
        entity_type: str,
        entities: Iterable[tuple[str, Mapping[Column[Any], Any]]],
        organization_id: str | None = None,
    ) -> Matches:
        """Return the rows without an entity that have the natural keys of entities.

        An entity that has its row already is paired with it.
        """
        organization, bound = self.organization(organization_id), self.bound(entity_type)
        namespace = self.context.catalog.namespace(bound.entity_type)
        ledger = self.context.tables.ledger
        pairs, unmatched, ambiguous = [], [], []
        async with self.sessions() as session, unit_of_work(session) as work:
            for zoho_id, values in entities:
                key = LedgerKey(organization, namespace, zoho_id)
                entry = (await Ledger(work.connection, ledger).read([key])).get(key)
                found = await find_key(work.connection, bound, key, entry)
                try:
                    found = found or await unlinked_match(
                        work.connection,
                        bound,
                        ledger,
                        {column: coerce(column, value) for column, value in values.items()},
                        key,
                    )
                except AmbiguousMatch as several:
                    rows = tuple(plain_key(row) for row in several.primary_keys)
                    ambiguous.append(Ambiguous(zoho_id, rows))
                    continue
                if found is None:
                    unmatched.append(zoho_id)
                else:
                    pairs.append((zoho_id, plain_key(found)))
        return Matches(tuple(pairs), tuple(unmatched), tuple(ambiguous))

    async def forget(
        self, entity_type: str, zoho_id: str, organization_id: str | None = None
    ) -> bool:
        """Forget what is known of an entity; see `ZohoSync.forget`."""
        kind = self.context.catalog.require(entity_type)
        key = LedgerKey(self.organization(organization_id), kind.namespace, zoho_id)
        async with self.sessions() as session, unit_of_work(session) as work:
            ledger = Ledger(work.connection, self.context.tables.ledger)
            entry = (await ledger.lock([key])).get(key)
            if entry is None or entry.state.version is None:
                return False
            await ledger.write(key, replace(entry, state=LedgerState(), event_id=None))
            return True

    def bound(self, entity_type: str) -> BoundEntity:
        """Return the mapping of an entity type; see `mapping_of`."""
        return mapping_of(self.context, entity_type, "link")


def mapping_of(context: HandlerContext, entity_type: str, purpose: str) -> BoundEntity:
    """Return the mapping of an entity type.

    Raises:
        ConfigurationError: It has none, so that there is nothing for that purpose.
    """
    kind = context.catalog.require(entity_type)
    bound = context.bindings.get(kind.entity_type)
    if bound is None:
        message = f"{kind.entity_type} has no mapping, so that there is nothing to {purpose}"
        raise ConfigurationError(message)
    return bound


@dataclass(frozen=True)
class _Linking:
    """The links of one transaction."""

    connection: AsyncConnection
    context: HandlerContext
    bound: BoundEntity
    found: _Found

    async def link(self, pairs: Sequence[tuple[LedgerKey, Key]]) -> None:
        ledger = Ledger(self.connection, self.context.tables.ledger)
        await ledger.prepare(key for key, _ in pairs)
        entries = await ledger.lock(key for key, _ in pairs)
        made = []
        for key, row in pairs:
            entry, linked = entries[key], self._linked(entries[key], row)
            if problem := await self._problem(key, entry, row):
                refused = RefusedLink(key.entity_id, plain_key(row), problem)
                self.found.refused.append(refused)
            elif entry.row == linked.row and not await self._key_is_missing(row):
                self.found.unchanged.append(key.entity_id)
            else:
                await self._write_identity(key, entry, row)
                await ledger.write(key, linked)
                entries[key] = linked
                self.found.linked.append(key.entity_id)
                made.append(key)
        now = await database_time(self.connection, self.context.clock)
        await Parked(self.connection, self.context.tables).wake(made, now)
        await pay_debts(self.connection, self.context, made)

    def _linked(self, entry: LedgerEntry, row: Key) -> LedgerEntry:
        # No column of this row was written by an event: the newest one may come once more.
        state = replace(entry.state, carried=frozenset(), older={}, content_hash="", fingerprint="")
        return replace(
            entry,
            state=state,
            entity_type=entry.entity_type or self.bound.entity_type,
            table_name=self.bound.table.fullname,
            primary_key=encode_key(row),
        )

    async def _problem(self, key: LedgerKey, entry: LedgerEntry, row: Key) -> str:
        """Return why a pair cannot be linked; empty where it can."""
        bound, ledger = self.bound, Ledger(self.connection, self.context.tables.ledger)
        mine = identity_values(bound, key.entity_id, key.organization_id)
        columns = tuple(mine) or bound.primary_key
        statement = select(*columns).select_from(bound.selectable)
        locked = statement.where(equals(bound.primary_key, row)).with_for_update()
        there = (await self.connection.execute(locked)).first()
        if there is None:
            return f"{bound.table.name} has no such row"
        for column, value in zip(columns, there, strict=True):
            if column in mine and value not in {None, "", mine[column]}:
                whose = "organization" if column is bound.organization else bound.entity_type
                return f"the row belongs to {whose} {value}"
        tables = {each.table.fullname for each in self.context.bindings.values()}
        if entry.table_name in tables - {bound.table.fullname}:
            return f"it is a {entry.entity_type} by now"
        own = await find_key(self.connection, bound, key, entry)
        if own is not None and own != row:
            return f"it is linked to row {plain_key(own)}"
        owner = await ledger.owner(bound.table.fullname, encode_key(row))
        if owner is not None and owner[0] != key:
            return f"the row belongs to {owner[0].namespace} {owner[0].entity_id}"
        return ""

    async def _key_is_missing(self, row: Key) -> bool:
        bound = self.bound
        if bound.key is None:
            return False
        where = equals(bound.primary_key, row) & is_unkeyed(bound)
        return await find_row(self.connection, bound, where) is not None

    async def _write_identity(self, key: LedgerKey, entry: LedgerEntry, row: Key) -> None:
        bound, deleted_at = self.bound, entry.state.deleted_at
        values = identity_values(bound, key.entity_id, key.organization_id)
        if bound.deleted is not None and deleted_at is not None:
            values[bound.deleted] = deletion_mark(bound.deleted, deleted_at)
        await update_row(self.connection, bound, row, values)


def _as_key(bound: BoundEntity, given: Any) -> Key:
    """Return a primary key as its columns type it.

    Raises:
        ConfigurationError: It has more values, or fewer, than the table's primary key.
    """
    values = tuple(given) if isinstance(given, (tuple, list)) else (given,)
    if len(values) != len(bound.primary_key):
        names = ", ".join(column.name for column in bound.primary_key)
        message = f"the primary key of {bound.table.name} is ({names}), and {values} was given"
        raise ConfigurationError(message)
    try:
        return decode_key(encode_key(values), bound.primary_key)
    except (TypeError, ValueError, ArithmeticError):
        message = f"{values} is no primary key of {bound.table.name}"
        raise ConfigurationError(message) from None
