"""Holds the values and the rule: an event, its version, what is decided about it, what it comes to.

The first stage. Nothing here touches a database or waits for anything: a delivery becomes a
`SyncEvent` in `zoho_sync.intake`, `zoho_sync.apply` decides about it by the rule in `decision`, and
every stage speaks of it in these words.
"""

from __future__ import annotations

from zoho_sync.events.entities import EntityCatalog, EntityKind, EntityType
from zoho_sync.events.event import DEFAULT_ORGANIZATION, Arrival, Operation, SyncEvent
from zoho_sync.events.outcome import DeadLetterKind, Outcome, Receipt, ReceiptStatus, SyncResult
from zoho_sync.events.retry import RetryPolicy
from zoho_sync.events.version import Version

__all__ = [
    "DEFAULT_ORGANIZATION",
    "Arrival",
    "DeadLetterKind",
    "EntityCatalog",
    "EntityKind",
    "EntityType",
    "Operation",
    "Outcome",
    "Receipt",
    "ReceiptStatus",
    "RetryPolicy",
    "SyncEvent",
    "SyncResult",
    "Version",
]
