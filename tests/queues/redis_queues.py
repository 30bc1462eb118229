"""Queues on Redis for tests: each with keys of its own, and a client that looks at them."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any

from redis.asyncio import Redis

from tests.servers import ServerUnavailableError, skip_or_fail
from tests.servers.redis import PrivateRedis, private_redis
from zoho_sync.queues import RedisQueue
from zoho_sync.testing.events import events_of

MINUTE = timedelta(minutes=1)


def key(queue: RedisQueue, name: str) -> str:
    """The name of one of a queue's keys: events, leases, released or keys."""
    (found,) = (each for each in queue._server._keys if each.endswith(f":{name}"))
    return found


@asynccontextmanager
async def new_queue(url: str) -> AsyncIterator[tuple[RedisQueue, Any]]:
    """A queue that is set up and empty, and a client to look at it; gone afterwards."""
    queue = RedisQueue(url, prefix=f"test_{uuid.uuid4().hex}")
    client = Redis.from_url(url)
    await queue.setup()
    try:
        yield queue, client
        await client.delete(*queue._server._keys)
    finally:
        await client.aclose()
        await queue.close()


async def let_pass(queue: RedisQueue, client: Any, seconds: float) -> None:
    """Let time pass: what the server has noted of times is moved back."""
    for name in ("leases", "released"):
        for entry in await client.zrange(key(queue, name), 0, -1):
            await client.zincrby(key(queue, name), -seconds * 1000, entry)


async def everything(queue: RedisQueue) -> None:
    """Each of the things that a queue does."""
    await queue.setup()
    await queue.enqueue(events_of(1))
    (job,) = await queue.claim(1, lease=MINUTE)
    assert await queue.extend([job], lease=MINUTE) == []
    await queue.release([job])
    await queue.ack(await queue.claim(1, lease=MINUTE))
    assert (await queue.depth()).total == 0


@contextmanager
def own_server(**settings: str) -> Iterator[PrivateRedis]:
    """A server that a test may stop, kill and fill; without one it skips."""
    try:
        with private_redis(**settings) as server:
            yield server
    except ServerUnavailableError as reason:
        skip_or_fail(reason)
