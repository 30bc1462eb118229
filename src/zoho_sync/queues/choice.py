"""Chooses the queue that an application asked for: its own engine, one of ours, or its database."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from zoho_sync.abc import QueueBackend
from zoho_sync.database.dialects import Clock
from zoho_sync.exceptions import ConfigurationError
from zoho_sync.queues.memory import MemoryQueue
from zoho_sync.queues.nats.queue import NATSQueue
from zoho_sync.queues.outbox import Outbox, OutboxQueue
from zoho_sync.queues.outside import OutsideQueue
from zoho_sync.queues.rabbitmq.address import SCHEMES as RABBITMQ_SCHEMES
from zoho_sync.queues.rabbitmq.queue import RabbitMQQueue
from zoho_sync.queues.redis.queue import RedisQueue
from zoho_sync.queues.redis.server import SCHEMES as REDIS_SCHEMES
from zoho_sync.queues.sql import SQLQueue
from zoho_sync.store.tables import Tables

__all__ = ["queue_from"]

_ENGINES: Final[Mapping[str, Callable[[str], QueueBackend]]] = {
    "memory": lambda _: MemoryQueue(),
    **dict.fromkeys(RABBITMQ_SCHEMES, RabbitMQQueue),
    "nats": NATSQueue,
    **dict.fromkeys(sorted(REDIS_SCHEMES), RedisQueue),
}

_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]{0,20}://", re.IGNORECASE)


def queue_from(
    queue: QueueBackend | Outbox | str | None,
    session_factory: Callable[[], AsyncSession],
    tables: Tables,
    clock: Clock | None,
) -> QueueBackend:
    """Return the queue that an application asked for: its own, or the one in its database.

    Raises:
        ConfigurationError: No engine has that URL.
        MissingExtra: The client of that engine is not installed.
    """
    if queue is None:
        return SQLQueue(session_factory, tables=tables, clock=clock)
    if isinstance(queue, Outbox):
        behind = _engine_of(queue.engine) if isinstance(queue.engine, str) else queue.engine
        return OutboxQueue(behind, session_factory, tables=tables, clock=clock)
    engine = _engine_of(queue) if isinstance(queue, str) else queue
    if engine.capabilities.completes_in_transaction or isinstance(engine, OutsideQueue):
        return engine
    return OutsideQueue(engine, session_factory, tables=tables, clock=clock)


def _engine_of(url: str) -> QueueBackend:
    scheme = url.partition(":")[0]
    if scheme in _ENGINES:
        return _ENGINES[scheme](url)
    # What has no scheme is not repeated: it may be a secret.
    named = f"the scheme {scheme!r}" if _SCHEME.match(url) else "no scheme"
    known = ", ".join(f"{each}://" for each in _ENGINES)
    message = (
        f"no queue engine has URLs of {named}; known are {known}. Leave queue= out for the queue "
        "in your own database, or pass an object that implements zoho_sync.abc.QueueBackend"
    )
    raise ConfigurationError(message)
