"""Queues first attempts in RabbitMQ; the extra ``rabbitmq`` brings its client."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from zoho_sync.abc import Capabilities, Depth, Enqueued, Job
from zoho_sync.database.cancellation import finish
from zoho_sync.events.event import SyncEvent
from zoho_sync.exceptions import LeaseLost, QueueUnavailable
from zoho_sync.queues.broker import Broker, job_of, unknown_client
from zoho_sync.queues.rabbitmq.address import Address, address_of, checked_name
from zoho_sync.queues.rabbitmq.connection import require_client
from zoho_sync.queues.rabbitmq.messages import Arrivals, Delivery, Message, deliveries_of
from zoho_sync.queues.rabbitmq.server import RabbitMQServer
from zoho_sync.queues.wire import encode

if TYPE_CHECKING:
    from aio_pika.abc import AbstractConnection
    from aiormq.abc import AbstractChannel, DeliveredMessage

__all__ = ["RabbitMQQueue"]

_QUEUE: Final = "zoho_sync"


class RabbitMQQueue(Broker):
    """A quorum queue of RabbitMQ 3.10 or later, with publisher confirms.

    Promised:

    - `enqueue` answers once the server has confirmed every message: a majority of the queue's
      servers has it on disk, and it stays until it is acknowledged. The queue is declared without
      a limit of deliveries, ages or lengths, and `setup` refuses one that was declared otherwise.
    - A worker that dies is noticed at once, by its connection. What it had claimed comes again, as
      suspects. A job that is given back looks as if it had never been claimed, and comes again at
      the end of the queue: it is a copy.
    - A delivery ends with its connection: a late acknowledgement finds nothing to acknowledge.
    - A server that comes back is used again without a restart.

    Not promised:

    - RabbitMQ knows no leases. A claimed job is this client's until its connection ends, or the
      server's ``consumer_timeout`` (30 minutes). The client measures the lease itself, and gives
      back what was neither acknowledged nor extended in it. A process that stands still does not:
      its jobs wait until it goes on, or until the server misses its heartbeats (``?heartbeat=60``
      in the URL, in seconds).
    - A connection that is lost, also by a restart of the server, makes all that was claimed over it
      look as if its worker had died: each is tried alone once. So does ``consumer_timeout``.
    - Equal events are not recognised here, but when they are applied: ``deduplicates=False``. If
      the connection is lost before the confirmation, `enqueue` raises, and what was stored all the
      same is recognised by its id.
    - A server that stands alone writes down which queues it has some minutes after they were made,
      or when it ends by itself (seen with 3.10.8). One that is killed before that forgets what is
      in a new queue, and confirms nothing more for it. Before you rely on it, let it run for five
      minutes, or restart it once.
    - There are no delays; `release` gives back at once.
    - `depth` counts what is ready, and what this client holds. What other clients hold, and how
      long the oldest has been waiting, cannot be asked; watch that with RabbitMQ's own tools.
    - Arrivals are by the clock of the machine that enqueues, in order for each process: RabbitMQ
      tells no time. Keep the clocks of your front doors together.
    - Policies cannot be seen over AMQP. One that sets ``message-ttl``, ``expires`` or
      ``delivery-limit`` for this queue deletes events; a ``max-length`` refuses new ones, unless
      the policy also sets ``overflow``.

    An event that is larger than the server's ``max_message_size`` is refused with a `PayloadError`,
    and none of its bulk is stored; an application queues it in its database then. The client logs
    every frame at DEBUG, documents included: keep the logger ``aiormq`` above that.

    Args:
        server: ``amqp://user:password@host:5672/vhost?queue=name`` or ``amqps://…``, whose other
            options are aio-pika's; or an open connection of aio-pika, which is not closed. Give the
            queue one of its own: short of memory, a server reads nothing from one that publishes.
        queue: The queue's name; the URL's, or ``zoho_sync``.
        timeout: How long to wait for an answer of the server. One that does not answer in that time
            counts as lost, with what was claimed over its connection.

    Raises:
        MissingExtra: aio-pika is not installed.
        ConfigurationError: The URL, the connection or the name cannot be used.
    """

    def __init__(
        self,
        server: str | AbstractConnection,
        *,
        queue: str | None = None,
        timeout: timedelta = timedelta(seconds=10),
    ) -> None:
        target = address_of(server) if isinstance(server, str) else server
        client = require_client()
        if not isinstance(target, (Address, client.AbstractConnection)):
            raise unknown_client(server, "connection", "what aio_pika.connect() returns")
        named = target.queue if isinstance(target, Address) else ""
        name = checked_name(queue or named or _QUEUE)
        self._server = RabbitMQServer(target, name, timeout=timeout.total_seconds())
        self._arrivals = Arrivals()
        self._held: set[Delivery] = set()
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def capabilities(self) -> Capabilities:
        """It recognises no equal events, and knows no delays."""
        return Capabilities(deduplicates=False, delays=False)

    async def setup(self) -> None:
        """Make the queue; see `QueueBackend.setup`.

        Raises:
            ConfigurationError: It is there, with settings under which events would be lost; or it
                may not be made.
        """
        await finish(self._server.declare())

    async def _store(self, events: Sequence[SyncEvent]) -> list[Enqueued]:
        arrived = [replace(each, arrival=each.arrival or self._arrivals.next()) for each in events]
        await finish(self._server.publish([Message(encode(event), {}) for event in arrived]))
        return [Enqueued(event.id, event.arrival) for event in arrived]

    async def extend(self, jobs: Sequence[Job], *, lease: timedelta) -> list[Job]:
        """Lengthen leases; see `QueueBackend.extend`."""
        lost = []
        for job in jobs:
            if job.handle.is_live:
                self._hold(job.handle, lease)
            else:
                lost.append(job)
        return lost

    async def ack(self, jobs: Sequence[Job], *, connection: Any = None) -> None:  # noqa: ARG002  # the contract's
        """Acknowledge settled messages, all that are held; see `QueueBackend.ack`."""
        held, lost = self._taken(jobs)
        await finish(self._acknowledge(held))
        if lost:
            raise LeaseLost(job.event.id for job in lost)

    async def release(self, jobs: Sequence[Job], *, delay: timedelta = timedelta(0)) -> None:  # noqa: ARG002  # the contract's
        """Give messages back, at once; see `QueueBackend.release`."""
        held, _ = self._taken(jobs)
        if held:
            await finish(self._give_back(held))

    async def depth(self, *, connection: Any = None) -> Depth:  # noqa: ARG002  # the contract's
        """Return how many messages are ready, and how many are held here."""
        ready = await finish(self._server.ready())
        return Depth(ready, 0, leased=sum(1 for delivery in self._held if delivery.is_live))

    async def close(self) -> None:
        """Close the connections, unless it is the host's; the next call opens them again.

        What is held comes again, as what a worker that died had.
        """
        for delivery in self._held:
            delivery.stop()
        self._held.clear()
        if self._ending:
            await asyncio.wait(self._ending)
        await finish(self._server.close())

    async def _claim(self, limit: int, lease: timedelta, claimed: list[Job]) -> None:
        token = uuid4().hex
        while len(claimed) < limit:
            message = await self._server.get()
            if message is None:
                return
            claimed.append(self._job(message, token, lease))

    def _job(self, message: DeliveredMessage, token: str, lease: timedelta) -> Job:
        deliveries, tag = deliveries_of(message), message.delivery_tag or 0
        delivery = Delivery(message.channel, tag, message.body, earlier=deliveries - 1)
        self._hold(delivery, lease)
        return job_of(delivery, message.body, token, deliveries)

    def _hold(self, delivery: Delivery, lease: timedelta) -> None:
        delivery.ends = asyncio.get_running_loop().time() + lease.total_seconds()
        self._watch(delivery)

    def _watch(self, delivery: Delivery) -> None:
        delivery.stop()
        loop = asyncio.get_running_loop()
        delivery.timer = loop.call_at(delivery.ends, self._expire, delivery)
        self._held.add(delivery)

    def _expire(self, delivery: Delivery) -> None:
        """Give a message back whose lease is over."""
        live = delivery.is_live
        self._let_go(delivery)
        if live:
            task = asyncio.ensure_future(self._refuse(delivery))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def _refuse(self, delivery: Delivery) -> None:
        # What cannot be refused is no longer delivered here either.
        with suppress(QueueUnavailable):
            await self._server.refuse(delivery.channel, delivery.tag)

    def _taken(self, jobs: Sequence[Job]) -> tuple[list[Delivery], list[Job]]:
        """Stop holding jobs; return the deliveries of those that were held, and the other jobs."""
        held = [job.handle for job in jobs if job.handle.is_live]
        lost = [job for job in jobs if not job.handle.is_live]
        for job in jobs:
            self._let_go(job.handle)
        return held, lost

    def _let_go(self, delivery: Delivery) -> None:
        delivery.stop()
        self._held.discard(delivery)

    async def _give_back(self, deliveries: Sequence[Delivery]) -> None:
        # Refused, they would come again as what was left behind by a worker that died.
        try:
            await self._server.publish([delivery.copy() for delivery in deliveries])
        except BaseException:
            for delivery in deliveries:
                self._watch(delivery)
            raise
        # An original that stays comes once more, and is known then.
        with suppress(QueueUnavailable):
            await self._acknowledge(deliveries)

    async def _acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        tags: dict[AbstractChannel, list[int]] = {}
        for delivery in deliveries:
            tags.setdefault(delivery.channel, []).append(delivery.tag)
        for channel, numbers in tags.items():
            await self._server.acknowledge(channel, numbers)
