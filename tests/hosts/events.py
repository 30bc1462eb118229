"""Builds events as the worker gets them, each with a stamp that tells it from all others."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from zoho_sync import Operation, SyncEvent

START = datetime(2024, 5, 1, tzinfo=UTC)


def at(second: int) -> datetime:
    """Return a time that documents carry."""
    return START + timedelta(seconds=second)


def dated(
    kind: str,
    entity_id: str,
    document: dict[str, Any],
    second: int | None,
    operation: Operation = Operation.UPSERT,
) -> SyncEvent:
    """Return an event of that second; the document gets its time too, unless there is none."""
    if second is None:
        return SyncEvent(kind, entity_id, document, operation)
    stamped = document | {"last_modified_time": at(second).isoformat()}
    return SyncEvent(kind, entity_id, stamped, operation, effective_time=at(second))


def customer(entity_id: str, second: int | None = 0, *, stamp: str = "", **more: Any) -> SyncEvent:
    """Return an upsert of a client; without a second, its document has no time."""
    document = {"contact_id": entity_id, "contact_name": f"Client {entity_id}", "notes": stamp}
    return dated("customer", entity_id, document | more, second)


def invoice(
    entity_id: str, client_id: str, second: int | None = 0, *, stamp: str = "", **more: Any
) -> SyncEvent:
    """Return an upsert of an invoice; without a second, its document has no time."""
    document = {
        "invoice_id": entity_id,
        "invoice_number": f"INV-{entity_id}",
        "customer_id": client_id,
        "notes": stamp,
    }
    return dated("invoice", entity_id, document | more, second)


def deletion(event: SyncEvent, second: int) -> SyncEvent:
    """Return the delete of an event's entity."""
    kind, entity_id, document = event.entity_type, event.entity_id, dict(event.payload)
    return dated(kind, entity_id, document, second, Operation.DELETE)
