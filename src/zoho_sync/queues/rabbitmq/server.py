"""Talks to a RabbitMQ server: declares a queue, publishes to it, gets and acknowledges."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from zoho_sync.database.dialects import chunks
from zoho_sync.exceptions import ConfigurationError, PayloadError, QueueUnavailable
from zoho_sync.queues.broker import together
from zoho_sync.queues.rabbitmq.address import Address
from zoho_sync.queues.rabbitmq.connection import MADE_BY, Refusal, ServerConnection
from zoho_sync.queues.rabbitmq.messages import Message
from zoho_sync.queues.rabbitmq.settings import (
    Arguments,
    arguments_for,
    has_the_servers_limit,
    limit_of,
    problem_of,
    without_limit,
)

if TYPE_CHECKING:
    from aio_pika.abc import AbstractConnection
    from aiormq.abc import AbstractChannel, DeliveredMessage

__all__ = ["RabbitMQServer"]

_log = logging.getLogger(__name__)

_AT_ONCE: Final = 100
_PERSISTENT: Final = 2
_SMALLEST_PROBE: Final = 64 * 1024
_NOT_ALLOWED: Final = "ACCESS_REFUSED"


class RabbitMQServer:
    """A queue on a server.

    Messages go over one connection and come over another: when its memory or its disk runs short, a
    server reads nothing more from a connection that publishes, acknowledgements included.

    Every method raises `QueueUnavailable` where the server does not answer, or the queue is gone.

    Args:
        target: An address, or a connection that the host has opened, which serves for both then.
        queue: The queue's name.
        timeout: Seconds to wait for an answer.
    """

    def __init__(self, target: Address | AbstractConnection, queue: str, *, timeout: float) -> None:
        where = target.url if isinstance(target, Address) else target
        self.queue = queue
        self._publishing = ServerConnection(where, timeout=timeout)
        self._receiving = ServerConnection(where, timeout=timeout)
        self._sizes = _Sizes(None)

    async def declare(self) -> None:
        """Make the queue, unless it is there.

        Raises:
            ConfigurationError: It is there, and would lose events; or it may not be made.
        """
        try:
            await self._declare()
        except Refusal as refusal:
            problem = problem_of(refusal.text)
            if problem is not None:
                message = f"the queue {self.queue!r} is not fit for events: {problem}"
                raise ConfigurationError(message) from refusal
            if not refusal.text.startswith(_NOT_ALLOWED):
                raise
            await self._look_for_it(refusal)

    async def publish(self, messages: Sequence[Message]) -> None:
        """Store messages, and return once the server has confirmed each.

        Raises:
            PayloadError: One is larger than the server's messages may be; none is stored.
        """
        await self._check_size(max(len(message.body) for message in messages))
        for part in chunks(messages, _AT_ONCE):
            async with self._publishing.answered():
                channel = await self._publishing.publishing()
                await together([_put(channel, self.queue, message) for message in part])

    async def get(self) -> DeliveredMessage | None:
        """Return the next message, which this connection holds then; None if there is none."""
        async with self._receiving.answered(asks=True):
            channel = await self._receiving.channel()
            message = await channel.basic_get(self.queue)
        return None if message.delivery_tag is None else message

    async def ready(self) -> int:
        """Return how many messages nobody holds."""
        async with self._receiving.answered(asks=True):
            channel = await self._receiving.channel()
            declared = await channel.queue_declare(self.queue, passive=True)
        return declared.message_count or 0

    async def acknowledge(self, channel: AbstractChannel, tags: Sequence[int]) -> None:
        """Let the server forget messages."""
        async with self._receiving.answered():
            # The last is waited for, and with it those before: they are on their way then.
            for tag in tags[:-1]:
                await channel.basic_ack(tag, wait=False)
            await channel.basic_ack(tags[-1])

    async def refuse(self, channel: AbstractChannel, tag: int) -> None:
        """Let the server give a message to the next who asks, as one that was delivered before."""
        async with self._receiving.answered():
            # Servers from 4.3 on do not count what is refused by `basic_nack`.
            await channel.basic_reject(tag, requeue=True)

    async def close(self) -> None:
        """Close what was opened here."""
        await self._publishing.close()
        await self._receiving.close()

    async def _look_for_it(self, refusal: Refusal) -> None:
        """Take a queue that somebody else has made, whose settings this user may not compare."""
        try:
            await self.ready()
        except Refusal:
            remedy = "give its user the permission to configure that queue, or make it for them"
            message = f"the queue cannot be made: {refusal}; {remedy}"
            raise ConfigurationError(message) from refusal
        problem = "its user may not configure it, so its settings cannot be checked"
        _log.warning("queue %s: %s", self.queue, problem)

    async def _declare(self) -> None:
        arguments = arguments_for(await self._version())
        try:
            await self._declare_as(arguments)
        except Refusal as refusal:
            if not has_the_servers_limit(refusal.text):
                raise
            problem = "the server deletes what it has delivered as often as its own limit says"
            _log.warning("queue %s: %s; set delivery-limit -1 by a policy", self.queue, problem)
            await self._declare_as(without_limit(arguments))

    async def _declare_as(self, arguments: Arguments) -> None:
        async with self._receiving.answered(), self._receiving.another_channel() as channel:
            await channel.queue_declare(self.queue, durable=True, arguments=dict(arguments))

    async def _version(self) -> str:
        async with self._receiving.answered():
            channel = await self._receiving.channel()
            return str(channel.connection.server_properties.get("version", ""))

    async def _check_size(self, largest: int) -> None:
        """Ask how large messages may be, where it is not known yet.

        The server closes the channel on one that is too large: others' messages were not confirmed
        then, and of a bulk some would be stored.
        """
        async with self._publishing.answered():
            channel = await self._publishing.publishing()
        if self._sizes.channel is not channel:
            self._sizes = _Sizes(channel)
        sizes = self._sizes
        while sizes.limit is None and sizes.accepted < largest:
            await self._probe(sizes, max(_SMALLEST_PROBE, 1 << (largest - 1).bit_length()))
        if sizes.limit is not None and largest > sizes.limit:
            problem = f"{largest} bytes are more than the server's max_message_size lets through"
            raise PayloadError("message", problem)

    async def _probe(self, sizes: _Sizes, size: int) -> None:
        try:
            async with self._publishing.answered(), self._publishing.another_channel() as channel:
                # To a queue that is not there, without asking for it back: it is only looked at.
                await channel.basic_publish(bytes(size), routing_key=uuid4().hex)
        except Refusal as refusal:
            limit = limit_of(refusal.text)
            if limit is None:
                raise
            sizes.limit = limit
        else:
            sizes.accepted = size


@dataclass
class _Sizes:
    """What is known of how large messages may be, as long as a channel lives."""

    channel: AbstractChannel | None
    accepted: int = 0
    limit: int | None = None


async def _put(channel: AbstractChannel, queue: str, message: Message) -> None:
    from aiormq import spec  # noqa: PLC0415  # an extra's
    from aiormq.exceptions import DeliveryError, PublishError  # noqa: PLC0415  # an extra's

    properties = spec.Basic.Properties(
        content_type="application/json",
        delivery_mode=_PERSISTENT,
        headers=dict(message.headers) or None,
    )
    try:
        await channel.basic_publish(
            message.body, routing_key=queue, properties=properties, mandatory=True
        )
    except PublishError as error:
        raise QueueUnavailable(f"RabbitMQ: there is no queue {queue!r}; {MADE_BY}") from error
    except DeliveryError as error:
        problem = "it is full, or too few of its servers are there"
        raise QueueUnavailable(f"RabbitMQ: the queue {queue!r} takes nothing: {problem}") from error
