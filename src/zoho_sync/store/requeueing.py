"""Puts events back into the queue, and settles those whose equal is there already."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from zoho_sync.abc import Job
from zoho_sync.events.event import SyncEvent
from zoho_sync.events.outcome import Outcome
from zoho_sync.store.event_rows import queued_row
from zoho_sync.store.jobs import Jobs
from zoho_sync.store.journal import Journal, JournalEntry
from zoho_sync.store.tables import Tables

__all__ = ["journal_duplicates", "requeue"]


async def requeue(
    connection: AsyncConnection,
    tables: Tables,
    due: Sequence[tuple[Job, datetime]],
    now: datetime,
    *,
    suspect: bool = False,
) -> set[str]:
    """Put jobs back that were parked, dead or failed; return the ids of those that are queued then.

    The others have their equal in the queue, and are settled as duplicates.

    Args:
        connection: Inside a transaction.
        tables: The library's tables.
        due: Each job, and when it may be claimed.
        now: The time.
        suspect: Whether the jobs are to be claimed alone, as what may have killed a worker.
    """
    rows = [queued_row(job, not_before) | {"suspect": suspect} for job, not_before in due]
    queued = await Jobs(connection, tables.jobs).put_back(rows)
    equal = [job.event for job, _ in due if job.event.id not in queued]
    await journal_duplicates(connection, tables, equal, now)
    return queued


async def journal_duplicates(
    connection: AsyncConnection, tables: Tables, events: Iterable[SyncEvent], now: datetime
) -> None:
    """Settle events whose equal is queued."""
    await Journal(connection, tables.journal).append(
        JournalEntry(event, Outcome.DUPLICATE, now, "equal to one that is queued")
        for event in events
    )
