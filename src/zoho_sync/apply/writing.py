"""Writes one event into the host's tables: its row, its lines, and what they owe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Table, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from zoho_sync.apply.adoption import is_unkeyed, unlinked_match
from zoho_sync.apply.lines import ChildWriter
from zoho_sync.apply.references import References
from zoho_sync.apply.statements import delete_row, find_row, insert_row, update_row
from zoho_sync.apply.unique_values import WantedValues, wanting
from zoho_sync.exceptions import ConfigurationError, ReferencePending, RowGone, RowRejected
from zoho_sync.mapping.binding import BoundChild, BoundEntity, BoundReference
from zoho_sync.mapping.inheritance import Part
from zoho_sync.mapping.keys import plain_key
from zoho_sync.mapping.values import (
    Key,
    Values,
    deletion_mark,
    equals,
    identity_values,
    insert_only_values,
    read_values,
    refusals_at,
    required_columns,
    with_defaults,
)
from zoho_sync.payloads import Payload
from zoho_sync.store.debts import Debts
from zoho_sync.store.ledger import LedgerKey
from zoho_sync.store.tables import Tables

__all__ = ["Change", "Writing"]


@dataclass(frozen=True)
class Change:
    """What one upsert writes.

    Attributes:
        payload: The document, validated.
        document: The same as received.
        write: Names of the columns, and of the lists of lines, that it may write.
        deleted_at: When the entity was deleted, if it is: a new row is made marked.
        revives: Whether it takes back a soft delete.
    """

    payload: Payload
    document: Mapping[str, Any]
    write: frozenset[str]
    deleted_at: datetime | None = None
    revives: bool = False


@dataclass
class Writing:
    """What one event writes; `upsert` and `delete` of a handler do this unless overridden.

    Attributes:
        bound: Where the entity is mapped; None for a handler that writes by its own code.
        owner: The entity.
        located: Its row's primary key, while it has a row.
        may_adopt: Whether a row of the host may be taken over: no row was ever linked.
        change: What an upsert writes; None for a delete.
        deleted_at: What a delete writes.
        adopted: Whether a row of the host was taken over.
    """

    connection: AsyncConnection
    bound: BoundEntity | None
    tables: Tables
    references: References
    owner: LedgerKey
    located: Key | None = None
    may_adopt: bool = False
    change: Change | None = None
    deleted_at: datetime | None = None
    adopted: bool = False

    async def upsert(self, payload: Payload) -> Any:
        """Write the change, and return the host's primary key."""
        bound = self._mapped("upsert")
        change = self.change
        if change is None:
            message = "upsert() called while a delete is applied"
            raise ConfigurationError(message)
        row, had_row = _EntityRow(self.connection, bound, self.owner), self.located is not None
        if not had_row and any(rows.references for rows in (bound, *bound.children)):
            # What a row that has gone owed is not this one's debt.
            await Debts(self.connection, self.tables.debts).forget(self.owner)
        lists = [self._lines(each, bound) for each in bound.children if each.name in change.write]
        with refusals_at(bound, payload.entity_type):
            values = await row.values(change, self.references)
            if not had_row and self.may_adopt and bound.adopt:
                self.located = await row.adopt(change, values, self.tables.ledger)
                self.adopted = self.located is not None
            if self.located is None:
                self.located = await row.insert(change, values)
            elif not self.adopted:
                await row.update(self.located, values | row.mark(change))
        for lines in lists:
            await lines.replace(payload, self.located)
        written = [each for each in bound.references if each.name in change.write]
        await self._owe("", written, had_row=had_row)
        for lines in lists:
            await self._owe(lines.child.name, lines.child.references, had_row=had_row)
        return plain_key(self.located)

    async def delete(self, entity_id: str) -> None:
        """Mark or remove the row, as the mapping says; without a row there is nothing to do."""
        bound = self._mapped("delete")
        if self.deleted_at is None:
            message = f"delete({entity_id!r}) called while an upsert is applied"
            raise ConfigurationError(message)
        if self.located is None:
            return
        if bound.mapping.on_delete == "soft":
            if (column := bound.deleted) is not None:
                row = _EntityRow(self.connection, bound, self.owner)
                await row.update(self.located, {column: deletion_mark(column, self.deleted_at)})
            return
        for child in bound.children:
            await self._lines(child, bound).remove_all(self.located)
        await delete_row(self.connection, bound, self.located)
        await Debts(self.connection, self.tables.debts).forget(self.owner)
        self.located = None

    async def _owe(self, child: str, written: Sequence[BoundReference], *, had_row: bool) -> None:
        """Note what the written references owe now, in place of what they owed before."""
        columns = {each.name for each in written} if had_row else set[str]()
        debts = [debt for debt in self.references.debts if debt.child == child]
        if columns or debts:
            rows = Debts(self.connection, self.tables.debts)
            await rows.replace(self.owner, child, columns, debts)

    def _lines(self, child: BoundChild, bound: BoundEntity) -> ChildWriter:
        return ChildWriter(
            self.connection,
            child,
            self.tables.child_links,
            self.references,
            self.owner,
            bound.table.fullname,
        )

    def _mapped(self, method: str) -> BoundEntity:
        if self.bound is None:
            message = f"a handler without a mapping must override {method}()"
            raise ConfigurationError(message)
        return self.bound


