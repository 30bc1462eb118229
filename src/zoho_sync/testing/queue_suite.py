"""`QueueSuite`: what every queue engine promises, as tests that its author runs.

An engine proves itself in ten lines::

    class TestMine(QueueSuite):
        @asynccontextmanager
        async def opened(self):
            queue = MyQueue(...)
            await queue.setup()
            yield queue
            await queue.close()

A check is skipped only where the engine's `Capabilities` say that it cannot do what is checked.
Each runs in an event loop of its own, so that no plugin is needed.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import pytest

from zoho_sync.abc import Capabilities, Job, QueueBackend
from zoho_sync.events import Arrival, Operation, SyncEvent
from zoho_sync.exceptions import LeaseLost, ZohoSyncError
from zoho_sync.testing.events import PAYLOADS, events_of, ids

__all__ = ["QueueSuite"]

Check = Callable[[QueueBackend], Awaitable[None]]


class QueueSuite:
    """The contract of `QueueBackend`, for a subclass that opens an engine.

    Attributes:
        lease: How long the leases of these tests are. Choose it long enough for the engine's clock
            and its way there, and short enough to be waited for.
        together: How many clients claim at once.
    """

    lease: ClassVar[timedelta] = timedelta(seconds=1)
    together: ClassVar[int] = 5

    def opened(self) -> AbstractAsyncContextManager[QueueBackend]:
        """Open an engine that is set up and empty; to be overridden."""
        message = f"{type(self).__name__} must override opened()"
        raise TypeError(message)

    async def elapse(self, seconds: float) -> None:
        """Let time pass by the engine's clock; override it where that clock can be moved."""
        await asyncio.sleep(seconds)

    async def spoil(self, queue: QueueBackend, message: bytes) -> bool:
        """Put bytes into the engine that hold no event; return whether that was possible."""
        del queue, message
        return False

    def test_what_is_acknowledged_is_gone(self) -> None:
        """1: enqueue, claim, acknowledge, empty."""

        async def check(queue: QueueBackend) -> None:
            (stored,) = await queue.enqueue(events_of(1))
            assert not stored.duplicate
            (job,) = await queue.claim(10, lease=self.lease)
            assert job.event.id == stored.event_id
            assert await queue.claim(10, lease=self.lease) == []
            assert (await queue.depth()).leased == 1
            await queue.ack([job])
            await self.elapse(self.lease.total_seconds() * 1.2)
            assert await queue.claim(10, lease=self.lease) == []
            assert (await queue.depth()).total == 0

        self.run(check)

    def test_the_oldest_comes_first(self) -> None:
        """2: what nobody has claimed before comes in the order in which it was stored."""

        async def check(queue: QueueBackend) -> None:
            for event in events_of(10):
                await queue.enqueue([event])
            jobs = await queue.claim(4, lease=self.lease)
            jobs += await queue.claim(10, lease=self.lease)
            assert ids(jobs) == [f"i{number}" for number in range(10)]

        self.run(check)

    def test_a_delay_is_measured_by_the_engines_clock(self) -> None:
        """4: what is released with a delay is not claimed before it has passed, and then is."""

        async def check(queue: QueueBackend) -> None:
            await queue.enqueue(events_of(1))
            jobs = await queue.claim(1, lease=self.lease)
            await queue.release(jobs, delay=self.lease * 2)
            await self.elapse(self.lease.total_seconds() * 1.5)
            assert await queue.claim(1, lease=self.lease) == []
            assert (await queue.depth()).delayed == 1
            await self.elapse(self.lease.total_seconds())
            assert ids(await queue.claim(1, lease=self.lease)) == ["i0"]

        self.run(check, needs="delays")

    def test_answers_stand_in_their_positions(self) -> None:
        """5: a bulk is answered event by event, and an equal one in it is named as one."""

        async def check(queue: QueueBackend) -> None:
            first, second = events_of(2)
            again = events_of(1)[0]
            stored = await queue.enqueue([first, again, second])
            assert [each.duplicate for each in stored] == [False, True, False]
            assert [each.event_id for each in stored] == [first.id, first.id, second.id]
            (later,) = await queue.enqueue(events_of(1))
            assert (later.duplicate, later.event_id) == (True, first.id)
            assert ids(await queue.claim(10, lease=self.lease)) == ["i0", "i1"]

        self.run(check, needs="deduplicates")

    def test_what_cannot_be_recognised_is_kept(self) -> None:
        """5: equal documents without a time may be a return to an earlier state: both stay."""

        async def check(queue: QueueBackend) -> None:
            stored = await queue.enqueue(events_of(1, second=None) + events_of(1, second=None))
            assert [each.duplicate for each in stored] == [False, False]
            assert len(await queue.claim(10, lease=self.lease)) == 2

        self.run(check)

    def test_fifty_producers_make_one_message(self) -> None:
        """6: one change that fifty deliver at once is stored once, and each is told its id."""

        async def check(queue: QueueBackend) -> None:
            answers = await asyncio.gather(*(queue.enqueue(events_of(1)) for _ in range(50)))
            assert sorted(each[0].duplicate for each in answers) == [False] + [True] * 49
            assert len({each[0].event_id for each in answers}) == 1
            assert len(await queue.claim(100, lease=self.lease)) == 1

        self.run(check, needs="deduplicates")

    def test_a_hosts_session_is_joined_or_refused(self) -> None:
        """8: an engine that cannot take part in the host's transaction says so, storing nothing."""

        async def check(queue: QueueBackend) -> None:
            if queue.capabilities.transactional:
                return
            with pytest.raises(ZohoSyncError):
                await queue.enqueue(events_of(1), session=object())
            assert (await queue.depth()).total == 0

        self.run(check)

    def test_no_two_hold_one_job(self) -> None:
        """9: whatever claimers do at once, no job has two live leases, and none is left behind."""

        async def check(queue: QueueBackend) -> None:
            await queue.enqueue(events_of(60))
            seen: list[str] = []

            async def claimer(number: int) -> None:
                dice = random.Random(number)  # noqa: S311  # repeatable, not secret
                while jobs := await queue.claim(dice.randint(1, 5), lease=timedelta(minutes=1)):
                    seen.extend(ids(jobs))
                    await queue.ack(jobs)

            await asyncio.gather(*(claimer(number) for number in range(self.together)))
            assert sorted(seen) == sorted(event.entity_id for event in events_of(60))

        self.run(check)

    def test_the_limit_is_never_exceeded(self) -> None:
        """10: a claim gives no more than was asked for, and what is left is left."""

        async def check(queue: QueueBackend) -> None:
            await queue.enqueue(events_of(7))
            assert [len(await queue.claim(3, lease=timedelta(minutes=1))) for _ in range(4)] == [
                3,
                3,
                1,
                0,
            ]

        self.run(check)

    def test_a_cancelled_claim_loses_nothing(self) -> None:
        """11: wherever a claim is cancelled, its jobs come again, at the latest with its lease."""

        async def check(queue: QueueBackend) -> None:
            await queue.enqueue(events_of(2))
            for turns in range(0, 24, 3):
                claim = asyncio.create_task(queue.claim(2, lease=self.lease))
                for _ in range(turns):
                    await asyncio.sleep(0)
                claim.cancel()
                with suppress(asyncio.CancelledError):
                    await queue.release(await claim)
            found: set[str] = set()
            for _ in range(30):
                found |= set(ids(await queue.claim(2, lease=timedelta(minutes=1))))
                if len(found) == 2:
                    return
                await self.elapse(self.lease.total_seconds() / 5)
            pytest.fail(f"of two events {sorted(found)} came again")

        self.run(check)

    def test_an_expired_lease_is_claimed_again_and_counted(self) -> None:
        """12: at its end a job comes again under another token, and it shows that it does."""

        async def check(queue: QueueBackend) -> None:
            await queue.enqueue(events_of(1))
            (first,) = await queue.claim(1, lease=self.lease)
            assert (first.suspect, first.deliveries) == (False, 1)
            (second,) = await self.claimed_again(queue, 1)
            assert second.lease_token != first.lease_token
            assert second.suspect or second.deliveries > 1
            assert second.attempts == 0
            assert second.event == first.event

        self.run(check)

    def test_an_extended_lease_is_kept_and_a_lost_one_named(self) -> None:
        """13: an extension keeps a lease; that of a lost one says so, and takes nothing."""

        async def check(queue: QueueBackend) -> None:
            await queue.enqueue(events_of(1))
            (job,) = await queue.claim(1, lease=self.lease)
            for _ in range(4):
                await self.elapse(self.lease.total_seconds() * 0.5)
                assert await queue.extend([job], lease=self.lease) == []
                assert await queue.claim(1, lease=self.lease) == []
            (taken,) = await self.claimed_again(queue, 1)
            assert [lost.event.id for lost in await queue.extend([job], lease=self.lease)] == [
                job.event.id
            ]
            assert await queue.extend([taken], lease=self.lease) == []

        self.run(check, needs="extends")

    def test_who_lost_the_lease_changes_nothing(self) -> None:
        """14: acknowledgement and release under an old lease leave the job to its new holder."""

        async def check(queue: QueueBackend) -> None:
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

        self.run(check, needs="fenced")

    def test_a_release_costs_no_attempt(self) -> None:
        """22: what is given back comes again at once, and looks as if it had never been claimed."""

        async def check(queue: QueueBackend) -> None:
            await queue.enqueue(events_of(2))
            for _ in range(3):
                jobs = await queue.claim(2, lease=timedelta(minutes=1))
                assert sorted(ids(jobs)) == ["i0", "i1"]
                assert {(job.attempts, job.deaths, job.suspect) for job in jobs} == {(0, 0, False)}
                assert {job.deliveries for job in jobs} == {1}
                await queue.release(jobs)

        self.run(check)

    def test_bytes_that_hold_no_event_are_handed_over(self) -> None:
        """26: what cannot be decoded is a job with its bytes: not dropped, and in nobody's way."""

        async def check(queue: QueueBackend) -> None:
            if not await self.spoil(queue, b"\x00 no event"):
                return
            await queue.enqueue(events_of(1))
            jobs = await queue.claim(10, lease=timedelta(minutes=1))
            assert sorted(job.undecodable or b"" for job in jobs) == [b"", b"\x00 no event"]
            await queue.ack(jobs)
            assert (await queue.depth()).total == 0

        self.run(check)

    @pytest.mark.parametrize("name", PAYLOADS)
    def test_payloads_come_back_as_they_were(self, name: str) -> None:
        """27: every byte and every digit; times, versions and the order of keys as well."""
        arrival = Arrival(datetime(2024, 6, 1, 12, 30, 15, 123456, tzinfo=UTC), 7)
        moment = datetime(2024, 6, 1, tzinfo=UTC)
        event = SyncEvent(
            "invoice",
            "900001",
            PAYLOADS[name],
            Operation.DELETE,
            organization_id="60012345678",
            effective_time=moment,
            arrival=arrival,
        )

        async def check(queue: QueueBackend) -> None:
            await queue.enqueue([event])
            (job,) = await queue.claim(1, lease=self.lease)
            assert job.event == event
            assert list(job.event.payload) == list(event.payload)

        self.run(check)

    def test_arrivals_tell_events_apart(self) -> None:
        """An event without an arrival is given one: aware, and later than those stored before."""

        async def check(queue: QueueBackend) -> None:
            stored = [(await queue.enqueue([event]))[0] for event in events_of(5)]
            arrivals = [each.arrival for each in stored if each.arrival is not None]
            assert arrivals == sorted(set(arrivals))
            assert len(arrivals) == 5
            jobs = await queue.claim(5, lease=self.lease)
            assert [job.event.arrival for job in jobs] == arrivals
            assert all(arrival.time.tzinfo is not None for arrival in arrivals)
            assert all(0 <= arrival.sequence < 2**63 for arrival in arrivals)

        self.run(check)

    def test_many_set_up_at_once(self) -> None:
        """30: ten that set up at once all succeed, and nothing that is stored is touched by it."""

        async def check(queue: QueueBackend) -> None:
            await queue.enqueue(events_of(1))
            await asyncio.gather(*(queue.setup() for _ in range(10)))
            assert ids(await queue.claim(1, lease=self.lease)) == ["i0"]

        self.run(check)

    async def claimed_again(self, queue: QueueBackend, count: int) -> list[Job]:
        """Wait until leases have ended, and claim what they were on."""
        await self.elapse(self.lease.total_seconds() * 1.1)
        jobs: list[Job] = []
        for _ in range(20):
            jobs += await queue.claim(count - len(jobs), lease=self.lease)
            if len(jobs) == count:
                return jobs
            await self.elapse(self.lease.total_seconds() / 5)
        pytest.fail(f"{len(jobs)} of {count} jobs came again after the end of their leases")

    def run(self, check: Check, *, needs: str = "") -> None:
        """Run a check on an engine of its own.

        Args:
            check: What to do with it.
            needs: The name of the capability without which it is skipped.
        """

        async def checked() -> None:
            async with self.opened() as queue:
                if needs and not getattr(queue.capabilities, needs):
                    pytest.skip(f"the engine declares {needs}=False")
                await check(queue)

        asyncio.run(checked())

    def test_its_capabilities_are_declared(self) -> None:
        """What is skipped above is what `Capabilities` says."""

        async def check(queue: QueueBackend) -> None:
            assert isinstance(queue.capabilities, Capabilities)

        self.run(check)
