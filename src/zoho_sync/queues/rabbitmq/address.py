"""Reads from a URL where a queue in RabbitMQ is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from zoho_sync.exceptions import ConfigurationError
from zoho_sync.queues.broker import unreadable_url

__all__ = ["SCHEMES", "Address", "address_of", "checked_name"]

SCHEMES: Final = ("amqp", "amqps")
_FORM: Final = "amqp://user:password@host:5672/vhost?queue=name"
_RESERVED: Final = "amq."
_LONGEST: Final = 255  # bytes; the protocol's


@dataclass(frozen=True)
class Address:
    """What the client connects to, and the queue's name, or ``""`` if the URL names none."""

    url: str = field(repr=False)
    queue: str


def address_of(url: str) -> Address:
    """Return what a URL says.

    Raises:
        ConfigurationError: It is none; its text, which may hold a password, is not quoted.
    """
    try:
        parts = urlsplit(url)
        readable = _is_readable(parts)
    except ValueError:
        readable = False
    if not readable:
        raise unreadable_url(_FORM)
    asked = dict(parse_qsl(parts.query))
    queue = asked.pop("queue", "")
    # What operators see in the list of connections.
    asked.setdefault("name", "zoho_sync")
    return Address(parts._replace(query=urlencode(asked)).geturl(), queue)


def checked_name(queue: str) -> str:
    """Return the name of a queue, or raise a `ConfigurationError` if no queue can have it."""
    if not queue or len(queue.encode("utf-8", "surrogatepass")) > _LONGEST:
        raise ConfigurationError(f"the name of a queue has 1 to {_LONGEST} bytes")
    if queue.startswith(_RESERVED):
        message = f"RabbitMQ keeps names that begin with {_RESERVED} for itself: {queue!r}"
        raise ConfigurationError(message)
    return queue


def _is_readable(parts: SplitResult) -> bool:
    login, _, place = parts.netloc.rpartition("@")
    rest = f"{login}{place}{parts.path}{parts.query}"
    port = 1 if parts.port is None else parts.port
    known = parts.scheme in SCHEMES and bool(parts.hostname) and port > 0
    # An @ or a # of a password would make a part of it the name of something else.
    return known and not parts.fragment and "@" not in rest
