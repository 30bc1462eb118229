"""Does what the engines outside the database do alike: claim, read messages, refuse."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, TypeVar

from zoho_sync.abc import DEFAULT_PRIORITY, Enqueued, Job
from zoho_sync.database.cancellation import finish
from zoho_sync.events.event import SyncEvent
from zoho_sync.exceptions import ConfigurationError, MissingExtra, PayloadError, QueueUnavailable
from zoho_sync.queues.wire import decode, undecodable_event

__all__ = [
    "Broker",
    "job_of",
    "needing",
    "refuse_what_databases_do",
    "together",
    "unknown_client",
    "unreadable_url",
]

_T = TypeVar("_T")


def refuse_what_databases_do(engine: str, session: Any, priority: int = DEFAULT_PRIORITY) -> None:
    """Refuse to take part in the host's transaction, and a priority that would not be kept.

    Raises:
        ConfigurationError: A session was given, or another priority than the default.
    """
    if session is not None:
        message = (
            f"{engine} is outside your database and cannot enqueue inside your transaction; give it"
            ' an outbox, which can: queue=Outbox("redis://…"), from zoho_sync.queues. Or enqueue'
            " after the commit, or leave queue= out: the queue in your database can, too"
        )
        raise ConfigurationError(message)
    if priority != DEFAULT_PRIORITY:
        message = f"{engine} has no priorities; ZohoSync.enqueue keeps such events in the database"
        raise ConfigurationError(message)


class Broker(ABC):
    """An engine outside the database, which takes no part in the host's transaction."""

    async def enqueue(
        self,
        events: Sequence[SyncEvent],
        *,
        session: Any = None,
        fingerprints: Mapping[str, str] | None = None,  # noqa: ARG002  # what is settled is not known here
        priority: int = DEFAULT_PRIORITY,
    ) -> list[Enqueued]:
        """Store events; see `QueueBackend.enqueue`."""
        refuse_what_databases_do(type(self).__name__, session, priority)
        return await self._store(events) if events else []

    async def claim(self, limit: int, *, lease: timedelta) -> list[Job]:
        """Lease messages; see `QueueBackend.claim`."""
        claimed: list[Job] = []
        try:
            # What is begun is finished before a cancellation is heeded: the server may deliver now.
            await finish(self._claim(limit, lease, claimed))
        except BaseException:
            # Nobody will work on these now, and at the end of their leases they would look as if
            # they had killed a worker.
            if claimed:
                with suppress(QueueUnavailable):
                    await finish(self.release(claimed))
            raise
        return claimed

    @abstractmethod
    async def release(self, jobs: Sequence[Job], *, delay: timedelta = timedelta(0)) -> None:
        """Give messages back; see `QueueBackend.release`."""

    @abstractmethod
    async def _store(self, events: Sequence[SyncEvent]) -> list[Enqueued]: ...

    @abstractmethod
    async def _claim(self, limit: int, lease: timedelta, claimed: list[Job]) -> None:
        """Claim jobs, and add each to the list at once: if this fails, they are given back."""


def job_of(
    handle: Any,
    message: bytes,
    token: str,
    deliveries: int,
    arrived: Callable[[SyncEvent], SyncEvent] = lambda event: event,
) -> Job:
    """Return the job that a message is, also one that holds no event.

    ``deliveries`` counts this time too; ``arrived`` adds what the engine knows of the arrival.
    """
    undecodable = None
    try:
        event = arrived(decode(message))
    except PayloadError:
        event, undecodable = undecodable_event(message), message
    suspect = deliveries > 1
    return Job(
        handle, event, token, suspect=suspect, deliveries=deliveries, undecodable=undecodable
    )


async def together(steps: Iterable[Awaitable[_T]]) -> list[_T]:
    """Await steps at once, and only when all have ended raise what the first of them raised."""
    done: list[_T] = []
    for ended in await asyncio.gather(*steps, return_exceptions=True):
        if isinstance(ended, BaseException):
            raise ended
        done.append(ended)
    return done


@contextmanager
def needing(extra: str, purpose: str) -> Iterator[None]:
    """Import what an extra brings, in the body; `MissingExtra` says that it is not installed."""
    try:
        yield
    except ImportError as error:
        raise MissingExtra(extra, purpose) from error


def unreadable_url(form: str) -> ConfigurationError:
    """Return what to raise for a URL that should look otherwise; it may hold a password itself."""
    message = f"the URL of the queue cannot be read; it looks like {form}, and @ is %40 in it"
    return ConfigurationError(message)


def unknown_client(given: Any, wanted: str, remedy: str) -> ConfigurationError:
    """Return what to raise for an object that is not what the engine works with."""
    message = f"a {type(given).__name__} is no {wanted} for the queue; give it a URL, or {remedy}"
    return ConfigurationError(message)
