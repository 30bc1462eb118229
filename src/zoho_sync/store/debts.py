"""Keeps debts: columns that are NULL until what they refer to arrives; they are paid then."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, insert, select, tuple_

from zoho_sync.database.dialects import chunks
from zoho_sync.store.awaited import awaited_columns, awaited_entities, awaited_key
from zoho_sync.store.ledger import LedgerKey, is_of
from zoho_sync.store.tables import Rows

__all__ = ["Debt", "Debts"]

_BATCH = 200


@dataclass(frozen=True, slots=True)
class Debt:
    """A column that waits for an entity.

    Attributes:
        owner: The entity whose row, or line, has the column.
        entity_type: The owner's.
        column: The reference's name in the mapping.
        target: The entity that it refers to.
        target_type: As the reference names it.
        child: The list of lines; ``""`` for the entity's own row.
        line_id: The line's key in the list.
    """

    owner: LedgerKey
    entity_type: str
    column: str
    target: LedgerKey
    target_type: str
    child: str = ""
    line_id: str = ""


class Debts(Rows):
    """The rows of the debts table, on one connection, inside one transaction.

    A debt is written and removed under its owner's ledger lock. Whatever writes the column again
    removes it first, so that one which is there is owed by the newest writer.
    """

    async def replace(
        self, owner: LedgerKey, child: str, columns: Collection[str], debts: Sequence[Debt]
    ) -> None:
        """Forget what the owner's columns owed, and note what they owe now.

        ``columns`` are the references that were written: in the list of lines ``child``, or in the
        entity's own row where that is ``""``.
        """
        table = self._table
        if columns:
            written = (table.c.child == child, table.c.column_name.in_(list(columns)))
            await self._connection.execute(delete(table).where(is_of(table, owner), *written))
        for chunk in chunks(debts, _BATCH):
            await self._connection.execute(insert(table), [_row(debt) for debt in chunk])

    async def forget(self, owner: LedgerKey) -> None:
        """Forget everything that an entity owes: its row has gone."""
        await self._connection.execute(delete(self._table).where(is_of(self._table, owner)))

    async def paid(self, debt: Debt) -> None:
        """Forget a debt that is paid, or can never be."""
        table = self._table
        await self._connection.execute(
            delete(table).where(
                is_of(table, debt.owner),
                table.c.child == debt.child,
                table.c.line_id == debt.line_id,
                table.c.column_name == debt.column,
            )
        )

    async def owed_by(self, owner: LedgerKey) -> list[Debt]:
        """Return what an entity owes."""
        rows = await self._connection.execute(select(self._table).where(is_of(self._table, owner)))
        return [_debt(row) for row in rows.mappings()]

    async def waiting_for(self, targets: Iterable[LedgerKey]) -> list[Debt]:
        """Return what waits for entities, in the key order of the owners."""
        table, found = self._table, list[Debt]()
        for chunk in chunks(sorted(set(targets)), _BATCH):
            waits = tuple_(*awaited_columns(table)).in_([tuple(key) for key in chunk])
            rows = await self._connection.execute(select(table).where(waits))
            found += [_debt(row) for row in rows.mappings()]
        return sorted(found, key=lambda debt: debt.owner)

    async def targets(self, after: LedgerKey | None, limit: int) -> list[tuple[LedgerKey, str]]:
        """Return entities that columns wait for, in key order, with their types."""
        return await awaited_entities(self._connection, self._table, after, limit)


def _row(debt: Debt) -> dict[str, Any]:
    return {
        **debt.owner._asdict(),
        "child": debt.child,
        "line_id": debt.line_id,
        "column_name": debt.column,
        "entity_type": debt.entity_type,
        "waiting_namespace": debt.target.namespace,
        "waiting_type": debt.target_type,
        "waiting_id": debt.target.entity_id,
    }


def _debt(row: Mapping[Any, Any]) -> Debt:
    return Debt(
        owner=LedgerKey(*(row[name] for name in LedgerKey._fields)),
        entity_type=row["entity_type"],
        column=row["column_name"],
        target=awaited_key(row),
        target_type=row["waiting_type"],
        child=row["child"],
        line_id=row["line_id"],
    )
