"""Moves a contact between customer and vendor: one ledger row, two tables of the host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from zoho_sync.apply.handler import Handler
from zoho_sync.apply.refusals import in_our_words
from zoho_sync.apply.resolving import locate
from zoho_sync.apply.writing import Writing
from zoho_sync.events.event import Operation, SyncEvent
from zoho_sync.exceptions import PayloadError
from zoho_sync.mapping.binding import BoundEntity
from zoho_sync.store.debts import Debts
from zoho_sync.store.ledger import LedgerEntry

__all__ = ["refuse_sibling", "retire", "sibling"]


def sibling(
    bindings: Mapping[str, BoundEntity], bound: BoundEntity | None, entry: LedgerEntry
) -> BoundEntity | None:
    """Return the mapping of the other type that an entity had; None if its type is the same.

    Where both types live in one table, there is but one row, and nothing to move.
    """
    if bound is None or entry.entity_type in {None, bound.entity_type}:
        return None
    other = bindings.get(str(entry.entity_type))
    return None if other is None or other.table is bound.table else other


def refuse_sibling(handler: Handler, event: SyncEvent, entry: LedgerEntry) -> None:
    """Refuse the delete of a contact by the handler of the other type.

    Raises:
        PayloadError: The row is the other handler's to delete.
    """
    if event.operation is not Operation.DELETE:
        return
    if sibling(handler.context.bindings, handler.binding(), entry) is not None:
        problem = f"it is a {entry.entity_type} by now; call that type's handler"
        raise PayloadError(f"{event.entity_type}.{handler.kind().id_fields[0]}", problem)


async def retire(
    writing: Writing, other: BoundEntity, entry: LedgerEntry, moment: datetime
) -> None:
    """Delete the row that an entity had under its other type, as that type's mapping says."""
    connection, owner = writing.connection, writing.owner
    await Debts(connection, writing.tables.debts).forget(owner)
    if other.mapping.on_delete == "ignore":
        return
    located = await locate(connection, other, owner, entry)
    leaving = replace(writing, bound=other, located=located, change=None, deleted_at=moment)
    with in_our_words(other, owner.entity_id, deletes=True):
        await leaving.delete(owner.entity_id)
