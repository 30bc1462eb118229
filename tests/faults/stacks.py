"""The stacks that the scenarios run on: a queue engine, and the host's database under it."""

from __future__ import annotations

import asyncio
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import aio_pika
import nats
from redis.asyncio import Redis

from tests.faults.databases import Database, MariaDB, PostgreSQL, SQLite
from tests.faults.routes import Route
from tests.servers.mariadb import PrivateMariaDB, private_mariadb
from tests.servers.nats import PrivateNATS, private_nats
from tests.servers.postgres import PrivatePostgres, private_postgres
from tests.servers.private import PrivateServer
from tests.servers.rabbitmq import PrivateRabbitMQ, private_rabbitmq
from tests.servers.redis import PrivateRedis, private_redis

_ANSWERS_WITHIN: Final = 10.0

__all__ = ["STACKS", "Broker", "Kind", "Servers", "Stack", "open_stack"]


class Servers:
    """The servers of one test process, each started when it is asked for; tests may stop them."""

    def __init__(self) -> None:
        self._open = ExitStack()

    def close(self) -> None:
        """Stop them."""
        self._open.close()

    @cached_property
    def postgres(self) -> PrivatePostgres:
        """PostgreSQL."""
        return self._open.enter_context(private_postgres())

    @cached_property
    def mariadb(self) -> PrivateMariaDB:
        """MariaDB."""
        return self._open.enter_context(private_mariadb())

    @cached_property
    def redis(self) -> PrivateRedis:
        """Valkey, which keeps what it has accepted."""
        return self._open.enter_context(private_redis())

    @cached_property
    def nats(self) -> PrivateNATS:
        """NATS."""
        return self._open.enter_context(private_nats())

    @cached_property
    def rabbitmq(self) -> PrivateRabbitMQ:
        """RabbitMQ."""
        return self._open.enter_context(private_rabbitmq())


class Broker(ABC):
    """The server of a queue engine outside the database, as its administrator sees it.

    Attributes:
        server: What may be stopped.
        topic: The name of the trial's own queue.
        counts_delivered: Whether `left` knows of messages that a worker has.
        keeps_new_queues: Whether a crash leaves a queue whole that was made a moment ago.
    """

    server: PrivateServer
    counts_delivered = True
    keeps_new_queues = True

    def __init__(self) -> None:
        self.topic = f"t{uuid.uuid4().hex}"

    @property
    @abstractmethod
    def url(self) -> str:
        """Of the server, for the engine."""

    @abstractmethod
    async def left(self) -> int:
        """Return how many messages are there, delivered or not."""

    async def end_connections(self) -> int:
        """End every other connection, where the server can; return how many there were."""
        return 0


class RedisBroker(Broker):
    """A Redis or Valkey server."""

    def __init__(self, server: PrivateRedis) -> None:
        super().__init__()
        self.server: PrivateRedis = server

    @property
    def url(self) -> str:
        return self.server.url

    async def left(self) -> int:
        client: Any = Redis.from_url(self.server.url)
        try:
            return int(await client.xlen(f"{{{self.topic}}}:events"))
        finally:
            await client.aclose()

    async def end_connections(self) -> int:
        client: Any = Redis.from_url(self.server.url)
        try:
            return int(await client.client_kill_filter(_type="normal", skipme=True))
        finally:
            await client.aclose()


class NATSBroker(Broker):
    """A NATS server."""

    def __init__(self, server: PrivateNATS) -> None:
        super().__init__()
        self.server: PrivateNATS = server

    @property
    def url(self) -> str:
        return self.server.url(self.topic)

    async def left(self) -> int:
        client = await nats.connect(f"nats://{self.server.address}", max_reconnect_attempts=1)
        try:
            info = await client.jetstream().stream_info(self.topic)
            return int(info.state.messages)
        finally:
            await client.close()


