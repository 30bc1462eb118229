"""The queue in RabbitMQ keeps the contract of all engines, and what is its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiormq import spec
from hypothesis import HealthCheck, settings
from hypothesis.stateful import precondition, rule

from tests.queues.rabbitmq_queues import (
    MINUTE,
    channel_of,
    claimed,
    comes_again,
    own_queue,
    published,
)
from tests.servers.rabbitmq import RabbitMQServer
from zoho_sync.abc import QueueBackend
from zoho_sync.events.event import Arrival
from zoho_sync.exceptions import LeaseLost, QueueUnavailable
from zoho_sync.queues import RabbitMQQueue
from zoho_sync.queues.rabbitmq import messages
from zoho_sync.queues.rabbitmq.messages import Arrivals
from zoho_sync.testing import QueueMachine, QueueSuite
from zoho_sync.testing.events import events_of, ids

SHORT = timedelta(seconds=0.3)


class TestRabbitMQQueue(QueueSuite):
    @pytest.fixture(autouse=True)
    def server(self, rabbitmq_server: RabbitMQServer) -> None:
        self.rabbitmq = rabbitmq_server

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[QueueBackend]:
        async with own_queue(self.rabbitmq) as queue:
            yield queue

    async def spoil(self, queue: QueueBackend, message: bytes) -> bool:
        assert isinstance(queue, RabbitMQQueue)
        await published(queue, message)
        return True


class Machine(QueueMachine):
    """Leases are measured in real time: they are waited for, but not often."""

    lease = timedelta(seconds=1)
    server: RabbitMQServer

    def __init__(self) -> None:
        super().__init__()
        self.waits = 0

    @precondition(lambda self: self._held and self.waits < 2)
    @rule()
    def wait(self) -> None:
        self.waits += 1
        super().wait()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[QueueBackend]:
        async with own_queue(self.server) as queue:
            yield queue


@pytest.fixture(scope="module", autouse=True)
def machines_server(rabbitmq_server: RabbitMQServer) -> None:
    Machine.server = rabbitmq_server


TestMachine = Machine.TestCase
TestMachine.settings = settings(
    max_examples=8,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


@pytest.fixture
async def queue(rabbitmq_server: RabbitMQServer) -> AsyncIterator[RabbitMQQueue]:
    async with own_queue(rabbitmq_server) as queue:
        yield queue


class TestLeases:
    async def test_a_late_acknowledgement_is_refused_and_the_rest_is_taken(
        self, queue: RabbitMQQueue
    ) -> None:
        await queue.enqueue(events_of(2))
        late, kept = await claimed(queue, SHORT), await claimed(queue)
        await asyncio.sleep(SHORT.total_seconds() * 1.5)
        with pytest.raises(LeaseLost) as lost:
            await queue.ack([late, kept])
        assert lost.value.event_ids == (late.event.id,)
        depth = await queue.depth()
        assert (depth.ready, depth.leased) == (1, 0)

    async def test_what_was_not_extended_is_given_back(self, queue: RabbitMQQueue) -> None:
        await queue.enqueue(events_of(3))
        first, second = await claimed(queue, SHORT), await claimed(queue, SHORT)
        assert await queue.extend([second], lease=MINUTE) == []
        await asyncio.sleep(SHORT.total_seconds() * 1.5)
        assert await queue.extend([first, second], lease=MINUTE) == [first]
        jobs = await queue.claim(9, lease=MINUTE)
        assert {(job.event.entity_id, job.deliveries, job.suspect) for job in jobs} == {
            ("20", 2, True),
            ("22", 1, False),
        }

    async def test_it_counts_however_often_it_comes(self, queue: RabbitMQQueue) -> None:
        await queue.enqueue(events_of(1))
        for deliveries in (1, 2, 3):
            assert (await claimed(queue, SHORT)).deliveries == deliveries
            await asyncio.sleep(SHORT.total_seconds() * 1.5)

    async def test_one_that_is_held_by_nobody_any_more_ends_in_silence(
        self, queue: RabbitMQQueue
    ) -> None:
        """The channel is gone when the lease ends: there is nothing to give back."""
        await queue.enqueue(events_of(1))
        job = await claimed(queue, SHORT)
        await job.handle.channel.close()
        await asyncio.sleep(SHORT.total_seconds() * 1.5)
        assert (await queue.depth()).leased == 0
        assert ids(await comes_again(queue)) == ["20"]

    async def test_a_channel_that_ends_while_a_message_is_given_back(
        self, queue: RabbitMQQueue
    ) -> None:
        await queue.enqueue(events_of(1))
        job = await claimed(queue)
        await job.handle.channel.close()
        await queue._refuse(job.handle)
        assert ids(await comes_again(queue)) == ["20"]

    async def test_two_clients_share_a_queue_and_not_what_they_hold(
        self, queue: RabbitMQQueue, rabbitmq_server: RabbitMQServer
    ) -> None:
        other = RabbitMQQueue(rabbitmq_server.url(queue._server.queue))
        await queue.enqueue(events_of(2))
        mine, others = await claimed(queue), await claimed(other)
        assert ids([mine, others]) == ["20", "21"]
        assert (await queue.depth()).leased == (await other.depth()).leased == 1
        await queue.ack([mine])
        await other.close()
        (job,) = await comes_again(queue)
        assert (job.event.id, job.suspect) == (others.event.id, True)


class TestGivingBack:
    async def test_it_leaves_no_trace(self, queue: RabbitMQQueue) -> None:
        """The same event, with its arrival, and first of its deliveries: no worker died with it."""
        (stored,) = await queue.enqueue(events_of(1))
        for _ in range(3):
            job = await claimed(queue)
            assert (job.event.id, job.event.arrival) == (stored.event_id, stored.arrival)
            assert (job.deliveries, job.suspect) == (1, False)
            await queue.release([job])
            await queue.release([job])
        assert (await queue.depth()).total == 1

    async def test_it_comes_again_after_what_waits(self, queue: RabbitMQQueue) -> None:
        await queue.enqueue(events_of(2))
        await queue.release([await claimed(queue)], delay=MINUTE)
        assert ids(await queue.claim(2, lease=MINUTE)) == ["21", "20"]

    async def test_what_cannot_be_decoded_is_given_back_as_well(self, queue: RabbitMQQueue) -> None:
        await published(queue, b"no event")
        await queue.release([await claimed(queue)])
        job = await claimed(queue)
        assert (job.undecodable, job.deliveries) == (b"no event", 1)

    async def test_one_that_a_worker_left_behind_stays_suspect(self, queue: RabbitMQQueue) -> None:
        await queue.enqueue(events_of(1))
        await claimed(queue, SHORT)
        await asyncio.sleep(SHORT.total_seconds() * 1.5)
        for _ in range(3):
            job = await claimed(queue)
            assert (job.deliveries, job.suspect) == (2, True)
            await queue.release([job])

    async def test_what_could_not_be_given_back_is_held_until_its_lease_ends(
        self, queue: RabbitMQQueue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def away(*_: Any) -> None:
            raise QueueUnavailable

        await queue.enqueue(events_of(2))
        kept, late = await claimed(queue), await claimed(queue, SHORT)
        with monkeypatch.context() as broken:
            broken.setattr(queue._server, "publish", away)
            with pytest.raises(QueueUnavailable):
                await queue.release([kept, late])
        await asyncio.sleep(SHORT.total_seconds() * 1.5)
        assert await queue.extend([kept, late], lease=MINUTE) == [late]
        await queue.release([kept])
        jobs = await queue.claim(2, lease=MINUTE)
        assert [(job.event.entity_id, job.deliveries) for job in jobs] == [("21", 2), ("20", 1)]

    async def test_a_claim_that_is_cancelled_gives_back_at_once(self, queue: RabbitMQQueue) -> None:
        await queue.enqueue(events_of(2))
        for turns in range(40):
            claim = asyncio.create_task(queue.claim(2, lease=MINUTE))
            for _ in range(turns):
                await asyncio.sleep(0)
            claim.cancel()
            with suppress(asyncio.CancelledError):
                await queue.release(await claim)
        jobs = await queue.claim(3, lease=MINUTE)
        assert {(job.event.entity_id, job.deliveries) for job in jobs} == {("20", 1), ("21", 1)}

    async def test_a_cancelled_claim_that_fails_is_only_cancelled(
        self, queue: RabbitMQQueue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begun, get = asyncio.Event(), queue._server.get

        async def once() -> Any:
            if begun.is_set():
                raise QueueUnavailable
            message = await get()
            begun.set()
            await asyncio.sleep(0.05)
            return message

        async def away(*_: Any) -> None:
            raise QueueUnavailable

        await queue.enqueue(events_of(1))
        monkeypatch.setattr(queue._server, "get", once)
        monkeypatch.setattr(queue._server, "publish", away)
        claim = asyncio.create_task(queue.claim(2, lease=MINUTE))
        await begun.wait()
        claim.cancel()
        with pytest.raises(asyncio.CancelledError):
            await claim

    async def test_no_cancellation_is_swallowed(self, queue: RabbitMQQueue) -> None:
        """The client's own waits can miss one: a worker that is stopped would go on for ever."""

        async def ask() -> None:
            while True:
                await queue.depth()
                await queue.claim(1, lease=MINUTE)

        for turns in range(120):
            asking = asyncio.create_task(ask())
            for _ in range(turns % 40):
                await asyncio.sleep(0)
            await asyncio.sleep(turns % 3 / 500)
            asking.cancel()
            done, _ = await asyncio.wait({asking}, timeout=10)
            assert done, "it was asked to stop, and has not heard it"
            assert asking.cancelled()
        assert (await queue.depth()).total == 0


