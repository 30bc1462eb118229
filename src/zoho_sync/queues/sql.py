"""Queues events in the host's own database: a job completes in the transaction that applies it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import datetime, timedelta
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from zoho_sync.abc import DEFAULT_PRIORITY, Capabilities, Depth, Enqueued, Job
from zoho_sync.database.cancellation import finish
from zoho_sync.database.dialects import Clock, database_time_and
from zoho_sync.database.reserved import ReservedConnection
from zoho_sync.database.sessions import dialect_of
from zoho_sync.events.event import SyncEvent
from zoho_sync.queues.database import HostDatabase
from zoho_sync.queues.wakeup import Wakeup, channel_of
from zoho_sync.store.claims import Claimed, ClaimPart, Claims
from zoho_sync.store.jobs import Jobs
from zoho_sync.store.pauses import Pause, paused_at
from zoho_sync.store.tables import Tables, library_tables

__all__ = ["SQLQueue"]


class SQLQueue:
    """A queue in the tables of the library, for PostgreSQL, MariaDB and SQLite.

    Args:
        session_factory: Gives an `AsyncSession` on the host's database.
        tables: The library's tables.
        clock: Replaces the database's clock.
        listen: On PostgreSQL, wake idle workers of other processes at once, by LISTEN and NOTIFY;
            otherwise they look twice a second. Each worker then keeps one connection more.
    """

    def __init__(
        self,
        session_factory: Callable[[], AsyncSession],
        *,
        tables: Tables | None = None,
        clock: Clock | None = None,
        listen: bool = False,
    ) -> None:
        self._reserved = ReservedConnection(session_factory)
        self._tables = tables or library_tables()
        self._database = HostDatabase(session_factory, self._tables, clock)
        channel = channel_of(self._tables.jobs)
        self._wakeup = Wakeup(session_factory, channel) if listen else None
        self._worker: str | None = None

    @property
    def capabilities(self) -> Capabilities:
        """It can do everything; who holds SQLite's one lock to write holds it while it exists."""
        return Capabilities(
            enqueues_in_transaction=True,
            completes_in_transaction=True,
            prioritises=True,
            frees_stopped_workers=dialect_of(self._database.sessions) != "sqlite",
        )

    def claims_for(self, worker: str) -> None:
        """Note with each claim which worker has it; see `NotesClaims`.

        Args:
            worker: The name that the worker goes by.
        """
        self._worker = worker

    async def setup(self) -> None:
        """Do nothing: the tables are made by `ZohoSync.create_tables` or by a migration."""

    async def enqueue(
        self,
        events: Sequence[SyncEvent],
        *,
        session: AsyncSession | None = None,
        fingerprints: Mapping[str, str] | None = None,
        priority: int = DEFAULT_PRIORITY,
    ) -> list[Enqueued]:
        """Store events durably; see `QueueBackend.enqueue`."""
        queued = [self._tables.jobs]
        stored = await self._database.enqueue(
            queued, events, session=session, fingerprints=fingerprints, priority=priority
        )
        if self._wakeup is not None and session is not None:
            self._wakeup.tell_after(session)
        elif self._wakeup is not None:
            self._wakeup.tell()
        return stored

    async def claim(self, limit: int, *, lease: timedelta) -> list[Job]:
        """Lease jobs; see `QueueBackend.claim`. While the queue is paused there are none."""
        return (await self.claim_part(limit, lease=lease)).jobs

    async def claim_part(
        self, limit: int, *, lease: timedelta, part: ClaimPart = ClaimPart.WHOLE
    ) -> Claimed:
        """Lease some of the jobs, and say why there are not more."""
        claimed, database = Claimed([]), self._database
        try:
            async with database.transaction(lease) as connection:
                pause = paused_at(self._tables)
                now, since = await database_time_and(connection, database.clock, pause)
                if since is not None:
                    return Claimed([], paused=True)
                await Jobs(connection, self._tables.jobs).reap(now)
                claims = Claims(connection, self._tables.jobs, now)
                token, expires = uuid4().hex, now + lease
                claimed = await claims.lease(
                    limit, token=token, expires=expires, worker=self._worker, part=part
                )
        except asyncio.CancelledError:
            # The commit may have been on its way. Nobody will work on these jobs now, and at the
            # end of their leases they would look as if they had killed a worker.
            if claimed.jobs:
                await finish(self.release(claimed.jobs))
            raise
        return claimed

    async def paused_since(self) -> datetime | None:
        """Return since when the queue has been paused; see `ReadsPause.paused_since`."""
        async with self._database.transaction() as connection:
            return await Pause(connection, self._tables).since()

    async def extend(self, jobs: Sequence[Job], *, lease: timedelta) -> list[Job]:
        """Lengthen leases; see `QueueBackend.extend`."""
        async with self._database.transaction(lease, self._reserved.session) as connection:
            expires = await self._database.now(connection) + lease
            kept = await Jobs(connection, self._tables.jobs).extend(jobs, expires)
            return [job for job in jobs if job.handle not in kept]

    def reserved(self) -> AbstractAsyncContextManager[None]:
        """Keep a connection for `extend` and `release`; see `ReservesConnection.reserved`."""
        return self._reserved.kept()

    async def ack(self, jobs: Sequence[Job], *, connection: AsyncConnection | None = None) -> None:
        """Take settled jobs out of the queue; see `QueueBackend.ack`."""
        async with self._database.on(connection) as held:
            await Jobs(held, self._tables.jobs).complete(jobs)

    async def release(self, jobs: Sequence[Job], *, delay: timedelta = timedelta(0)) -> None:
        """Give jobs back; see `QueueBackend.release`.

        Over the connection that is kept for `extend`: where a process exits, or the pool is full,
        no other can be had.
        """
        kept = self._reserved.session
        async with self._database.transaction(sessions=kept) as connection:
            not_before = await self._database.now(connection) + delay
            await Jobs(connection, self._tables.jobs).release(jobs, not_before)

    async def depth(self, *, connection: AsyncConnection | None = None) -> Depth:
        """Return how much is in the queue; see `QueueBackend.depth`."""
        async with self._database.on(connection) as read:
            return await Jobs(read, self._tables.jobs).depth(await self._database.now(read))

    def listening(self, notify: Callable[[], None]) -> AbstractAsyncContextManager[None]:
        """Hear of what others enqueue; see `WakesWorkers.listening`."""
        return self._wakeup.listening(notify) if self._wakeup else nullcontext()

    async def close(self) -> None:
        """Stop what is under way; the connections are the host's."""
        if self._wakeup is not None:
            await self._wakeup.close()