@dataclass(frozen=True)
class _EntityRow:
    """The row of one entity, under one bound mapping, on one connection."""

    connection: AsyncConnection
    bound: BoundEntity
    owner: LedgerKey

    @property
    def _identity(self) -> Values:
        return identity_values(self.bound, self.owner.entity_id, self.owner.organization_id)

    async def values(self, change: Change, references: References) -> Values:
        """Return what a change holds for the row.

        Raises:
            ReferencePending: An entity that it refers to is missing.
            ReferenceFailed: As above, and waiting is not wanted or would not help.
        """
        values = read_values(self.bound, change.payload, change.document, change.write)
        wanted = [each for each in self.bound.references if each.name in change.write]
        return values | await references.values(wanted, change.payload, change.payload.entity_type)

    def mark(self, change: Change) -> Values:
        """Return the mark of a row that is there: the host's own stays, unless the entity says."""
        column = self.bound.deleted
        if column is None or not (change.revives or change.deleted_at is not None):
            return {}
        return {column: deletion_mark(column, change.deleted_at)}

    async def adopt(self, change: Change, values: Values, ledger: Table) -> Key | None:
        """Take over the one row of the host that matches, with what a change holds.

        Whoever loses a race for it looks again.
        """
        everything = values | self.mark(change) | self._identity
        while True:
            found = await unlinked_match(self.connection, self.bound, ledger, values, self.owner)
            if found is None or await self._take_over(found, everything):
                return found

    async def _take_over(self, located: Key, values: Values) -> bool:
        """Write a row of the host; return False if another entity has it by now."""
        bound = self.bound
        if bound.key is not None:
            part = self._keyed_part(bound.key)
            settled = with_defaults(values, inserting=False)
            # With the key, so that the host's triggers see one update.
            mine = {c.key: value for c, value in settled.items() if c.table is part.table}
            where = equals(part.key, located) & is_unkeyed(bound)
            with self._wanting(settled, located):
                keyed = await self.connection.execute(update(part.table).where(where).values(mine))
            if keyed.rowcount != 1:
                return False
            values = {c: value for c, value in settled.items() if c.table is not part.table}
        await self.update(located, values)
        return True

    async def insert(self, change: Change, values: Values) -> Key:
        """Make the row, or write one that the host makes at the same moment; return its key.

        Raises:
            ReferencePending: The document alone cannot make the row.
            RowRejected: A column that may not be NULL would be.
        """
        bound, deleted = self.bound, self.bound.deleted
        everything = values | insert_only_values(bound, change.payload) | self._identity
        if deleted is not None and change.deleted_at is not None:
            everything[deleted] = deletion_mark(deleted, change.deleted_at)
        elif deleted is not None and not deleted.nullable:
            everything.setdefault(deleted, deletion_mark(deleted, None))
        lacking = [column.name for column in required_columns(bound) if column not in everything]
        if lacking:
            problem = f"the row does not exist yet, and the document lacks {', '.join(lacking)}"
            raise ReferencePending(bound.entity_type, self.owner.entity_id, problem)
        with self._wanting(everything, None):
            key = await insert_row(self.connection, bound, everything, unique=True)
        if key is None:
            # A host that inserts the same row at the same moment won: the row is there now.
            key = await self._made_by_the_host()
            await self.update(key, values)
        return key

    async def update(self, located: Key, values: Values) -> None:
        """Write columns of the row.

        Raises:
            RowRejected: A column that may not be NULL would be.
            RowGone: There is no such row.
        """
        bound, settled = self.bound, with_defaults(values, inserting=False)
        with self._wanting(settled, located):
            there = await update_row(self.connection, bound, located, settled)
        if not there:
            problem = f"row {located} of {bound.table.name} has gone"
            raise RowGone(problem, table=bound.table.name)

    async def _made_by_the_host(self) -> Key:
        bound, identity = self.bound, self._identity
        condition = equals(tuple(identity), tuple(identity.values()))
        key = await find_row(self.connection, bound, condition, to_write=True)
        if key is None:
            await self._refuse_other_class()
            problem = f"the row of {bound.entity_type} {self.owner.entity_id} comes and goes"
            raise ReferencePending(bound.entity_type, self.owner.entity_id, problem)
        return key

    async def _refuse_other_class(self) -> None:
        """Refuse an entity whose id is in the row of a class that is not mapped here."""
        bound, identity = self.bound, self._identity
        if len(bound.parts) == 1 or bound.key is None:
            return
        part = self._keyed_part(bound.key)
        there = select(*part.key).where(equals(tuple(identity), tuple(identity.values())))
        if (await self.connection.execute(there)).first() is not None:
            table, column = part.table.name, bound.key.name
            problem = f"{table}.{column}: a row of another class has this id"
            raise RowRejected(problem, table=table, constraint=column)

    def _wanting(self, values: Values, located: Key | None) -> AbstractContextManager[None]:
        bound, existing = self.bound, () if located is None else (located,)
        return wanting(
            WantedValues(bound, values, located, existing, bound.entity_type, bound.table.fullname)
        )

    def _keyed_part(self, key: Column[Any]) -> Part:
        return next(each for each in self.bound.parts if each.table is key.table)
