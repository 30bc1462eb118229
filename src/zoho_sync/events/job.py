"""Holds an event while it is claimed: its lease, its attempts so far, and its priority."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from zoho_sync.events.event import SyncEvent

__all__ = ["BULK_PRIORITY", "DEFAULT_PRIORITY", "Job"]

DEFAULT_PRIORITY: Final = 0
"""The priority of deliveries. The smaller the number, the sooner: -1 goes before them."""

BULK_PRIORITY: Final = 100
"""The priority of what may wait for all else, such as ten thousand rows applied again."""


@dataclass(frozen=True, slots=True)
class Job:
    """An event's durable place in a queue, leased to one worker.

    Attributes:
        handle: The engine's own name for it.
        event: The event.
        lease_token: Of the claim; never used twice.
        attempts: Attempts that failed with an error.
        deaths: Workers that died while they had claimed it alone.
        suspect: Whether a worker died with it; it is claimed alone then.
        history: One entry for each failed attempt: ``{"at", "error_type", "error"}``, and the
            ``"line"`` of the application's code that failed, if any did.
        first_parked_at: When it first waited for another entity.
        priority: The smaller, the sooner; it stays with the event. `DEFAULT_PRIORITY` is 0,
            `BULK_PRIORITY` of what may wait until nothing else does is 100.
        contested: Zoho's ids of the entities whose rows have a unique value that it wants: their
            jobs are claimed together with it.
        early: How long before its time it was claimed, because another one like it was due.
        deliveries: How often an engine outside the database has delivered it, with this time.
        undecodable: The bytes of a message of such an engine that holds no event.
        outside: Whether it came from such an engine.
    """

    handle: Any
    event: SyncEvent
    lease_token: str
    attempts: int = 0
    deaths: int = 0
    suspect: bool = False
    history: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    first_parked_at: datetime | None = None
    priority: int = DEFAULT_PRIORITY
    contested: Sequence[str] = ()
    early: timedelta = timedelta(0)
    deliveries: int = 1
    undecodable: bytes | None = None
    outside: bool = False
