"""Counts the host's rows that Zoho's entities would take over, before the first event arrives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import false, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from zoho_sync.apply.adoption import is_unkeyed
from zoho_sync.apply.context import HandlerContext
from zoho_sync.database.unit_of_work import unit_of_work
from zoho_sync.mapping.binding import BoundEntity
from zoho_sync.mapping.keys import encode_key

__all__ = ["AdoptionCount", "count_adoptable"]


@dataclass(frozen=True, slots=True)
class AdoptionCount:
    """How the host's rows of one entity type stand before they are adopted.

    Attributes:
        entity_type: The type.
        table: The host's table.
        rows: All rows.
        linked: Rows that an entity has already.
        adoptable: Rows without an entity whose natural key no other such row has.
        ambiguous: Rows without an entity that share their natural key.
        keyless: Rows without an entity whose natural key is empty.
    """

    entity_type: str
    table: str
    rows: int
    linked: int
    adoptable: int
    ambiguous: int
    keyless: int


async def count_adoptable(
    session_factory: Callable[[], AsyncSession], context: HandlerContext
) -> list[AdoptionCount]:
    """Count the rows of each mapping with natural keys; see `ZohoSync.adoption_report`."""
    counts = []
    for bound in context.bindings.values():
        if bound.adopt:
            async with session_factory() as session, unit_of_work(session) as work:
                counts.append(await _count(work.connection, context, bound))
    return counts


async def _count(
    connection: AsyncConnection, context: HandlerContext, bound: BoundEntity
) -> AdoptionCount:
    ledger = context.tables.ledger
    links = select(ledger.c.primary_key).where(ledger.c.table_name == bound.table.fullname)
    linked = set((await connection.execute(links)).scalars())
    naturals = [natural.alike(natural.column) for natural in bound.adopt]
    has_id = false() if bound.key is None else func.coalesce(~is_unkeyed(bound), False)
    statement = select(*bound.primary_key, has_id, *naturals).select_from(bound.selectable)
    if bound.discriminator is not None:
        kind = bound.discriminator
        statement = statement.where(kind.column.in_(kind.classes))
    rows = await connection.stream(statement)
    seen, total, taken, keyless = Counter[tuple[Any, ...]](), 0, 0, 0
    width = len(bound.primary_key)
    async for row in rows:
        total += 1
        natural = tuple(row[width + 1 :])
        if row[width] or encode_key(tuple(row[:width])) in linked:
            taken += 1
        elif any(value is None or value == "" for value in natural):
            keyless += 1
        else:
            seen[natural] += 1
    alone = sum(1 for count in seen.values() if count == 1)
    return AdoptionCount(
        entity_type=bound.entity_type,
        table=bound.table.fullname,
        rows=total,
        linked=taken,
        adoptable=alone,
        ambiguous=seen.total() - alone,
        keyless=keyless,
    )
