"""Checks what every engine promises of claims and leases."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import suppress
from datetime import UTC, datetime

import pytest

from zoho_sync.abc import QueueBackend
from zoho_sync.exceptions import LeaseLost
from zoho_sync.testing.bench import MINUTE, QueueBench, on_queue
from zoho_sync.testing.events import events_of, ids

__all__ = ["LeaseChecks"]


class LeaseChecks(QueueBench):
    """Claims, and what becomes of them when time passes or somebody stops."""

    @on_queue(needs="delays")
    async def test_a_delay_is_measured_by_the_engines_clock(self, queue: QueueBackend) -> None:
        """4: what is released with a delay is not claimed before it has passed, and then is."""
        await queue.enqueue(events_of(1))
        jobs = await queue.claim(1, lease=self.lease)
        await queue.release(jobs, delay=self.lease * 2)
        await self.elapse(self.lease.total_seconds())
        assert await queue.claim(1, lease=self.lease) == []
        assert (await queue.depth()).delayed == 1
        await self.elapse(self.lease.total_seconds() * 1.5)
        assert ids(await queue.claim(1, lease=self.lease)) == ["20"]

    @on_queue()
    async def test_no_two_hold_one_job(self, queue: QueueBackend) -> None:
        """9: whatever claimers do at once, no job has two live leases, and none is left behind."""
        await queue.enqueue(events_of(60))
        seen: list[str] = []

        async def claimer(number: int) -> None:
            dice = random.Random(number)  # noqa: S311  # repeatable, not secret
            while jobs := await queue.claim(dice.randint(1, 5), lease=MINUTE):
                seen.extend(ids(jobs))
                await queue.ack(jobs)

        await asyncio.gather(*(claimer(number) for number in range(self.together)))
        assert sorted(seen) == sorted(event.entity_id for event in events_of(60))

    @on_queue()
    async def test_the_limit_is_never_exceeded(self, queue: QueueBackend) -> None:
        """10: a claim gives no more than was asked for, and what is left is left."""
        await queue.enqueue(events_of(7))
        given = [len(await queue.claim(3, lease=MINUTE)) for _ in range(4)]
        assert given == [3, 3, 1, 0]

    @on_queue()
    async def test_a_cancelled_claim_loses_nothing(self, queue: QueueBackend) -> None:
        """11: wherever a claim is cancelled, its jobs come again, at the latest with its lease."""
        await queue.enqueue(events_of(2))
        for turns in range(0, 24, 3):
            claim = asyncio.create_task(queue.claim(2, lease=self.lease))
            for _ in range(turns):
                await asyncio.sleep(0)
            claim.cancel()
            with suppress(asyncio.CancelledError):
                await queue.release(await claim)
        found = await self.claimed_again(queue, 2, lease=MINUTE)
        assert sorted(ids(found)) == ["20", "21"]

    @on_queue()
    async def test_an_expired_lease_is_claimed_again_and_counted(self, queue: QueueBackend) -> None:
        """12: at its end a job comes again under another token, and it shows that it does."""
        await queue.enqueue(events_of(1))
        (first,) = await queue.claim(1, lease=self.lease)
        assert (first.suspect, first.deliveries) == (False, 1)
        (second,) = await self.claimed_again(queue, 1)
        assert second.lease_token != first.lease_token
        assert second.suspect or second.deliveries > 1
        assert second.attempts == 0
        assert second.event == first.event

    @on_queue(needs="extends")
    async def test_an_extended_lease_is_kept_and_a_lost_one_named(
        self, queue: QueueBackend
    ) -> None:
        """13: an extension keeps a lease; that of a lost one says so, and takes nothing."""
        await queue.enqueue(events_of(1))
        seconds, began = self.lease.total_seconds(), time.monotonic()
        (job,) = await queue.claim(1, lease=self.lease)
        kept = 0
        while kept < 5:
            await self.elapse(seconds * 0.35)
            before, began = began, time.monotonic()
            missed = await queue.extend([job], lease=self.lease)
            again = await queue.claim(1, lease=self.lease)
            if (missed or again) and time.monotonic() - before > seconds:
                # This process paused for longer than the lease, which proves nothing: once more.
                (job,) = [*again] or await self.claimed_again(queue, 1)
                kept, began = 0, time.monotonic()
                continue
            assert [*missed, *again] == []
            kept += 1
        (taken,) = await self.claimed_again(queue, 1)
        (lost,) = await queue.extend([job], lease=self.lease)
        assert lost.event.id == job.event.id
        assert await queue.extend([taken], lease=self.lease) == []

    @on_queue(needs="extends")
    async def test_a_lease_that_is_lengthened_as_it_ends_goes_to_one(
        self, queue: QueueBackend
    ) -> None:
        """18: at the instant of its end a lease is lengthened or lost, and never both."""
        await queue.enqueue(events_of(4))
        jobs = await queue.claim(4, lease=self.lease)
        await self.elapse(self.lease.total_seconds() * 0.98)
        for job in jobs:
            waiting = asyncio.create_task(queue.claim(4, lease=MINUTE))
            await self.elapse(self.lease.total_seconds() * 0.01)
            lost = await queue.extend([job], lease=MINUTE)
            taken = [each.event.id for each in await waiting]
            if not lost:
                assert job.event.id not in taken, "it has two live leases"

    @on_queue()
    async def test_many_that_died_come_back_in_time(self, queue: QueueBackend) -> None:
        """18: however many leases have ended at once, a claim takes no more than it was asked."""
        await queue.enqueue(events_of(120))
        assert len(await queue.claim(120, lease=self.lease)) == 120
        jobs = await self.claimed_again(queue, 3, lease=MINUTE)
        assert len({job.event.id for job in jobs}) == 3
        assert all(job.suspect or job.deliveries > 1 for job in jobs)
        assert (await queue.depth()).total == 120

    @on_queue(needs="fenced")
    async def test_who_lost_the_lease_changes_nothing(self, queue: QueueBackend) -> None:
        """14: acknowledgement and release under an old lease leave the job to its new holder."""
        await queue.enqueue(events_of(1))
        (old,) = await queue.claim(1, lease=self.lease)
        (new,) = await self.claimed_again(queue, 1)
        with pytest.raises(LeaseLost) as lost:
            await queue.ack([old])
        assert lost.value.event_ids == (old.event.id,)
        await queue.release([old])
        assert await queue.claim(1, lease=self.lease) == []
        await queue.ack([new])
        assert (await queue.depth()).total == 0

    @on_queue()
    async def test_a_release_costs_no_attempt(self, queue: QueueBackend) -> None:
        """22: what is given back comes again at once, and looks as if it had never been claimed."""
        await queue.enqueue(events_of(2))
        for _ in range(3):
            jobs = await queue.claim(2, lease=MINUTE)
            assert sorted(ids(jobs)) == ["20", "21"]
            assert {(job.attempts, job.deaths, job.suspect) for job in jobs} == {(0, 0, False)}
            assert {job.deliveries for job in jobs} == {1}
            await queue.release(jobs)
            since = (await queue.depth()).claimable_since
            # The engine's clock may be another; what the lease would have lasted does not count.
            assert since is None or since < datetime.now(UTC) + MINUTE / 2
