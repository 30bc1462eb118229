"""Keeps the first attempts of events in RabbitMQ.

One of the engines of `zoho_sync.queues`: `zoho_sync.intake` stores events in it, `zoho_sync.worker`
claims them. Its client comes with the extra ``rabbitmq``, and is imported when it is needed.
"""

from __future__ import annotations

from zoho_sync.queues.rabbitmq.queue import RabbitMQQueue

__all__ = ["RabbitMQQueue"]
