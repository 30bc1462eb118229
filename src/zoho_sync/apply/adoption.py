"""Finds the row that the host has of an entity which is heard of first, to take it over."""

from __future__ import annotations

from typing import Final

from sqlalchemy import ColumnElement, Table, and_, literal, or_, select
from sqlalchemy import String as SQLString
from sqlalchemy.ext.asyncio import AsyncConnection

from zoho_sync.exceptions import AmbiguousMatch, ReferencePending
from zoho_sync.mapping.binding import BoundEntity
from zoho_sync.mapping.keys import encode_key
from zoho_sync.mapping.values import Key, Values, coerce
from zoho_sync.store.ledger import LedgerKey

__all__ = ["is_unkeyed", "unlinked_match"]

_MOST: Final = 100
"""Rows of one natural key that are looked at; so many are ambiguous anyway."""


async def unlinked_match(
    connection: AsyncConnection,
    bound: BoundEntity,
    ledger: Table,
    values: Values,
    owner: LedgerKey,
) -> Key | None:
    """Return the one row without an entity that has the natural keys of a document.

    The row is locked: whoever adopts it at the same moment decides again once this one has.

    Args:
        connection: Inside the event's transaction.
        bound: The mapping, with natural keys.
        ledger: Knows the rows that are linked.
        values: What the document holds for the host's columns.
        owner: The entity, for errors and for a shared table.

    Raises:
        AmbiguousMatch: There are several.
        ReferencePending: The document lacks a natural key; one that has it may come.
    """
    conditions = []
    for natural in bound.adopt:
        if natural.column not in values:
            problem = f"no row is linked yet, and the document lacks {natural.column.name}"
            raise ReferencePending(bound.entity_type, owner.entity_id, problem)
        value = values[natural.column]
        if value is None or (isinstance(value, str) and not value.strip()):
            return None
        given = literal(value, natural.column.type)
        conditions.append(natural.alike(natural.column) == natural.alike(given))
    if bound.organization is not None:
        mine = coerce(bound.organization, owner.organization_id)
        conditions.append(or_(bound.organization == mine, bound.organization.is_(None)))
    if bound.key is not None:
        conditions.append(is_unkeyed(bound))
    if (kind := bound.discriminator) is not None:
        conditions.append(kind.column.in_(kind.classes))
    statement = select(*bound.primary_key).select_from(bound.selectable).where(and_(*conditions))
    tables = [part.table for part in bound.parts]
    locked = statement.order_by(*bound.primary_key).limit(_MOST).with_for_update(of=tables)
    rows = [tuple(row) for row in await connection.execute(locked)]
    free = await _unlinked(connection, bound, ledger, rows)
    if len(free) > 1:
        raise AmbiguousMatch(bound.entity_type, owner.entity_id, bound.table.name, free)
    return free[0] if free else None


def is_unkeyed(bound: BoundEntity) -> ColumnElement[bool]:
    """Return the condition that a row has no Zoho id yet."""
    key = bound.key
    if key is None:
        message = f"{bound.table.name} has no Zoho column"
        raise ValueError(message)
    if isinstance(key.type, SQLString):
        # A host whose column may not be NULL leaves it empty.
        return or_(key.is_(None), key == "")
    return key.is_(None)


async def _unlinked(
    connection: AsyncConnection, bound: BoundEntity, ledger: Table, rows: list[Key]
) -> list[Key]:
    """Return the rows that no entity of the ledger has."""
    if not rows:
        return []
    keys = {encode_key(row): row for row in rows}
    taken = select(ledger.c.primary_key).where(
        ledger.c.table_name == bound.table.fullname, ledger.c.primary_key.in_(keys)
    )
    linked = set((await connection.execute(taken)).scalars())
    return [row for key, row in keys.items() if key not in linked]
