"""Holds the table of answers of the front door, the same over ASGI and WSGI.

Answers are small JSON objects, ``{"status": …, "event_ids": […]}``; why a delivery was refused
stands in the operator's log and never in the answer.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final, NamedTuple

from zoho_sync.events.outcome import Receipt, ReceiptStatus

__all__ = [
    "LENGTH_REQUIRED",
    "METHODS",
    "NOT_FOUND",
    "TOO_LARGE",
    "TOO_SLOW",
    "UNAVAILABLE",
    "WRONG_METHOD",
    "Answer",
    "answer_of",
]

METHODS: Final = ("POST", "PUT", "DELETE")
_RETRY_AFTER: Final = "30"
"""Seconds, after which a sender is asked to come again."""


class Answer(NamedTuple):
    """What one request is answered.

    Attributes:
        http_status: 200, 401, 404, 405, 408, 411, 413 or 503.
        status: In one word, for the sender.
        event_ids: Of what was stored.
        more_headers: Beside those that every answer has.
    """

    http_status: int
    status: str
    event_ids: Sequence[str] = ()
    more_headers: tuple[tuple[str, str], ...] = ()

    @property
    def body(self) -> bytes:
        """The JSON object."""
        said = {"status": str(self.status), "event_ids": list(self.event_ids)}
        return json.dumps(said).encode()

    @property
    def headers(self) -> list[tuple[str, str]]:
        """All headers, their names in lower case."""
        return [
            ("content-type", "application/json"),
            ("content-length", str(len(self.body))),
            ("cache-control", "no-store"),
            *self.more_headers,
        ]


NOT_FOUND: Final = Answer(404, "not_found")
WRONG_METHOD: Final = Answer(
    405, "method_not_allowed", more_headers=(("allow", ", ".join(METHODS)),)
)
TOO_SLOW: Final = Answer(408, "timeout")
"""The body did not arrive in time, or not all of it."""
LENGTH_REQUIRED: Final = Answer(411, "length_required")
"""Under WSGI: the server does not say where the body ends, so that it cannot be read."""
TOO_LARGE: Final = Answer(413, ReceiptStatus.REFUSED)
UNAVAILABLE: Final = Answer(503, "unavailable", more_headers=(("retry-after", _RETRY_AFTER),))
"""The queue is away, or too many bodies are being read at once."""


def answer_of(receipt: Receipt) -> Answer:
    """Return what a receipt is answered with."""
    return Answer(receipt.http_status, receipt.status, receipt.event_ids)
