"""Takes a claimed batch to the end: tries it, and what fails as a whole it tries in halves."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from zoho_sync._attempt import Attempt
from zoho_sync._faults import Fault, classify, is_of_database, without_values
from zoho_sync._lease import LeaseKeeper, keep_leases
from zoho_sync._ledger import LedgerKey
from zoho_sync._runtime import Runtime
from zoho_sync._unit_of_work import finish
from zoho_sync.abc import AcknowledgesAfterCommit, Job, SettledEvent
from zoho_sync.events import SyncEvent
from zoho_sync.exceptions import LeaseLost, QueueUnavailable, ZohoSyncError
from zoho_sync.outcomes import SyncResult

__all__ = ["Executor", "WorkerDied"]

_log = logging.getLogger(__name__)

_REPEATS: Final = 3
_BLOCKED_PAUSE: Final = 0.05
_BLOCKED_DELAY: Final = timedelta(seconds=1)
_ASK_AGAIN: Final = (0.1, 0.3, 1.0, 3.0)
_LONGEST_WAIT: Final = timedelta(minutes=1)

Batch = tuple[Sequence[Job], frozenset[LedgerKey]]


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

    async def apply_now(self, event: SyncEvent) -> SyncResult:
        """Apply an event that came from no queue; raise what would be a dead letter or a retry."""
        job = Job(handle=None, event=event, lease_token="")
        keeper = LeaseKeeper(self._runtime.queue, [], self._runtime.lease)
        targets: frozenset[LedgerKey] = frozenset()
        while True:
            attempt = Attempt(self._runtime, [job], targets, direct=True)
            error = await self._try(attempt, keeper)
            if error is not None:
                raise error
            if event.id in attempt.known:
                return attempt.known[event.id]
            if told := attempt.settlement.told:
                await self._tell(told)
                return told[0].result
            # It misses an entity: once more, while that is held. One that somebody else holds is
            # about to change.
            targets |= frozenset(attempt.waiting.values())
            if attempt.blocked:
                await asyncio.sleep(_BLOCKED_PAUSE)

    async def _work_off(
        self, jobs: Sequence[Job], keeper: LeaseKeeper, settled: list[SettledEvent]
    ) -> None:
        batches: list[Batch] = [(jobs, frozenset())] if jobs else []
        while batches:
            batch, targets = batches.pop()
            attempt = Attempt(self._runtime, batch, targets)
            error = await self._try(attempt, keeper)
            if error is None:
                attempt.settlement.report()
                settled += attempt.settlement.told
                await self._acknowledge(attempt)
                batches += _second_look(attempt)
                await self._release(attempt.blocked, keeper)
                await self._return(attempt.early, keeper)
            elif isinstance(error, LeaseLost):
                batches += await self._still_ours(attempt, keeper)
            elif len(batch) > 1:
                middle = len(batch) // 2
                batches += [(batch[middle:], targets), (batch[:middle], targets)]
            else:
                await self._alone(batch[0], error, keeper, settled)

    async def _try(self, attempt: Attempt, keeper: LeaseKeeper) -> Exception | None:
        """Run an attempt; return what made it fail as a whole, or None."""
        repeats = 0
        while True:
            fresh = attempt.fresh()
            try:
                await fresh.run(keeper)
            except QueueUnavailable:
                raise
            except Exception as error:  # noqa: BLE001  # whatever it is, the batch goes on
                fault = classify(error)
                if fault is Fault.CONFLICT and repeats < _REPEATS:
                    repeats += 1
                    continue
                if fault is not Fault.CONNECTION or not await self._was_committed(fresh, error):
                    return error
                keeper.forget(fresh.settlement.completed)
            attempt.settlement = fresh.settlement
            attempt.waiting, attempt.blocked = fresh.waiting, fresh.blocked
            attempt.known, attempt.early = fresh.known, fresh.early
            return None

    async def _was_committed(self, attempt: Attempt, error: Exception) -> bool:
        """Find out whether a transaction whose end was not heard of has committed."""
        if not attempt.settlement.completed:
            return False
        for pause in _ASK_AGAIN:
            try:
                return await attempt.committed()
            except Exception as outage:
                if not is_of_database(outage):
                    raise
                problem = without_values(outage)
                _log.warning("it is not known yet whether a transaction committed: %s", problem)
                await asyncio.sleep(pause)
        message = "the database went away in the middle of a transaction"
        raise QueueUnavailable(message) from error

    async def _still_ours(self, attempt: Attempt, keeper: LeaseKeeper) -> list[Batch]:
        lost = await self._runtime.queue.extend(attempt.jobs, lease=self._runtime.lease)
        keeper.forget(lost)
        gone = {job.event.id for job in lost}
        _log.warning("%d lease(s) lost; their events were not changed", len(gone))
        kept = [job for job in attempt.jobs if job.event.id not in gone]
        return [(kept, attempt.targets)] if kept else []

    async def _alone(
        self, job: Job, error: Exception, keeper: LeaseKeeper, settled: list[SettledEvent]
    ) -> None:
        """Settle the one event that makes its transaction fail."""
        if classify(error) in {Fault.CONFLICT, Fault.LOCK_TIMEOUT}:
            await self._release([job], keeper)
            return
        attempt = Attempt(self._runtime, [job])
        try:
            await attempt.give_up(job, error, keeper)
        except LeaseLost:
            keeper.forget([job])
            return
        attempt.settlement.report()
        settled += attempt.settlement.told
        await self._acknowledge(attempt)

    async def _acknowledge(self, attempt: Attempt) -> None:
        """Let an engine outside the database hear of what is committed."""
        queue = self._runtime.queue
        if isinstance(queue, AcknowledgesAfterCommit):
            await queue.committed(attempt.settlement.completed)

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

    async def _release(self, jobs: Sequence[Job], keeper: LeaseKeeper) -> None:
        """Give jobs back that have to wait for others' locks, for longer each time."""
        for job in jobs:
            self._waited[job.event.id] += 1
            factor = 2.0 ** min(self._waited[job.event.id] - 1, 10)
            await self._runtime.queue.release(
                [job], delay=min(_BLOCKED_DELAY * factor, _LONGEST_WAIT)
            )
        keeper.forget(jobs)

    async def _return(self, jobs: Sequence[Job], keeper: LeaseKeeper) -> None:
        """Give jobs back that were claimed before their time, to wait for it; at no attempt."""
        for job in jobs:
            await self._runtime.queue.release([job], delay=job.early)
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
        for event in settled:
            self._waited.pop(event.event.id, None)
            for hook in self._runtime.hooks:
                try:
                    answer = hook(event)
                    if inspect.isawaitable(answer):
                        await answer
                except Exception as error:  # noqa: BLE001  # the event is settled, whatever it does
                    problem = without_values(error)
                    _log.error(
                        "a hook failed for event %s: %s", event.event.id, problem
                    )  # a traceback quotes values


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


def _second_look(attempt: Attempt) -> list[Batch]:
    """Return the events that miss an entity, to be tried again while that entity is held."""
    jobs = [job for job in attempt.jobs if job.event.id in attempt.waiting]
    if not jobs:
        return []
    return [(jobs, attempt.targets | frozenset(attempt.waiting.values()))]
