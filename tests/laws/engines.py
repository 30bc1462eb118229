"""The queue engines that the laws of a queue are tried on, with real servers.

A law asks an engine for what each of its processes is given as ``queue=``, hears of every call to a
server, and lets processes and leases end.
"""

from __future__ import annotations

import asyncio
import inspect
import uuid
from abc import abstractmethod
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from redis.asyncio import Redis

from tests.queues.rabbitmq_queues import deleted
from tests.queues.redis_queues import MINUTE, let_pass
from tests.servers.nats import NATSServer
from tests.servers.rabbitmq import RabbitMQServer
from tests.servers.redis import RedisServer
from zoho_sync.queues import MemoryQueue, NATSQueue, Outbox, RabbitMQQueue, RedisQueue

__all__ = ["DATABASES", "QueueEngine", "engine_of", "nobody"]


def nobody() -> None:
    """Hear of a call, and do nothing."""


class QueueEngine:
    """The queue in the host's database, beside which there is nothing.

    Attributes:
        is_outside: Whether its messages are outside the database.
        lease: How long the leases of workers are.
        heard: Called before each call to a server, and after it; what it raises, the call raises.
    """

    is_outside = False
    lease = MINUTE

    def __init__(self) -> None:
        self.heard: Callable[[], None] = nobody

    def queue(self) -> Any:
        """Return what a process that starts is given."""
        return None

    async def begin(self) -> None:
        """Forget everything that was queued."""

    async def lapse(self) -> None:
        """Let all processes end, and all leases."""

    async def end(self) -> None:
        """Leave nothing on the server."""


class Outside(QueueEngine):
    """An engine with a server of its own."""

    is_outside = True

    def __init__(self) -> None:
        super().__init__()
        self.name = ""
        self._clients: list[Any] = []

    def queue(self) -> Any:
        client = self.client()
        self._clients.append(client)
        return Watched(client, self)

    async def begin(self) -> None:
        await self.end()
        self.name = f"law_{uuid.uuid4().hex}"
        await self.queue().setup()

    async def lapse(self) -> None:
        # Those that go on are connected again by their next call.
        for client in self._clients:
            await client.close()

    async def end(self) -> None:
        self.heard = nobody
        if self._clients:
            await self.remove(self._clients[0])
            await Outside.lapse(self)
        self._clients = []

    @abstractmethod
    def client(self) -> Any:
        """Connect one more process."""

    @abstractmethod
    async def remove(self, client: Any) -> None:
        """Delete the queue."""


class Watched:
    """A client of an engine, of whose calls others hear."""

    def __init__(self, client: Any, engine: QueueEngine) -> None:
        self._client, self._engine = client, engine

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if name == "close" or not inspect.iscoroutinefunction(found):
            return found

        async def call(*arguments: Any, **named: Any) -> Any:
            self._engine.heard()
            answer = await found(*arguments, **named)
            self._engine.heard()
            return answer

        return call


class InMemory(Outside):
    """The reference, whose processes are all this one, and whose time is moved."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._queue = MemoryQueue()

    def client(self) -> Any:
        return self._queue

    async def begin(self) -> None:
        self._queue = MemoryQueue(clock=lambda: self._now)
        await super().begin()

    async def lapse(self) -> None:
        self._now += self.lease.total_seconds() + 1

    async def remove(self, client: Any) -> None:
        """Do nothing: it goes by itself."""


class OnRedis(Outside):
    """A stream of Redis or Valkey, on which the times are moved."""

    def __init__(self, server: RedisServer) -> None:
        super().__init__()
        self._server = server

    def client(self) -> Any:
        return RedisQueue(self._server.url, prefix=self.name)

    async def lapse(self) -> None:
        await super().lapse()
        client = Redis.from_url(self._server.url)
        await let_pass(self._clients[0], client, self.lease.total_seconds() + 1)
        await client.aclose()

    async def remove(self, client: Any) -> None:
        redis = Redis.from_url(self._server.url)
        await redis.delete(*client._server._keys)
        await redis.aclose()


class BehindOutbox(OnRedis):
    """The same, behind an outbox."""

    def queue(self) -> Any:
        return Outbox(super().queue())

    async def begin(self) -> None:
        await self.end()
        self.name = f"law_{uuid.uuid4().hex}"
        await super().queue().setup()


class OnNATS(Outside):
    """A stream of JetStream, whose leases have to be waited for."""

    lease = timedelta(seconds=0.5)

    def __init__(self, server: NATSServer) -> None:
        super().__init__()
        self._server = server

    def client(self) -> Any:
        return NATSQueue(self._server.url(self.name), ack_wait=self.lease)

    async def lapse(self) -> None:
        await super().lapse()
        await asyncio.sleep(self.lease.total_seconds() * 1.1)

    async def remove(self, client: Any) -> None:
        await client._server.ask(f"STREAM.DELETE.{self.name}")


class OnRabbitMQ(Outside):
    """A quorum queue, which has back what was held over a connection as that ends."""

    def __init__(self, server: RabbitMQServer) -> None:
        super().__init__()
        self._server = server

    def client(self) -> Any:
        return RabbitMQQueue(self._server.url(self.name))

    async def remove(self, client: Any) -> None:
        await deleted(client)


DATABASES: Final = {
    "memory": "sqlite",
    "redis": "postgresql",
    "nats": "sqlite",
    "rabbitmq": "postgresql",
    "outbox": "postgresql",
}
"""The engines outside, and the host's database behind each."""

_SERVED: Final[dict[str, tuple[Callable[[Any], QueueEngine], str]]] = {
    "redis": (OnRedis, "redis_server"),
    "nats": (OnNATS, "nats_server"),
    "rabbitmq": (OnRabbitMQ, "rabbitmq_server"),
    "outbox": (BehindOutbox, "redis_server"),
}


def engine_of(name: str, server: Callable[[str], Any]) -> QueueEngine:
    """Return an engine by its name.

    Args:
        name: ``sql``, or a key of `DATABASES`.
        server: Gives the server that a fixture starts.
    """
    if name in _SERVED:
        opened, fixture = _SERVED[name]
        return opened(server(fixture))
    return InMemory() if name == "memory" else QueueEngine()
