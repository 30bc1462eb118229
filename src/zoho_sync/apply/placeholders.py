"""Makes placeholders: rows that stand for entities of which only the id is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from zoho_sync.apply.context import HandlerContext
from zoho_sync.apply.resolving import find_key
from zoho_sync.apply.statements import insert_row
from zoho_sync.exceptions import ConfigurationError, ReferencePending
from zoho_sync.exceptions.wording import listed, meant
from zoho_sync.mapping.binding import BoundEntity
from zoho_sync.mapping.keys import encode_key, plain_key
from zoho_sync.mapping.values import (
    Key,
    Values,
    coerce,
    deletion_mark,
    identity_values,
)
from zoho_sync.store.ledger import Ledger, LedgerKey

__all__ = ["make_placeholder"]


async def make_placeholder(
    connection: AsyncConnection,
    context: HandlerContext,
    key: LedgerKey,
    entity_type: str,
    columns: Mapping[str, Any],
) -> Any:
    """Make the row that stands for an entity, once; return its primary key.

    The entity's ledger row is locked: of several events that miss the entity one makes the row,
    and the others find it. The ledger links it, and the entity's first event writes it.

    Args:
        connection: Inside the event's transaction.
        context: Says where the entity type is mapped.
        key: The entity.
        entity_type: Its type.
        columns: The host's columns, by their names in the mapping.

    Raises:
        ConfigurationError: The entity type has no mapping, or it lacks one of the columns.
        ReferencePending: The row comes and goes.
        RowRejected: The host's schema refuses the row.
    """
    bound = context.bindings.get(entity_type)
    if bound is None:
        message = f"a placeholder of {entity_type} needs a handler with a mapping for that type"
        raise ConfigurationError(message)
    ledger = Ledger(connection, context.tables.ledger)
    await ledger.prepare([key])
    entry = (await ledger.lock([key]))[key]
    if entry.table_name not in {None, bound.table.fullname}:
        raise ReferencePending(entity_type, key.entity_id, f"it is a {entry.entity_type} by now")
    found = await find_key(connection, bound, key, entry)
    if found is None:
        found = await _insert(connection, bound, key, columns, entry.state.deleted_at)
        entry = replace(entry, table_name=bound.table.fullname, primary_key=encode_key(found))
        await ledger.write(key, entry)
    return plain_key(found)


async def _insert(
    connection: AsyncConnection,
    bound: BoundEntity,
    key: LedgerKey,
    columns: Mapping[str, Any],
    deleted_at: datetime | None,
) -> Key:
    values = _values(bound, columns)
    if bound.deleted is not None and (deleted_at is not None or not bound.deleted.nullable):
        values.setdefault(bound.deleted, deletion_mark(bound.deleted, deleted_at))
    values |= identity_values(bound, key.entity_id, key.organization_id)
    row = await insert_row(connection, bound, values, unique=True)
    row = row or await find_key(connection, bound, key, None)
    if row is None:
        problem = f"the row of {bound.entity_type} {key.entity_id} comes and goes"
        raise ReferencePending(bound.entity_type, key.entity_id, problem)
    return row


def _values(bound: BoundEntity, columns: Mapping[str, Any]) -> Values:
    values: Values = {
        column: coerce(column, value)
        for column, value in bound.insert_only.items()
        if not callable(value)
    }
    named = {column.key: column for part in bound.parts for column in part.table.columns}
    named |= {name: column for name, (column, _) in bound.columns.items()}
    for name, value in columns.items():
        if name not in named:
            remedy = meant(name, named) or f"It has {listed(sorted(named))}."
            message = (
                f"the placeholder of {bound.entity_type} gives {name!r}, which"
                f" {bound.table.name!r} does not have. {remedy}"
            )
            raise ConfigurationError(message)
        values[named[name]] = coerce(named[name], value)
    return values
