"""The table of requests and answers, which holds wherever the front door stands."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["AWAY", "MAX_BODY", "TABLE", "TOKEN", "Asked", "Given", "differences"]

TOKEN = "Sesame0pen-Sesame0pen"
MAX_BODY = 100_000
ITEM = {"item_id": "77", "name": "Desk lamp", "last_modified_time": "2026-03-01T08:00:00-0800"}
BODY = json.dumps({"item": ITEM}).encode()
LONG = json.dumps({"item": {**ITEM, "item_id": "78", "description": "x" * 80_000}}).encode()
SIGNED = {"X-Token": TOKEN}


@dataclass(frozen=True)
class Asked:
    """One request, and what it is answered.

    Attributes:
        path: Below where the front door is, encoded.
        answer: HTTP status, word, and number of event ids.
        also: Headers that the answer has besides those that all have.
    """

    method: str
    path: str
    body: bytes
    answer: tuple[int, str, int]
    headers: Mapping[str, str] = field(default_factory=lambda: SIGNED)
    also: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        size = f" {len(self.body)} bytes" if self.body else ""
        return f"{self.method} {self.path!r}{size} → {self.answer}"


@dataclass(frozen=True)
class Given:
    """What was answered; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


MISSING = (404, "not_found", 0)
WRONG = (405, "method_not_allowed", 0)
ALLOW = {"allow": "POST, PUT, DELETE"}
REFUSED = (401, "refused", 0)
ACCEPTED = (200, "accepted", 1)
DUPLICATE = (200, "duplicate", 1)
LETTER = (200, "dead_letter", 1)
LARGE = (413, "refused", 0)

TABLE = (
    Asked("POST", "/item", BODY, REFUSED, {}),
    Asked("POST", "/item", BODY, REFUSED, {"X-Token": "another"}),
    Asked("DELETE", "/item/77", b"", REFUSED, {}),
    Asked("POST", "/item", BODY, ACCEPTED),
    *(Asked("POST", path, BODY, DUPLICATE) for path in ("/item", "/item/", "/", "")),
    *(
        Asked("PUT", path, BODY, DUPLICATE)
        for path in ("/items/77", "/products/77/", "/item/%37%37")
    ),
    Asked("POST", "?entity=item&note=%C3%A4%ff", BODY, DUPLICATE),
    Asked("POST", "/?entity=item", BODY, DUPLICATE),
    Asked("POST", "/item", LONG, ACCEPTED),
    Asked("POST", "/item", LONG, DUPLICATE),
    *(Asked("DELETE", path, b"", ACCEPTED) for path in ("/item/77", "/item/77/", "/item?id=77")),
    Asked("DELETE", "/?entity=item&id=77", b"", ACCEPTED),
    Asked("DELETE", "/item", b"", LETTER),
    Asked("POST", "/item", b"{", LETTER),
    Asked("POST", "/item/78", BODY, LETTER),  # the document says 77
    *(Asked("POST", path, b"", (200, "ping", 0)) for path in ("", "/", "/item", "/item/77")),
    *(
        Asked(method, path, body, MISSING)
        for path in ("/nonsense", "/nonsense/", "/item/1/2", "/%C3%A4rger/7")
        for method, body in (("POST", BODY), ("DELETE", b""), ("GET", b""))
    ),
    *(
        Asked(method, path, b"", WRONG, headers, ALLOW)
        for path in ("", "/", "/item", "/item/77/")
        for method in ("GET", "HEAD", "PATCH", "OPTIONS")
        for headers in (SIGNED, {})
    ),
    Asked("POST", "/item", b" " * MAX_BODY, (200, "ping", 0)),
    Asked("POST", "/item", b" " * (MAX_BODY + 1), LARGE),
    Asked("PUT", "/item/77", b" " * (MAX_BODY + 1), REFUSED, {}),
    Asked("POST", "/nonsense", b" " * (MAX_BODY + 1), MISSING, {}),
)
"""In this order, on an empty database."""

AWAY = (
    *(
        Asked(method, path, body, (503, "unavailable", 0), SIGNED, {"retry-after": "30"})
        for method, path, body in (
            ("POST", "/item", BODY),
            ("POST", "/item", LONG),
            ("DELETE", "/item/77", b""),
            ("POST", "", BODY),
        )
    ),
    Asked("POST", "/item", BODY, REFUSED, {}),
    Asked("GET", "/item", b"", WRONG, SIGNED, ALLOW),
    Asked("POST", "/nonsense", BODY, MISSING),
    Asked("POST", "/item", b" " * (MAX_BODY + 1), LARGE),
)
"""Where the queue is away."""


def differences(asked: Asked, given: Given) -> str:
    """Return what is wrong with an answer; nothing if it is right."""
    found = _said(asked, given)
    want: dict[str, Any] = {
        "answer": asked.answer,
        "content-type": "application/json",
        "cache-control": "no-store",
        "length": True,
        "allow": None,
        "retry-after": None,
        "location": None,
        **asked.also,
    }
    return "" if found == want else f"{asked}: {found}"


def _said(asked: Asked, given: Given) -> dict[str, Any]:
    headers = given.headers
    if asked.method == "HEAD":
        answer: Any = (given.status, *asked.answer[1:]) if not given.body else given.body
        length = True
    else:
        try:
            said = json.loads(given.body)
            answer = (given.status, said["status"], len(said["event_ids"]))
        except (ValueError, KeyError):
            answer = (given.status, given.body[:100])
        length = headers.get("content-length") == str(len(given.body))
    names = ("content-type", "cache-control", "allow", "retry-after", "location")
    return {"answer": answer, "length": length, **{name: headers.get(name) for name in names}}
