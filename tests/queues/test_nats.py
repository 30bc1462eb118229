"""The queue in NATS JetStream keeps the contract of all engines, and what is its own."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import precondition, rule
from nats.aio.client import Client
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from tests.amounts import examples
from tests.hosts.sql import Sessions
from tests.queues.sold import invoice, totals
from tests.servers import ServerUnavailableError, skip_or_fail
from tests.servers.nats import PASSWORD, NATSServer, PrivateNATS, private_nats
from zoho_sync import Outcome, SyncEvent, ZohoSync
from zoho_sync.abc import Job, QueueBackend
from zoho_sync.events.event import Arrival
from zoho_sync.exceptions import (
    ConfigurationError,
    LeaseLost,
    MissingExtra,
    PayloadError,
    QueueUnavailable,
)
from zoho_sync.queues import NATSQueue
from zoho_sync.queues.nats.server import Address, JetStreamError, address_of
from zoho_sync.queues.wire import encode
from zoho_sync.testing import QueueMachine, QueueSuite
from zoho_sync.testing.bench import QueueBench
from zoho_sync.testing.events import events_of, ids
from zoho_sync.testing.lease_checks import LeaseChecks

pytestmark = [pytest.mark.runs_on("nats"), pytest.mark.breaks_connections]

LEASE = timedelta(minutes=1)
SHORT = timedelta(seconds=0.3)


@asynccontextmanager
async def opened(server: NATSServer, ack_wait: timedelta = LEASE) -> AsyncIterator[NATSQueue]:
    """Open a queue in a stream of its own, which is gone at the end."""
    queue = NATSQueue(server.url(new_stream()), ack_wait=ack_wait)
    await queue.setup()
    try:
        yield queue
    finally:
        await queue._server.ask(f"STREAM.DELETE.{queue._stream}")
        await queue.close()


def new_stream() -> str:
    return f"test_{uuid4().hex}"


class Bench(QueueBench):
    """Queues in streams of their own."""

    lease = timedelta(seconds=1)
    ack_wait = lease

    @pytest.fixture(autouse=True)
    def server(self, nats_server: NATSServer) -> None:
        self.nats = nats_server

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[QueueBackend]:
        async with opened(self.nats, self.ack_wait) as queue:
            yield queue

    async def spoil(self, queue: QueueBackend, message: bytes) -> bool:
        assert isinstance(queue, NATSQueue)
        await queue._server.publish(f"{queue._stream}.events.spoilt", message, {"X-From": "afar"})
        return True

    async def cut(self, queue: QueueBackend) -> bool:
        assert isinstance(queue, NATSQueue)
        client: Any = queue._server._client
        client._transport._io_writer.transport.abort()
        await asyncio.sleep(0.01)  # it notices; a pull that was sent before would wait in vain
        return True


class TestNATSQueue(Bench, QueueSuite):
    """With the leases of the consumer's own length."""


class TestNATSQueueWithOtherLeases(Bench, LeaseChecks):
    """With leases that differ from how long the consumer waits."""

    ack_wait = timedelta(seconds=60)


class Machine(QueueMachine):
    """The server's clock cannot be moved: leases are waited for, but not often."""

    lease = timedelta(seconds=1)
    server: NATSServer

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
        async with opened(self.server, timedelta(seconds=60)) as queue:
            yield queue


@pytest.fixture(scope="module", autouse=True)
def machines_server(nats_server: NATSServer) -> None:
    Machine.server = nats_server


TestMachine = Machine.TestCase
TestMachine.settings = settings(
    max_examples=examples(core=3, everything=8),
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def private_server() -> Iterator[PrivateNATS]:
    try:
        with private_nats(max_payload=100_000) as server:
            yield server
    except ServerUnavailableError as reason:
        skip_or_fail(reason)


@pytest.fixture
async def queue(nats_server: NATSServer) -> AsyncIterator[NATSQueue]:
    async with opened(nats_server) as queue:
        yield queue


@pytest.fixture
async def fragile(private_server: PrivateNATS) -> AsyncIterator[NATSQueue]:
    """A queue on a server that the test may stop."""
    queue = NATSQueue(private_server.url(new_stream()), timeout=timedelta(seconds=2))
    await queue.setup()
    yield queue
    await queue.close()


@pytest.fixture
async def sessions(tmp_path: Path) -> AsyncIterator[Sessions]:
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'test.db'}")
    yield async_sessionmaker(engine, expire_on_commit=False)
    await engine.dispose()


