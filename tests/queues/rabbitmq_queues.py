"""Queues in RabbitMQ for tests, and a way there that can be cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from uuid import uuid4

from aiormq.abc import AbstractChannel

from tests.servers.rabbitmq import RabbitMQServer
from zoho_sync.abc import Job
from zoho_sync.queues import RabbitMQQueue

MINUTE = timedelta(minutes=1)


def new_name() -> str:
    return f"test_{uuid4().hex}"


@asynccontextmanager
async def new_queue(
    url: str, *, patience: timedelta = timedelta(seconds=10)
) -> AsyncIterator[RabbitMQQueue]:
    """Open a queue that is set up, and gone at the end."""
    queue = RabbitMQQueue(url, timeout=patience)
    await queue.setup()
    try:
        yield queue
    finally:
        await deleted(queue)
        await queue.close()


@asynccontextmanager
async def own_queue(server: RabbitMQServer) -> AsyncIterator[RabbitMQQueue]:
    """Open a queue with a name of its own."""
    async with new_queue(server.url(new_name())) as queue:
        yield queue


@asynccontextmanager
async def channel_of(queue: RabbitMQQueue) -> AsyncIterator[AbstractChannel]:
    """Give a channel to the queue's server, for what others do there."""
    line = queue._server._receiving
    async with line.answered(), line.another_channel() as channel:
        yield channel


async def deleted(queue: RabbitMQQueue) -> None:
    async with channel_of(queue) as channel:
        await channel.queue_delete(queue._server.queue)


async def published(queue: RabbitMQQueue, body: bytes) -> None:
    """Publish what is no event of this library."""
    async with channel_of(queue) as channel:
        await channel.basic_publish(body, routing_key=queue._server.queue)


async def claimed(queue: RabbitMQQueue, lease: timedelta = MINUTE) -> Job:
    (job,) = await queue.claim(1, lease=lease)
    return job


async def comes_again(queue: RabbitMQQueue, count: int = 1) -> list[Job]:
    """Wait until the server has heard that a connection is gone, and claim what was on it."""
    jobs: list[Job] = []
    for _ in range(400):
        jobs += await queue.claim(count - len(jobs), lease=MINUTE)
        if len(jobs) == count:
            return jobs
        await asyncio.sleep(0.05)
    message = f"{len(jobs)} of {count} messages came again"
    raise AssertionError(message)


class Way:
    """A way to a server, which a test can cut, or let nothing come back on.

    Attributes:
        address: Where it begins.
        silent: Whether what the server answers is swallowed.
    """

    def __init__(self, server: RabbitMQServer) -> None:
        self._login, _, place = server.address.rpartition("@")
        self._host, _, rest = place.partition(":")
        self._port = int(rest.partition("/")[0])
        self._writers: set[asyncio.StreamWriter] = set()
        self._back: set[asyncio.StreamWriter] = set()
        self.address = ""
        self.silent = False

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        async with await asyncio.start_server(self._serve, "127.0.0.1", 0) as listening:
            port = listening.sockets[0].getsockname()[1]
            self.address = f"{self._login}@127.0.0.1:{port}/"
            yield
            self.cut()

    def url(self, name: str) -> str:
        return f"{self.address}?queue={name}"

    def cut(self) -> None:
        """End every connection at once."""
        for writer in self._writers:
            writer.transport.abort()

    def answer(self, frame: bytes) -> None:
        """Say something to every client in the server's name."""
        for writer in self._back:
            writer.write(frame)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self._back.add(writer)
        there, on = await asyncio.open_connection(self._host, self._port)
        self._writers.add(on)
        try:
            await asyncio.gather(
                self._carry(reader, on), self._carry(there, writer, is_answer=True)
            )
        finally:
            self._writers -= {writer, on}
            self._back.discard(writer)
            for each in (writer, on):
                each.close()

    async def _carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        is_answer: bool = False,
    ) -> None:
        with suppress(OSError):
            while read := await reader.read(65536):
                if not (is_answer and self.silent):
                    writer.write(read)
                    await writer.drain()
        writer.transport.abort()
