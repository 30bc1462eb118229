"""Pays debts: writes the keys of entities that have arrived into the columns that wait for them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import Column
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from zoho_sync.apply.context import HandlerContext
from zoho_sync.apply.lines import line_rows
from zoho_sync.apply.resolving import find_entity, locate
from zoho_sync.apply.statements import find_row, update_row
from zoho_sync.database.faults import Fault, classify
from zoho_sync.database.hiding import without_values
from zoho_sync.database.unit_of_work import savepoint
from zoho_sync.exceptions import RowRejected
from zoho_sync.mapping.binding import BoundChild, BoundRows
from zoho_sync.mapping.keys import plain_key
from zoho_sync.mapping.values import Key, coerce, equals
from zoho_sync.store.debts import Debt, Debts
from zoho_sync.store.ledger import Ledger, LedgerEntry, LedgerKey

__all__ = ["pay_debts"]

_log = logging.getLogger(__name__)


async def pay_debts(
    connection: AsyncConnection, context: HandlerContext, targets: Iterable[LedgerKey]
) -> None:
    """Pay what is owed for entities that are there.

    An owner whose ledger row another transaction holds is left to the next sweep: waiting for it
    here could be a deadlock.
    """
    debts = Debts(connection, context.tables.debts)
    ledger = Ledger(connection, context.tables.ledger)
    for owner, owed in groupby(await debts.waiting_for(targets), key=lambda debt: debt.owner):
        entry = (await ledger.try_lock([owner])).get(owner)
        if entry is None:
            continue
        # Read again under the lock: its newest event may have written the column by now.
        still = set(await debts.owed_by(owner))
        payment = _Payment(connection, context, entry)
        await payment.pay([debt for debt in owed if debt in still], debts)


@dataclass(frozen=True)
class _Payment:
    """The debts of one owner, whose ledger row is locked."""

    connection: AsyncConnection
    context: HandlerContext
    entry: LedgerEntry

    async def pay(self, owed: Sequence[Debt], debts: Debts) -> None:
        for debt in owed:
            try:
                async with savepoint(self.connection):
                    await self._pay(debt, debts)
            except (SQLAlchemyError, RowRejected) as error:
                if isinstance(error, SQLAlchemyError) and classify(error) is not Fault.REJECTED:
                    raise
                # The host's schema refuses the key; the column stays NULL, as it was.
                place, problem = f"{debt.entity_type}.{debt.column}", without_values(error)
                _log.info("%s cannot be set now: %s", place, problem)

    async def _pay(self, debt: Debt, debts: Debts) -> None:
        place = await self._place(debt)
        if place is None:
            await debts.paid(debt)
            return
        rows, column, row = place
        wanted = (debt.target, debt.target_type)
        found, _ = await find_entity(self.connection, self.context, *wanted)
        if found is None:
            return
        where = equals(rows.primary_key, row)
        # A row that the host holds is left to the next sweep: nobody waits for it here.
        if await find_row(self.connection, rows, where, skip_locked=True) is None:
            return
        await update_row(self.connection, rows, row, {column: coerce(column, plain_key(found))})
        await debts.paid(debt)

    async def _place(self, debt: Debt) -> tuple[BoundRows, Column[Any], Key] | None:
        """Return the mapping, the column and the row that owe.

        None where the mapping has changed, or the host has deleted the row.
        """
        bound = self.context.bindings.get(debt.entity_type)
        if bound is None:
            return None
        mapped: list[BoundRows] = [bound] if not debt.child else []
        mapped += [child for child in bound.children if child.name == debt.child]
        columns = [r.column for rows in mapped for r in rows.references if r.name == debt.column]
        row = await locate(self.connection, bound, debt.owner, self.entry) if columns else None
        if row is not None and isinstance(mapped[0], BoundChild):
            links = self.context.tables.child_links
            lines = await line_rows(self.connection, mapped[0], links, debt.owner, row)
            row = lines.get(debt.line_id)
        return None if row is None else (mapped[0], columns[0], row)