async def claimed(queue: NATSQueue, lease: timedelta = LEASE) -> Job:
    (job,) = await queue.claim(1, lease=lease)
    return job


class TestTheWholePath:
    """An application on SQLite that names the queue by its URL."""

    async def test_what_it_brings_is_applied_once(
        self, sessions: Sessions, nats_server: NATSServer
    ) -> None:
        async with ZohoSync(sessions, queue=nats_server.url(new_stream())) as sync:
            await sync.create_tables()
            receipt = await sync.ingest({"invoice": {"invoice_id": "1", "total": "9.90"}})
            assert receipt.http_status == 200
            await sync.enqueue([invoice("2", 2), invoice("2", 1, "7"), invoice("2", 2)])
            assert (await sync.status()).queue.ready == 3
            assert await sync.drain() == {Outcome.APPLIED: 3}
            assert await totals(sessions) == {"1": Decimal("9.90"), "2": Decimal("1.10")}
            assert (await sync.status()).queue.total == 0

    async def test_a_message_that_comes_again_after_the_commit_writes_nothing(
        self,
        sessions: Sessions,
        queue: NATSQueue,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        async def away(*_: Any, **__: Any) -> None:
            raise QueueUnavailable

        sync = ZohoSync(sessions, queue=queue, lease=SHORT)
        await sync.create_tables()
        await sync.enqueue([invoice("1", 1)])
        with monkeypatch.context() as broken:
            broken.setattr(queue, "ack", away)
            assert await sync.drain() == {Outcome.APPLIED: 1}
        assert "not acknowledged" in caplog.text
        assert (await queue.depth()).leased == 1
        await asyncio.sleep(SHORT.total_seconds() * 1.5)
        assert await sync.drain() == {}
        assert (await queue.depth()).total == 0
        assert [entry.state for entry in await sync.history("invoice", "1")] == ["applied"]

    async def test_a_message_that_holds_no_event_is_a_dead_letter_with_its_bytes(
        self, sessions: Sessions, queue: NATSQueue
    ) -> None:
        sync = ZohoSync(sessions, queue=queue)
        await sync.create_tables()
        subject = f"{queue._stream}.events.from.afar"
        await queue._server.publish(subject, b"\x00 not json", {"Status": "503"})
        await queue._server.publish(subject, b"", {})
        await sync.enqueue([invoice("1", 1)])
        assert await sync.drain() == {Outcome.APPLIED: 1}
        letters = await sync.dead_letters.list()
        assert {letter.body for letter in letters} == {b"\x00 not json", b""}
        assert (await queue.depth()).total == 0

    async def test_what_is_too_large_for_the_server_is_queued_in_the_database(
        self, sessions: Sessions, fragile: NATSQueue
    ) -> None:
        sync = ZohoSync(sessions, queue=fragile)
        await sync.create_tables()
        receipts = await sync.enqueue([invoice("1", 1), invoice("2", 1, note="x" * 100_000)])
        assert [receipt.http_status for receipt in receipts] == [200, 200]
        assert (await fragile.depth()).total == 0
        assert await sync.drain() == {Outcome.APPLIED: 2}


class TestOutages:
    async def test_what_was_accepted_outlives_the_server(
        self, fragile: NATSQueue, private_server: PrivateNATS
    ) -> None:
        await fragile.enqueue(events_of(4))
        await fragile.ack([await claimed(fragile)])
        held = await claimed(fragile)
        for end in (private_server.stop, private_server.kill):
            end()
            for call in (fragile.enqueue(events_of(1)), fragile.claim(1, lease=LEASE)):
                began = time.monotonic()
                with pytest.raises(QueueUnavailable):
                    await call
                assert time.monotonic() - began < 1
            private_server.start()
            assert (await fragile.depth()).total == 3
        assert ids(await fragile.claim(10, lease=LEASE)) == ["22", "23"]
        await fragile.ack([held])
        assert (await fragile.depth()).total == 2

    async def test_a_connection_that_is_lost_is_made_again(self, queue: NATSQueue) -> None:
        await queue.enqueue(events_of(1))
        for _ in range(3):
            client: Any = queue._server._client
            client._transport._io_writer.transport.abort()
            await asyncio.sleep(0.01)
            job = await claimed(queue)
            await queue.release([job])
        assert queue._server._client is not client

    async def test_whose_time_is_up_already_is_not_told_again(self, queue: NATSQueue) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0) as limit:
                await asyncio.sleep(1)
        queue._server._limits.add(limit)
        await queue._server._lost()
        assert (await queue.depth()).total == 0

    async def test_who_is_not_answered_in_time_may_send_again(
        self, private_server: PrivateNATS
    ) -> None:
        """What the frozen server stores later after all is recognised."""
        queue = NATSQueue(private_server.url(new_stream()), timeout=timedelta(seconds=0.3))
        await queue.setup()
        (event,) = events_of(1, second=None)
        event = replace(event, arrival=Arrival(datetime(2024, 6, 1, tzinfo=UTC), 1))
        with private_server.frozen(), pytest.raises(QueueUnavailable, match="in time"):
            await queue._put(event, encode(event))
        await asyncio.sleep(0.1)
        (again,) = await queue.enqueue([event])
        assert (again.event_id, again.duplicate) == (event.id, True)
        await queue.release([await claimed(queue)])
        with private_server.frozen(), pytest.raises(QueueUnavailable, match="in time"):
            await queue.claim(1, lease=LEASE)
        await queue.close()

    async def test_a_stream_that_is_not_there_is_an_outage_that_names_the_remedy(
        self, nats_server: NATSServer
    ) -> None:
        queue = NATSQueue(nats_server.url(new_stream()))
        with pytest.raises(QueueUnavailable, match=r"create_tables\(\)"):
            await queue.enqueue(events_of(1))
        with pytest.raises(QueueUnavailable, match=r"create_tables\(\)"):
            await queue.claim(1, lease=LEASE)
        with pytest.raises(QueueUnavailable, match="create_tables"):
            await queue._server.publish(f"{queue._stream}.events.x", b"", {})
        with pytest.raises(QueueUnavailable, match="create_tables"):
            await queue._server.pull(f"CONSUMER.MSG.NEXT.{queue._stream}.workers", 1)
        await queue.setup()
        await queue.enqueue(events_of(1))
        await queue.close()


