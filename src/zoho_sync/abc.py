"""Says what each seam of the library asks for: a queue engine, and a hook of the application.

A queue carries events from the front door to the workers. It promises delivery *at least once*;
that nothing is applied twice is the ledger's promise, kept in the host's database. An engine
that lives in that database completes a job in the very transaction that applies it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol, runtime_checkable

from zoho_sync.events.event import Arrival, SyncEvent
from zoho_sync.events.job import BULK_PRIORITY, DEFAULT_PRIORITY, Job
from zoho_sync.events.outcome import SyncResult

__all__ = [
    "BULK_PRIORITY",
    "DEFAULT_PRIORITY",
    "AcknowledgesAfterCommit",
    "Capabilities",
    "Depth",
    "Enqueued",
    "Job",
    "NotesClaims",
    "QueueBackend",
    "ReadsPause",
    "Relayed",
    "RelaysOutbox",
    "ReservesConnection",
    "SettledEvent",
    "SettledHook",
    "WakesWorkers",
]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do beyond the contract.

    Attributes:
        enqueues_in_transaction: It enqueues inside the host's transaction.
        completes_in_transaction: It lives in the host's database, and completes a job inside the
            transaction that applies it.
        concurrent: Several workers may claim at once. Without it, one process works at a time.
        durable: What it has accepted survives the end of its process.
        deduplicates: It recognises an event that equals one which it holds.
        delays: `QueueBackend.release` may ask for a delay.
        fenced: An acknowledgement under a lost lease is refused, not taken.
        extends: Leases can be lengthened.
        prioritises: It gives out what has the smaller priority first; one that does not refuses any
            other than the default. A `ZohoSync` keeps such events in the database then.
        frees_stopped_workers: What a worker holds whose process stands still comes free for its
            peers by itself: once its lease has ended, or the engine has missed its heartbeats.
            Without it they wait until it goes on, or ends; nothing is lost meanwhile.
    """

    enqueues_in_transaction: bool = False
    completes_in_transaction: bool = False
    concurrent: bool = True
    durable: bool = True
    deduplicates: bool = True
    delays: bool = True
    fenced: bool = True
    extends: bool = True
    prioritises: bool = False
    frees_stopped_workers: bool = True


@dataclass(frozen=True, slots=True)
class Enqueued:
    """What became of one event that was handed to a queue.

    Attributes:
        event_id: Of the event, or of the equal one that was there before.
        arrival: When it was received; None for a duplicate.
        duplicate: Whether an equal event was there before, so that this one was not stored.
    """

    event_id: str
    arrival: Arrival | None
    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class Depth:
    """How much is in a queue.

    Attributes:
        ready: Claimable now, or once a relay has published it.
        delayed: Waiting for their next attempt.
        leased: With a worker; of this client alone where the engine cannot tell of others.
        oldest: Arrival of the oldest event that is not leased; None if there is none, or the engine
            cannot tell.
        claimable_since: Since when the one that has waited longest could have been claimed; None
            if there is none, or the engine cannot tell.
    """

    ready: int
    delayed: int
    leased: int
    oldest: datetime | None = None
    claimable_since: datetime | None = None

    @property
    def total(self) -> int:
        """Everything that is in the queue."""
        return self.ready + self.delayed + self.leased

    def __add__(self, other: Depth) -> Depth:
        """Return how much is in two parts of a queue."""
        return Depth(
            ready=self.ready + other.ready,
            delayed=self.delayed + other.delayed,
            leased=self.leased + other.leased,
            oldest=_earliest(self.oldest, other.oldest),
            claimable_since=_earliest(self.claimable_since, other.claimable_since),
        )


def _earliest(*moments: datetime | None) -> datetime | None:
    return min((moment for moment in moments if moment is not None), default=None)


