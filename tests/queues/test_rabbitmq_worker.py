"""From a webhook to the rows, with the queue in RabbitMQ in between."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from tests.hosts.sql import Sessions
from tests.queues.rabbitmq_queues import MINUTE, comes_again, new_name, own_queue, published
from tests.queues.sold import invoice, totals
from tests.servers.rabbitmq import RabbitMQServer
from zoho_sync import Outcome, ZohoSync
from zoho_sync.exceptions import QueueUnavailable
from zoho_sync.queues import RabbitMQQueue
from zoho_sync.queues.outside import OutsideQueue

ROOT = Path(__file__).parents[2]
CLAIMS_AND_WAITS = """
import asyncio, sys
from datetime import timedelta
from zoho_sync.queues import RabbitMQQueue

async def main():
    queue = RabbitMQQueue(sys.argv[1])
    jobs = await queue.claim(1, lease=timedelta(minutes=1))
    print(len(jobs), flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    try:
        await queue.ack(jobs)
    except Exception as error:
        print(type(error).__name__, flush=True)

asyncio.run(main())
"""


@pytest.fixture
async def sessions(sqlite_url: str) -> AsyncIterator[Sessions]:
    engine = create_async_engine(sqlite_url)
    yield async_sessionmaker(engine, expire_on_commit=False)
    await engine.dispose()


@pytest.fixture
async def queue(rabbitmq_server: RabbitMQServer) -> AsyncIterator[RabbitMQQueue]:
    async with own_queue(rabbitmq_server) as queue:
        yield queue


async def states(sync: ZohoSync, name: str) -> list[str]:
    return [entry.state for entry in await sync.history("invoice", name)]


@asynccontextmanager
async def a_worker(url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a process that claims one job, and acknowledges it when it is told to; kill it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CLAIMS_AND_WAITS, url),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"1\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def until_ready(queue: RabbitMQQueue, count: int) -> None:
    """Wait until the server has taken messages back."""
    for _ in range(200):
        if (await queue.depth()).ready == count:
            return
        await asyncio.sleep(0.05)
    pytest.fail("the server has not taken back what was delivered")


async def test_a_url_is_all_it_takes(sessions: Sessions, rabbitmq_server: RabbitMQServer) -> None:
    url = rabbitmq_server.url(new_name())
    async with ZohoSync(sessions, queue=url) as sync:
        await sync.create_tables()
        document = {"invoice_id": "1", "total": "9.90", "date": "2024-05-01"}
        receipt = await sync.ingest({"invoice": document})
        assert receipt.http_status == 200
        await sync.enqueue([invoice("2", 2), invoice("2", 1, "7")])
        report = await sync.status()
        assert (report.queue.ready, report.accepted) == (3, 3)
        assert await sync.drain() == {Outcome.APPLIED: 3}
        assert await totals(sessions) == {"1": Decimal("9.90"), "2": Decimal("1.10")}
        assert (await sync.status()).queue.total == 0
        await sync.enqueue([invoice("2", 2)])
        assert await sync.drain() == {Outcome.DUPLICATE: 1}


async def test_what_comes_again_after_the_commit_writes_nothing(
    sessions: Sessions, queue: RabbitMQQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process died, or the server was away, between the commit and the acknowledgement."""

    async def away(*_: Any, **__: Any) -> None:
        raise QueueUnavailable

    sync = ZohoSync(sessions, queue=queue)
    await sync.create_tables()
    await sync.enqueue([invoice("1", 1), invoice("2", 1)])
    with monkeypatch.context() as broken:
        broken.setattr(queue, "ack", away)
        assert await sync.drain() == {Outcome.APPLIED: 2}
    assert (await queue.depth()).leased == 2
    before = await totals(sessions)
    await queue.close()
    await until_ready(queue, 2)
    assert await sync.drain() == {}
    assert (await queue.depth()).total == 0
    assert await totals(sessions) == before
    assert await states(sync, "1") == await states(sync, "2") == ["applied"]


async def test_a_message_stored_twice_is_applied_once(
    sessions: Sessions, queue: RabbitMQQueue
) -> None:
    """A host that did not hear the answer enqueues once more."""
    sync = ZohoSync(sessions, queue=queue)
    await sync.create_tables()
    event = invoice("1", 1)
    await sync.enqueue([event])
    await sync.enqueue([event])
    assert (await queue.depth()).ready == 2
    await sync.drain()
    assert (await queue.depth()).total == 0
    assert await states(sync, "1") == ["applied"]


async def test_a_message_that_holds_no_event_is_a_dead_letter_with_its_bytes(
    sessions: Sessions, queue: RabbitMQQueue
) -> None:
    sync = ZohoSync(sessions, queue=queue)
    await sync.create_tables()
    await published(queue, b"\x00 not json")
    await published(queue, b"")
    await sync.enqueue([invoice("1", 1)])
    assert await sync.drain() == {Outcome.APPLIED: 1}
    letters = await sync.dead_letters.list()
    assert {letter.body for letter in letters} == {b"\x00 not json", b""}
    assert (await queue.depth()).total == 0


async def test_what_a_worker_that_was_killed_had_is_a_suspect_and_is_applied_once(
    sessions: Sessions, queue: RabbitMQQueue, rabbitmq_server: RabbitMQServer
) -> None:
    sync = ZohoSync(sessions, queue=queue)
    await sync.create_tables()
    await sync.enqueue([invoice("1", 1), invoice("2", 1)])
    url = rabbitmq_server.url(queue._server.queue)
    async with a_worker(url):
        assert (await queue.depth()).ready == 1
    await until_ready(queue, 2)
    outside = sync._runtime.queue  # what a worker claims from
    assert isinstance(outside, OutsideQueue)
    innocent = await outside.claim(9, lease=MINUTE)
    assert [job.event.entity_id for job in innocent] == ["2"]
    assert (await queue.depth()).total == 1
    (suspect,) = await outside.claim(9, lease=MINUTE)
    assert (suspect.event.entity_id, suspect.suspect, suspect.outside) == ("1", True, False)
    await outside.release([suspect, *innocent])
    assert await sync.drain() == {Outcome.APPLIED: 2}
    assert await states(sync, "1") == await states(sync, "2") == ["applied"]
    assert (await sync.status()).accepted == 2


async def test_who_stood_still_finds_that_its_job_is_anothers(
    queue: RabbitMQQueue, rabbitmq_server: RabbitMQServer
) -> None:
    """The server misses its heartbeats, and gives to another what it had."""
    await queue.enqueue([invoice("1", 1)])
    url = f"{rabbitmq_server.url(queue._server.queue)}&heartbeat=1"
    async with a_worker(url) as process:
        process.send_signal(signal.SIGSTOP)
        (job,) = await comes_again(queue)
        process.send_signal(signal.SIGCONT)
        assert job.suspect
        told, _ = await process.communicate(b"go on\n")
        assert told.strip() in {b"LeaseLost", b"QueueUnavailable"}
        await queue.ack([job])
        assert (await queue.depth()).total == 0


async def test_a_worker_outlives_the_loss_of_its_connections(
    sessions: Sessions, queue: RabbitMQQueue
) -> None:
    sync = ZohoSync(sessions, queue=queue, lease=timedelta(seconds=30))
    await sync.create_tables()
    worker = asyncio.create_task(sync.run())
    try:
        for name in ("1", "2", "3"):
            await sync.enqueue([invoice(name, 1)])
            for _ in range(500):
                if name in await totals(sessions):
                    break
                await asyncio.sleep(0.02)
            else:
                pytest.fail(f"invoice {name} was not applied")
            for line in (queue._server._publishing, queue._server._receiving):
                assert line._connection is not None
                await line._connection.close(ConnectionError("lost"))
    finally:
        worker.cancel()
        await asyncio.wait({worker})
    assert (await sync.status()).problems == ()
