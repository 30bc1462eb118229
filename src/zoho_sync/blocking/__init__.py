"""Lets hosts without asyncio use a `ZohoSync`: every call waits for its answer.

Stands outside `zoho_sync.app`: it runs an event loop in a thread of its own, and the same
`ZohoSync` in it.
"""

from __future__ import annotations

from zoho_sync.blocking.statement import enqueue_statement
from zoho_sync.blocking.sync import (
    BlockingDeadLetters,
    BlockingParkedEvents,
    BlockingQueuedEvents,
    BlockingSync,
)

__all__ = [
    "BlockingDeadLetters",
    "BlockingParkedEvents",
    "BlockingQueuedEvents",
    "BlockingSync",
    "enqueue_statement",
]
