"""Writes one event into the host's tables: its row, its lines, and what they owe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from zoho_sync.apply.entity_row import Change, EntityRow
from zoho_sync.apply.lines import ChildWriter
from zoho_sync.apply.references import References
from zoho_sync.apply.statements import delete_row
from zoho_sync.exceptions import ConfigurationError
from zoho_sync.mapping.binding import BoundChild, BoundEntity, BoundReference
from zoho_sync.mapping.keys import plain_key
from zoho_sync.mapping.values import Key, deletion_mark, refusals_at
from zoho_sync.payloads import Payload
from zoho_sync.store.debts import Debts
from zoho_sync.store.ledger import LedgerKey
from zoho_sync.store.tables import Tables

__all__ = ["Writing"]


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
        if self.change is None:
            message = "upsert() called while a delete is applied"
            raise ConfigurationError(message)
        row, had_row = EntityRow(self.connection, bound, self.owner), self.located is not None
        if not had_row and any(rows.references for rows in (bound, *bound.children)):
            # What a row that has gone owed is not this one's debt.
            await Debts(self.connection, self.tables.debts).forget(self.owner)
        with refusals_at(bound, payload.entity_type):
            values = await row.values(self.change, self.references)
            if not had_row and self.may_adopt and bound.adopt:
                self.located = await row.adopt(self.change, values, self.tables.ledger)
                self.adopted = self.located is not None
            if self.located is None:
                self.located = await row.insert(self.change, values)
            elif not self.adopted:
                await row.update(self.located, values | row.mark(self.change))
        written = [each for each in bound.references if each.name in self.change.write]
        await self._owe("", written, had_row=had_row)
        for child in bound.children:
            if child.name in self.change.write:
                await self._lines(child, bound, self.located).replace(payload)
                await self._owe(child.name, child.references, had_row=had_row)
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
                row = EntityRow(self.connection, bound, self.owner)
                await row.update(self.located, {column: deletion_mark(column, self.deleted_at)})
            return
        for child in bound.children:
            await self._lines(child, bound, self.located).remove_all()
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

    def _lines(self, child: BoundChild, bound: BoundEntity, located: Key) -> ChildWriter:
        return ChildWriter(
            self.connection,
            child,
            self.tables.child_links,
            self.references,
            self.owner,
            located,
            bound.table.fullname,
        )

    def _mapped(self, method: str) -> BoundEntity:
        if self.bound is None:
            message = f"a handler without a mapping must override {method}()"
            raise ConfigurationError(message)
        return self.bound
