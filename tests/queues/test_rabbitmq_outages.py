"""RabbitMQ goes away, stands still or runs full, and its connections are cut: nothing is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import aio_pika
import pytest

from tests.queues.rabbitmq_queues import (
    MINUTE,
    Way,
    claimed,
    comes_again,
    deleted,
    new_name,
    new_queue,
    own_queue,
)
from tests.servers import ServerUnavailableError, skip_or_fail
from tests.servers.rabbitmq import LARGEST, PrivateRabbitMQ, RabbitMQServer, private_rabbitmq
from zoho_sync import SyncEvent
from zoho_sync.events.event import Arrival
from zoho_sync.exceptions import ConfigurationError, LeaseLost, PayloadError, QueueUnavailable
from zoho_sync.queues import RabbitMQQueue
from zoho_sync.queues.rabbitmq.messages import Message
from zoho_sync.testing.events import events_of, ids

pytestmark = pytest.mark.breaks_connections

COUNT = 200
HELD_AT_MOST = 1.0  # seconds


@pytest.fixture(scope="module")
def private_server(rabbitmq_server: RabbitMQServer) -> Iterator[PrivateRabbitMQ]:
    """A server to stop and kill: that of this test process, which takes long to start."""
    if isinstance(rabbitmq_server, PrivateRabbitMQ):
        yield rabbitmq_server
        return
    try:
        with private_rabbitmq() as server:
            yield server
    except ServerUnavailableError as reason:
        skip_or_fail(reason)


@pytest.fixture
async def fragile(private_server: PrivateRabbitMQ) -> AsyncIterator[RabbitMQQueue]:
    """A queue on a server that the test may stop."""
    async with own_queue(private_server) as queue:
        yield queue


@pytest.fixture
async def way(rabbitmq_server: RabbitMQServer) -> AsyncIterator[Way]:
    way = Way(rabbitmq_server)
    async with way.open():
        yield way


def large(size: int) -> SyncEvent:
    return SyncEvent("invoice", "large", {"invoice_id": "large", "notes": "x" * size})


class TestServers:
    async def test_what_was_accepted_outlives_the_server(
        self, fragile: RabbitMQQueue, private_server: PrivateRabbitMQ
    ) -> None:
        await fragile.enqueue(events_of(4))
        await fragile.ack([await claimed(fragile)])
        for restart in ("stop_app", "kill"):
            held = await claimed(fragile)
            if restart == "kill":
                private_server.kill()
            else:
                private_server.control(restart)
            for call in (
                fragile.enqueue(events_of(1)),
                fragile.claim(1, lease=MINUTE),
                fragile.depth(),
                fragile.setup(),
            ):
                began = time.monotonic()
                with pytest.raises(QueueUnavailable):
                    await call
                assert time.monotonic() - began < 3
            assert await fragile.extend([held], lease=MINUTE) == [held]
            with pytest.raises(LeaseLost):
                await fragile.ack([held])
            await fragile.release([held])
            if restart == "kill":
                private_server.start()
            else:
                private_server.control("start_app")
            assert (await fragile.depth()).total == 3
            await fragile.setup()
        jobs = await fragile.claim(9, lease=MINUTE)
        assert sorted(ids(jobs)) == ["21", "22", "23"]
        assert {job.suspect for job in jobs if job.event.entity_id == held.event.entity_id} == {
            True
        }

    async def test_a_server_that_stands_still_is_not_waited_for(
        self, private_server: PrivateRabbitMQ
    ) -> None:
        """What it stores later after all is recognised by its id."""
        seconds = timedelta(seconds=0.5)
        async with new_queue(private_server.url(new_name()), patience=seconds) as queue:
            (event,) = events_of(1)
            event = replace(event, arrival=Arrival(datetime(2024, 6, 1, tzinfo=UTC), 1))
            await queue.enqueue(events_of(1, first=1))
            with private_server.frozen():
                began = time.monotonic()
                with pytest.raises(QueueUnavailable, match="in time"):
                    await queue.enqueue([event])
                with pytest.raises(QueueUnavailable, match="in time"):
                    await queue.claim(1, lease=MINUTE)
                assert time.monotonic() - began < 4
            queue._server._publishing._timeout = queue._server._receiving._timeout = 10
            await queue.enqueue([event])
            await asyncio.sleep(0.2)
            names = {job.event.id for job in await queue.claim(9, lease=MINUTE)}
            assert event.id in names
            assert len(names) <= 2

    async def test_short_of_memory_it_takes_no_events_and_is_worked_off(
        self, private_server: PrivateRabbitMQ
    ) -> None:
        seconds = timedelta(seconds=1)
        async with new_queue(private_server.url(new_name()), patience=seconds) as queue:
            connection = await aio_pika.connect(private_server.address)
            hosted = RabbitMQQueue(connection, queue=queue._server.queue, timeout=seconds)
            await queue.enqueue(events_of(3))
            first, second = await queue.claim(2, lease=MINUTE)
            private_server.control("set_vm_memory_high_watermark", "0.00001")
            for _ in range(2):
                with pytest.raises(QueueUnavailable, match="memory or its disk"):
                    await queue.enqueue(events_of(1, first=9))
            with pytest.raises(QueueUnavailable, match="memory or its disk"):
                await queue.release([second])
            # One connection for both is not read from either way.
            for call in (hosted.enqueue(events_of(1, first=9)), hosted.depth()):
                with pytest.raises(QueueUnavailable, match="memory or its disk"):
                    await call
            await queue.ack([first])
            assert ids(await queue.claim(1, lease=MINUTE)) == ["22"]
            private_server.control("set_vm_memory_high_watermark", "0.6")
            queue._server._publishing._timeout = 20
            await queue.release([second])
            assert "21" in ids(await hosted.claim(9, lease=MINUTE))
            await hosted.close()
            await connection.close()

    async def test_what_is_held_too_long_for_the_server_comes_again(
        self, fragile: RabbitMQQueue, private_server: PrivateRabbitMQ
    ) -> None:
        """It closes the channel in the middle of the work."""
        milliseconds = int(HELD_AT_MOST * 1000)
        setting = "application:set_env(rabbit, consumer_timeout, {}).".format
        private_server.control("eval", setting(milliseconds))
        await fragile.close()
        await fragile.enqueue(events_of(1))
        job = await claimed(fragile)
        private_server.control("eval", setting("undefined"))
        deadline = time.monotonic() + 30
        while not await fragile.extend([job], lease=MINUTE):
            assert time.monotonic() < deadline, "the server lets it be held for ever"
            await asyncio.sleep(0.1)
        with pytest.raises(LeaseLost):
            await fragile.ack([job])
        (again,) = await comes_again(fragile)
        assert (again.event, again.suspect) == (job.event, True)
        await fragile.ack([again])
        assert (await fragile.depth()).total == 0

    async def test_a_message_that_is_too_large_is_refused_with_its_bulk(
        self, fragile: RabbitMQQueue
    ) -> None:
        for _ in range(2):
            with pytest.raises(PayloadError, match="max_message_size"):
                await fragile.enqueue([*events_of(1), large(LARGEST)])
        assert (await fragile.depth()).total == 0
        largest = large(LARGEST - 1000)
        others = (fragile.enqueue(events_of(1)) for _ in range(5))
        await asyncio.gather(fragile.enqueue([largest]), *others)
        await fragile.release(await fragile.claim(6, lease=MINUTE))
        jobs = await fragile.claim(9, lease=MINUTE)
        assert len(jobs) == 6
        assert largest.payload in [job.event.payload for job in jobs]

    async def test_who_may_not_make_the_queue_needs_one_that_is_there(
        self,
        fragile: RabbitMQQueue,
        private_server: PrivateRabbitMQ,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        private_server.control("add_user", "guard", "guard")
        private_server.control("set_permissions", "guard", "^$", "^$", ".*")
        place = f"amqp://guard:guard@127.0.0.1:{private_server.port}/?queue="
        queue = RabbitMQQueue(place + new_name())
        with pytest.raises(ConfigurationError, match="permission to configure"):
            await queue.setup()
        with pytest.raises(QueueUnavailable, match="ACCESS_REFUSED"):
            await queue.enqueue(events_of(1))
        await queue.close()
        queue = RabbitMQQueue(place + fragile._server.queue)
        assert "cannot be checked" not in caplog.text
        await queue.setup()
        assert "its settings cannot be checked" in caplog.text
        await fragile.enqueue(events_of(1))
        assert ids([await claimed(queue)]) == ["20"]
        await queue.close()


class TestConnections:
    async def test_those_that_are_cut_are_made_again(self, way: Way) -> None:
        """Again and again, under load: nothing is lost, and no delivery is taken twice."""
        stored: list[str] = []
        settled: list[str] = []
        url = way.url(new_name())
        async with new_queue(url) as queue:
            working = asyncio.create_task(self._work(queue, stored, settled))
            await self._produce(queue, stored, way)
            await working
            await asyncio.sleep(0.1)
            assert (await queue.depth()).total == 0
        assert stored == [f"2{number}" for number in range(COUNT)]
        assert set(settled) == set(stored)

    @staticmethod
    async def _produce(queue: RabbitMQQueue, stored: list[str], way: Way) -> None:
        for number, event in enumerate(events_of(COUNT)):
            if number % 10 == 9:
                asyncio.get_running_loop().call_later(number / COUNT / 100, way.cut)
            while True:
                with suppress(QueueUnavailable):
                    await queue.enqueue([event])
                    break
            stored.append(event.entity_id)

    @staticmethod
    async def _work(queue: RabbitMQQueue, stored: list[str], settled: list[str]) -> None:
        while True:
            try:
                jobs = await queue.claim(7, lease=MINUTE)
                settled += ids(jobs)
                await queue.ack(jobs)
                if not jobs and len(stored) == COUNT and not (await queue.depth()).total:
                    return
            except (QueueUnavailable, LeaseLost):
                await asyncio.sleep(0.01)

    async def test_an_event_whose_confirmation_is_lost_may_be_there(self, way: Way) -> None:
        async with new_queue(way.url(new_name())) as queue:
            await queue.enqueue(events_of(1))
            way.silent = True
            enqueuing = asyncio.create_task(queue.enqueue(events_of(1, first=1)))
            await asyncio.sleep(0.3)
            assert not enqueuing.done()
            way.cut()
            with pytest.raises(QueueUnavailable):
                await enqueuing
            way.silent = False
            jobs = await queue.claim(9, lease=MINUTE)
            assert ids(jobs) == ["20", "21"]

    async def test_one_that_is_cut_in_the_middle_of_a_claim_loses_nothing(self, way: Way) -> None:
        async with new_queue(way.url(new_name())) as queue:
            await queue.enqueue(events_of(20))
            for pause in range(8):
                claim = asyncio.create_task(queue.claim(20, lease=MINUTE))
                await asyncio.sleep(pause / 200)
                way.cut()
                with suppress(QueueUnavailable):
                    await claim
            way.cut()
            await asyncio.sleep(0.1)
            jobs = await comes_again(queue, 20)
            assert sorted(ids(jobs)) == sorted(event.entity_id for event in events_of(20))
            await queue.ack(jobs)
            assert (await queue.depth()).total == 0

    async def test_an_acknowledgement_into_a_dead_connection_is_told(
        self, way: Way, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with new_queue(way.url(new_name())) as queue:
            await queue.enqueue(events_of(1))
            job = await claimed(queue)
            send = job.handle.channel.basic_ack

            async def cut(*given: Any, **named: Any) -> None:
                way.cut()
                await asyncio.sleep(0.2)
                await send(*given, **named)

            monkeypatch.setattr(job.handle.channel, "basic_ack", cut)
            with pytest.raises(QueueUnavailable):
                await queue.ack([job])
            assert ids(await comes_again(queue)) == ["20"]

    async def test_a_connection_that_ends_while_it_is_waited_for_cancels_nobody(
        self, way: Way
    ) -> None:
        """The client tells of its end by a cancellation, which is not the caller's."""
        async with new_queue(way.url(new_name())) as queue:
            way.silent = True
            waiting = asyncio.create_task(queue.depth())
            await asyncio.sleep(0.1)
            assert queue._server._receiving._connection is not None
            await queue._server._receiving._connection.close()
            with pytest.raises(QueueUnavailable, match="was lost"):
                await waiting
            way.silent = False

    async def test_who_is_cancelled_while_it_waits_is_cancelled(self, way: Way) -> None:
        async with new_queue(way.url(new_name())) as queue:
            await queue.enqueue(events_of(1))
            way.silent = True
            for step in (queue._server.ready(), queue._server.publish([Message(b"", {})])):
                waiting = asyncio.create_task(step)
                await asyncio.sleep(0.1)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
            way.silent = False
            way.cut()
            await asyncio.sleep(0.1)

    async def test_many_that_wait_for_a_server_that_is_silent_wait_no_longer_than_one(
        self, way: Way
    ) -> None:
        queue = RabbitMQQueue(way.url(new_name()), timeout=timedelta(seconds=0.5))
        way.silent = True
        began = time.monotonic()
        calls = [queue.enqueue(events_of(1)) for _ in range(10)]
        ended = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(each, QueueUnavailable) for each in ended)
        assert time.monotonic() - began < 3
        way.silent = False
        await queue.setup()
        await queue.enqueue(events_of(1))
        await deleted(queue)
        await queue.close()
