"""Keeps first attempts in an engine outside the database, and everything else in the database.

A message of such an engine is acknowledged once its outcome is committed. Whatever does not end
well at the first attempt becomes a row of the jobs table: retries, suspects, what has to wait. A
message that comes once more is looked up by its event's id, and what is known is not done again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from zoho_sync.abc import DEFAULT_PRIORITY, Capabilities, Depth, Enqueued, Job, QueueBackend
from zoho_sync.database.cancellation import finish
from zoho_sync.database.dialects import Clock
from zoho_sync.database.hiding import without_values
from zoho_sync.database.unit_of_work import unit_of_work
from zoho_sync.events.event import DEFAULT_ORGANIZATION, SyncEvent
from zoho_sync.exceptions import LeaseLost, PayloadError, QueueUnavailable
from zoho_sync.queues.broker import refuse_what_databases_do
from zoho_sync.queues.database import HostDatabase
from zoho_sync.queues.sql import SQLQueue
from zoho_sync.store.claims import ClaimPart
from zoho_sync.store.dead_letter_rows import DeadLetterRows, Undecoded
from zoho_sync.store.jobs import requeue
from zoho_sync.store.places import find_places
from zoho_sync.store.tables import Tables

__all__ = ["OutsideQueue"]

_log = logging.getLogger(__name__)

_UNREADABLE: Final = PayloadError("message", "no event of this library")


class OutsideQueue:
    """An engine outside the database, and the jobs table behind it.

    Args:
        engine: Carries first attempts.
        session_factory: Gives an `AsyncSession` on the host's database.
        tables: The library's tables.
        clock: Replaces the database's clock.
    """

    def __init__(
        self,
        engine: QueueBackend,
        session_factory: Callable[[], AsyncSession],
        *,
        tables: Tables,
        clock: Clock | None = None,
    ) -> None:
        self.engine = engine
        self._tables = tables
        self._jobs = SQLQueue(session_factory, tables=tables, clock=clock)
        self._database = HostDatabase(session_factory, tables, clock)
        self.reserved = self._jobs.reserved
        self.claims_for = self._jobs.claims_for

    @property
    def capabilities(self) -> Capabilities:
        """What the engine can do, and the database behind it, where what has a priority waits."""
        found, behind = self.engine.capabilities, self._jobs.capabilities
        frees = found.frees_stopped_workers and behind.frees_stopped_workers
        return replace(found, prioritises=True, frees_stopped_workers=frees)

    async def setup(self) -> None:
        """Make what the engine needs."""
        await self.engine.setup()

    async def enqueue(
        self,
        events: Sequence[SyncEvent],
        *,
        session: AsyncSession | None = None,
        fingerprints: Mapping[str, str] | None = None,
        priority: int = DEFAULT_PRIORITY,
    ) -> list[Enqueued]:
        """Hand new events to the engine; what a changed mapping asks for is queued in the database.

        So is what is too large for the engine, and what has a priority. See `QueueBackend.enqueue`.
        """
        refuse_what_databases_do(type(self.engine).__name__, session)
        if priority == DEFAULT_PRIORITY and not any(event.reapplied for event in events):
            try:
                return await self.engine.enqueue(events, fingerprints=fingerprints)
            except PayloadError as error:
                _log.info("%d event(s) queued in the database: %s", len(events), error)
        return await self._jobs.enqueue(events, fingerprints=fingerprints, priority=priority)

    async def claim(self, limit: int, *, lease: timedelta) -> list[Job]:
        """Lease jobs; see `QueueBackend.claim`.

        First what the database holds, then the engine's, then what the database holds for later:
        ten thousand rows that are applied again delay no delivery.
        """
        while True:
            jobs, taken_over = await self._claim(limit, lease)
            # What the database took over is claimable there now, and what is behind it as well.
            if jobs or not taken_over:
                return jobs

    async def paused_since(self) -> datetime | None:
        """Return since when the queue has been paused; see `ReadsPause.paused_since`."""
        return await self._jobs.paused_since()

    async def extend(self, jobs: Sequence[Job], *, lease: timedelta) -> list[Job]:
        """Lengthen leases; see `QueueBackend.extend`."""
        inside, outside = _parted(jobs)
        lost = await self._jobs.extend(inside, lease=lease) if inside else []
        return lost + (await self.engine.extend(outside, lease=lease) if outside else [])

    async def ack(self, jobs: Sequence[Job], *, connection: AsyncConnection | None = None) -> None:
        """Complete what the database holds; the engine hears of its own after the commit."""
        inside, outside = _parted(jobs)
        if inside:
            await self._jobs.ack(inside, connection=connection)
        if connection is None and outside:
            await self.engine.ack(outside)

    async def committed(self, jobs: Sequence[Job]) -> None:
        """Acknowledge messages whose outcome is committed; see `AcknowledgesAfterCommit`."""
        _, outside = _parted(jobs)
        if not outside:
            return
        try:
            await self.engine.ack(outside)
        except (LeaseLost, QueueUnavailable) as error:
            # They come once more, and are known then.
            _log.warning("%d message(s) not acknowledged: %s", len(outside), without_values(error))

    async def release(self, jobs: Sequence[Job], *, delay: timedelta = timedelta(0)) -> None:
        """Give jobs back; a message that has to wait does so in the database."""
        inside, outside = _parted(jobs)
        if inside:
            await self._jobs.release(inside, delay=delay)
        if outside and delay:
            await self._take_over(outside, delay=delay)
        elif outside:
            await self.engine.release(outside)

    async def depth(self, *, connection: AsyncConnection | None = None) -> Depth:
        """Return how much is in the engine and in the database together.

        The engine is read first: what is taken over meanwhile is counted twice, and not missed.
        """
        outside = await self.engine.depth()
        return outside + await self._jobs.depth(connection=connection)

    async def close(self) -> None:
        """Release what the engine holds open."""
        await self.engine.close()

    async def _claim(self, limit: int, lease: timedelta) -> tuple[list[Job], int]:
        """Return jobs, and how many messages the database has taken over."""
        first = await self._jobs.claim_part(limit, lease=lease, part=ClaimPart.FIRST)
        jobs = first.jobs
        if first.paused or len(jobs) == limit or any(job.suspect for job in jobs):
            return jobs, 0
        claimed: list[Job] = []
        try:
            claimed = await self._from_engine(limit - len(jobs), lease, or_none=bool(jobs))
            fresh = [replace(job, outside=True) for job in claimed]
            known = [job for job in fresh if job.deliveries > 1 or job.undecodable is not None]
            if known:
                await self._take_over(known, suspect=True)
            found = [*jobs, *(job for job in fresh if job not in known)]
            if first.left and len(found) < limit:
                room = limit - len(found)
                later = await self._jobs.claim_part(room, lease=lease, part=ClaimPart.REST)
                found += later.jobs
        except BaseException:
            # Nobody will work on these now; what the database holds is found by its own lease.
            await finish(self.release([*jobs, *(replace(job, outside=True) for job in claimed)]))
            raise
        return found, len(known)

    async def _from_engine(self, limit: int, lease: timedelta, *, or_none: bool) -> list[Job]:
        """Claim from the engine; with other work at hand, its outage is none of that work's."""
        try:
            return await self.engine.claim(limit, lease=lease)
        except QueueUnavailable as error:
            if not or_none:
                raise
            _log.warning("what the database holds is applied meanwhile: %s", without_values(error))
            return []

    async def _take_over(
        self, jobs: Sequence[Job], *, suspect: bool = False, delay: timedelta = timedelta(0)
    ) -> None:
        """Move messages into the jobs table, and acknowledge them.

        What is in some place already, and what cannot be read, is not queued: the one is known, the
        other a dead letter with its bytes. That has no id: of equal ones nobody knows whether they
        are several, or one that came again, so they make one dead letter.
        """
        database, tables = self._database, self._tables
        async with database.sessions() as session, unit_of_work(session) as work:
            connection, now = work.connection, await database.now(work.connection)
            places = await find_places(connection, tables, [job.event.id for job in jobs])
            unknown = [job for job in jobs if job.event.id not in places]
            readable = [job for job in unknown if job.undecodable is None]
            due = [(job, now + delay) for job in readable]
            await requeue(connection, tables, due, now, suspect=suspect)
            letters = DeadLetterRows(connection, tables)
            unreadable = {job.event.id: job.undecodable for job in unknown}
            for event_id, body in unreadable.items():
                if body is not None:
                    received = Undecoded(body, "application/json", {}, DEFAULT_ORGANIZATION)
                    await letters.keep_body(received, _UNREADABLE, now, event_id=event_id)
        await self.committed(jobs)


def _parted(jobs: Sequence[Job]) -> tuple[list[Job], list[Job]]:
    """Return the jobs of the database, and those of the engine."""
    return [job for job in jobs if not job.outside], [job for job in jobs if job.outside]
