"""Takes a claimed batch to the end: tries it, and what fails as a whole it tries in halves."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from zoho_sync.abc import AcknowledgesAfterCommit, Job, SettledEvent
from zoho_sync.apply.batch import Batch
from zoho_sync.apply.recording import tell
from zoho_sync.database.cancellation import errors_alone, finish
from zoho_sync.database.faults import Fault, classify
from zoho_sync.database.hiding import without_values
from zoho_sync.database.transactions import repeat_conflicts
from zoho_sync.exceptions import HandlerTimeout, LeaseLost, QueueUnavailable, ZohoSyncError
from zoho_sync.worker.attempt import Attempt
from zoho_sync.worker.leases import LeaseKeeper, keep_leases
from zoho_sync.worker.runtime import Runtime
from zoho_sync.worker.settlement import Settlement

__all__ = ["Executor", "WorkerDied"]

_log = logging.getLogger(__name__)

_BLOCKED_DELAY: Final = timedelta(seconds=1)
_LONGEST_WAIT: Final = timedelta(minutes=1)


class WorkerDied(ZohoSyncError):
    """An event whose worker died, without an error, as often as it may."""

    permanent = True


class Executor:
    """Applies claimed batches; one may run several at once."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._waited: Counter[str] = Counter()
        self._owed: list[Job] = []

    async def execute(self, jobs: Sequence[Job]) -> list[SettledEvent]:
        """Apply a claimed batch and return what became of its events.

        Events that are not in the answer were released, or belong to another worker now. On
        cancellation what is not settled is released, and costs no attempt.
        """
        settled: list[SettledEvent] = []
        try:
            async with keep_leases(self._runtime.queue, jobs, self._runtime.lease) as keeper:
                await self._work_off(await self._bury(jobs, keeper, settled), keeper, settled)
        except BaseException as error:
            if _is_blameless(error):
                done = {event.event.id for event in settled}
                await self.give_back([job for job in jobs if job.event.id not in done])
            if isinstance(error, Exception):
                await self._tell(settled)
            raise
        await self._tell(settled)
        return settled

    async def release_owed(self) -> None:
        """Release what could not be released when the database was away."""
        if self._owed:
            owed, self._owed = self._owed, []
            await self.give_back(owed)

    async def _work_off(
        self, jobs: Sequence[Job], keeper: LeaseKeeper, settled: list[SettledEvent]
    ) -> None:
        batches = [Batch(jobs)] if jobs else []
        while batches:
            batch = batches.pop()
            try:
                with errors_alone():
                    settlement = await repeat_conflicts(Attempt(self._runtime, batch, keeper).run)
            except QueueUnavailable:
                raise
            except LeaseLost:
                batches += await self._still_ours(batch, keeper)
            except HandlerTimeout as error:
                # Who it was is known: the others need not wait for it once more.
                guilty = [job for job in batch.jobs if job.event.id == error.event_id]
                rest = [job for job in batch.jobs if job.event.id != error.event_id]
                batches += [replace(batch, jobs=rest)] if rest else []
                await self._alone(guilty[0], error, keeper, settled)
            except Exception as error:  # noqa: BLE001  # whatever it is, the others go on
                if len(batch.jobs) > 1:
                    middle = len(batch.jobs) // 2
                    first, second = batch.jobs[:middle], batch.jobs[middle:]
                    batches += [replace(batch, jobs=second), replace(batch, jobs=first)]
                else:
                    await self._alone(batch.jobs[0], error, keeper, settled)
            else:
                await self._committed(settlement, settled)
                batches += _second_look(batch, settlement)
                await self._postpone(settlement.result.blocked, keeper)
                # Claimed before their time, they wait for it.
                for job in settlement.result.early:
                    await self._runtime.queue.release([job], delay=job.early)
                keeper.forget(settlement.result.early)

    async def _still_ours(self, batch: Batch, keeper: LeaseKeeper) -> list[Batch]:
        lost = await self._runtime.queue.extend(batch.jobs, lease=self._runtime.lease)
        keeper.forget(lost)
        gone = {job.event.id for job in lost}
        _log.warning("%d lease(s) lost; their events were not changed", len(gone))
        kept = [job for job in batch.jobs if job.event.id not in gone]
        return [replace(batch, jobs=kept)] if kept else []

    async def _alone(
        self, job: Job, error: Exception, keeper: LeaseKeeper, settled: list[SettledEvent]
    ) -> None:
        """Settle the one event that makes its transaction fail."""
        if classify(error) in {Fault.CONFLICT, Fault.LOCK_TIMEOUT}:
            await self._postpone([job], keeper)
            return
        attempt = Attempt(self._runtime, Batch([job]), keeper)
        try:
            settlement = await attempt.give_up(job, error)
        except LeaseLost:
            keeper.forget([job])
            return
        except Exception as blocked:
            if classify(blocked) not in {Fault.CONFLICT, Fault.LOCK_TIMEOUT}:
                raise
            # Whoever holds its entity may be the one who settles it.
            await self._postpone([job], keeper)
            return
        await self._committed(settlement, settled)

    async def _committed(self, settlement: Settlement, settled: list[SettledEvent]) -> None:
        """Log and note what is committed, and let an engine outside the database hear of it."""
        settlement.report()
        settled += settlement.settled_events
        queue = self._runtime.queue
        if isinstance(queue, AcknowledgesAfterCommit):
            await queue.committed(settlement.completed)

    async def _bury(
        self, jobs: Sequence[Job], keeper: LeaseKeeper, settled: list[SettledEvent]
    ) -> list[Job]:
        """Give up events that killed as many workers as they may; return the others."""
        living = []
        for job in jobs:
            if job.deaths < self._runtime.retry.max_deaths:
                living.append(job)
                continue
            message = f"{job.deaths} workers died while they applied it alone"
            await self._alone(job, WorkerDied(message), keeper, settled)
        return living

    async def _postpone(self, jobs: Sequence[Job], keeper: LeaseKeeper) -> None:
        """Give jobs back that have to wait for others' locks, for longer each time."""
        for job in jobs:
            self._waited[job.event.id] += 1
            delay = _BLOCKED_DELAY * 2.0 ** min(self._waited[job.event.id] - 1, 10)
            await self._runtime.queue.release([job], delay=min(delay, _LONGEST_WAIT))
        keeper.forget(jobs)

    async def give_back(self, jobs: Sequence[Job]) -> None:
        """Release what was not settled; who cannot do it now owes it.

        A lease that is left to expire makes its job look as if it had killed its worker.
        """
        try:
            await finish(self._runtime.queue.release(jobs))
        except Exception as error:  # noqa: BLE001  # whatever it is, they are owed
            problem = without_values(error)
            _log.warning("%d job(s) could not be released yet: %s", len(jobs), problem)
            self._owed += jobs

    async def _tell(self, settled: Sequence[SettledEvent]) -> None:
        for each in settled:
            self._waited.pop(each.event.id, None)
        await tell(self._runtime.hooks, settled)


def _is_blameless(error: BaseException) -> bool:
    """Return whether what ended a batch was asked for, or an outage, and no event's doing.

    A handler that ends the process, by ``sys.exit`` say, leaves its lease to expire like any other
    death: otherwise it would be claimed for ever.
    """
    if isinstance(error, (asyncio.CancelledError, KeyboardInterrupt)):
        return True
    # What an event does is settled with that event. Only where the database refuses to keep what
    # became of it must the event be told from the others, as what kills workers is.
    return isinstance(error, Exception) and classify(error) is not Fault.REJECTED


def _second_look(batch: Batch, settlement: Settlement) -> list[Batch]:
    """Return the events that miss an entity, to be tried again while that entity is held."""
    waiting = settlement.result.waiting
    jobs = [job for job in batch.jobs if job.event.id in waiting]
    return [Batch(jobs, batch.targets | frozenset(waiting.values()))] if jobs else []
