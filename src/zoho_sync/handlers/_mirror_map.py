"""The mirror's tables as a mapping: what the eleven handlers do unless told otherwise."""

from __future__ import annotations

from zoho_sync.mapping import DOCUMENT, ChildMap, EntityMap
from zoho_sync.mirror import MirrorTable, MirrorTables, tables

__all__ = ["mirror_map"]


def mirror_map(name: str, mirror: MirrorTables = tables) -> EntityMap:
    """Return the mapping that keeps one document's table of the mirror, and those of its lines.

    Args:
        name: Of the document's table, without the prefix: ``invoices``.
        mirror: The mirror; `zoho_sync.mirror.build` makes one with other names.
    """
    head = mirror.entries[name]
    children = [entry for entry in mirror.entries.values() if entry.parent == name]
    return EntityMap(
        table=head.table,
        key=head.key,
        organization_column="organization_id",
        columns={**head.columns, "raw": DOCUMENT},
        children=[_child(entry) for entry in children],
        on_delete="soft",
        deleted_column="deleted_at",
    )


def _child(entry: MirrorTable) -> ChildMap:
    return ChildMap(
        table=entry.table,
        source=entry.source,
        key=entry.key,
        parent=("organization_id", entry.parent_key),
        columns=entry.columns,
    )
