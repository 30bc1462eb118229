"""The queue in the host's own database: a job completes in the transaction that applies it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from datetime import datetime, timedelta
from typing import Final
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from zoho_sync._dialects import Clock, bound_waits, database_time, database_time_and
from zoho_sync._event_rows import dedupe_key
from zoho_sync._faults import Fault, classify, hide_values, is_of_database, primary_message
from zoho_sync._job_rows import check_priority
from zoho_sync._jobs import Claimed, Jobs, Part
from zoho_sync._journal import Journal
from zoho_sync._parked import Parked
from zoho_sync._pause import Pause, paused_at
from zoho_sync._places import find_places
from zoho_sync._reserved import ReservedConnection
from zoho_sync._schema import needing_tables
from zoho_sync._tables import Tables, library_tables
from zoho_sync._unit_of_work import finish, unit_of_work
from zoho_sync.abc import DEFAULT_PRIORITY, Capabilities, Depth, Enqueued, Job
from zoho_sync.events import SyncEvent
from zoho_sync.exceptions import QueueUnavailable
from zoho_sync.queues._wakeup import Herald, Listener, channel_of

__all__ = ["SQLQueue"]

_LONGEST_WAIT: Final = timedelta(seconds=30)


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
        self._sessions = session_factory
        self._reserved = ReservedConnection(session_factory)
        self._tables = tables or library_tables()
        self._clock = clock
        channel = channel_of(self._tables.jobs)
        self._herald = Herald(session_factory, channel) if listen else None
        self._listener = Listener(session_factory, channel) if listen else None

    @property
    def capabilities(self) -> Capabilities:
        """It can do everything."""
        return Capabilities(transactional=True, prioritises=True)

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
        check_priority(priority)
        prints = fingerprints or {}
        if session is not None:
            if not session.in_transaction():
                # A session that has done nothing yet begins now, as with any statement of its own:
                # its transaction is the host's, and so is its end.
                await session.connection()
            async with unit_of_work(session) as work:
                stored = await self._store(work.connection, events, prints, priority)
            if self._herald is not None:
                self._herald.tell_after(session)
            return stored
        async with self._transaction() as connection:
            stored = await self._store(connection, events, prints, priority)
        if self._herald is not None:
            self._herald.tell()
        return stored

    async def claim(self, limit: int, *, lease: timedelta) -> list[Job]:
        """Lease jobs; see `QueueBackend.claim`. While the queue is paused there are none."""
        return (await self.claim_part(limit, lease=lease)).jobs

    async def claim_part(self, limit: int, *, lease: timedelta, part: Part = Part.WHOLE) -> Claimed:
        """Lease some of the jobs, and say why there are not more."""
        claimed = Claimed([])
        try:
            async with self._transaction(lease) as connection:
                pause = paused_at(self._tables)
                now, since = await database_time_and(connection, self._clock, pause)
                if since is not None:
                    return Claimed([], paused=True)
                jobs = Jobs(connection, self._tables.jobs)
                await jobs.reap(now)
                token, expires = uuid4().hex, now + lease
                claimed = await jobs.claim(limit, token=token, now=now, expires=expires, part=part)
        except asyncio.CancelledError:
            # The commit may have been on its way. Nobody will work on these jobs now, and at the
            # end of their leases they would look as if they had killed a worker.
            if claimed.jobs:
                await finish(self.release(claimed.jobs))
            raise
        return claimed

    async def paused_since(self) -> datetime | None:
        """Return since when the queue has been paused; see `ReadsPause.paused_since`."""
        async with self._transaction() as connection:
            return await Pause(connection, self._tables).since()

    async def extend(self, jobs: Sequence[Job], *, lease: timedelta) -> list[Job]:
        """Lengthen leases; see `QueueBackend.extend`."""
        async with self._transaction(lease, self._reserved.session) as connection:
            expires = await self._now(connection) + lease
            kept = await Jobs(connection, self._tables.jobs).extend(jobs, expires)
            return [job for job in jobs if job.handle not in kept]

    def reserved(self) -> AbstractAsyncContextManager[None]:
        """Keep a connection for `extend`; see `ReservesConnection.reserved`."""
        return self._reserved.kept()

    async def ack(self, jobs: Sequence[Job], *, connection: AsyncConnection | None = None) -> None:
        """Take settled jobs out of the queue; see `QueueBackend.ack`."""
        if connection is not None:
            await Jobs(connection, self._tables.jobs).complete(jobs)
            return
        async with self._transaction() as own:
            await Jobs(own, self._tables.jobs).complete(jobs)

    async def release(self, jobs: Sequence[Job], *, delay: timedelta = timedelta(0)) -> None:
        """Give jobs back; see `QueueBackend.release`."""
        async with self._transaction() as connection:
            not_before = await self._now(connection) + delay
            await Jobs(connection, self._tables.jobs).release(jobs, not_before)

    async def depth(self, *, connection: AsyncConnection | None = None) -> Depth:
        """Return how much is in the queue; see `QueueBackend.depth`."""
        if connection is not None:
            now = await self._now(connection)
            return await Jobs(connection, self._tables.jobs).depth(now)
        async with self._transaction() as own:
            return await self.depth(connection=own)

    def listening(self, notify: Callable[[], None]) -> AbstractAsyncContextManager[None]:
        """Hear of what others enqueue; see `WakesWorkers.listening`."""
        return self._listener.listening(notify) if self._listener else nullcontext()

    async def close(self) -> None:
        """Stop what is under way; the connections are the host's."""
        if self._herald is not None:
            await self._herald.close()

    async def _store(
        self,
        connection: AsyncConnection,
        events: Sequence[SyncEvent],
        fingerprints: Mapping[str, str],
        priority: int,
    ) -> list[Enqueued]:
        known = await self._known(connection, events, fingerprints)
        fresh: dict[str, SyncEvent] = {}
        for event in events:
            key = _key(event)
            if key not in known:
                fresh.setdefault(key, event)
        stored = await self._insert(connection, fresh, priority)
        missed = [fresh[key] for key, placed in stored.items() if placed is None]
        if missed:
            # Somebody else stored their equals at the same moment.
            known |= await self._known(connection, missed, fingerprints)
        return _answers(events, known, stored)

    async def _known(
        self,
        connection: AsyncConnection,
        events: Sequence[SyncEvent],
        fingerprints: Mapping[str, str],
    ) -> dict[str, str]:
        """Return the ids of events that are there, or their equals are, by dedupe key or id."""
        keys = [key for event in events if (key := dedupe_key(event))]
        prints = [fingerprints.get(event.entity_type, "") for event in events]
        journal = Journal(connection, self._tables.journal)
        jobs = Jobs(connection, self._tables.jobs)
        known = await journal.equals(keys, prints) if keys else {}
        known |= await Parked(connection, self._tables).equals(keys) if keys else {}
        known |= await jobs.queued(keys) if keys else {}
        # A host that did not hear the answer enqueues once more what may be settled by now.
        present = await find_places(connection, self._tables, {event.id for event in events})
        return known | {_key(event): event.id for event in events if event.id in present}

    async def _insert(
        self, connection: AsyncConnection, fresh: Mapping[str, SyncEvent], priority: int
    ) -> dict[str, SyncEvent | None]:
        if not fresh:
            return {}
        now = await self._now(connection)
        jobs = Jobs(connection, self._tables.jobs)
        stored = await jobs.insert(list(fresh.values()), now, priority)
        return dict(zip(fresh, stored, strict=True))

    async def _now(self, connection: AsyncConnection) -> datetime:
        return await database_time(connection, self._clock)

    @asynccontextmanager
    async def _transaction(
        self,
        lease: timedelta = _LONGEST_WAIT,
        sessions: Callable[[], AbstractAsyncContextManager[AsyncSession]] | None = None,
    ) -> AsyncIterator[AsyncConnection]:
        try:
            with needing_tables():
                async with (sessions or self._sessions)() as session, unit_of_work(session) as work:
                    await bound_waits(work.connection, lease)
                    yield work.connection
        except Exception as error:
            if not is_of_database(error):
                raise
            hide_values(error)
            if classify(error) is Fault.REJECTED:
                raise
            message = f"the queue's database does not answer: {primary_message(error)[0]}"
            raise QueueUnavailable(message) from error


def _key(event: SyncEvent) -> str:
    return dedupe_key(event) or event.id


def _answers(
    events: Sequence[SyncEvent],
    known: Mapping[str, str],
    stored: Mapping[str, SyncEvent | None],
) -> list[Enqueued]:
    answers: list[Enqueued] = []
    answered: set[str] = set()
    for event in events:
        key = _key(event)
        placed = stored.get(key)
        if placed is None:
            answers.append(Enqueued(known.get(key, event.id), None, duplicate=True))
        elif key in answered:
            answers.append(Enqueued(placed.id, None, duplicate=True))
        else:
            answered.add(key)
            answers.append(Enqueued(placed.id, placed.arrival))
    return answers
