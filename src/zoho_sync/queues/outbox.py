"""Queues events in an outbox, inside the host's transaction, and publishes them later."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from zoho_sync.abc import (
    DEFAULT_PRIORITY,
    Capabilities,
    Depth,
    Enqueued,
    Job,
    QueueBackend,
    Relayed,
)
from zoho_sync.database.cancellation import finish
from zoho_sync.database.hiding import without_values
from zoho_sync.events.event import SyncEvent
from zoho_sync.exceptions import ConfigurationError, QueueUnavailable
from zoho_sync.queues.outside import OutsideQueue
from zoho_sync.store.event_rows import queued_row
from zoho_sync.store.jobs import Jobs, journal_duplicates
from zoho_sync.store.outbox_rows import OutboxRows
from zoho_sync.store.places import find_places

__all__ = ["Outbox", "OutboxQueue"]

_log = logging.getLogger(__name__)


class Outbox:
    """An engine outside the database whose events are queued inside the host's transactions.

    ::

        sync = ZohoSync(session_factory, queue=Outbox("redis://…"))
        async with session_factory() as session, session.begin():
            session.add(order)
            await sync.enqueue([event], session)

    Events are rows of a table of the library's, and become visible with the host's commit. A
    relay, a part of every worker, publishes them to the engine afterwards. While the engine is
    away they wait, and events are accepted as ever: those of the front door take the same way.

    Args:
        engine: A URL of an engine, or the engine.

    Raises:
        ConfigurationError: The engine needs no outbox, or is none.
    """

    def __init__(self, engine: QueueBackend | str) -> None:
        able = engine if isinstance(engine, str) else getattr(engine, "capabilities", None)
        if not isinstance(able, (str, Capabilities)):
            message = (
                f"an outbox of a {type(engine).__name__}; give it the URL of an engine, or the"
                ' engine: queue=Outbox("redis://…")'
            )
            raise ConfigurationError(message)
        if isinstance(able, Capabilities) and able.enqueues_in_transaction:
            message = (
                f"{type(engine).__name__} takes part in your transaction itself and needs no"
                " outbox; give it as queue= alone"
            )
            raise ConfigurationError(message)
        self.engine = engine


class OutboxQueue(OutsideQueue):
    """What `ZohoSync` makes of an `Outbox`: the outbox, its engine, and the jobs table behind it.

    Promised:

    - What is accepted is in the host's database, in the host's own transaction where there is one.
    - An event that equals one in the database is recognised when it is received; one that equals
      one in the engine when it is published, if the engine can: it is settled as a duplicate then.
    - An arrival is fixed when the event is received, by the database's clock.
    - No transaction is open while the engine is talked to. A relay leases what it publishes: one
      that dies leaves that to the next, which publishes it once more; it is known then.
    """

    @property
    def capabilities(self) -> Capabilities:
        """What the engine can do, and to take part in the host's transaction."""
        return replace(super().capabilities, enqueues_in_transaction=True)

    async def enqueue(
        self,
        events: Sequence[SyncEvent],
        *,
        session: AsyncSession | None = None,
        fingerprints: Mapping[str, str] | None = None,
        priority: int = DEFAULT_PRIORITY,
    ) -> list[Enqueued]:
        """Store events in the outbox; what a changed mapping asks for goes to the jobs table.

        So does what has a priority. See `QueueBackend.enqueue`.
        """
        queued = [self._tables.outbox, self._tables.jobs]
        if priority != DEFAULT_PRIORITY or any(event.reapplied for event in events):
            queued.reverse()
        return await self._database.enqueue(
            queued, events, session=session, fingerprints=fingerprints, priority=priority
        )

    async def relay(self, limit: int, *, lease: timedelta) -> Relayed:
        """Publish what is in the outbox; see `RelaysOutbox.relay`.

        What the engine does not take, since it is too large for it, becomes a job of the database.
        """
        token, taken = uuid4().hex, dict[int, SyncEvent]()
        try:
            async with self._database.transaction(lease) as connection:
                now = await self._database.now(connection)
                rows = OutboxRows(connection, self._tables)
                taken, settled = await rows.lease(limit, token=token, now=now, expires=now + lease)
            answers = await self._published([*taken.values()], lease)
        except BaseException:
            # Nobody will publish them now; what cannot be given back is found at the lease's end.
            await finish(self._give_back_rows(taken, token))
            raise
        relayed = await finish(self._removed(taken, answers, token)) if taken else Relayed(0)
        return replace(relayed, events=relayed.events + settled)

    async def depth(self, *, connection: AsyncConnection | None = None) -> Depth:
        """Return how much is in the outbox, in the engine and in the database together.

        They are read in the order in which events pass through them: one that moves on meanwhile
        is counted twice, and none is missed.
        """
        async with self._database.on(connection) as read:
            waiting = await OutboxRows(read, self._tables).depth()
        return waiting + await super().depth(connection=connection)

    async def _published(
        self, events: Sequence[SyncEvent], lease: timedelta
    ) -> list[Enqueued | None]:
        """Return the engine's answers; None for what it does not take."""
        try:
            async with asyncio.timeout(lease.total_seconds() / 2):
                return await self._publish(events) if events else []
        except TimeoutError as error:
            message = "the engine did not take the outbox's events within half a lease"
            raise QueueUnavailable(message) from error

    async def _publish(self, events: Sequence[SyncEvent]) -> list[Enqueued | None]:
        try:
            return [*await self.engine.enqueue(events)]
        except (QueueUnavailable, ConfigurationError):
            raise
        except Exception as error:  # noqa: BLE001  # whatever it is, what comes after must not wait
            if len(events) == 1:
                problem = without_values(error)
                _log.info("event %s is queued in the database: %s", events[0].id, problem)
                return [None]
        # It is one of them, and none was stored; what was is recognised.
        return [answer for event in events for answer in await self._publish([event])]

    async def _give_back_rows(self, taken: Collection[int], token: str) -> None:
        if not taken:
            return
        with suppress(QueueUnavailable):
            async with self._database.transaction() as connection:
                now = await self._database.now(connection)
                await OutboxRows(connection, self._tables).give_back(taken, token, now)

    async def _removed(
        self, taken: Mapping[int, SyncEvent], answers: Sequence[Enqueued | None], token: str
    ) -> Relayed:
        """Take out of the outbox what a relay has published, and still holds."""
        async with self._database.transaction() as connection:
            rows = OutboxRows(connection, self._tables)
            held = await rows.held(taken, token)
            await rows.remove(held)
            mine = [
                (event, answer)
                for (row, event), answer in zip(taken.items(), answers, strict=True)
                if row in held
            ]
            duplicates = await self._settled(connection, mine)
        return Relayed(len(held), duplicates)

    async def _settled(
        self, connection: AsyncConnection, mine: Sequence[tuple[SyncEvent, Enqueued | None]]
    ) -> int:
        """Queue what the engine does not take, and settle what has its equal in a queue."""
        now, tables = await self._database.now(connection), self._tables
        refused = [event for event, answer in mine if answer is None]
        jobs = Jobs(connection, tables.jobs)
        queued = await jobs.put_back([queued_row(Job(None, each, ""), now) for each in refused])
        # One that the engine has under its own id is there.
        known = [each for each, answer in mine if answer and answer.event_id != each.id]
        equal = known + [each for each in refused if each.id not in queued]
        # Where a relay was stopped, its event may have been published, and settled, before.
        places = await find_places(connection, tables, [event.id for event in equal])
        unsettled = [event for event in equal if event.id not in places]
        await journal_duplicates(connection, tables, unsettled, now)
        return len(unsettled)
