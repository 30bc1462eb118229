"""Makes the events that queues are tested with."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from zoho_sync.abc import Job
from zoho_sync.events.event import SyncEvent

__all__ = ["PAYLOADS", "events_of", "ids"]

PAYLOADS: Final[dict[str, dict[str, Any]]] = {
    "empty": {},
    "empty text": {"text": ""},
    "one megabyte": {"text": "x" * 1_000_000},
    "NUL": {"text": "a\x00b"},
    "lone surrogates": {"text": "lone \ud800 and \udfff"},
    "emoji": {"text": "emoji 👩‍👩‍👧‍👦 and ünïcödé"},
    "order of keys": {"z": 1, "a": 2, "m": {"y": [1, None, True], "b": "x"}},
    "every digit": {"total": Decimal("99999999999999.99"), "rate": Decimal("0.1000")},
}
"""Documents that an engine is to give back as they were."""


def events_of(count: int, *, second: int | None = 0, first: int = 0) -> list[SyncEvent]:
    """Return events of so many invoices, numbered from the first one on.

    The second of their time is counted from 2024-06-01; None is for documents without a time.
    """
    moment = None
    if second is not None:
        moment = datetime(2024, 6, 1, tzinfo=UTC) + timedelta(seconds=second)
    return [
        SyncEvent("invoice", f"2{number}", {"invoice_id": f"2{number}"}, effective_time=moment)
        for number in range(first, first + count)
    ]


def ids(jobs: Sequence[Job]) -> list[str]:
    """Return the entities of jobs."""
    return [job.event.entity_id for job in jobs]
