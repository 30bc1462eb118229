"""Messages of a queue in JetStream: their bytes, how they are delivered, and what answers them."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from zoho_sync.events.event import SyncEvent
from zoho_sync.exceptions import PayloadError
from zoho_sync.queues.wire import decode, encode

__all__ = [
    "ACK",
    "PROGRESS",
    "Delivery",
    "decoded",
    "digest",
    "encoded",
    "moment",
    "nanoseconds",
    "refusal",
]

ACK: Final = b"+ACK"
"""It is done: the stream forgets it."""

PROGRESS: Final = b"+WPI"
"""It is being worked on: the consumer begins to wait anew."""

_REFUSED: Final = b"-NAK"


@dataclass(eq=False)
class Delivery:
    """A message as it was delivered.

    Attributes:
        subject: Where it was published.
        reply: Where its acknowledgement goes.
        sequence: Its number in the stream.
        ends: When its lease ends, on this process's own clock: never later than on the server's.
    """

    subject: str
    reply: str
    sequence: int
    ends: float

    @property
    def is_live(self) -> bool:
        """Whether the lease holds."""
        return time.monotonic() < self.ends


def refusal(delay: timedelta) -> bytes:
    """Return the answer that lets a message come again, not before a delay."""
    if not delay:
        return _REFUSED
    return _REFUSED + b" " + json.dumps({"delay": nanoseconds(delay)}).encode()


def encoded(event: SyncEvent, largest: int) -> bytes:
    """Return the bytes of an event.

    Raises:
        PayloadError: There are too many of them.
    """
    body = encode(event)
    if len(body) > largest:
        problem = f"{len(body)} bytes are more than the server's max_payload lets through"
        raise PayloadError("message", problem)
    return body


def decoded(body: bytes) -> SyncEvent | None:
    """Return the event that bytes hold, or None."""
    try:
        return decode(body)
    except PayloadError:
        return None


def digest(name: str) -> str:
    """Return what stands for a name of any characters in subjects and headers."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


def nanoseconds(span: timedelta) -> int:
    """Return a duration as the server counts it."""
    return span // timedelta(microseconds=1) * 1000


def moment(text: str) -> datetime:
    """Return a time of the server's, which counts nanoseconds, cut to microseconds."""
    return datetime.fromisoformat(text)
