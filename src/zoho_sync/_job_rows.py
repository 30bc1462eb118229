"""Rows of the jobs table: made of events and jobs, and read as jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Insert, Table, false, insert, literal, select

from zoho_sync._dialects import Clock, execution_time
from zoho_sync._event_rows import dedupe_key, event_from_row, event_row
from zoho_sync._insertion import insert_if_absent
from zoho_sync.abc import DEFAULT_PRIORITY, Job
from zoho_sync.events import Arrival, SyncEvent
from zoho_sync.exceptions import ConfigurationError

__all__ = ["check_priority", "enqueueing", "job_from_row", "job_row", "new_row"]

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


def enqueueing(
    dialect: str,
    table: Table,
    events: Sequence[SyncEvent],
    clock: Clock | None,
    priority: int = DEFAULT_PRIORITY,
) -> Insert:
    """Return a statement that stores new events when it is executed, on whichever connection.

    Those that are queued already, under their own id or as an equal, are left out.
    """
    if events:
        now = execution_time(dialect, clock)
        rows = [new_row(event, now, priority) for event in events]
        statement = insert_if_absent(dialect, table, rows)
    else:
        nothing = select(literal("")).where(false())
        statement = insert(table).from_select(["event_id"], nothing, include_defaults=False)
    return statement.execution_options(preserve_rowcount=True)


def new_row(event: SyncEvent, now: Any, priority: int) -> dict[str, Any]:
    """Return the row of an event that arrives now, a time or what tells it in the database."""
    if event.arrival is not None:
        return _row(event, now, priority)
    arrived = replace(event, arrival=Arrival(now, 0))
    return _row(arrived, now, priority) | {"arrival_sequence": None}


def job_row(job: Job, not_before: datetime) -> dict[str, Any]:
    """Return the row that puts a job back with its history; see `Jobs.restore`."""
    return _row(job.event, not_before, job.priority) | {
        "attempts": job.attempts,
        "history": [dict(entry) for entry in job.history],
        "first_parked_at": job.first_parked_at,
        "deaths": job.deaths,
        "contested": list(job.contested) or None,
    }


def _row(event: SyncEvent, not_before: datetime, priority: int) -> dict[str, Any]:
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
