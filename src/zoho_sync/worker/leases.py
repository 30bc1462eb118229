"""Keeps the leases of a claimed batch alive while it is applied."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Final

from zoho_sync.abc import Job, QueueBackend
from zoho_sync.database.cancellation import errors_alone, finish
from zoho_sync.database.hiding import without_values

__all__ = ["LeaseKeeper", "keep_leases"]

_log = logging.getLogger(__name__)

_GRACE: Final = 6.0  # a little longer than SQLite waits for a lock


class LeaseKeeper:
    """The leases of one batch.

    Leases are not lengthened while jobs complete: the fence must be the last to touch them.
    """

    def __init__(self, queue: QueueBackend, jobs: Sequence[Job], lease: timedelta) -> None:
        self._queue = queue
        self._lease = lease
        self._jobs = {job.event.id: job for job in jobs}
        self._completing: set[str] = set()

    def complete(self, jobs: Iterable[Job]) -> None:
        """Hold the leases of jobs still: the transaction completes them now.

        An extension that is under way is not waited for: on SQLite it may be waiting for this very
        transaction to end. It finds the jobs gone then, or comes before the fence after all.
        """
        self._completing |= {job.event.id for job in jobs}

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Forget what the body completed; where it fails, the jobs are kept as before."""
        try:
            yield
        except BaseException:
            self._completing.clear()
            raise
        for event_id in self._completing:
            self._jobs.pop(event_id, None)
        self._completing.clear()

    def forget(self, jobs: Iterable[Job]) -> None:
        """Stop lengthening the leases of jobs that are settled, released or lost."""
        for job in jobs:
            self._jobs.pop(job.event.id, None)

    async def run(self) -> None:
        """Lengthen the leases, three times within each, until cancelled."""
        extension: asyncio.Task[None] | None = None
        try:
            while True:
                await asyncio.sleep(self._lease.total_seconds() / 3)
                extension = asyncio.create_task(self._extend())
                await asyncio.wait({extension})
        finally:
            if extension is not None:
                await _ended(extension)

    async def _extend(self) -> None:
        jobs = [job for name, job in self._jobs.items() if name not in self._completing]
        if not jobs:
            return
        try:
            with errors_alone():
                lost = await self._queue.extend(jobs, lease=self._lease)
        except Exception as error:  # noqa: BLE001  # whatever it is, the next turn may succeed
            problem = without_values(error)
            _log.warning("leases could not be lengthened; trying again: %s", problem)
            return
        # The fence will refuse a lost job; until then there is nothing to do about it.
        self.forget(lost)


async def _ended(extension: asyncio.Task[None]) -> None:
    """Let an extension end by itself: a driver that is cancelled may lose its connection."""
    try:
        await asyncio.wait({extension}, timeout=_GRACE)
    finally:
        if not extension.done():
            extension.cancel()
            await asyncio.wait({extension}, timeout=_GRACE)


@asynccontextmanager
async def keep_leases(
    queue: QueueBackend, jobs: Sequence[Job], lease: timedelta
) -> AsyncIterator[LeaseKeeper]:
    """Keep the leases of a batch alive while the body runs."""
    keeper = LeaseKeeper(queue, jobs, lease)
    task = asyncio.create_task(keeper.run(), name="zoho_sync lease keeper")
    try:
        yield keeper
    finally:
        # Not awaited bare: the cancellation of the worker itself must not be taken for this one. It
        # does not end the wait either: an extension is under way on what is closed next.
        task.cancel()
        await finish(_over(task))


async def _over(task: asyncio.Task[None]) -> None:
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        # It took too long. The extension is cancelled, and still waited for.
        task.cancel()
        await asyncio.wait({task})
        raise
