"""Claims, applies and settles, until there is nothing left or until cancelled."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import nullcontext, suppress
from typing import Any, Final

from zoho_sync.abc import (
    Job,
    ReadsPause,
    RelaysOutbox,
    ReservesConnection,
    SettledEvent,
    WakesWorkers,
)
from zoho_sync.database.cancellation import errors_alone
from zoho_sync.database.hiding import without_values
from zoho_sync.events.outcome import Outcome
from zoho_sync.exceptions import QueueUnavailable
from zoho_sync.worker.executor import Executor
from zoho_sync.worker.leases import keep_leases
from zoho_sync.worker.maintenance import Maintenance
from zoho_sync.worker.presence import Presence
from zoho_sync.worker.runtime import Runtime
from zoho_sync.worker.together import run_together

__all__ = ["Worker"]

_log = logging.getLogger(__name__)

_POLL: Final = 0.5
_MAINTENANCE: Final = 10.0
_LONGEST_PAUSE: Final = 30.0
_SWEEP_SHARE: Final = 20  # a sweep is followed by at least twenty times its duration without one
_UNDER_WAY: Final = {Outcome.PARKED, Outcome.RETRY}


class Worker:
    """Works off the queue of one `Runtime`."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._executor = Executor(runtime)
        self._maintenance = Maintenance(runtime)
        self._asks = not isinstance(runtime.queue, ReadsPause)
        self._arrived = asyncio.Event()
        self._accepted = asyncio.Event()
        self._claiming = asyncio.Lock()
        self._running = 0
        self._rested = asyncio.Event()
        self._presence = Presence(runtime)

    def notify(self) -> None:
        """Say that something was enqueued, so that an idle worker need not wait for its poll."""
        self._accepted.set()
        self._arrived.set()

    async def drain(self) -> dict[Outcome, int]:
        """Work until no job is claimable now; return what the events came to.

        An event counts once, with the last thing that became of it: one that parked and was woken
        counts as applied. Delayed and parked events and others' leases are not awaited, nor is the
        end of a pause.
        """
        tally, before = _Tally(), -1
        while True:
            while await self._relay(tally) or await self._step(tally):
                pass
            if tally.counts.total() == before:
                # What was woken parked again: its handler waits for something that only it knows.
                return tally.totals()
            before = tally.counts.total()
            expired = await self._maintenance.expire_parked()
            tally.counts[Outcome.DEAD_LETTER] += expired
            if not await self._maintenance.sweep():
                return tally.totals()

    async def run(self) -> None:
        """Work until cancelled; what is being applied then is rolled back and released.

        Raises:
            ConfigurationError: The queue has settings that would lose events.
            WorkerStopped: A part of the worker ended.
        """
        queue = self._runtime.queue
        self._presence.begin()
        try:
            await queue.setup()
        except QueueUnavailable as error:
            # The loops wait for it; it is only looked at then.
            _log.warning("the queue cannot be checked now: %s", without_values(error))
        reserved = queue.reserved() if isinstance(queue, ReservesConnection) else nullcontext()
        woken = queue.listening(self.notify) if isinstance(queue, WakesWorkers) else nullcontext()
        async with reserved, woken:
            try:
                await self._presence.arrive()
                await run_together(self._loops())
            finally:
                await self._presence.leave()

    def _loops(self) -> dict[str, Coroutine[Any, Any, None]]:
        """Return what runs until cancelled, by name."""
        loops: dict[str, Coroutine[Any, Any, None]] = {}
        for number in range(self._runtime.concurrency):
            work = self._repeated(self._work, self._arrived, "the worker cannot work")
            loops[f"worker {number}"] = work
        loops |= {"maintenance": self._maintain(), "sweep": self._sweep()}
        loops["heartbeat"] = self._presence.keep()
        if isinstance(self._runtime.queue, RelaysOutbox):
            relay = self._repeated(self._publish, self._accepted, "the outbox keeps its events")
            loops["relay"] = relay
        return loops

    async def _work(self) -> bool:
        return await self._step(_Tally())

    async def _publish(self) -> bool:
        """Publish what the outbox holds, whatever is applied here meanwhile."""
        busy = await self._relay(_Tally())
        if busy:
            self._arrived.set()
        return busy

    async def _sweep(self) -> None:
        """Look for parked events, and for debts, whose entity the host made itself.

        At every idle poll where that is quick; where much waits, a small share of the time.
        """
        clock = asyncio.get_running_loop()
        while True:
            begun = clock.time()
            try:
                with errors_alone():
                    woken = await self._maintenance.sweep(deletes=False)
                if woken:
                    self._arrived.set()
            except Exception as error:  # noqa: BLE001  # as in `_repeated`
                _log.warning("a sweep failed; trying again: %s", without_values(error))
            await asyncio.sleep(max(_POLL, (clock.time() - begun) * _SWEEP_SHARE))

    async def _maintain(self) -> None:
        while True:
            try:
                with errors_alone():
                    await self._maintenance.run_if_leader()
            except Exception as error:  # noqa: BLE001  # as above
                _log.error(
                    "maintenance failed; trying again: %s", without_values(error)
                )  # a traceback quotes values
            await asyncio.sleep(_MAINTENANCE)

    async def _relay(self, tally: _Tally) -> bool:
        """Publish one batch of an outbox; return whether there was one."""
        runtime = self._runtime
        if not isinstance(runtime.queue, RelaysOutbox):
            return False
        relayed = await runtime.queue.relay(runtime.batch_size, lease=runtime.lease)
        tally.counts[Outcome.DUPLICATE] += relayed.duplicates
        return relayed.events > 0

    async def _step(self, tally: _Tally) -> bool:
        """Claim and execute one batch; return whether there was one."""
        await self._executor.release_owed()
        async with self._claiming:
            jobs = await self._claim()
            if any(job.suspect for job in jobs):
                # Nothing else is claimed until it is done: it may take the whole process along.
                await self._work_alone(jobs, tally)
                return True
            self._running += 1
        try:
            if jobs:
                tally.add(await self._executor.execute(jobs))
        finally:
            self._running -= 1
            self._rested.set()
        return bool(jobs)

    async def _claim(self) -> list[Job]:
        runtime, jobs = self._runtime, list[Job]()
        if not (self._asks and await self._maintenance.paused()):
            jobs = await runtime.queue.claim(runtime.batch_size, lease=runtime.lease)
        self._presence.claimed()
        return jobs

    async def _repeated(
        self, step: Callable[[], Awaitable[bool]], woken: asyncio.Event, trouble: str
    ) -> None:
        """Take a step until cancelled; where there was nothing to do, wait until there is."""
        failures = 0
        while True:
            try:
                woken.clear()
                with errors_alone():
                    busy = await step()
                failures = 0
                self._presence.troubles.pop(trouble, None)
            except Exception as error:  # noqa: BLE001  # drivers have their own for an outage
                # The database or the queue is away: nothing is lost by waiting for it.
                failures += 1
                pause = min(_POLL * 2**failures, _LONGEST_PAUSE)
                problem = without_values(error)
                self._presence.troubles[trouble] = f"{trouble}: {problem}"
                _log.error(
                    "%s; again in %.0f s: %s", trouble, pause, problem
                )  # a traceback quotes values
                await asyncio.sleep(pause)
                continue
            if not busy:
                with suppress(TimeoutError):
                    await asyncio.wait_for(woken.wait(), _POLL)

    async def _work_alone(self, jobs: Sequence[Job], tally: _Tally) -> None:
        """Execute what may have killed a worker, once nothing else is under way here."""
        runtime = self._runtime
        try:
            async with keep_leases(runtime.queue, jobs, runtime.lease):
                while self._running:
                    self._rested.clear()
                    await self._rested.wait()
        except asyncio.CancelledError:
            await self._executor.give_back(jobs)
            raise
        tally.add(await self._executor.execute(jobs))


class _Tally:
    """Counts events by the last thing that became of them."""

    def __init__(self) -> None:
        self.counts: Counter[Outcome] = Counter()
        self._under_way: dict[str, Outcome] = {}

    def add(self, settled: Iterable[SettledEvent]) -> None:
        for item in settled:
            event_id, outcome = item.event.id, item.result.outcome
            self._under_way.pop(event_id, None)
            if outcome in _UNDER_WAY:
                self._under_way[event_id] = outcome
            else:
                self.counts[outcome] += 1

    def totals(self) -> dict[Outcome, int]:
        return dict(+self.counts + Counter(self._under_way.values()))
