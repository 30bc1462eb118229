"""Bounds how long one event may take, and knows which events are being applied now."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from zoho_sync.abc import Job
from zoho_sync.database.cancellation import finish
from zoho_sync.database.faults import Fault, classify, is_of_whole_transaction
from zoho_sync.events.event import SyncEvent
from zoho_sync.exceptions import HandlerTimeout, HostTransactionLost

__all__ = ["Patience", "UnderWay"]

_LEASES: Final = 4
_IDLE_SHARE: Final = 2  # see `bound_waits`


@dataclass(frozen=True, slots=True)
class UnderWay:
    """An event that is being applied.

    Attributes:
        event: It.
        since: When it began, by `time.monotonic`.
    """

    event: SyncEvent
    since: float


@dataclass(frozen=True)
class Patience:
    """How long a worker lets one event take.

    Attributes:
        limit: After which it is cancelled.
        lease: Of the worker's claims.
        under_way: What is being applied now, by the events' ids.
    """

    limit: timedelta
    lease: timedelta
    under_way: dict[str, UnderWay] = field(default_factory=dict)

    @classmethod
    def of(cls, limit: timedelta | None, lease: timedelta) -> Patience:
        """Return the patience of a worker: for four leases, if nothing else is said."""
        return cls(limit or lease * _LEASES, lease)

    @asynccontextmanager
    async def with_event(self, job: Job) -> AsyncIterator[None]:
        """Know of an event while the body applies it, and say what ended its connection.

        Raises:
            HandlerTimeout: It idled for so long that the database closed its connection.
        """
        event = job.event
        begun = self.under_way[event.id] = UnderWay(event, time.monotonic())
        try:
            yield
        except Exception as error:
            idle = self.lease / _IDLE_SHARE
            cause = error.__cause__ if isinstance(error, HostTransactionLost) else error
            took = timedelta(seconds=time.monotonic() - begun.since)
            lost = cause is not None and classify(cause) is Fault.CONNECTION
            # Of a transaction that was too long the batch is guilty, and not who came last.
            if cause is None or not lost or took < idle or is_of_whole_transaction(cause):
                raise
            raise HandlerTimeout(event.id, _closed(took, idle)) from cause
        finally:
            self.under_way.pop(event.id, None)

    @asynccontextmanager
    async def bounded(self, job: Job, connection: AsyncConnection) -> AsyncIterator[None]:
        """Cancel the body, which works on a connection, where it takes too long.

        Code that blocks the event loop is not reached by that: it goes on until it returns.

        Raises:
            HandlerTimeout: It took too long; whatever it raised then.
        """
        try:
            async with asyncio.timeout(self.limit.total_seconds()) as timer:
                yield
        except Exception as error:
            if not timer.expired():
                raise
            if not isinstance(error, TimeoutError) and not connection.invalidated:
                # A driver has answered the cancellation with an error of its own: psycopg's
                # connection may answer nothing from there on.
                await finish(connection.invalidate())
            seconds = f"{self.limit.total_seconds():g} s"
            problem = f"took longer than handler_timeout, {seconds}, and was cancelled"
            raise HandlerTimeout(job.event.id, problem) from error


def _closed(took: timedelta, idle: timedelta) -> str:
    return (
        f"took {took.total_seconds():.0f} s, and the database closed its connection: a worker lets"
        f" a transaction idle for half a lease, {idle.total_seconds():g} s, so that one that "
        "stands still holds no rows; do what takes long before or after, or raise lease="
    )
