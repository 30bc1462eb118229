"""Keeps events in memory: the reference of what an engine outside the database does.

It lives and dies with its process. For tests, and for scripts that bring their own events.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from zoho_sync.abc import Capabilities, Depth, Enqueued, Job
from zoho_sync.events.event import Arrival, SyncEvent
from zoho_sync.exceptions import LeaseLost
from zoho_sync.intake.resends import resend_key
from zoho_sync.queues.broker import Broker

__all__ = ["MemoryQueue"]


@dataclass
class _Message:
    """An event that waits, and the lease on it."""

    handle: int
    event: SyncEvent
    ready_at: float
    deliveries: int = 0
    token: str = ""
    expires: float = 0.0
    arrived: datetime = field(default_factory=lambda: datetime.now(UTC))

    def is_leased(self, now: float) -> bool:
        return bool(self.token) and self.expires > now

    def claimable_since(self, now: float) -> datetime:
        seconds = now - max(self.ready_at, self.expires)
        return datetime.now(UTC) - timedelta(seconds=seconds)


class MemoryQueue(Broker):
    """A queue in the memory of one process, and of one event loop.

    Each step happens at once. What a claim took that is cancelled is given back.

    Args:
        clock: Gives seconds that never go back.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._messages: dict[int, _Message] = {}
        self._keys: dict[str, int] = {}
        self._numbers = itertools.count(1)

    @property
    def capabilities(self) -> Capabilities:
        """It forgets everything with its process, and can do all else."""
        return Capabilities(durable=False)

    async def setup(self) -> None:
        """Do nothing: there is nothing to make."""

    async def _store(self, events: Sequence[SyncEvent]) -> list[Enqueued]:
        return [self._put(event) for event in events]

    async def _claim(self, limit: int, lease: timedelta, claimed: list[Job]) -> None:
        now, token = self._clock(), uuid4().hex
        ready = [m for m in self._messages.values() if m.ready_at <= now and not m.is_leased(now)]
        for m in sorted(ready, key=lambda message: message.handle)[:limit]:
            m.token, m.expires = token, now + lease.total_seconds()
            m.deliveries += 1
            suspect = m.deliveries > 1
            claimed.append(Job(m.handle, m.event, token, suspect=suspect, deliveries=m.deliveries))

    async def extend(self, jobs: Sequence[Job], *, lease: timedelta) -> list[Job]:
        """Lengthen leases; see `QueueBackend.extend`."""
        expires = self._clock() + lease.total_seconds()
        lost = []
        for job in jobs:
            if message := self._held(job):
                message.expires = expires
            else:
                lost.append(job)
        return lost

    async def ack(self, jobs: Sequence[Job], *, connection: Any = None) -> None:  # noqa: ARG002  # the contract's
        """Forget settled messages; see `QueueBackend.ack`."""
        held = [message for job in jobs if (message := self._held(job))]
        if len(held) < len(jobs):
            kept = {message.handle for message in held}
            raise LeaseLost(job.event.id for job in jobs if job.handle not in kept)
        for message in held:
            del self._messages[message.handle]
            self._keys.pop(resend_key(message.event), None)

    async def release(self, jobs: Sequence[Job], *, delay: timedelta = timedelta(0)) -> None:
        """Give messages back; see `QueueBackend.release`."""
        for job in jobs:
            if message := self._held(job):
                message.token, message.expires = "", 0.0
                message.ready_at = self._clock() + delay.total_seconds()
                # It was given back, not left behind by a worker that died.
                message.deliveries -= 1

    async def depth(self, *, connection: Any = None) -> Depth:  # noqa: ARG002  # the contract's
        """Return how much is in the queue; see `QueueBackend.depth`."""
        now = self._clock()
        leased = [m for m in self._messages.values() if m.is_leased(now)]
        waiting = [m for m in self._messages.values() if not m.is_leased(now)]
        ready = [m for m in waiting if m.ready_at <= now]
        return Depth(
            ready=len(ready),
            delayed=len(waiting) - len(ready),
            leased=len(leased),
            oldest=min((m.arrived for m in waiting), default=None),
            claimable_since=min((m.claimable_since(now) for m in ready), default=None),
        )

    async def close(self) -> None:
        """Do nothing: what is here stays until the process ends."""

    def _put(self, event: SyncEvent) -> Enqueued:
        key, number = resend_key(event), next(self._numbers)
        if key in self._keys:
            return Enqueued(self._messages[self._keys[key]].event.id, None, duplicate=True)
        arrived = replace(event, arrival=event.arrival or Arrival(datetime.now(UTC), number))
        self._messages[number] = _Message(number, arrived, self._clock())
        self._keys[key] = number
        return Enqueued(arrived.id, arrived.arrival)

    def _held(self, job: Job) -> _Message | None:
        """Return the message of a job whose lease holds."""
        message = self._messages.get(job.handle)
        held = message and message.token == job.lease_token and message.is_leased(self._clock())
        return message if held else None
