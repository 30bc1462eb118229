"""Keeps an existing ERP's own database in step with Zoho Books and Zoho Inventory."""

from __future__ import annotations

from zoho_sync import mirror
from zoho_sync.app.sync import ZohoSync
from zoho_sync.events.entities import EntityType
from zoho_sync.events.event import Operation, SyncEvent
from zoho_sync.events.outcome import Outcome, Receipt, ReceiptStatus, SyncResult
from zoho_sync.events.retry import RetryPolicy
from zoho_sync.exceptions import (
    ConfigurationError,
    HostTransactionLost,
    MappingError,
    PayloadError,
    QueueUnavailable,
    ReferenceFailed,
    ReferencePending,
    RowRejected,
    SessionBusy,
    UnknownEntityType,
    ZohoSyncError,
)
from zoho_sync.handlers.base import BaseEntityHandler
from zoho_sync.handlers.registry import HandlerRegistry, default_registry
from zoho_sync.intake.signature import AnyOf, SignedBody, SignedRequest
from zoho_sync.intake.tokens import HeaderToken, QueryToken, Unverified
from zoho_sync.mapping.declaration import (
    ABSENT,
    DOCUMENT,
    ChildMap,
    EntityMap,
    Reference,
    custom_field,
)

__all__ = [
    "ABSENT",
    "DOCUMENT",
    "AnyOf",
    "BaseEntityHandler",
    "ChildMap",
    "ConfigurationError",
    "EntityMap",
    "EntityType",
    "HandlerRegistry",
    "HeaderToken",
    "HostTransactionLost",
    "MappingError",
    "Operation",
    "Outcome",
    "PayloadError",
    "QueryToken",
    "QueueUnavailable",
    "Receipt",
    "ReceiptStatus",
    "Reference",
    "ReferenceFailed",
    "ReferencePending",
    "RetryPolicy",
    "RowRejected",
    "SessionBusy",
    "SignedBody",
    "SignedRequest",
    "SyncEvent",
    "SyncResult",
    "UnknownEntityType",
    "Unverified",
    "ZohoSync",
    "ZohoSyncError",
    "custom_field",
    "default_registry",
    "mirror",
]
