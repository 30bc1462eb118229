"""Checks what events can count on with every engine, once a worker of the library uses it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Final

import pytest

from zoho_sync.abc import BULK_PRIORITY, QueueBackend
from zoho_sync.app.sync import ZohoSync
from zoho_sync.events.event import SyncEvent
from zoho_sync.events.outcome import Outcome
from zoho_sync.events.retry import RetryPolicy
from zoho_sync.exceptions import ConfigurationError
from zoho_sync.operate.dead_letters import DeadLetterFilter
from zoho_sync.testing.bench import MINUTE
from zoho_sync.testing.host import Host, WorkBench, change, on_host
from zoho_sync.worker.executor import Executor
from zoho_sync.worker.loop import Worker

LATE, FIRST, SECOND, SOON, BULK = "31", "32", "33", "34", "35"
PLAIN, POLITE, POISON, STUCK = "36", "37", "38", "39"

__all__ = ["WorkChecks"]

_QUICK: Final = RetryPolicy(
    max_attempts=3,
    max_deaths=2,
    base_delay=timedelta(seconds=10),
    max_delay=timedelta(seconds=60),
)
_PATIENCE: Final = 30.0


class _Death(BaseException):
    """Ends a worker as a signal would: nothing of it runs any more."""


class _LaterError(Exception):
    """Whoever was asked said when to come again."""

    retry_after = timedelta(minutes=5)


def _queue(sync: ZohoSync) -> QueueBackend:
    """Return the queue as its workers have it: with the database behind it."""
    return sync._runtime.queue  # noqa: SLF001  # what is checked


class WorkChecks(WorkBench):
    """Workers, their failures and their end."""

    @on_host()
    async def test_priorities_are_kept(self, host: Host) -> None:
        """3: the smaller comes first, whatever the engine can do; bulk delays no delivery."""
        sync = host.open(batch_size=1)
        await sync.enqueue([change(f"{BULK}{n}") for n in range(5)], priority=BULK_PRIORITY)
        await sync.enqueue([change(LATE)], priority=1)
        await sync.enqueue([change(FIRST), change(SECOND)])
        await sync.enqueue([change(SOON)], priority=-1)
        await sync.drain()
        order = [notes.partition("@")[0] for notes in await host.written()]
        assert order == [SOON, FIRST, SECOND, LATE, *(f"{BULK}{n}" for n in range(5))]

    @on_host()
    async def test_a_priority_stays_through_a_retry(self, host: Host) -> None:
        """3: what failed comes back among those of its own priority."""
        fails = True

        async def fail(event: SyncEvent) -> None:
            if event.entity_id == LATE and fails:
                raise TimeoutError

        host.step = fail
        sync = host.open(batch_size=1, retry=_QUICK)
        await sync.enqueue([change(LATE)], priority=1)
        assert await sync.drain() == {Outcome.RETRY: 1}
        fails = False
        host.clock.forward(61)
        await sync.enqueue([change(FIRST)])
        await sync.drain()
        assert await host.written() == [f"{FIRST}@0", f"{LATE}@0"]

    @on_host()
    async def test_who_lost_the_lease_applies_nothing(self, host: Host) -> None:
        """15: a worker whose jobs another one has by now leaves no row, and the other one does."""
        sync = host.open()
        await sync.enqueue([change("20")])
        old = await _queue(sync).claim(1, lease=self.lease)
        new = await self.claimed_again(_queue(sync), 1)
        executor = Executor(sync._runtime)  # noqa: SLF001  # as above
        assert await executor.execute(old) == []
        assert await host.written() == []
        await executor.execute(new)
        assert await host.written() == ["20@0"]
        report = await sync.status()
        assert (report.settled, report.dead_letters) == ({Outcome.APPLIED: 1}, 0)
        assert await sync.drain() == {}

    @on_host()
    async def test_a_retry_keeps_its_time(self, host: Host) -> None:
        """19: not before its delay, and not before what the other side asked for; then at once."""

        async def fail(event: SyncEvent) -> None:
            raise _LaterError if event.entity_id == POLITE else TimeoutError

        host.step = fail
        sync = host.open(retry=_QUICK)
        whole = replace(sync._runtime, jitter=lambda: 1.0)  # noqa: SLF001  # as above
        worker = Worker(whole)
        await sync.enqueue([change(PLAIN), change(POLITE)])
        assert await worker.drain() == {Outcome.RETRY: 2}
        host.step = None
        host.clock.forward(9.9)
        assert await worker.drain() == {}
        host.clock.forward(0.2)
        assert await worker.drain() == {Outcome.APPLIED: 1}
        host.clock.forward(289)
        assert await worker.drain() == {}
        host.clock.forward(1)
        assert await worker.drain() == {Outcome.APPLIED: 1}
        assert await host.written() == [f"{PLAIN}@0", f"{POLITE}@0"]

    @on_host()
    async def test_the_last_attempt_ends_in_one_dead_letter(self, host: Host) -> None:
        """20: as many attempts as were configured, then a dead letter with all their errors."""
        attempts = 0

        async def fail(event: SyncEvent) -> None:
            nonlocal attempts
            del event
            attempts += 1
            raise TimeoutError(f"attempt {attempts}")

        host.step = fail
        sync = host.open(retry=_QUICK)
        await sync.enqueue([change("20")])
        for _ in range(5):
            await sync.drain()
            host.clock.forward(61)
        (letter,) = await sync.dead_letters.list()
        errors = [entry["error"] for entry in letter.history]
        assert errors == ["attempt 1", "attempt 2", "attempt 3"]
        assert (letter.attempts, attempts) == (3, 3)
        report = await sync.status()
        assert (report.accepted, report.queue.total, report.settled) == (1, 0, {})

    @on_host()
    async def test_poison_that_kills_its_workers_reaches_the_dead_letters(self, host: Host) -> None:
        """21: although no worker lives to say so, and its neighbours are applied."""

        async def kill(event: SyncEvent) -> None:
            if event.entity_id == POISON:
                raise _Death

        host.step = kill
        deaths = 0
        sync = host.open(retry=_QUICK, lease=self.lease)
        await sync.enqueue([change("1"), change(POISON), change("2")])
        while (await sync.status()).queue.total:
            assert deaths < 9, "the poison never reached the dead letters"
            # A process of its own, since the one before it is dead.
            sync = host.open(retry=_QUICK, lease=self.lease)
            with suppress(_Death):
                await sync.drain()
                continue
            deaths += 1
            await self._let_leases_end(host)
        (letter,) = await sync.dead_letters.list()
        assert (letter.entity_id, letter.error_type) == (POISON, "WorkerDied")
        assert sorted(await host.written()) == ["1@0", "2@0"]

    @on_host()
    async def test_a_replay_overwrites_nothing(self, host: Host) -> None:
        """23: the ledger knows what came meanwhile; and nobody means all of them by nothing."""

        async def fail(event: SyncEvent) -> None:
            if event.effective_time == change("20", 1).effective_time:
                raise ConfigurationError

        host.step = fail
        sync = host.open()
        await sync.enqueue([change("20", 1)])
        await sync.drain()
        await sync.enqueue([change("20", 2)])
        assert await sync.drain() == {Outcome.APPLIED: 1}
        (letter,) = await sync.dead_letters.list()
        nothings: tuple[DeadLetterFilter | list[str], ...] = (DeadLetterFilter(), [])
        for nothing in nothings:
            with pytest.raises(ConfigurationError):
                await sync.dead_letters.replay(nothing)
        host.step = None
        assert (await sync.dead_letters.replay(letter.id)).queued == (letter.id,)
        assert (await sync.dead_letters.replay(letter.id)).queued == ()
        assert await sync.drain() == {Outcome.STALE: 1}
        assert await host.written() == ["20@2"]

    @on_host()
    async def test_one_entity_is_never_in_two_hands(self, host: Host) -> None:
        """24: events of one entity take their turns, whoever applies them, and the newest stays."""
        busy: set[str] = set()
        crowds: list[str] = []

        async def watch(event: SyncEvent) -> None:
            if event.entity_id in busy:
                crowds.append(event.entity_id)
            busy.add(event.entity_id)
            try:
                await asyncio.sleep(0.002)
            finally:
                busy.discard(event.entity_id)

        host.step = watch
        workers = [host.open(batch_size=1), host.open(batch_size=1)]
        seconds = (3, 1, 4, 2)
        await workers[0].enqueue([change(f"2{n}", s) for s in seconds for n in range(2)])
        await asyncio.gather(*(worker.drain() for worker in workers))
        await workers[0].drain()
        assert crowds == []
        written = await host.written()
        for name in ("20", "21"):
            last = [notes for notes in written if notes.startswith(name)][-1]
            assert last == f"{name}@4"

    @on_host()
    async def test_one_stuck_entity_delays_no_other(self, host: Host) -> None:
        """24: while a worker sits on one event, the other entities' are applied."""
        sync = host.open()
        await sync.enqueue([change(STUCK, 1), change(STUCK, 2)])
        held = await _queue(sync).claim(1, lease=timedelta(minutes=5))
        others = [change(f"2{number}") for number in range(5)]
        await sync.enqueue(others)
        await sync.drain()
        written = await host.written()
        assert {f"2{number}@0" for number in range(5)} <= {*written}
        await _queue(sync).release(held)
        await sync.drain()
        assert (await host.written())[-1] == f"{STUCK}@2" or f"{STUCK}@2" in written
        assert (await sync.status()).accepted == 7

    @on_host()
    async def test_a_pause_outlives_its_process(self, host: Host) -> None:
        """25: nothing is claimed until somebody resumes, whoever starts; what comes is kept."""
        first = host.open()
        await first.enqueue([change("20")])
        assert await first.pause()
        again = host.open()
        await again.enqueue([change("21")])
        assert await again.drain() == {}
        report = await again.status()
        assert (report.paused_since is not None, report.healthy) == (True, False)
        assert (report.queue.ready, await again.pause()) == (2, False)
        assert await again.resume()
        assert await again.drain() == {Outcome.APPLIED: 2}
        report = await again.status()
        assert (report.paused_since, report.healthy) == (None, True)
        assert not await again.resume()

    @on_host()
    async def test_a_worker_that_stops_gives_everything_back(self, host: Host) -> None:
        """28: what it was applying is rolled back and claimable at once; nothing of it goes on."""
        began = asyncio.Event()

        async def linger(event: SyncEvent) -> None:
            del event
            began.set()
            await asyncio.Event().wait()

        host.step = linger
        sync = host.open()
        await sync.enqueue([change(f"2{number}") for number in range(3)])
        before = asyncio.all_tasks()
        running = asyncio.create_task(sync.run())
        async with asyncio.timeout(_PATIENCE):
            await began.wait()
        running.cancel()
        await asyncio.wait({running})
        assert running.cancelled()
        names = [task.get_name() for task in asyncio.all_tasks() - before]
        assert not any(name.startswith("zoho_sync") for name in names), names
        jobs = await _queue(sync).claim(10, lease=MINUTE)
        assert {(job.attempts, job.deaths, job.suspect) for job in jobs} == {(0, 0, False)}
        assert len(jobs) == 3
        assert await host.written() == []
        await _queue(sync).release(jobs)
        host.step = None
        assert await sync.drain() == {Outcome.APPLIED: 3}

    @on_host()
    async def test_ten_make_the_tables_at_once(self, host: Host) -> None:
        """30: each succeeds, and what is queued stays."""
        await host.open().enqueue([change("20")])
        await asyncio.gather(*(host.open().create_tables() for _ in range(10)))
        assert await host.open().drain() == {Outcome.APPLIED: 1}

    async def _let_leases_end(self, host: Host) -> None:
        seconds = self.lease.total_seconds() * 1.1
        if (await host.queue.depth()).total:
            await self.elapse(seconds)
        if not host.queue.capabilities.completes_in_transaction:
            host.clock.forward(seconds)
