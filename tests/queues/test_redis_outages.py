"""Redis and Valkey go away, come back, lose their data or run full: nothing is lost in silence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.queues.redis_queues import MINUTE, everything, key, let_pass, new_queue, own_server
from tests.servers.redis import PrivateRedis
from zoho_sync.abc import Job
from zoho_sync.exceptions import LeaseLost, QueueUnavailable
from zoho_sync.queues import RedisQueue
from zoho_sync.testing.events import events_of, ids

pytestmark = pytest.mark.runs_on("redis")

Opened = tuple[RedisQueue, Any]
COUNT = 300


@pytest.fixture
def server() -> Iterator[PrivateRedis]:
    with own_server() as started:
        yield started


@pytest.fixture
async def opened(server: PrivateRedis) -> AsyncIterator[Opened]:
    async with new_queue(server.url) as made:
        yield made
        # Whatever a test has done to the server: the end of `new_queue` needs it.
        if server.url:
            server.thaw()


@pytest.mark.breaks_connections
@pytest.mark.parametrize("ending", [PrivateRedis.stop, PrivateRedis.kill])
async def test_a_restart_keeps_what_was_accepted(
    server: PrivateRedis, opened: Opened, ending: Any
) -> None:
    queue, client = opened
    await queue.enqueue(events_of(5))
    leased = await queue.claim(2, lease=MINUTE)
    (given_back, kept) = leased
    await queue.release([given_back])
    ending(server)
    job = [kept]
    for refused in (
        queue.enqueue(events_of(1)),
        queue.claim(1, lease=MINUTE),
        queue.extend(job, lease=MINUTE),
        queue.ack(job),
        queue.release(job),
        queue.depth(),
        queue.setup(),
    ):
        with pytest.raises(QueueUnavailable):
            await refused
    server.start()
    assert [each.duplicate for each in await queue.enqueue(events_of(1))] == [True]
    assert await queue.extend(job, lease=MINUTE) == []
    await queue.ack(job)
    jobs = await queue.claim(9, lease=MINUTE)
    assert sorted(ids(jobs)) == ["20", "22", "23", "24"]
    assert {each.deliveries for each in jobs} == {1}
    await queue.ack(jobs)
    assert await client.xlen(key(queue, "events")) == 0


@pytest.mark.breaks_connections
async def test_killed_connections_are_made_anew(server: PrivateRedis) -> None:
    """Again and again, under load: nothing is lost, and no message is acknowledged twice."""
    stored: list[str] = []
    acknowledged: list[Job] = []
    async with new_queue(f"{server.url}?client_name=victim") as (queue, _):
        client: Any = Redis.from_url(server.url)

        async def kill(working: asyncio.Task[Any]) -> None:
            while not working.done():
                for each in await client.client_list():
                    if each["name"] == "victim":
                        await client.client_kill_filter(_id=each["id"])
                await asyncio.sleep(0.005)

        async def work() -> None:
            while len(stored) < COUNT or await client.xlen(key(queue, "events")):
                await work_off(queue, client, acknowledged)

        working = asyncio.create_task(work())
        await asyncio.gather(produce(queue, stored), working, kill(working))
        assert (await queue.depth()).total == 0
        await client.aclose()
    assert stored == [f"2{number}" for number in range(COUNT)]
    # Of a few it was not heard that they were.
    assert len(acknowledged) > COUNT / 2
    assert len(acknowledged) == len({job.handle.id for job in acknowledged})


async def produce(queue: RedisQueue, stored: list[str]) -> None:
    """Store each event, as often as it takes; an answer is its own."""
    for event in events_of(COUNT):
        answer = None
        while answer is None:
            with suppress(QueueUnavailable):
                (answer,) = await queue.enqueue([event])
        assert answer.event_id == event.id
        stored.append(event.entity_id)


async def work_off(queue: RedisQueue, client: Any, acknowledged: list[Job]) -> None:
    """Claim and acknowledge once."""
    try:
        jobs = await queue.claim(7, lease=MINUTE)
        await queue.ack(jobs)
    except (QueueUnavailable, LeaseLost):
        # It may have been done all the same; what was not comes again.
        await let_pass(queue, client, 61)
    else:
        acknowledged += jobs
        await asyncio.sleep(0.001)


@pytest.mark.breaks_connections
async def test_a_server_that_stands_still_is_not_waited_for(server: PrivateRedis) -> None:
    queue = RedisQueue(f"{server.url}?socket_timeout=0.3&socket_connect_timeout=0.3")
    await everything(queue)
    server.freeze()
    with pytest.raises(QueueUnavailable, match="TimeoutError"):
        await asyncio.wait_for(queue.enqueue(events_of(1)), 5)
    server.thaw()
    (stored,) = await queue.enqueue(events_of(1, first=1))
    assert not stored.duplicate
    await queue.close()


async def test_a_server_that_lost_its_data_is_used_again(opened: Opened) -> None:
    queue, client = opened
    await queue.enqueue(events_of(2))
    jobs = await queue.claim(1, lease=MINUTE)
    await client.flushall()
    assert (await queue.depth()).total == 0
    assert [job.event.entity_id for job in await queue.extend(jobs, lease=MINUTE)] == ["20"]
    with pytest.raises(LeaseLost):
        await queue.ack(jobs)
    await queue.release(jobs)
    assert await queue.claim(1, lease=MINUTE) == []
    await everything(queue)


async def test_a_group_that_was_destroyed_begins_at_the_beginning(opened: Opened) -> None:
    queue, client = opened
    await queue.enqueue(events_of(3))
    old = await queue.claim(2, lease=MINUTE)
    await client.xgroup_destroy(key(queue, "events"), "workers")
    assert (await queue.depth()).total == 3
    new = await queue.claim(9, lease=MINUTE)
    assert ids(new) == ["20", "21", "22"]
    with pytest.raises(LeaseLost):
        await queue.ack(old)
    await queue.ack(new)
    await everything(queue)


async def test_a_key_that_holds_something_else_is_told(opened: Opened) -> None:
    queue, client = opened
    await client.set(key(queue, "events"), "not a stream")
    with pytest.raises(QueueUnavailable, match="ResponseError, WRONGTYPE"):
        await queue.setup()


async def test_leases_that_were_deleted_end_at_once(opened: Opened) -> None:
    queue, client = opened
    await queue.enqueue(events_of(3))
    (old,) = await queue.claim(1, lease=MINUTE)
    await client.delete(key(queue, "leases"))
    # Nor is what somebody else has read lost, nor a lease on nothing in the way.
    await client.xreadgroup("workers", "somebody", {key(queue, "events"): ">"}, count=1)
    await client.zadd(key(queue, "leases"), {"1-1": 9e12})
    jobs = await queue.claim(9, lease=MINUTE)
    assert sorted(ids(jobs)) == ["20", "21", "22"]
    with pytest.raises(LeaseLost):
        await queue.ack([old])
    await queue.ack(jobs)
    assert await client.exists(key(queue, "leases")) == 0


async def test_a_lease_on_nothing_is_dropped(opened: Opened) -> None:
    """As many leases as pending entries, but not on them."""
    queue, client = opened
    await queue.enqueue(events_of(1))
    await queue.claim(1, lease=MINUTE)
    await client.delete(key(queue, "leases"))
    await client.zadd(key(queue, "leases"), {"1-1": 1})
    assert await queue.claim(1, lease=MINUTE) == []
    assert ids(await queue.claim(1, lease=MINUTE)) == ["20"]


async def test_what_somebody_trimmed_is_told_and_swallows_nothing(
    opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    queue, client = opened
    await queue.enqueue(events_of(2))
    await queue.claim(1, lease=MINUTE)
    await client.xtrim(key(queue, "events"), maxlen=0)
    await let_pass(queue, client, 61)
    assert await queue.claim(9, lease=MINUTE) == []
    assert "1 message(s) were deleted from the queue by somebody else" in caplog.text
    assert [each.duplicate for each in await queue.enqueue(events_of(2))] == [False, False]
    assert ids(await queue.claim(9, lease=MINUTE)) == ["20", "21"]


async def test_a_full_server_refuses_events_and_is_worked_off(opened: Opened) -> None:
    queue, client = opened
    await queue.enqueue(events_of(4))
    await client.config_set("maxmemory", 1)
    with pytest.raises(QueueUnavailable, match="OutOfMemoryError"):
        await queue.enqueue(events_of(1, first=9))
    first, second, third = await queue.claim(3, lease=MINUTE)
    assert await queue.extend([first], lease=MINUTE * 2) == []
    await queue.release([second])
    await queue.ack([first, third])
    assert (await queue.depth()).total == 2
    jobs = await queue.claim(9, lease=MINUTE)
    await queue.ack(jobs)
    assert sorted(ids(jobs)) == ["21", "23"]
