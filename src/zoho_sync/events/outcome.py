"""Names what becomes of a delivery (`Receipt`) and of an event (`Outcome`, `SyncResult`)."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from zoho_sync.events.version import Version

__all__ = ["DeadLetterKind", "Outcome", "Receipt", "ReceiptStatus", "SyncResult"]


class Outcome(enum.StrEnum):
    """What became of an event.

    APPLIED, STALE, DUPLICATE, IGNORED and RESOLVED are settled and journalled for good; a
    DEAD_LETTER waits for an operator; PARKED and RETRY are still under way.
    """

    APPLIED = "applied"
    """The event changed the host's tables, or is the newest that the ledger knows."""
    STALE = "stale"
    """A newer event had already written everything that this one carried."""
    DUPLICATE = "duplicate"
    """Equal to one that was applied."""
    IGNORED = "ignored"
    """The mapping, or the registry, does not want it."""
    PARKED = "parked"
    """It waits for another entity."""
    RETRY = "retry"
    """It failed in a way that may pass, and waits for its next attempt."""
    DEAD_LETTER = "dead_letter"
    """It cannot be applied; it is kept, with the reason, until an operator decides."""
    RESOLVED = "resolved"
    """An operator closed its dead letter."""


class DeadLetterKind(enum.StrEnum):
    """Who has something to mend about a dead letter."""

    DATA = "data"
    """What was sent does not fit: it cannot be read, names what does not exist, or has values that
    the host's tables refuse. Whoever keeps the data corrects it; there will always be some."""
    FAILURE = "failure"
    """The application failed: its code, its mapping or schema, a service that stayed away, a worker
    that died. Worth an alarm."""


class ReceiptStatus(enum.StrEnum):
    """What the front door did with a delivery."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    PING = "ping"
    DEAD_LETTER = "dead_letter"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answer to one delivery.

    Attributes:
        status: What was done with it.
        http_status: What to answer: 200, 401 or 413.
        event_ids: Ids of the events that it made; of the equal one, for a duplicate.
        reason: Why, in words fit for an operator's log; it holds nothing of the body.
    """

    status: ReceiptStatus
    http_status: int = 200
    event_ids: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SyncResult:
    """What applying one event did.

    Attributes:
        outcome: What became of it.
        primary_key: The host's primary key: the value itself, a tuple for a composite key, or None.
        version: The event's version in the order of its entity.
        changed: The columns, and the lists of children, that were written; sorted.
        committed: Whether the library committed; False when it joined an open transaction.
        reason: Why, where the outcome alone does not say.
    """

    outcome: Outcome
    primary_key: Any = None
    version: Version | None = None
    changed: tuple[str, ...] = ()
    committed: bool = False
    reason: str = ""
