"""Debts: columns that are NULL because what they refer to had not arrived; paid when it does."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Table, delete, insert, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from zoho_sync.store.ledger import LedgerKey

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


class Debts:
    """The rows of the debts table, on one connection, inside one transaction.

    A debt is written and removed under its owner's ledger lock. Whatever writes the column again
    removes it first, so that one which is there is owed by the newest writer.
    """

    def __init__(self, connection: AsyncConnection, table: Table) -> None:
        self._connection = connection
        self._table = table

    async def replace(
        self, owner: LedgerKey, child: str, columns: Collection[str], debts: Sequence[Debt]
    ) -> None:
        """Forget what the owner's columns owed, and note what they owe now.

        Args:
            owner: The entity.
            child: The list of lines that was written, or ``""`` for the entity's own row.
            columns: The references that were written.
            debts: What they owe now.
        """
        table = self._table
        if columns:
            await self._connection.execute(
                delete(table).where(
                    self._owned_by(owner),
                    table.c.child == child,
                    table.c.column_name.in_(list(columns)),
                )
            )
        for start in range(0, len(debts), _BATCH):
            rows = [_row(debt) for debt in debts[start : start + _BATCH]]
            await self._connection.execute(insert(table), rows)

    async def forget(self, owner: LedgerKey) -> None:
        """Forget everything that an entity owes: its row has gone."""
        await self._connection.execute(delete(self._table).where(self._owned_by(owner)))

    async def paid(self, debt: Debt) -> None:
        """Forget a debt that is paid, or can never be."""
        table = self._table
        await self._connection.execute(
            delete(table).where(
                self._owned_by(debt.owner),
                table.c.child == debt.child,
                table.c.line_id == debt.line_id,
                table.c.column_name == debt.column,
            )
        )

    async def owed_by(self, owner: LedgerKey) -> list[Debt]:
        """Return what an entity owes."""
        rows = await self._connection.execute(select(self._table).where(self._owned_by(owner)))
        return [_debt(row) for row in rows.mappings()]

    async def waiting_for(self, targets: Iterable[LedgerKey]) -> list[Debt]:
        """Return what waits for entities, in the key order of the owners."""
        table, found = self._table, list[Debt]()
        waits = tuple_(table.c.organization_id, table.c.waiting_namespace, table.c.waiting_id)
        ordered = sorted(set(targets))
        for start in range(0, len(ordered), _BATCH):
            wanted = [tuple(key) for key in ordered[start : start + _BATCH]]
            rows = await self._connection.execute(select(table).where(waits.in_(wanted)))
            found += [_debt(row) for row in rows.mappings()]
        return sorted(found, key=lambda debt: debt.owner)

    async def targets(self, after: LedgerKey | None, limit: int) -> list[tuple[LedgerKey, str]]:
        """Return entities that columns wait for, in key order, with their types."""
        table = self._table
        columns = (table.c.organization_id, table.c.waiting_namespace, table.c.waiting_id)
        statement = select(*columns, table.c.waiting_type).distinct().order_by(*columns)
        if after is not None:
            statement = statement.where(tuple_(*columns) > tuple_(*_literals(after)))
        rows = await self._connection.execute(statement.limit(limit))
        return [(LedgerKey(*row[:3]), row[3]) for row in rows]

    def _owned_by(self, owner: LedgerKey) -> Any:
        table = self._table
        return (
            (table.c.organization_id == owner.organization_id)
            & (table.c.namespace == owner.namespace)
            & (table.c.entity_id == owner.entity_id)
        )


def _literals(key: LedgerKey) -> Iterable[Any]:
    return (literal(value) for value in key)


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
    organization_id = row["organization_id"]
    return Debt(
        owner=LedgerKey(organization_id, row["namespace"], row["entity_id"]),
        entity_type=row["entity_type"],
        column=row["column_name"],
        target=LedgerKey(organization_id, row["waiting_namespace"], row["waiting_id"]),
        target_type=row["waiting_type"],
        child=row["child"],
        line_id=row["line_id"],
    )
