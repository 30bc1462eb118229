"""Events as rows of the library's tables, and back."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from zoho_sync.events.event import Arrival, Operation, SyncEvent
from zoho_sync.events.version import arrival_of

__all__ = ["dedupe_key", "event_from_row", "event_row"]


def event_row(event: SyncEvent) -> dict[str, Any]:
    """Return the columns that every table with events has; the payload is not among them."""
    arrival = arrival_of(event)
    return {
        "event_id": event.id,
        "organization_id": event.organization_id,
        "entity_type": event.entity_type,
        "entity_id": event.entity_id,
        "operation": event.operation.value,
        "effective_time": event.effective_time,
        "arrival_time": arrival.time,
        "arrival_sequence": arrival.sequence,
        "content_hash": event.content_hash,
    }


def event_from_row(row: Mapping[Any, Any]) -> SyncEvent:
    """Return the event that a row of jobs, parked or dead_letters holds.

    A job that was never parked or replayed has no arrival sequence of its own: its id is one.
    """
    sequence = row["arrival_sequence"]
    return SyncEvent(
        entity_type=row["entity_type"],
        entity_id=row["entity_id"],
        payload=row["payload"],
        operation=Operation(row["operation"]),
        organization_id=row["organization_id"],
        effective_time=row["effective_time"],
        arrival=Arrival(row["arrival_time"], row["id"] if sequence is None else sequence),
        id=row["event_id"],
        content_hash=row["content_hash"],
    )


def dedupe_key(event: SyncEvent) -> str | None:
    """Return what two deliveries of one change have in common; None where that cannot be told.

    Without a time of its own, a repeated document may as well be a return to an earlier state.
    """
    if event.effective_time is None or event.reapplied:
        return None
    parts = (
        event.organization_id,
        event.entity_type,
        event.entity_id,
        event.operation.value,
        event.effective_time.isoformat(),
        event.content_hash,
    )
    return hashlib.sha256("\x1f".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