class RabbitMQBroker(Broker):
    """A RabbitMQ server. A worker that stands still is missed within seconds.

    It writes down which queues it has after some minutes, or when it ends by itself.
    """

    counts_delivered = False
    keeps_new_queues = False

    def __init__(self, server: PrivateRabbitMQ) -> None:
        super().__init__()
        self.server: PrivateRabbitMQ = server

    @property
    def url(self) -> str:
        return f"{self.server.address}?heartbeat=1"

    async def left(self) -> int:
        async with asyncio.timeout(_ANSWERS_WITHIN):
            connection = await aio_pika.connect(self.server.address)
            async with connection, connection.channel() as channel:
                queue = await channel.declare_queue(self.topic, passive=True)
                return int(queue.declaration_result.message_count or 0)

    async def end_connections(self) -> int:
        await asyncio.to_thread(self.server.control, "close_all_connections", "a test")
        return 1


@dataclass(frozen=True)
class Kind:
    """A stack by its parts: what can go wrong there follows from it.

    Attributes:
        name: In the table of results.
        database: SQLAlchemy's name of the host's database.
        broker: The engine whose queue is outside of it, if it is.
        outbox: Whether events go there by way of an outbox.
    """

    name: str
    database: str
    broker: str = ""
    outbox: bool = False

    @property
    def served(self) -> bool:
        """Whether the database has a server."""
        return self.database != "sqlite"


@dataclass
class Stack:
    """A queue engine on a database, both of one trial.

    Attributes:
        kind: What it is made of.
        database: The host's.
        broker: The engine's server; None where the queue is in the database.
    """

    kind: Kind
    database: Database
    broker: Broker | None = None

    @property
    def route(self) -> Route:
        """How a process finds both."""
        if self.broker is None:
            return Route(self.database.url)
        return Route(self.database.url, self.broker.url, self.broker.topic, self.kind.outbox)

    @property
    def server(self) -> PrivateServer | None:
        """The server of the queue: the engine's, or the database's."""
        return self.broker.server if self.broker is not None else self.database.server

    def ways_to_end(self, server: PrivateServer) -> list[Callable[[], None]]:
        """Return how a server may end that keeps what it has accepted."""
        broker = self.broker
        if broker is not None and server is broker.server and not broker.keeps_new_queues:
            return [server.stop]
        return [server.stop, server.kill]

    async def left(self) -> int:
        """Return how much is queued: in the outbox, in the engine, and in the jobs table."""
        relayed = self.database.count("zoho_sync_outbox")
        outside = await self.broker.left() if self.broker is not None else 0
        return relayed + outside + self.database.count("zoho_sync_jobs")


_DATABASES: Final[dict[str, Callable[[Servers, Path], Database]]] = {
    "postgresql": lambda servers, _: PostgreSQL(servers.postgres),
    "mysql": lambda servers, _: MariaDB(servers.mariadb),
    "sqlite": lambda _, folder: SQLite(folder / "shop.db"),
}
_BROKERS: Final[dict[str, Callable[[Servers], Broker]]] = {
    "redis": lambda servers: RedisBroker(servers.redis),
    "nats": lambda servers: NATSBroker(servers.nats),
    "rabbitmq": lambda servers: RabbitMQBroker(servers.rabbitmq),
}
STACKS: Final = {
    "postgresql": Kind("SQL on PostgreSQL", "postgresql"),
    "mariadb": Kind("SQL on MariaDB", "mysql"),
    "sqlite": Kind("SQL on SQLite", "sqlite"),
    "redis": Kind("Redis, PostgreSQL", "postgresql", "redis"),
    "nats": Kind("NATS, PostgreSQL", "postgresql", "nats"),
    "rabbitmq": Kind("RabbitMQ, PostgreSQL", "postgresql", "rabbitmq"),
    "outbox": Kind("outbox and Redis, PostgreSQL", "postgresql", "redis", outbox=True),
}
"""The stacks by the names of their tests."""


def open_stack(kind: Kind, servers: Servers, folder: Path) -> Stack:
    """Make what one trial needs: an empty database, and a queue of a new name."""
    broker = _BROKERS[kind.broker](servers) if kind.broker else None
    return Stack(kind, _DATABASES[kind.database](servers, folder), broker)