class TestWhatIsTold:
    async def test_the_depth(self, queue: RabbitMQQueue) -> None:
        await queue.enqueue(events_of(3))
        await claimed(queue)
        depth = await queue.depth()
        assert (depth.ready, depth.delayed, depth.leased) == (2, 0, 1)
        assert depth.oldest is depth.claimable_since is None

    async def test_nothing_is_claimed_and_nothing_enqueued_for_nothing(
        self, queue: RabbitMQQueue
    ) -> None:
        await queue.enqueue(events_of(1))
        assert await queue.enqueue([]) == []
        assert await queue.claim(0, lease=MINUTE) == []
        await queue.ack([])
        await queue.release([])
        assert await queue.extend([], lease=MINUTE) == []
        assert (await queue.depth()).ready == 1

    async def test_a_bulk_is_stored_in_order(self, queue: RabbitMQQueue) -> None:
        events = events_of(250)
        given = Arrival(datetime(2024, 6, 1, 12, tzinfo=UTC), 7)
        events[7] = replace(events[7], arrival=given)
        stored = await queue.enqueue(events)
        arrivals = [each.arrival for each in stored if each.arrival is not None]
        assert arrivals.pop(7) == given
        assert arrivals == sorted(set(arrivals))
        jobs = await queue.claim(300, lease=MINUTE)
        assert ids(jobs) == [event.entity_id for event in events]
        assert [job.event.id for job in jobs] == [each.event_id for each in stored]

    async def test_equal_events_are_all_stored(self, queue: RabbitMQQueue) -> None:
        """They are recognised where they are applied: an engine of this kind knows none."""
        stored = await queue.enqueue([*events_of(1), *events_of(1)])
        assert [each.duplicate for each in stored] == [False, False]
        assert (await queue.depth()).ready == 2

    async def test_an_event_that_is_enqueued_twice_keeps_its_id(self, queue: RabbitMQQueue) -> None:
        (event,) = events_of(1)
        await queue.enqueue([event])
        await queue.enqueue([event])
        assert [job.event.id for job in await queue.claim(2, lease=MINUTE)] == [event.id] * 2

    async def test_messages_of_others_are_handed_over_whatever_stands_beside_them(
        self, queue: RabbitMQQueue
    ) -> None:
        odd: dict[str, Any] = {"zoho-sync-deliveries": "many", "x-delivery-count": -3}
        async with channel_of(queue) as channel:
            properties = spec.Basic.Properties(headers=odd)
            name = queue._server.queue
            await channel.basic_publish(b"", routing_key=name, properties=properties)
            await channel.basic_publish(b'{"format": 2}', routing_key=name)
        jobs = await queue.claim(9, lease=MINUTE)
        assert [job.undecodable for job in jobs] == [b"", b'{"format": 2}']
        assert {(job.deliveries, job.suspect) for job in jobs} == {(1, False)}
        await queue.ack(jobs)
        assert (await queue.depth()).total == 0


