"""Describes messages of a queue in JetStream: their delivery, and what answers them."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

__all__ = ["ACK", "PROGRESS", "Delivery", "digest", "nak", "nanoseconds"]

ACK: Final = b"+ACK"
"""It is done: the stream forgets it."""

PROGRESS: Final = b"+WPI"
"""It is being worked on: the consumer begins to wait anew."""

_REFUSED: Final = b"-NAK"


@dataclass(eq=False)
class Delivery:
    """A message as it was delivered.

    Attributes:
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


def nak(delay: timedelta) -> bytes:
    """Return the answer that lets a message come again, not before a delay."""
    if not delay:
        return _REFUSED
    return _REFUSED + b" " + json.dumps({"delay": nanoseconds(delay)}).encode()


def digest(name: str) -> str:
    """Return what stands for a name of any characters in subjects and headers."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


def nanoseconds(span: timedelta) -> int:
    """Return a duration as the server counts it."""
    return span // timedelta(microseconds=1) * 1000