class QueueBackend(Protocol):
    """A queue engine.

    Times are the engine's own: a worker whose clock is wrong leases and delays like any other.
    Every method raises `QueueUnavailable` when the engine cannot be reached, and nothing else
    for reasons outside the caller's power.
    """

    @property
    def capabilities(self) -> Capabilities:
        """What the engine can do beyond this contract."""

    async def setup(self) -> None:
        """Make what the engine needs; harmless when it is there, and in ten processes at once."""

    async def enqueue(
        self,
        events: Sequence[SyncEvent],
        *,
        session: Any = None,
        fingerprints: Mapping[str, str] | None = None,
        priority: int = DEFAULT_PRIORITY,
    ) -> list[Enqueued]:
        """Store events durably, and answer for each in its position.

        An event with a time of its own that equals one which is queued, parked or settled under
        the same mapping is recognised, and not stored; so is a second one within ``events``.

        Args:
            events: What to store; an arrival that is set already is kept.
            session: The host's session, for engines that enqueue in its transaction: the events
                become visible with the host's commit, and vanish with its rollback.
            fingerprints: Entity type → fingerprint of the mapping in force.
            priority: Of all of them; the smaller, the sooner.

        Raises:
            ConfigurationError: A session, or another priority than the default, that the engine
                can do nothing with. None is stored.
            PayloadError: Of engines outside the database: an event is larger than their messages
                may be. None is stored.
        """

    async def claim(self, limit: int, *, lease: timedelta) -> list[Job]:
        """Lease up to ``limit`` jobs; none of them is leased to anybody else.

        Those of the smallest priority come first, and of equal priority the oldest.

        A job that wants a unique value comes together with the jobs of the entity that has it,
        before their time if need be: only together can a value move from one row to another.

        A job whose lease expired without an outcome may have killed its worker: it is a suspect,
        and claimed alone from then on, so that it cannot take innocents along.
        """

    async def extend(self, jobs: Sequence[Job], *, lease: timedelta) -> list[Job]:
        """Lengthen leases, and return the jobs whose lease is lost."""

    async def ack(self, jobs: Sequence[Job], *, connection: Any = None) -> None:
        """Take jobs out of the queue: their outcome is recorded.

        Args:
            jobs: What is settled.
            connection: For engines that complete in a transaction: the connection whose
                transaction holds the outcome. This is the fence: it must hit every job under its
                lease.

        Raises:
            LeaseLost: A lease is not held any more. Of an engine in the database the caller rolls
                back, and nothing is taken out. Outside the database the outcome is committed
                by then: what is held may be taken out all the same, and the rest comes again.
        """

    async def release(self, jobs: Sequence[Job], *, delay: timedelta = timedelta(0)) -> None:
        """Give jobs back, claimable after a delay; it costs no attempt. Lost leases are ignored."""

    async def depth(self, *, connection: Any = None) -> Depth:
        """Return how much is in the queue.

        Args:
            connection: For engines in the database: the connection whose transaction reads
                everything else as well, so that no event is counted twice.
        """

    async def close(self) -> None:
        """Release what the engine holds open; the queue's content stays."""


@runtime_checkable
class AcknowledgesAfterCommit(Protocol):
    """Added by a queue whose messages are not part of the transaction that applies them."""

    async def committed(self, jobs: Sequence[Job]) -> None:
        """Acknowledge what is settled, now that its outcome is committed; never raises for it.

        What cannot be acknowledged comes once more, and is known then.
        """


@runtime_checkable
class ReadsPause(Protocol):
    """Added by a queue that gives out nothing while the host has paused it.

    For any other queue a worker asks before each claim.
    """

    async def paused_since(self) -> datetime | None:
        """Return since when it has been paused, or None."""


@runtime_checkable
class NotesClaims(Protocol):
    """Added by an engine in the host's database: it notes which worker has claimed what, and when.

    So an event is found that has been under way for long in a process that stands still.
    """

    def claims_for(self, worker: str) -> None:
        """Note the name of a worker with every claim from now on.

        Args:
            worker: The name.
        """


@runtime_checkable
class WakesWorkers(Protocol):
    """Added by an engine that says when something was enqueued, in whichever process."""

    def listening(self, notify: Callable[[], None]) -> AbstractAsyncContextManager[None]:
        """Call a function at once, in the worker's loop, whenever it may claim something.

        Nothing may depend on it: a worker that is not called looks for itself.
        """


@runtime_checkable
class ReservesConnection(Protocol):
    """Added by an engine whose leases are lengthened over a connection of the host's pool."""

    def reserved(self) -> AbstractAsyncContextManager[None]:
        """Keep a connection for `QueueBackend.extend` while the body runs.

        A worker enters it at start-up: a pool that the host has exhausted then costs no lease.

        Raises:
            ConfigurationError: The pool has no connection to spare.
        """


@dataclass(frozen=True, slots=True)
class Relayed:
    """What became of events that left an outbox.

    Attributes:
        events: How many left it.
        duplicates: How many of them were settled, since the engine had their equals.
    """

    events: int
    duplicates: int = 0


@runtime_checkable
class RelaysOutbox(Protocol):
    """Added by a queue that stores events in the host's database, and publishes them afterwards.

    A worker relays beside its other work; events that stay in the outbox count as queued.
    """

    async def relay(self, limit: int, *, lease: timedelta) -> Relayed:
        """Publish the oldest events of the outbox, at most ``limit``; then they leave it.

        Several relays at once take different ones. One that dies leaves its events to the others
        at the end of its lease; they are published once more then, and are known.

        Raises:
            QueueUnavailable: The engine or the database cannot be reached: they stay where they
                are.
        """


@dataclass(frozen=True, slots=True)
class SettledEvent:
    """One event and what became of it.

    Attributes:
        event: The event.
        result: What became of it, committed.
    """

    event: SyncEvent
    result: SyncResult


class SettledHook(Protocol):
    """Called after the commit, at most once for an event; what it raises is logged and dropped.

    It runs outside the transaction: for a cache to clear or a mail to send. What must happen
    together with the rows belongs into `BaseEntityHandler.after_apply`.
    """

    def __call__(self, settled: SettledEvent, /) -> Awaitable[None] | None:
        """Hear what became of an event."""
