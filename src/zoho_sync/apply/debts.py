"""Pays debts: writes the keys of entities that have arrived into the columns that wait for them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from zoho_sync.apply.context import HandlerContext
from zoho_sync.apply.lines import line_rows
from zoho_sync.apply.resolving import find_entity, locate
from zoho_sync.apply.statements import find_row, update_row
from zoho_sync.database.faults import Fault, classify, without_values
from zoho_sync.database.unit_of_work import savepoint
from zoho_sync.exceptions import RowRejected
from zoho_sync.mapping.binding import BoundChild, BoundEntity, BoundReference, BoundRows
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


class _Payment:
    """The debts of one owner, whose ledger row is locked."""

    def __init__(
        self, connection: AsyncConnection, context: HandlerContext, entry: LedgerEntry
    ) -> None:
        self._connection = connection
        self._context = context
        self._entry = entry

    async def pay(self, owed: Sequence[Debt], debts: Debts) -> None:
        for debt in owed:
            try:
                async with savepoint(self._connection):
                    await self._pay(debt, debts)
            except (SQLAlchemyError, RowRejected) as error:
                if isinstance(error, SQLAlchemyError) and classify(error) is not Fault.REJECTED:
                    raise
                # The host's schema refuses the key; the column stays NULL, as it was.
                place, problem = f"{debt.entity_type}.{debt.column}", without_values(error)
                _log.info("%s cannot be set now: %s", place, problem)

    async def _pay(self, debt: Debt, debts: Debts) -> None:
        bound = self._context.bindings.get(debt.entity_type)
        place = _place(bound, debt) if bound is not None else None
        row = await self._row(bound, debt) if bound is not None and place is not None else None
        if place is None or row is None:
            # The mapping has changed, or the host has deleted the row.
            await debts.paid(debt)
            return
        rows, reference = place
        key = await self._target(debt)
        if key is None:
            return
        column, where = reference.column, equals(rows.primary_key, row)
        # A row that the host holds is left to the next sweep: nobody waits for it here.
        if await find_row(self._connection, rows, where, skip_locked=True) is None:
            return
        await update_row(self._connection, rows, row, {column: coerce(column, key)})
        await debts.paid(debt)

    async def _target(self, debt: Debt) -> Any:
        wanted = (debt.target, debt.target_type)
        found, _ = await find_entity(self._connection, self._context, *wanted)
        return None if found is None else plain_key(found)

    async def _row(self, bound: BoundEntity, debt: Debt) -> Key | None:
        owner = debt.owner
        row = await locate(self._connection, bound, owner, self._entry)
        child = _child(bound, debt)
        if row is None or child is None:
            return row
        links = self._context.tables.child_links
        lines = await line_rows(self._connection, child, links, owner, row)
        return lines.get(debt.line_id)


def _child(bound: BoundEntity, debt: Debt) -> BoundChild | None:
    return next((child for child in bound.children if child.name == debt.child), None)


def _place(bound: BoundEntity, debt: Debt) -> tuple[BoundRows, BoundReference] | None:
    """Return the rows and the reference that a debt names; None where the mapping lacks them."""
    rows: BoundRows | None = _child(bound, debt) if debt.child else bound
    found = [r for r in rows.references if r.name == debt.column] if rows is not None else []
    return (rows, found[0]) if rows is not None and found else None
