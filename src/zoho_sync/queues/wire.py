"""Encodes events as messages of an engine outside the database, and decodes them to the digit."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from zoho_sync.events.event import Arrival, Operation, SyncEvent
from zoho_sync.events.exact_json import dumps, loads
from zoho_sync.events.version import arrival_of, from_microseconds, to_microseconds
from zoho_sync.exceptions import PayloadError

__all__ = ["decode", "encode", "undecodable_event"]

_FORMAT: Final = 1


def encode(event: SyncEvent) -> bytes:
    """Return the message of an event that has arrived: JSON, UTF-8.

    Lone surrogates, which UTF-8 has no form for, are escaped.
    """
    arrival, second = arrival_of(event), event.effective_time
    message = {
        "format": _FORMAT,
        "id": event.id,
        "organization_id": event.organization_id,
        "entity_type": event.entity_type,
        "entity_id": event.entity_id,
        "operation": event.operation.value,
        "effective_second": None if second is None else int(second.timestamp()),
        "arrival": [to_microseconds(arrival.time), arrival.sequence],
        "content_hash": event.content_hash,
        "payload": event.payload,
    }
    return dumps(message).encode()


def decode(message: bytes) -> SyncEvent:
    """Return the event of a message.

    Raises:
        PayloadError: It is no message of an event, or one of a newer release.
    """
    try:
        read = loads(message)
        if read["format"] != _FORMAT:
            problem = f"format {_FORMAT} is known; upgrade the workers before what publishes"
            raise PayloadError("message.format", problem)
        return _event(read)
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        problem = f"is no event of this library: {type(error).__name__}"
        # Without that error: its text may quote the message.
        raise PayloadError("message", problem) from None


def _event(read: Mapping[str, Any]) -> SyncEvent:
    microseconds, sequence = read["arrival"]
    second = read["effective_second"]
    return SyncEvent(
        entity_type=read["entity_type"],
        entity_id=read["entity_id"],
        payload=read["payload"],
        operation=Operation(read["operation"]),
        organization_id=read["organization_id"],
        effective_time=None if second is None else datetime.fromtimestamp(second, UTC),
        arrival=Arrival(from_microseconds(microseconds), sequence),
        id=read["id"],
        content_hash=read["content_hash"],
    )


def undecodable_event(message: bytes) -> SyncEvent:
    """Return what stands for a message that holds no event: its id is the same each time."""
    digest = hashlib.sha256(message).hexdigest()
    return SyncEvent("unknown", "unknown", id=f"unreadable-{digest[:32]}")
