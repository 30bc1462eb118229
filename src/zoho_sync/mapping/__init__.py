"""Declares where the fields of a document go, and binds that to the host's tables.

After `zoho_sync.payloads`, which says what a document holds, and before `zoho_sync.apply`, which
writes by the bound mapping. `zoho_sync.checks` holds the same against the real schema.
"""

from __future__ import annotations

from zoho_sync.mapping.declaration import (
    ABSENT,
    DOCUMENT,
    Absent,
    ChildMap,
    CustomField,
    EntityMap,
    NaturalKey,
    Placeholder,
    Reference,
    Source,
    custom_field,
    folded,
)

__all__ = [
    "ABSENT",
    "DOCUMENT",
    "Absent",
    "ChildMap",
    "CustomField",
    "EntityMap",
    "NaturalKey",
    "Placeholder",
    "Reference",
    "Source",
    "custom_field",
    "folded",
]
