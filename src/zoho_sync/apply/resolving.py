"""Finds the host's row of an entity: by the key that the host has, or by the ledger's link."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement
from sqlalchemy.ext.asyncio import AsyncConnection

from zoho_sync.apply.context import HandlerContext
from zoho_sync.apply.statements import find_row
from zoho_sync.events.entities import CONTACT
from zoho_sync.exceptions import ReferenceFailed, ReferencePending
from zoho_sync.mapping.binding import BoundEntity
from zoho_sync.mapping.keys import decode_key, plain_key
from zoho_sync.mapping.values import Key, equals, identity_values
from zoho_sync.store.ledger import Ledger, LedgerEntry, LedgerKey

__all__ = ["find_entity", "find_key", "locate", "resolve_key"]


async def resolve_key(  # noqa: PLR0913  # where to look, what for, and what a miss means
    connection: AsyncConnection,
    context: HandlerContext,
    organization_id: str,
    entity_type: str,
    zoho_id: str,
    *,
    missing: str = "park",
    hold: bool = False,
) -> Any:
    """Return the host's primary key of an entity; see `BaseEntityHandler.resolve`.

    With ``hold`` its row stays until the transaction ends: the host cannot delete it meanwhile.
    """
    kind = context.catalog.require(entity_type)
    kind.check_id(zoho_id, f"{kind.entity_type}.{kind.id_fields[0]}")
    key = LedgerKey(organization_id, kind.namespace, zoho_id)
    found, entry = await find_entity(connection, context, key, kind.entity_type, hold=hold)
    if found is not None:
        return plain_key(found)
    known = context.bindings.get(entry.entity_type or "") if entry is not None else None
    is_final = known is not None and known.mapping.on_delete == "hard"
    if is_final and entry is not None and entry.state.deleted_at is not None:
        raise ReferenceFailed(kind.entity_type, zoho_id, "was deleted", deleted=True)
    if missing == "fail":
        raise ReferenceFailed(kind.entity_type, zoho_id)
    raise ReferencePending(kind.entity_type, zoho_id)


async def find_entity(
    connection: AsyncConnection,
    context: HandlerContext,
    key: LedgerKey,
    entity_type: str,
    *,
    hold: bool = False,
) -> tuple[Key | None, LedgerEntry | None]:
    """Return the primary key of an entity's row, and its ledger entry; None where there is none.

    A contact is looked for where the ledger says that it lives; where the ledger knows nothing,
    among the host's customers and vendors.
    """
    entry = (await Ledger(connection, context.tables.ledger).read([key])).get(key)
    wanted = [entity_type]
    if entity_type == CONTACT:
        kinds = [name for name in context.bindings if context.catalog.namespace(name) == CONTACT]
        known = entry.entity_type if entry is not None else None
        wanted = [known] if known is not None and known in context.bindings else kinds
    for name in wanted or [entity_type]:
        bound = context.bindings.get(name)
        found = await find_key(connection, bound, key, entry, hold=hold)
        if found is not None:
            return found, entry
    return None, entry


async def find_key(
    connection: AsyncConnection,
    bound: BoundEntity | None,
    key: LedgerKey,
    entry: LedgerEntry | None,
    *,
    hold: bool = False,
) -> Key | None:
    """Return the primary key of an entity's row; None while there is none."""
    if bound is None:
        linked = entry.primary_key if entry is not None else None
        return None if linked is None else decode_key(linked, ())
    if bound.mapping.organization_id not in (None, key.organization_id):
        return None  # no reference crosses organizations
    condition = _is_of(bound, key, entry)
    lock = {"read": True, "key_share": True} if hold else {}
    return None if condition is None else await find_row(connection, bound, condition, **lock)


async def locate(
    connection: AsyncConnection, bound: BoundEntity, key: LedgerKey, entry: LedgerEntry
) -> Key | None:
    """Return the primary key of an entity's row, which is to be written next; None without one."""
    condition = _is_of(bound, key, entry)
    if condition is None:
        return None
    return await find_row(connection, bound, condition, to_write=True)


def _is_of(
    bound: BoundEntity, key: LedgerKey, entry: LedgerEntry | None
) -> ColumnElement[bool] | None:
    """Return the condition that a row is an entity's; None where no row can be."""
    linked = entry.primary_key if entry is not None else None
    if bound.key is not None:
        # Never by the link: the host may have deleted the row, and its key be a stranger's now.
        where = identity_values(bound, key.entity_id, key.organization_id)
    elif linked is not None and entry is not None and entry.table_name == bound.table.fullname:
        # The host may have deleted that row as well: then the entity is awaited like any other.
        where = dict(zip(bound.primary_key, decode_key(linked, bound.primary_key), strict=True))
    else:
        return None
    return equals(tuple(where), tuple(where.values()))
