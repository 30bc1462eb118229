"""What an application may be told about settled events, after their transaction has committed."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol

from zoho_sync.events import SyncEvent
from zoho_sync.outcomes import SyncResult

__all__ = ["SettledEvent", "SettledHook"]


@dataclass(frozen=True, slots=True)
class SettledEvent:
    """One event and what became of it.

    Attributes:
        event: The event.
        result: What became of it, committed.
    """

    event: SyncEvent
    result: SyncResult


class SettledHook(Protocol):
    """Called after the commit, at most once for an event; what it raises is logged and dropped.

    It runs outside the transaction: for a cache to clear or a mail to send. What must happen
    together with the rows belongs into `BaseEntityHandler.after_apply`.
    """

    def __call__(self, settled: SettledEvent, /) -> Awaitable[None] | None:
        """Hear what became of an event."""