class TestArrivals:
    def test_they_ascend_although_the_clock_is_set_back(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        moments = [datetime(2024, 6, 1, 12, minute, tzinfo=UTC) for minute in (5, 5, 3, 6)]
        times = iter(moments)

        class Clock(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> Any:
                del tz
                return next(times)

        arrivals = Arrivals()
        monkeypatch.setattr(messages, "datetime", Clock)
        given = [arrivals.next() for _ in moments]
        assert given == sorted(set(given))
        assert [arrival.time.minute for arrival in given] == [5, 5, 5, 6]

    def test_two_processes_give_different_ones(self) -> None:
        first, second = Arrivals(), Arrivals()
        first._own, second._own = 1, 2
        sequences = {each.next().sequence for each in (first, second) for _ in range(100)}
        assert len(sequences) == 200
        assert all(0 < sequence < 2**63 for sequence in sequences)

    async def test_they_stay_through_every_delivery(self, queue: RabbitMQQueue) -> None:
        before = datetime.now(UTC)
        (stored,) = await queue.enqueue(events_of(1))
        assert stored.arrival is not None
        assert before <= stored.arrival.time <= datetime.now(UTC)
        for _ in range(2):
            job = await claimed(queue, SHORT)
            assert job.event.arrival == stored.arrival
            await asyncio.sleep(SHORT.total_seconds() * 1.5)
