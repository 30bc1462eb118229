"""From a webhook to the rows, with the queue on Redis or Valkey in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from tests.hosts.sql import Sessions
from tests.queues.redis_queues import MINUTE, key, let_pass, new_queue, own_server
from tests.queues.sold import invoice, totals
from tests.servers.redis import PrivateRedis, RedisServer
from zoho_sync import Outcome, ZohoSync
from zoho_sync.exceptions import QueueUnavailable
from zoho_sync.queues import RedisQueue
from zoho_sync.queues.outside import OutsideQueue

pytestmark = pytest.mark.runs_on("redis")


@pytest.fixture
async def shop(sqlite_url: str) -> AsyncIterator[Sessions]:
    engine = create_async_engine(sqlite_url)
    yield async_sessionmaker(engine, expire_on_commit=False)
    await engine.dispose()


async def arrived(sessions: Sessions, name: str) -> None:
    """Wait until a worker has applied an invoice."""
    for _ in range(500):
        if name in await totals(sessions):
            return
        await asyncio.sleep(0.02)
    pytest.fail(f"invoice {name} was not applied")


@pytest.mark.parametrize("scheme", ["redis", "valkey"])
async def test_a_url_is_all_it_takes(shop: Sessions, scheme: str) -> None:
    with own_server() as server:
        url = server.url.replace("redis", scheme, 1)
        async with ZohoSync(shop, queue=url) as sync:
            await sync.create_tables()
            document = {"invoice_id": "1", "total": "9.90", "date": "2024-05-01"}
            receipt = await sync.ingest({"invoice": document})
            assert receipt.http_status == 200
            await sync.enqueue([invoice("2", 2), invoice("2", 1, "7"), invoice("2", 2)])
            report = await sync.status()
            assert (report.queue.ready, report.accepted) == (3, 3)
            assert await sync.drain() == {Outcome.APPLIED: 3}
            assert await totals(shop) == {"1": Decimal("9.90"), "2": Decimal("1.10")}
            assert (await sync.status()).queue.total == 0


async def test_what_comes_again_after_the_commit_writes_nothing(
    redis_server: RedisServer, shop: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process died, or the server was away, between the commit and the acknowledgement."""

    async def away(*_: Any, **__: Any) -> None:
        raise QueueUnavailable

    async with new_queue(redis_server.url) as (queue, client):
        sync = ZohoSync(shop, queue=queue)
        await sync.create_tables()
        await sync.enqueue([invoice("1", 1), invoice("2", 1)])
        with monkeypatch.context() as broken:
            broken.setattr(queue, "ack", away)
            assert await sync.drain() == {Outcome.APPLIED: 2}
        assert (await queue.depth()).leased == 2
        before = await totals(shop)
        await let_pass(queue, client, 3600)
        assert await sync.drain() == {}
        assert (await queue.depth()).total == 0
        assert await totals(shop) == before
        for name in ("1", "2"):
            assert [entry.state for entry in await sync.history("invoice", name)] == ["applied"]


async def test_a_message_stored_twice_is_applied_once(
    redis_server: RedisServer, shop: Sessions
) -> None:
    """A host that did not hear the answer enqueues once more what is settled by then."""
    async with new_queue(redis_server.url) as (queue, _):
        sync = ZohoSync(shop, queue=queue)
        await sync.create_tables()
        event = invoice("1", 1)
        await sync.enqueue([event])
        assert await sync.drain() == {Outcome.APPLIED: 1}
        await sync.enqueue([event])
        assert await sync.drain() == {}
        assert (await queue.depth()).total == 0
        assert len(await sync.history("invoice", "1")) == 1


async def test_a_foreign_message_is_a_dead_letter_with_what_it_has(
    redis_server: RedisServer, shop: Sessions
) -> None:
    async with new_queue(redis_server.url) as (queue, client):
        sync = ZohoSync(shop, queue=queue)
        await sync.create_tables()
        await client.xadd(key(queue, "events"), {"colour": "red"})
        await sync.enqueue([invoice("1", 1)])
        assert await sync.drain() == {Outcome.APPLIED: 1}
        (letter,) = await sync.dead_letters.list()
        assert letter.body == b"colour=red"
        assert (await queue.depth()).total == 0


async def test_what_a_worker_that_died_had_is_a_suspect_in_the_database(
    redis_server: RedisServer, shop: Sessions
) -> None:
    async with new_queue(redis_server.url) as (queue, client):
        sync = ZohoSync(shop, queue=queue)
        await sync.create_tables()
        await sync.enqueue([invoice("1", 1)])
        outside = sync._runtime.queue  # what a worker claims from
        assert isinstance(outside, OutsideQueue)
        (dead,) = await outside.claim(1, lease=sync._runtime.lease)
        await let_pass(queue, client, 3600)
        (suspect,) = await outside.claim(1, lease=sync._runtime.lease)
        assert (await queue.depth()).total == 0
        assert (suspect.event, suspect.suspect) == (dead.event, True)


@pytest.mark.breaks_connections
async def test_a_worker_outlives_a_restart(shop: Sessions) -> None:
    with own_server() as server:
        async with ZohoSync(shop, queue=server.url) as sync:
            await sync.create_tables()
            worker = asyncio.create_task(sync.run())
            await sync.enqueue([invoice("1", 1)])
            await arrived(shop, "1")
            await restarted(server, sync)
            await sync.enqueue([invoice("2", 1)])
            await arrived(shop, "2")
            worker.cancel()
            with pytest.raises(asyncio.CancelledError):
                await worker
        assert (await totals(shop)).keys() == {"1", "2"}


async def restarted(server: PrivateRedis, sync: ZohoSync) -> None:
    """Stop the server, see that the front door says so, and start it at the same port."""
    port = server.port
    server.stop()
    with pytest.raises(QueueUnavailable):
        await sync.ingest({"invoice": {"invoice_id": "9"}})
    await asyncio.sleep(0.3)
    server.start()
    assert server.port == port


@pytest.mark.breaks_connections
async def test_many_workers_on_one_server_apply_each_event_once(
    redis_server: RedisServer, shop: Sessions
) -> None:
    async with new_queue(redis_server.url) as (queue, _):
        peers = [ZohoSync(shop, queue=queue, batch_size=5) for _ in range(3)]
        await peers[0].create_tables()
        await peers[0].enqueue([invoice(f"2{number}", 1) for number in range(60)])
        counts = await asyncio.gather(*(peer.drain() for peer in peers))
        assert sum(each.get(Outcome.APPLIED, 0) for each in counts) == 60
        assert len(await totals(shop)) == 60
        assert (await queue.depth()).total == 0


async def test_what_one_process_stores_another_claims(redis_server: RedisServer) -> None:
    async with new_queue(redis_server.url) as (queue, client):
        prefix = key(queue, "events").split("}", maxsplit=1)[0].strip("{")
        other = RedisQueue(client, prefix=prefix)
        await other.setup()
        await other.enqueue([invoice("1", 1)])
        (job,) = await queue.claim(1, lease=MINUTE)
        await other.ack([job])
        assert (await queue.depth()).total == 0
