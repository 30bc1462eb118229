"""Checks what every engine promises of what it is given to keep."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from zoho_sync.abc import Capabilities, QueueBackend
from zoho_sync.events.event import Arrival, Operation, SyncEvent
from zoho_sync.exceptions import ConfigurationError
from zoho_sync.testing.bench import MINUTE, QueueBench, on_queue
from zoho_sync.testing.events import PAYLOADS, events_of, ids

__all__ = ["StoringChecks"]


class StoringChecks(QueueBench):
    """Storing, recognising and giving back what was stored."""

    @on_queue()
    async def test_what_is_acknowledged_is_gone(self, queue: QueueBackend) -> None:
        """1: enqueue, claim, acknowledge, empty."""
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

    @on_queue()
    async def test_the_oldest_comes_first(self, queue: QueueBackend) -> None:
        """2: what nobody has claimed before comes in the order in which it was stored."""
        for event in events_of(10):
            await queue.enqueue([event])
        jobs = await queue.claim(4, lease=self.lease)
        jobs += await queue.claim(10, lease=self.lease)
        assert ids(jobs) == [f"2{number}" for number in range(10)]

    @on_queue(needs="deduplicates")
    async def test_answers_stand_in_their_positions(self, queue: QueueBackend) -> None:
        """5: a bulk is answered event by event, and an equal one in it is named as one."""
        first, second = events_of(2)
        again = events_of(1)[0]
        stored = await queue.enqueue([first, again, second])
        assert [each.duplicate for each in stored] == [False, True, False]
        assert [each.event_id for each in stored] == [first.id, first.id, second.id]
        (later,) = await queue.enqueue(events_of(1))
        assert (later.duplicate, later.event_id) == (True, first.id)
        assert ids(await queue.claim(10, lease=self.lease)) == ["20", "21"]

    @on_queue()
    async def test_what_cannot_be_recognised_is_kept(self, queue: QueueBackend) -> None:
        """5: equal documents without a time may be a return to an earlier state: both stay."""
        stored = await queue.enqueue(events_of(1, second=None) + events_of(1, second=None))
        assert [each.duplicate for each in stored] == [False, False]
        assert len(await queue.claim(10, lease=self.lease)) == 2

    @on_queue(needs="deduplicates")
    async def test_fifty_producers_make_one_message(self, queue: QueueBackend) -> None:
        """6: one change that fifty deliver at once is stored once, and each is told its id."""
        answers = await asyncio.gather(*(queue.enqueue(events_of(1)) for _ in range(50)))
        assert sorted(each[0].duplicate for each in answers) == [False] + [True] * 49
        assert len({each[0].event_id for each in answers}) == 1
        assert len(await queue.claim(100, lease=self.lease)) == 1

    @on_queue()
    async def test_bytes_that_hold_no_event_are_handed_over(self, queue: QueueBackend) -> None:
        """26: what cannot be decoded is a job with its bytes: not dropped, and in nobody's way."""
        if not await self.spoil(queue, b"\x00 no event"):
            return
        await queue.enqueue(events_of(1))
        jobs = await queue.claim(10, lease=MINUTE)
        assert sorted(job.undecodable or b"" for job in jobs) == [b"", b"\x00 no event"]
        await queue.ack(jobs)
        assert (await queue.depth()).total == 0

    @pytest.mark.parametrize("name", PAYLOADS)
    @on_queue()
    async def test_payloads_come_back_as_they_were(self, queue: QueueBackend, name: str) -> None:
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
        await queue.enqueue([event])
        (job,) = await queue.claim(1, lease=self.lease)
        assert job.event == event
        assert list(job.event.payload) == list(event.payload)

    @on_queue()
    async def test_arrivals_tell_events_apart(self, queue: QueueBackend) -> None:
        """An event without an arrival is given one: aware, and later than those stored before."""
        stored = [(await queue.enqueue([event]))[0] for event in events_of(5)]
        arrivals = [each.arrival for each in stored if each.arrival is not None]
        assert arrivals == sorted(set(arrivals))
        assert len(arrivals) == 5
        jobs = await queue.claim(5, lease=self.lease)
        assert [job.event.arrival for job in jobs] == arrivals
        assert all(arrival.time.tzinfo is not None for arrival in arrivals)
        assert all(0 <= arrival.sequence < 2**63 for arrival in arrivals)

    @on_queue()
    async def test_many_set_up_at_once(self, queue: QueueBackend) -> None:
        """30: ten that set up at once all succeed, and nothing that is stored is touched by it."""
        await queue.enqueue(events_of(1))
        await asyncio.gather(*(queue.setup() for _ in range(10)))
        assert ids(await queue.claim(1, lease=self.lease)) == ["20"]

    @on_queue(needs="prioritises")
    async def test_the_smaller_priority_comes_first(self, queue: QueueBackend) -> None:
        """3: of equal priority the oldest; claims in between change nothing about that."""
        for number, priority in enumerate((5, 0, -3, 0, 5)):
            await queue.enqueue(events_of(1, first=number), priority=priority)
        order = [each for _ in range(3) for each in ids(await queue.claim(2, lease=MINUTE))]
        assert order == ["22", "21", "23", "20", "24"]

    @on_queue()
    async def test_its_capabilities_are_declared(self, queue: QueueBackend) -> None:
        """What is skipped is what `Capabilities` says, and that is so where it can be seen.

        An engine that declares less than it does may have a reason: it delays, but cannot count
        what it delays.
        """
        declared = queue.capabilities
        assert isinstance(declared, Capabilities)
        twice = [(await queue.enqueue(events_of(1)))[0].duplicate for _ in range(2)]
        assert twice == [False, declared.deduplicates]
        if not declared.prioritises:
            before = (await queue.depth()).total
            with pytest.raises(ConfigurationError):
                await queue.enqueue(events_of(1, first=1), priority=1)
            assert (await queue.depth()).total == before
