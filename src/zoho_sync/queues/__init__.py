"""Holds events between the front door and the workers: one engine for each kind of queue.

Comes after `zoho_sync.intake`, which stores what it has understood, and before `zoho_sync.worker`,
which claims it. Every engine implements `zoho_sync.abc.QueueBackend`.
"""

from __future__ import annotations

from zoho_sync.queues.memory import MemoryQueue
from zoho_sync.queues.nats.queue import NATSQueue
from zoho_sync.queues.outbox import Outbox
from zoho_sync.queues.outside import OutsideQueue
from zoho_sync.queues.rabbitmq.queue import RabbitMQQueue
from zoho_sync.queues.redis.queue import RedisQueue
from zoho_sync.queues.sql import SQLQueue
from zoho_sync.queues.wire import decode, encode, undecodable_event

__all__ = [
    "MemoryQueue",
    "NATSQueue",
    "Outbox",
    "OutsideQueue",
    "RabbitMQQueue",
    "RedisQueue",
    "SQLQueue",
    "decode",
    "encode",
    "undecodable_event",
]
