"""Names every error that the library raises on purpose; all are a `ZohoSyncError`.

`errors` shows them as a tree.
"""

from __future__ import annotations

from zoho_sync.exceptions.errors import (
    AmbiguousMatch,
    ConfigurationError,
    Finding,
    HostTransactionLost,
    LeaseLost,
    MappingError,
    MissingExtra,
    PayloadError,
    QueueUnavailable,
    ReferenceFailed,
    ReferencePending,
    RowGone,
    RowRejected,
    SessionBusy,
    UnknownEntityType,
    ValueTaken,
    ZohoSyncError,
)

__all__ = [
    "AmbiguousMatch",
    "ConfigurationError",
    "Finding",
    "HostTransactionLost",
    "LeaseLost",
    "MappingError",
    "MissingExtra",
    "PayloadError",
    "QueueUnavailable",
    "ReferenceFailed",
    "ReferencePending",
    "RowGone",
    "RowRejected",
    "SessionBusy",
    "UnknownEntityType",
    "ValueTaken",
    "ZohoSyncError",
]
