"""Writes events, and jobs with their history, as rows of the library's tables, and reads them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from zoho_sync.abc import Job
from zoho_sync.events.event import Arrival, Operation, SyncEvent
from zoho_sync.events.version import arrival_of

__all__ = ["dedupe_key", "event_from_row", "event_row", "job_from_row", "job_row", "queued_row"]


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


def job_row(job: Job) -> dict[str, Any]:
    """Return the columns that jobs, parked events and dead letters share: what comes back."""
    return {
        **event_row(job.event),
        "payload": job.event.payload,
        "attempts": job.attempts,
        "history": [dict(entry) for entry in job.history],
        "first_parked_at": job.first_parked_at,
        "priority": job.priority,
    }


def queued_row(job: Job, not_before: Any) -> dict[str, Any]:
    """Return the row of a job that nobody has leased.

    ``not_before`` is a time, or what tells it in the database.
    """
    return job_row(job) | {
        "dedupe_key": dedupe_key(job.event),
        "not_before": not_before,
        "suspect": False,
        "deaths": job.deaths,
        "contested": list(job.contested) or None,
    }


def job_from_row(row: Mapping[Any, Any], lease_token: str = "", **leased: Any) -> Job:
    """Return the job of a row of jobs or parked; ``leased`` is what rows of jobs alone tell."""
    return Job(
        row["id"],
        event_from_row(row),
        lease_token,
        attempts=row["attempts"],
        history=tuple(row["history"]),
        first_parked_at=row["first_parked_at"],
        priority=row["priority"],
        **leased,
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
