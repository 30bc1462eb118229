"""Describes messages of a queue in RabbitMQ: their delivery, their count and their arrival."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from zoho_sync.events.event import Arrival

if TYPE_CHECKING:
    from aiormq.abc import AbstractChannel, DeliveredMessage

__all__ = ["Arrivals", "Delivery", "Message", "deliveries_of"]

_EARLIER: Final = "zoho-sync-deliveries"
"""The header of a copy: how often its original had been delivered before."""

_COUNT: Final = "x-delivery-count"
_BITS: Final = 20


class Message(NamedTuple):
    """What is published."""

    body: bytes
    headers: Mapping[str, int]


@dataclass(eq=False)
class Delivery:
    """A message as it was delivered.

    Attributes:
        channel: What it was delivered over; it dies with that.
        tag: Its number there.
        earlier: How often it had been delivered before.
        ends: When its lease ends, on the event loop's clock.
        timer: What ends it then; None while nobody holds it.
    """

    channel: AbstractChannel
    tag: int
    body: bytes = field(repr=False)
    earlier: int
    ends: float = 0.0
    timer: asyncio.TimerHandle | None = None

    @property
    def is_live(self) -> bool:
        """Whether it is held, so that nobody else can have it."""
        return self.timer is not None and not self.channel.is_closed

    def stop(self) -> None:
        """Hold it no longer."""
        if self.timer is not None:
            self.timer.cancel()
        self.timer = None

    def copy(self) -> Message:
        """Return the message once more, as if it had not been delivered this time."""
        return Message(self.body, {_EARLIER: self.earlier} if self.earlier else {})


class Arrivals:
    """Arrivals by this machine's clock, each later than the one before.

    Two processes that see the same microsecond give different sequences.
    """

    def __init__(self) -> None:
        self._last = datetime.min.replace(tzinfo=UTC)
        self._numbers = itertools.count(1)
        self._own = secrets.randbits(_BITS)

    def next(self) -> Arrival:
        """Return the arrival of an event that is received now."""
        # A clock that is set back does not turn the order round.
        self._last = max(self._last, datetime.now(UTC))
        return Arrival(self._last, next(self._numbers) << _BITS | self._own)


def deliveries_of(message: DeliveredMessage) -> int:
    """Return how often a message has been delivered, with this time."""
    headers: Mapping[str, Any] = message.header.properties.headers or {}
    # Which returns the server counts depends on its release; the flag is always there.
    returns = max(_number(headers, _COUNT), int(bool(message.redelivered)))
    return _number(headers, _EARLIER) + returns + 1


def _number(headers: Mapping[str, Any], name: str) -> int:
    value = headers.get(name)
    return value if isinstance(value, int) and value > 0 else 0
