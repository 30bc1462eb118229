"""Outboxes for tests: one whose relay comes before each claim, and engines that fail on purpose."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import select

from tests.hosts import clock
from tests.hosts.sql import Sessions
from zoho_sync import PayloadError, QueueUnavailable, SyncEvent, ZohoSync, mirror
from zoho_sync.abc import DEFAULT_PRIORITY, Enqueued, Job
from zoho_sync.queues import MemoryQueue, Outbox
from zoho_sync.queues.outbox import OutboxQueue

LEASE: Final = timedelta(minutes=10)


@dataclass
class Hands(clock.Hands):
    """The clock of the database and of the engine, moved by hand."""

    now: datetime = datetime(2024, 6, 2, tzinfo=UTC)

    def seconds(self) -> float:
        """Return the engine's time."""
        return self.now.timestamp()


class Relayed(OutboxQueue):
    """Relays before it claims, as `ZohoSync.drain` does."""

    async def claim(self, limit: int, *, lease: timedelta) -> list[Job]:
        """Relay, and claim."""
        while (await self.relay(limit, lease=lease)).events:
            pass
        return await super().claim(limit, lease=lease)


class Fault(enum.Enum):
    """What happens to the next events that are published."""

    NONE = "nothing"
    AWAY = "the engine does not answer, and has stored nothing"
    UNHEARD = "the engine has stored them, and its answer is lost"
    DEAD_BEFORE = "the relay dies before they are sent"
    DEAD_AFTER = "the relay dies when they are stored"


class Killed(BaseException):
    """Stands for the end of a process."""


class FaultyQueue(MemoryQueue):
    """An engine, and a relay, that fail as they are told to.

    Args:
        hands: Its clock.
        forgetful: Whether it recognises nothing that it holds.
    """

    def __init__(self, hands: Hands, *, forgetful: bool = False) -> None:
        super().__init__(clock=hands.seconds)
        self.fault = Fault.NONE
        self.dead = False
        self.published: list[str] = []
        self._forgetful = forgetful

    async def enqueue(
        self,
        events: Sequence[SyncEvent],
        *,
        session: Any = None,
        fingerprints: Mapping[str, str] | None = None,
        priority: int = DEFAULT_PRIORITY,
    ) -> list[Enqueued]:
        """Store events, or fail."""
        fault, self.fault = self.fault, Fault.NONE
        if fault is Fault.AWAY:
            raise QueueUnavailable
        self.dead = fault in {Fault.DEAD_BEFORE, Fault.DEAD_AFTER}
        if fault is Fault.DEAD_BEFORE:
            raise Killed
        if any(event.payload.get("notes") == "large" for event in events):
            raise PayloadError("message", "too large")
        stored = await super().enqueue(
            events, session=session, fingerprints=fingerprints, priority=priority
        )
        self.published += [each.event_id for each in stored if not each.duplicate]
        if fault is Fault.DEAD_AFTER:
            raise Killed
        if fault is Fault.UNHEARD:
            raise QueueUnavailable
        return stored

    @property
    def held(self) -> list[str]:
        """The ids of the events that are in it."""
        return [message.event.id for message in self._messages.values()]

    def _put(self, event: SyncEvent) -> Enqueued:
        if self._forgetful:
            self._keys.clear()
        return super()._put(event)


def invoice(name: str, second: int | None = 1, notes: str = "", **more: Any) -> SyncEvent:
    moment = (
        None if second is None else datetime(2024, 5, 1, tzinfo=UTC) + timedelta(seconds=second)
    )
    return SyncEvent(
        "invoice", name, {"invoice_id": name, "notes": notes}, effective_time=moment, **more
    )


async def noted(sessions: Sessions) -> dict[str, str | None]:
    """The notes of the invoices that were applied."""
    invoices = mirror.invoices
    async with sessions() as session:
        found = await session.execute(select(invoices.c.invoice_id, invoices.c.notes))
        return {name: notes for name, notes in found}  # noqa: C416  # rows are no pairs for a type checker


@dataclass
class Opened:
    """An outbox of an engine that fails as it is told to.

    Attributes:
        sync: What a host has.
        queue: What a worker works with.
        engine: Behind it.
        hands: The clock of both.
    """

    sync: ZohoSync
    queue: OutboxQueue
    engine: FaultyQueue
    hands: Hands


def an_outbox(sessions: Sessions) -> Opened:
    """Open one, on tables that are made."""
    hands = Hands()
    behind = FaultyQueue(hands)
    sync = ZohoSync(sessions, queue=Outbox(behind), lease=LEASE, clock=hands)
    queue = sync._runtime.queue
    assert isinstance(queue, OutboxQueue)
    return Opened(sync, queue, behind, hands)
