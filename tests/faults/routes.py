"""How a process finds the host's database and the queue: what can be handed to another process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from zoho_sync.abc import QueueBackend
from zoho_sync.queues import NATSQueue, Outbox, RabbitMQQueue, RedisQueue

__all__ = ["ENGINES", "Route"]


@dataclass(frozen=True)
class Route:
    """Where the host's database and the queue are.

    Attributes:
        database: SQLAlchemy's URL of the database.
        queue: URL of the engine's server; empty for the queue in the database.
        topic: The queue's own name on that server.
        outbox: Whether events go there by way of an outbox.
    """

    database: str
    queue: str = ""
    topic: str = ""
    outbox: bool = False

    def engine(self, lease: timedelta) -> QueueBackend | None:
        """Return the engine, or None for the one in the database."""
        scheme = self.queue.partition(":")[0]
        return ENGINES[scheme](self, lease) if scheme else None

    def queue_of(self, engine: QueueBackend | None) -> QueueBackend | Outbox | None:
        """Return what `ZohoSync` is given as its queue."""
        return Outbox(engine) if self.outbox and engine is not None else engine


ENGINES: Final[dict[str, Callable[[Route, timedelta], QueueBackend]]] = {
    "redis": lambda route, _: RedisQueue(route.queue, prefix=route.topic),
    "amqp": lambda route, _: RabbitMQQueue(route.queue, queue=route.topic),
    "nats": lambda route, lease: NATSQueue(route.queue, stream=route.topic, ack_wait=lease),
}
"""The scheme of a server's URL → its engine. A new engine takes a line here and one in `stacks`."""
