"""The queue on Redis and Valkey keeps the contract of all engines, on a real server."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
import redis
import redis.asyncio
import valkey.asyncio
from hypothesis import HealthCheck, settings

from tests.amounts import examples
from tests.queues.redis_queues import MINUTE, key, let_pass, new_queue, own_server
from tests.servers.redis import RedisServer
from zoho_sync.abc import QueueBackend
from zoho_sync.exceptions import ConfigurationError, LeaseLost
from zoho_sync.queues import RedisQueue
from zoho_sync.queues.redis.queue import _job, _stored
from zoho_sync.queues.redis.scripts import CLAIM, ENQUEUE
from zoho_sync.testing import QueueMachine, QueueSuite
from zoho_sync.testing.events import events_of, ids

pytestmark = pytest.mark.runs_on("redis")

Opened = tuple[RedisQueue, Any]


class TestRedisQueue(QueueSuite):
    @pytest.fixture(autouse=True)
    def server(self, redis_server: RedisServer) -> None:
        self.url = redis_server.url

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[QueueBackend]:
        async with new_queue(self.url) as (queue, self.client):
            yield queue

    async def spoil(self, queue: QueueBackend, message: bytes) -> bool:
        assert isinstance(queue, RedisQueue)
        await self.client.xadd(key(queue, "events"), {"event": message})
        return True

    async def cut(self, queue: QueueBackend) -> bool:
        del queue
        await self.client.client_kill_filter(_type="normal", skipme=True)
        return True


class Machine(QueueMachine):
    """Time passes by moving what the server has noted of it; the suite above waits instead."""

    lease: ClassVar = MINUTE
    url: ClassVar = ""

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[QueueBackend]:
        async with new_queue(self.url) as self.open_now:
            yield self.open_now[0]

    async def elapse(self, seconds: float) -> None:
        await let_pass(*self.open_now, seconds)


TestMachine = Machine.TestCase
TestMachine.settings = settings(
    max_examples=examples(core=10, everything=40),
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


@pytest.fixture(autouse=True)
def machine_server(redis_server: RedisServer) -> None:
    Machine.url = redis_server.url


@pytest.fixture
async def opened(redis_server: RedisServer) -> AsyncIterator[Opened]:
    async with new_queue(redis_server.url) as made:
        yield made


async def test_an_acknowledgement_is_for_all_or_for_none(opened: Opened) -> None:
    queue, client = opened
    await queue.enqueue(events_of(2))
    (old,) = await queue.claim(1, lease=MINUTE)
    await let_pass(queue, client, 61)
    (new,) = await queue.claim(1, lease=MINUTE)
    (other,) = await queue.claim(1, lease=MINUTE)
    with pytest.raises(LeaseLost) as lost:
        await queue.ack([other, old])
    assert lost.value.event_ids == (old.event.id,)
    assert (await queue.depth()).leased == 2
    await queue.ack([other, new])
    assert (await queue.depth()).total == 0


async def test_nothing_is_left_beside_an_empty_queue(opened: Opened) -> None:
    queue, client = opened
    await queue.enqueue(events_of(9))
    for _ in range(2):
        taken = await queue.claim(4, lease=MINUTE)
        await queue.release(taken[:1])
        await queue.ack(taken[1:2])
        await let_pass(queue, client, 61)
    while jobs := await queue.claim(2, lease=MINUTE):
        await queue.ack(jobs)
    assert await client.exists(*(key(queue, name) for name in ("leases", "released", "keys"))) == 0
    assert await client.xlen(key(queue, "events")) == 0
    consumers = await client.xinfo_consumers(key(queue, "events"), "workers")
    assert [each["name"] for each in consumers if each["pending"]] == []
    assert len(consumers) <= 1


async def test_an_arrival_is_the_servers_and_stays(opened: Opened) -> None:
    queue, client = opened
    before = datetime.now(UTC) - timedelta(seconds=1)
    (stored,) = await queue.enqueue(events_of(1))
    assert stored.arrival is not None
    assert before < stored.arrival.time < datetime.now(UTC) + timedelta(seconds=1)
    assert stored.arrival.sequence > 0
    for deliveries in (1, 2, 3):
        (job,) = await queue.claim(1, lease=MINUTE)
        assert (job.event.arrival, job.deliveries) == (stored.arrival, deliveries)
        await let_pass(queue, client, 61)
    depth = await queue.depth()
    assert depth.oldest == stored.arrival.time
    assert depth.claimable_since is not None
    assert depth.claimable_since > before


async def test_equals_are_known_while_they_are_queued_and_not_after(opened: Opened) -> None:
    queue, _ = opened
    (event,) = events_of(1)
    await queue.enqueue([event])
    assert [each.duplicate for each in await queue.enqueue(events_of(1))] == [True]
    jobs = await queue.claim(1, lease=MINUTE)
    assert [each.duplicate for each in await queue.enqueue(events_of(1))] == [True]
    await queue.ack(jobs)
    assert [each.duplicate for each in await queue.enqueue(events_of(1))] == [False]


async def test_one_event_is_known_by_its_id(opened: Opened) -> None:
    queue, _ = opened
    (event,) = events_of(1, second=None)
    odd = replace(event, id="an id \ud800 with blanks", arrival=None)
    for each in (event, odd):
        (stored,) = await queue.enqueue([each])
        (again,) = await queue.enqueue([each])
        assert (stored.duplicate, again.duplicate) == (False, True)
        assert again.event_id == stored.event_id == each.id


async def test_a_call_whose_answer_was_not_heard_may_be_repeated(opened: Opened) -> None:
    """Clients repeat a command when its connection breaks."""
    queue, _ = opened
    events = [*events_of(2), *events_of(1)]
    given = [argument for event in events for argument in _stored(event)]
    first = await queue._server.run(ENQUEUE, "call", *given)
    assert await queue._server.run(ENQUEUE, "call", *given) == first
    assert [answer[2] for answer in first] == [0, 0, 1]
    jobs = [await queue._server.run(CLAIM, "token", 1, 60_000) for _ in range(2)]
    assert jobs[0] == jobs[1]
    assert (await queue.depth()).leased == 1
    await queue.ack([_job("token", *jobs[0][0][0])])


async def test_a_claim_that_was_cancelled_leaves_no_suspect(opened: Opened) -> None:
    queue, _ = opened
    for turns in range(41):
        claim = asyncio.create_task(queue.claim(3, lease=MINUTE))
        for _ in range(turns):
            await asyncio.sleep(0)
        claim.cancel()
        with suppress(asyncio.CancelledError):
            await queue.release(await claim)
        if turns == 20:
            # Those before found nothing.
            await queue.enqueue(events_of(3))
    jobs = await queue.claim(3, lease=MINUTE)
    assert [(job.suspect, job.deliveries) for job in jobs] == [(False, 1)] * 3


async def test_no_cancellation_is_swallowed(opened: Opened) -> None:
    """The client's own waits can miss one: a worker that is stopped would go on for ever."""
    queue, _ = opened
    asked = 0

    async def ask() -> None:
        nonlocal asked
        while True:
            await queue.depth()
            asked += 1

    for turns in range(300):
        asking = asyncio.create_task(ask())
        for _ in range(turns % 60):
            await asyncio.sleep(0)
        asking.cancel()
        done, _ = await asyncio.wait({asking}, timeout=5)
        assert done, "it was asked to stop, and has not heard it"
        assert asking.cancelled()
    assert asked


