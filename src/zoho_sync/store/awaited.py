"""Finds the entities that rows wait for: parked events and debts each name the one that must come.

Such a row names it by ``organization_id``, ``waiting_namespace``, ``waiting_type``, ``waiting_id``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Column, ColumnElement, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from zoho_sync.store.ledger import LedgerKey, is_behind

__all__ = ["awaited_columns", "awaited_entities", "awaited_key"]


def awaited_columns(table: Table) -> tuple[Column[Any], ...]:
    """Return the columns that name the entity that a row waits for, as a ledger key does."""
    return table.c.organization_id, table.c.waiting_namespace, table.c.waiting_id


def awaited_key(row: Mapping[Any, Any]) -> LedgerKey:
    """Return the entity that a row waits for."""
    return LedgerKey(row["organization_id"], row["waiting_namespace"], row["waiting_id"])


async def awaited_entities(
    connection: AsyncConnection,
    table: Table,
    after: LedgerKey | None,
    limit: int,
    *conditions: ColumnElement[bool],
) -> list[tuple[LedgerKey, str]]:
    """Return entities that rows wait for, in key order, from behind ``after``, with their types."""
    columns = awaited_columns(table)
    statement = (
        select(*columns, table.c.waiting_type)
        .distinct()
        .where(is_behind(columns, after), *conditions)
        .order_by(*columns)
        .limit(limit)
    )
    rows = await connection.execute(statement)
    return [(LedgerKey(*row[:3]), row[3]) for row in rows]
