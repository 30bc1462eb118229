"""Makes rows of the jobs table of events and jobs, and reads them as jobs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from zoho_sync.abc import DEFAULT_PRIORITY, Job
from zoho_sync.events.event import SyncEvent
from zoho_sync.exceptions import ConfigurationError
from zoho_sync.store.event_rows import dedupe_key, event_from_row, event_row

__all__ = ["check_priority", "job_from_row", "job_row", "queued_row"]

_FARTHEST: Final = 2**15  # what a SMALLINT begins with


def check_priority(priority: Any) -> None:  # whatever the host gave
    """Refuse what is no priority.

    Raises:
        ConfigurationError: The message says which numbers are.
    """
    is_number = isinstance(priority, int) and not isinstance(priority, bool)
    if not is_number or not -_FARTHEST <= priority < _FARTHEST:
        message = (
            f"priority must be a whole number from {-_FARTHEST} to {_FARTHEST - 1}; the smaller, "
            f"the sooner, and {DEFAULT_PRIORITY} is that of deliveries"
        )
        raise ConfigurationError(message)


def job_row(job: Job, not_before: datetime) -> dict[str, Any]:
    """Return the row that puts a job back with its history; see `Jobs.put_back`."""
    return queued_row(job.event, not_before, job.priority) | {
        "attempts": job.attempts,
        "history": [dict(entry) for entry in job.history],
        "first_parked_at": job.first_parked_at,
        "deaths": job.deaths,
        "contested": list(job.contested) or None,
    }


def queued_row(
    event: SyncEvent, not_before: datetime, priority: int = DEFAULT_PRIORITY
) -> dict[str, Any]:
    """Return the row of an event that nobody has tried to apply yet."""
    return {
        **event_row(event),
        "payload": event.payload,
        "dedupe_key": dedupe_key(event),
        "attempts": 0,
        "history": [],
        "first_parked_at": None,
        "priority": priority,
        "not_before": not_before,
        "suspect": False,
        "deaths": 0,
        "contested": None,
    }


def job_from_row(row: Mapping[Any, Any], token: str, now: datetime) -> Job:
    """Return a job that was leased under a token."""
    return Job(
        handle=row["id"],
        event=event_from_row(row),
        lease_token=token,
        attempts=row["attempts"],
        deaths=row["deaths"],
        suspect=row["suspect"],
        history=tuple(row["history"]),
        first_parked_at=row["first_parked_at"],
        priority=row["priority"],
        contested=tuple(row["contested"] or ()),
        early=max(row["not_before"] - now, timedelta(0)),
    )
