"""Gives each event its place among the events of its entity: the version order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from zoho_sync.events.event import Arrival, Operation, SyncEvent

__all__ = [
    "TIMELESS_DELETE_GRACE",
    "Version",
    "arrival_of",
    "from_microseconds",
    "to_microseconds",
]

TIMELESS_DELETE_GRACE: Final = timedelta(minutes=10)
"""The time that is added to the arrival of a delete without a time of its own.

An edit made just before the delete may be delivered just after it, with a time that our clock has
not reached yet; it must not revive the entity.
"""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Version(NamedTuple):
    """Where an event stands among the events of its entity; tuples compare in version order.

    Attributes:
        second: The effective second, as Unix time.
        rank: 0 for an upsert, 1 for a delete.
        arrival: Microseconds of Unix time.
        sequence: Decides between equal arrivals.
    """

    second: int
    rank: int
    arrival: int
    sequence: int

    @classmethod
    def of(cls, event: SyncEvent, *, grace: timedelta = TIMELESS_DELETE_GRACE) -> Version:
        """Return the version of an event that has arrived.

        Args:
            event: The event; its arrival is set.
            grace: How much later than it arrived a delete without a time of its own counts.
        """
        arrival, rank = arrival_of(event), int(event.operation is Operation.DELETE)
        moment = event.effective_time or arrival.time + rank * grace
        return cls(int(moment.timestamp()), rank, to_microseconds(arrival.time), arrival.sequence)

    @property
    def effective_time(self) -> datetime:
        """The effective second, aware UTC."""
        return datetime.fromtimestamp(self.second, UTC)


def to_microseconds(moment: datetime) -> int:
    """Return an aware time as microseconds of Unix time, exactly."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def from_microseconds(microseconds: int) -> datetime:
    """Return microseconds of Unix time as an aware UTC time."""
    return _EPOCH + timedelta(microseconds=microseconds)


def arrival_of(event: SyncEvent) -> Arrival:
    """Return when an event was received.

    Raises:
        ValueError: It has not been received yet.
    """
    if event.arrival is None:
        message = f"event {event.id} has no arrival"
        raise ValueError(message)
    return event.arrival
