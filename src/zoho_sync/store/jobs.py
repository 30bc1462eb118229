"""Completes, releases and puts back the rows of events that wait to be applied.

What goes back while its equal is queued is settled as a duplicate.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any

from sqlalchemy import ColumnElement, case, delete, func, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from zoho_sync.abc import Depth, Job
from zoho_sync.database.dialects import chunks, indexed
from zoho_sync.database.insertion import insert_absent
from zoho_sync.events.event import SyncEvent
from zoho_sync.events.outcome import Outcome
from zoho_sync.exceptions import LeaseLost
from zoho_sync.store.event_rows import queued_row
from zoho_sync.store.journal import Journal, JournalEntry
from zoho_sync.store.new_events import NewEvents
from zoho_sync.store.tables import Tables

__all__ = ["Jobs", "journal_duplicates", "requeue"]

_REAP = 100
_PUT_BACK = 200


class Jobs(NewEvents):
    """The rows of the jobs table, on one connection, inside one transaction."""

    async def put_back(self, rows: Sequence[Mapping[str, Any]]) -> set[str]:
        """Put jobs back that were parked, dead or failed; return the ids that are queued then.

        An event whose equal is queued stays out: whoever puts it back settles it as a duplicate.
        One that is queued itself, under its own id, is where it belongs.
        Of equals that come back together the later one goes in, since others may have arrived
        between them.
        """
        table, queued = self._table, set[str]()
        arrived = sorted(rows, key=itemgetter("arrival_time", "arrival_sequence"))
        latest = {row["dedupe_key"] or row["event_id"]: row for row in arrived}
        wanted = [row for row in rows if row is latest[row["dedupe_key"] or row["event_id"]]]
        for chunk in chunks(wanted, _PUT_BACK):
            made = await insert_absent(self._connection, table, chunk, returning=[table.c.event_id])
            queued |= {event_id for (event_id,) in made}
        missing = [row["event_id"] for row in rows if row["event_id"] not in queued]
        return queued | await self.known(missing)

    async def reap(self, now: datetime) -> None:
        """Take back expired leases; who had a job alone when its worker died, counts a death."""
        table = self._table
        expired = select(table.c.id).where(table.c.lease_expires_at <= now).order_by(table.c.id)
        # First without a lock: MariaDB locks what it looks at, and a peer would take it for leased.
        ids = list(await self._connection.scalars(expired.limit(_REAP)))
        if ids:
            locked = expired.where(table.c.id.in_(ids)).with_for_update(skip_locked=True)
            ids = list(await self._connection.scalars(indexed(locked, table, "PRIMARY")))
        if ids:
            deaths = table.c.deaths + case((table.c.suspect, 1), else_=0)
            await self._connection.execute(
                update(table)
                # Again in the statement: a lease that was extended meanwhile is alive.
                .where(table.c.id.in_(ids), table.c.lease_expires_at <= now)
                # In this order: on MariaDB an assignment sees what those before it have set.
                .ordered_values(
                    (table.c.deaths, deaths),
                    (table.c.suspect, true()),
                    (table.c.lease_token, None),
                    (table.c.lease_expires_at, None),
                )
            )

    async def extend(self, jobs: Sequence[Job], expires: datetime) -> set[int]:
        """Lengthen leases; return the ids of the jobs that are still leased to their claim."""
        table, kept = self._table, set[int]()
        for _, held in self._leases(jobs):
            leased = update(table).where(held)
            await self._connection.execute(leased.values(lease_expires_at=expires))
            kept |= set(await self._connection.scalars(select(table.c.id).where(held)))
        return kept

    async def complete(self, jobs: Sequence[Job]) -> None:
        """Take jobs out of the queue, each under its lease: the fence.

        Raises:
            LeaseLost: Not every job is leased to its claim any more.
        """
        for token, held in self._leases(jobs):
            claimed = [job.event.id for job in jobs if job.lease_token == token]
            done = await self._connection.execute(delete(self._table).where(held))
            if done.rowcount != len(claimed):
                raise LeaseLost(claimed)

    async def release(self, jobs: Sequence[Job], not_before: datetime) -> None:
        """Give jobs back; those whose lease is lost are left to their new holder."""
        free = {"lease_token": None, "lease_expires_at": None, "not_before": not_before}
        for _, held in self._leases(jobs):
            await self._connection.execute(update(self._table).where(held).values(free))

    def _leases(self, jobs: Sequence[Job]) -> Iterator[tuple[str, ColumnElement[bool]]]:
        """Yield each lease's token, and the condition that its jobs are leased under it."""
        table = self._table
        for token in dict.fromkeys(job.lease_token for job in jobs):
            handles = [job.handle for job in jobs if job.lease_token == token]
            yield token, table.c.id.in_(handles) & (table.c.lease_token == token)

    async def present(self, jobs: Sequence[Job]) -> bool:
        """Wait for whoever holds the rows, and return whether any of them is there."""
        table = self._table
        handles = [job.handle for job in jobs]
        statement = select(table.c.id).where(table.c.id.in_(handles)).with_for_update()
        found = await self._connection.execute(indexed(statement, table, "PRIMARY"))
        return found.first() is not None

    async def depth(self, now: datetime) -> Depth:
        """Return how much is in the queue."""
        table = self._table
        # A lease that has ended is no lease: nobody may be left to notice.
        leased = table.c.lease_token.is_not(None) & (table.c.lease_expires_at > now)
        waiting = table.c.lease_token.is_(None) | (table.c.lease_expires_at <= now)
        ready = waiting & (table.c.not_before <= now)
        # What was replayed or woken is not late because it arrived long ago.
        since = func.coalesce(table.c.lease_expires_at, table.c.not_before)
        statement = select(
            # Not with FILTER, which MariaDB does not know.
            func.count(case((ready, 1))),
            func.count(case((waiting & (table.c.not_before > now), 1))),
            func.count(case((leased, 1))),
            func.min(case((waiting, table.c.arrival_time))),
            func.min(case((ready, since))),
        )
        return Depth(*(await self._connection.execute(statement)).one())


async def requeue(
    connection: AsyncConnection,
    tables: Tables,
    due: Sequence[tuple[Job, datetime]],
    now: datetime,
    *,
    suspect: bool = False,
) -> set[str]:
    """Put jobs back that were parked, dead or failed; return the ids of those that are queued then.

    The others have their equal in the queue, and are settled as duplicates. ``due`` says of each
    job when it may be claimed; a suspect, which may have killed a worker, is claimed alone.
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