class TestEqualEvents:
    async def test_they_are_recognised_as_long_as_one_is_there(self, queue: NATSQueue) -> None:
        """Waiting or leased, however often that happens; not once it is settled."""
        (first,) = await queue.enqueue(events_of(1))
        (waiting,) = await queue.enqueue(events_of(1))
        job = await claimed(queue)
        (leased,) = await queue.enqueue(events_of(1))
        await queue.release([job])
        (given_back,) = await queue.enqueue(events_of(1))
        assert {each.event_id for each in (waiting, leased, given_back)} == {first.event_id}
        assert all(each.duplicate for each in (waiting, leased, given_back))
        await queue.ack([await claimed(queue)])
        (settled,) = await queue.enqueue(events_of(1))
        assert not settled.duplicate

    async def test_one_event_that_is_sent_twice_is_stored_once(self, queue: NATSQueue) -> None:
        """Even when it is settled by then: its sender did not hear the answer."""
        (event,) = events_of(1, second=None)
        await queue.enqueue([event])
        (waiting,) = await queue.enqueue([event])
        await queue.ack([await claimed(queue)])
        (settled,) = await queue.enqueue([event])
        assert [(each.event_id, each.duplicate) for each in (waiting, settled)] == [
            (event.id, True),
            (event.id, True),
        ]
        assert (await queue.depth()).total == 0

    async def test_one_that_is_settled_between_two_looks_is_stored(
        self, queue: NATSQueue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await queue.enqueue(events_of(1))
        job, looked = await claimed(queue), queue._message

        async def settled(**asked: Any) -> dict[str, Any] | None:
            await queue.ack([job])
            return await looked(**asked)

        monkeypatch.setattr(queue, "_message", settled)
        (stored,) = await queue.enqueue(events_of(1))
        assert not stored.duplicate

    async def test_a_message_in_its_place_that_is_no_event_hides_none(
        self, queue: NATSQueue
    ) -> None:
        (event,) = events_of(1)
        await queue._server.publish(queue._subject(event), b"no event", {})
        with pytest.raises(QueueUnavailable):
            await queue.enqueue([event])
        await queue.ack([await claimed(queue)])
        (stored,) = await queue.enqueue([event])
        assert not stored.duplicate


class TestLeases:
    @pytest.mark.parametrize("ack_wait", [SHORT, LEASE])
    async def test_they_have_the_length_that_is_asked_for(
        self, nats_server: NATSServer, ack_wait: timedelta
    ) -> None:
        async with opened(nats_server, ack_wait) as queue:
            await queue.enqueue(events_of(2))
            short, long = await claimed(queue, SHORT), await claimed(queue, LEASE)
            await asyncio.sleep(SHORT.total_seconds() * 1.5)
            again = await queue.claim(2, lease=LEASE)
            assert ids(again) == ids([short])
            assert await queue.extend([short, long], lease=LEASE) == [short]

    async def test_a_late_acknowledgement_is_refused_by_ones_own_reckoning(
        self, queue: NATSQueue
    ) -> None:
        await queue.enqueue(events_of(2))
        late, kept = await claimed(queue, SHORT), await claimed(queue)
        await asyncio.sleep(SHORT.total_seconds() * 1.2)
        with pytest.raises(LeaseLost) as lost:
            await queue.ack([late, kept])
        assert lost.value.event_ids == (late.event.id,)
        assert (await queue.depth()).total == 1

    async def test_an_extension_that_is_heard_too_late_is_none(
        self, queue: NATSQueue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await queue.enqueue(events_of(1))
        job, request = await claimed(queue, SHORT), queue._server.request

        async def slow(*asked: Any) -> bytes:
            await asyncio.sleep(SHORT.total_seconds() * 1.2)
            return await request(*asked)

        monkeypatch.setattr(queue._server, "request", slow)
        assert await queue.extend([job], lease=LEASE) == [job]

    async def test_a_delay_is_taken(self, queue: NATSQueue) -> None:
        await queue.enqueue(events_of(1))
        await queue.release([await claimed(queue)], delay=SHORT)
        assert await queue.claim(1, lease=LEASE) == []
        await asyncio.sleep(SHORT.total_seconds() * 1.5)
        assert (await claimed(queue)).deliveries == 2

    async def test_one_that_a_worker_left_behind_stays_suspect_when_it_is_given_back(
        self, queue: NATSQueue
    ) -> None:
        await queue.enqueue(events_of(1))
        await claimed(queue, SHORT)
        await asyncio.sleep(SHORT.total_seconds() * 1.5)
        again = await claimed(queue)
        await queue.release([again])
        await asyncio.sleep(0.05)
        assert (await claimed(queue)).suspect
        assert again.suspect


class TestGivingBack:
    async def test_it_leaves_no_trace(self, queue: NATSQueue) -> None:
        """The same event, with its arrival, and first of its deliveries: no worker died with it."""
        (stored,) = await queue.enqueue(events_of(1))
        for _ in range(3):
            job = await claimed(queue)
            assert (job.event.id, job.event.arrival) == (stored.event_id, stored.arrival)
            assert (job.deliveries, job.suspect) == (1, False)
            await queue.release([job])
            await queue.release([job])
        assert (await queue.depth()).total == 1

    async def test_what_cannot_be_decoded_is_given_back_as_well(self, queue: NATSQueue) -> None:
        await queue._server.publish(f"{queue._stream}.events.spoilt", b"no event", {})
        await queue.release([await claimed(queue)])
        job = await claimed(queue)
        assert (job.undecodable, job.deliveries) == (b"no event", 1)

    async def test_a_claim_that_is_cancelled_gives_back_at_once(self, queue: NATSQueue) -> None:
        await queue.enqueue(events_of(2))
        for turns in range(12):
            claim = asyncio.create_task(queue.claim(2, lease=LEASE))
            for _ in range(turns):
                await asyncio.sleep(0)
            claim.cancel()
            with pytest.raises(asyncio.CancelledError):
                await claim
        jobs = await queue.claim(2, lease=LEASE)
        assert {(job.event.entity_id, job.deliveries) for job in jobs} == {("20", 1), ("21", 1)}

    async def test_a_cancelled_claim_that_fails_is_only_cancelled(
        self, queue: NATSQueue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begun = asyncio.Event()

        async def away(*_: Any) -> list[Any]:
            begun.set()
            await asyncio.sleep(0.01)
            raise QueueUnavailable

        monkeypatch.setattr(queue._server, "pull", away)
        claim = asyncio.create_task(queue.claim(1, lease=LEASE))
        await begun.wait()
        claim.cancel()
        with pytest.raises(asyncio.CancelledError):
            await claim


class TestWhatIsTold:
    async def test_the_depth_and_its_times(self, queue: NATSQueue) -> None:
        assert (await queue.depth()).oldest is None
        moment = datetime(2024, 6, 1, 12, tzinfo=UTC)
        events = events_of(3)
        events[1] = replace(events[1], arrival=Arrival(moment, 7))
        before = datetime.now(UTC)
        stored = await queue.enqueue(events)
        assert stored[1].arrival == (moment, 7)
        depth = await queue.depth()
        assert (depth.ready, depth.leased) == (3, 0)
        assert stored[0].arrival is not None
        assert depth.oldest == stored[0].arrival.time
        await claimed(queue)
        depth = await queue.depth()
        assert (depth.ready, depth.leased, depth.oldest) == (2, 1, moment)
        assert depth.claimable_since is not None
        assert abs(depth.claimable_since - before) < timedelta(seconds=10)

    async def test_the_depth_of_what_is_no_event(self, queue: NATSQueue) -> None:
        await queue._server.publish(f"{queue._stream}.events.spoilt", b"no event", {})
        depth = await queue.depth()
        assert depth.oldest == depth.claimable_since != None  # noqa: E711  # a chain of three

    async def test_the_depth_when_the_first_message_has_just_gone(
        self, queue: NATSQueue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def gone(**_: Any) -> None:
            return None

        await queue.enqueue(events_of(1))
        monkeypatch.setattr(queue, "_message", gone)
        assert (await queue.depth()).oldest is None

    async def test_a_bulk_is_stored_in_order_and_a_part_of_it_is_told(
        self, queue: NATSQueue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert await queue.enqueue([]) == []
        stored = await queue.enqueue(events_of(250))
        arrivals = [each.arrival for each in stored]
        assert arrivals == sorted(set(arrivals), key=lambda each: each or ())
        put = queue._put

        async def failing(event: SyncEvent, body: bytes) -> Any:
            if event.entity_id == "2301":
                raise QueueUnavailable
            return await put(event, body)

        monkeypatch.setattr(queue, "_put", failing)
        with pytest.raises(QueueUnavailable):
            await queue.enqueue(events_of(3, first=300))
        monkeypatch.undo()
        again = await queue.enqueue(events_of(3, first=300))
        assert [each.duplicate for each in again] == [True, False, True]

    async def test_a_message_that_is_too_large_is_refused_with_its_bulk(
        self, fragile: NATSQueue
    ) -> None:
        with pytest.raises(PayloadError, match="max_payload"):
            await fragile.enqueue([invoice("1", 1), invoice("2", 1, note="x" * 99_700)])
        assert (await fragile.depth()).total == 0
        largest = invoice("2", 1, note="x" * 99_000)
        await fragile.enqueue([largest])
        await fragile.release([await claimed(fragile)])
        assert (await claimed(fragile)).event.payload == largest.payload

    async def test_a_full_stream_refuses_and_loses_nothing(self, queue: NATSQueue) -> None:
        info = await queue._server.ask(f"STREAM.INFO.{queue._stream}")
        config = info["config"] | {"max_msgs": 1}
        await queue._server.ask(f"STREAM.UPDATE.{queue._stream}", config)
        await queue.setup()
        await queue.enqueue(events_of(1))
        with pytest.raises(QueueUnavailable, match="maximum messages exceeded"):
            await queue.enqueue(events_of(1, first=1))
        assert ids([await claimed(queue)]) == ["20"]


class TestSettings:
    @pytest.mark.parametrize(
        ("changed", "problem"),
        [
            ({"retention": "limits"}, "name another stream"),
            ({"storage": "memory"}, "name another stream"),
            ({"max_age": 10**12}, "set it to 0"),
            ({"max_msgs": 5, "discard": "old"}, "set discard to new"),
            ({"max_msgs_per_subject": 1}, "set it to -1"),
            ({"max_msg_size": 10}, "set it to -1"),
            ({"no_ack": True}, "unset it"),
            ({"subjects": ["{stream}.other"]}, "add that to its subjects"),
        ],
    )
    async def test_a_stream_that_would_lose_events_is_refused(
        self, nats_server: NATSServer, changed: dict[str, Any], problem: str
    ) -> None:
        stream = new_stream()
        queue = NATSQueue(nats_server.url(stream))
        config: dict[str, Any] = {
            "name": stream,
            "subjects": [f"{stream}.events.>"],
            "retention": "workqueue",
            "storage": "file",
            **changed,
        }
        config["subjects"] = [each.format(stream=stream) for each in config["subjects"]]
        await queue._server.ask(f"STREAM.CREATE.{stream}", config)
        with pytest.raises(ConfigurationError, match=problem):
            await queue.setup()
        await queue._server.ask(f"STREAM.DELETE.{stream}")
        await queue.close()

    @pytest.mark.parametrize(
        ("changed", "problem"),
        [
            ({"max_deliver": 3}, "set it to -1"),
            ({"headers_only": True}, "unset it"),
            ({"backoff": [10**9], "max_deliver": 2}, "backoff overrides the leases: unset it"),
            ({"inactive_threshold": 10**12}, "set it to 0"),
            ({"filter_subject": "{stream}.events.x"}, "set it to that"),
        ],
    )
    async def test_a_consumer_that_would_lose_events_is_refused(
        self, queue: NATSQueue, changed: dict[str, Any], problem: str
    ) -> None:
        stream = queue._stream
        info = await queue._server.ask(f"CONSUMER.INFO.{stream}.workers")
        await queue._server.ask(f"CONSUMER.DELETE.{stream}.workers")
        config = info["config"] | changed
        config["filter_subject"] = config["filter_subject"].format(stream=stream)
        asked = {"stream_name": stream, "config": config}
        subject = f"CONSUMER.CREATE.{stream}.workers.{config['filter_subject']}"
        await queue._server.ask(subject, asked)
        with pytest.raises(ConfigurationError, match=problem):
            await queue.setup()

    async def test_harmless_differences_are_taken(self, queue: NATSQueue) -> None:
        other = NATSQueue(
            queue._server._client or "", stream=queue._stream, ack_wait=timedelta(seconds=5)
        )
        await other.setup()
        await other.enqueue(events_of(1))
        await other.close()
        assert await queue._waiting() == LEASE
        assert ids([await claimed(queue)]) == ["20"]

    async def test_ten_that_set_up_at_once(self, nats_server: NATSServer) -> None:
        stream = new_stream()
        queues = [NATSQueue(nats_server.url(stream)) for _ in range(10)]
        await asyncio.gather(*(queue.setup() for queue in queues))
        await queues[0].enqueue(events_of(1))
        assert ids([await claimed(queues[1])]) == ["20"]
        await queues[0]._server.ask(f"STREAM.DELETE.{stream}")
        for queue in queues:
            await queue.close()

    async def test_another_stream_in_its_place(self, queue: NATSQueue) -> None:
        other = new_stream()
        config = {"name": other, "subjects": [f"{other}.>"]}
        await queue._server.ask(f"STREAM.CREATE.{other}", config)
        await queue._server.ask(f"STREAM.DELETE.{other}")
        overlapping = {"name": other, "subjects": [f"{other}_mine.events.>"]}
        await queue._server.ask(f"STREAM.CREATE.{other}", overlapping)
        mine = NATSQueue(queue._server._client or "", stream=f"{other}_mine")
        with pytest.raises(ConfigurationError, match="cannot be made: JetStream: subjects overlap"):
            await mine.setup()
        await queue._server.ask(f"STREAM.DELETE.{other}")

    async def test_another_consumer_in_its_place(self, queue: NATSQueue) -> None:
        stream = queue._stream
        await queue._server.ask(f"CONSUMER.DELETE.{stream}.workers")
        config = {"durable_name": "mine", "ack_policy": "explicit"}
        asked = {"stream_name": stream, "config": config}
        await queue._server.ask(f"CONSUMER.DURABLE.CREATE.{stream}.mine", asked)
        with pytest.raises(ConfigurationError, match=r"consumer workers .* cannot be made"):
            await queue.setup()

    async def test_what_the_server_lacks_is_an_outage(
        self, queue: NATSQueue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def lacking(*_: Any) -> None:
            raise JetStreamError({"code": 503, "description": "no suitable peers"})

        monkeypatch.setattr(queue._server, "ask", lacking)
        with pytest.raises(QueueUnavailable, match="no suitable peers"):
            await queue.setup()
        with pytest.raises(QueueUnavailable, match="no suitable peers"):
            await queue._message(seq=1)


class TestConnections:
    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("nats://host", Address(("nats://host",), "")),
            ("nats://a:1,[::1]:2/erp", Address(("nats://a:1", "nats://[::1]:2"), "erp")),
            ("nats://u:p%40%2F@h/", Address(("nats://h",), "", user="u", password="p@/")),
            ("nats://t0ken@h", Address(("nats://h",), "", token="t0ken")),
        ],
    )
    def test_what_a_url_says(self, url: str, expected: Address) -> None:
        assert address_of(url) == expected

    @pytest.mark.parametrize(
        "url",
        [
            "nats://u:s3cret@x@host",
            "nats://u:s3cret/x@host:s3cret",
            "nats://u:s3cret@a:1,",
            "nats://u:s3cret@host:99999",
            "nats://u:s3cret@host/a.b",
            "nats://u:s3cret@a:1,nats://u:s3cret@b:1",
            "tls://u:s3cret@host",
        ],
    )
    def test_what_is_no_url_is_refused_without_its_text(self, url: str) -> None:
        with pytest.raises(ConfigurationError, match="it looks like nats://") as refused:
            NATSQueue(url)
        assert "s3cret" not in str(refused.value)
        assert refused.value.__cause__ is None

    async def test_no_secret_is_told(
        self, private_server: PrivateNATS, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        url = private_server.url("secret")
        queue = NATSQueue(url)
        assert PASSWORD not in repr(queue) + repr(queue._server) + repr(address_of(url))
        private_server.stop()
        with pytest.raises(QueueUnavailable) as away:
            await queue.enqueue(events_of(1))
        private_server.start()
        wrong = NATSQueue(url.replace(PASSWORD, "wr0ng"))
        with pytest.raises(QueueUnavailable, match="Authorization Violation") as refused:
            await wrong.setup()
        told = caplog.text + f"{away.value!r} {away.value.__cause__!r} {refused.value!r}"
        assert PASSWORD not in told
        assert "wr0ng" not in told
        await queue.setup()
        await queue.close()

    async def test_another_server_of_the_cluster_is_taken(
        self, private_server: PrivateNATS
    ) -> None:
        login, _, place = private_server.address.rpartition("@")
        queue = NATSQueue(f"nats://{login}@127.0.0.1:1,{place}/cluster")
        await queue.setup()
        await queue.close()

    async def test_the_hosts_client_is_not_closed(self, nats_server: NATSServer) -> None:
        client = Client()
        await client.connect(nats_server.url(""))
        queue = NATSQueue(client, stream=new_stream())
        await queue.setup()
        await queue.enqueue(events_of(1))
        await queue._server.ask(f"STREAM.DELETE.{queue._stream}")
        await queue.close()
        assert client.is_connected
        await client.close()
        with pytest.raises(QueueUnavailable, match="handed over is not connected"):
            await queue.depth()

    async def test_callers_at_once_share_one_connection(self, nats_server: NATSServer) -> None:
        queue = NATSQueue(nats_server.url(new_stream()))
        await asyncio.gather(*(queue._server.max_payload() for _ in range(3)))
        first = queue._server._client
        await asyncio.gather(*(queue._server.max_payload() for _ in range(3)))
        assert queue._server._client is first
        await queue.close()

    async def test_closing_is_not_the_end(self, queue: NATSQueue) -> None:
        await queue.enqueue(events_of(1))
        await queue.close()
        await queue.close()
        assert (await queue.depth()).total == 1

    def test_a_missing_client_names_the_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "nats.aio.client", None)
        with pytest.raises(MissingExtra, match=r'pip install "zoho-sync\[nats\]"'):
            NATSQueue("nats://127.0.0.1")

    async def test_what_has_arrived_counts_although_the_rest_is_lost(
        self, queue: NATSQueue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await queue.enqueue(events_of(2))
        client = queue._server._client
        assert client is not None
        subscribe = client.subscribe

        async def breaking(*args: Any, **named: Any) -> Any:
            inbox = await subscribe(*args, **named)
            next_message, count = inbox.next_msg, iter(range(9))

            async def broken(**waiting: Any) -> Any:
                if next(count):
                    raise TimeoutError
                return await next_message(**waiting)

            monkeypatch.setattr(inbox, "next_msg", broken)
            return inbox

        monkeypatch.setattr(client, "subscribe", breaking)
        assert ids(await queue.claim(2, lease=LEASE)) == ["20"]