async def test_nothing_is_claimed_and_nothing_enqueued_for_nothing(opened: Opened) -> None:
    queue, _ = opened
    await queue.enqueue(events_of(1))
    assert await queue.enqueue([]) == []
    assert await queue.claim(0, lease=MINUTE) == []
    await queue.ack([])
    await queue.release([])
    assert await queue.extend([], lease=MINUTE) == []
    assert (await queue.depth()).ready == 1


async def test_messages_of_others_are_handed_over_with_all_they_have(opened: Opened) -> None:
    queue, client = opened
    stream = key(queue, "events")
    await client.xadd(stream, {"event": b'{"format": 2}'})
    await client.execute_command("XADD", stream, "*", "colour", "red", "colour", b"\xff")
    jobs = await queue.claim(9, lease=MINUTE)
    assert [job.undecodable for job in jobs] == [b'{"format": 2}', b"colour=red\ncolour=\xff"]
    assert len({job.event.id for job in jobs}) == 2
    await queue.ack(jobs)
    assert (await queue.depth()).total == 0


async def test_two_applications_on_one_server_do_not_meet(redis_server: RedisServer) -> None:
    async with new_queue(redis_server.url) as (one, _), new_queue(redis_server.url) as (other, _):
        await one.enqueue(events_of(1))
        assert await other.claim(1, lease=MINUTE) == []
        assert (await other.enqueue(events_of(1)))[0].duplicate is False


@pytest.mark.parametrize("library", [redis.asyncio.Redis, valkey.asyncio.Valkey])
@pytest.mark.parametrize("decode", [False, True])
async def test_a_client_of_the_hosts_stays_open(
    redis_server: RedisServer, library: Any, *, decode: bool
) -> None:
    client = library.from_url(redis_server.url, decode_responses=decode)
    queue = RedisQueue(client, prefix=f"test_{uuid.uuid4().hex}")
    await queue.setup()
    (event,) = events_of(1)
    await queue.enqueue([event])
    (job,) = await queue.claim(1, lease=MINUTE)
    assert job.event.payload == event.payload
    await queue.ack([job])
    await queue.close()
    assert await client.ping()
    await client.delete(*queue._server._keys)
    await client.aclose()


async def test_a_cluster_keeps_a_queues_keys_together() -> None:
    with own_server(cluster_enabled="yes") as server:
        node: Any = redis.asyncio.Redis.from_url(server.url)
        await node.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
        for _ in range(200):
            if (await node.execute_command("CLUSTER INFO"))["cluster_state"] == "ok":
                break
            await asyncio.sleep(0.05)
        await node.aclose()
        client = redis.asyncio.RedisCluster(host="127.0.0.1", port=server.port)
        queue = RedisQueue(client)
        await queue.setup()
        await queue.enqueue(events_of(3))
        jobs = await queue.claim(2, lease=MINUTE)
        await queue.release(jobs[:1])
        await queue.ack(jobs[1:])
        assert ids(await queue.claim(3, lease=MINUTE)) == ["20", "22"]
        await client.aclose()


@pytest.mark.parametrize("given", [object(), redis.Redis(), None])
def test_what_is_no_client_is_refused(given: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"redis\.asyncio or valkey\.asyncio"):
        RedisQueue(given)


@pytest.mark.parametrize("prefix", ["", "a{b", "}"])
def test_a_prefix_that_would_scatter_the_keys_is_refused(prefix: str) -> None:
    with pytest.raises(ConfigurationError, match="without braces"):
        RedisQueue("redis://127.0.0.1", prefix=prefix)
