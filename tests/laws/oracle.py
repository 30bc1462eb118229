"""What must stand in the tables in the end, found out without the library.

Nothing here imports the library, and nothing here knows of ledgers, queues or the order in which
events were applied: an oracle that shared the machinery would share its mistakes. An event is a
plain dict::

    {"type": "invoice", "id": "21", "op": "upsert", "time": 1717243200, "arrival": (…, 3),
     "document": {…}}

``time`` is the document's own, in Unix seconds, or None; ``arrival`` is microseconds of Unix time
and a sequence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

Event = Mapping[str, Any]
Values = dict[str, Any]


def text(value: Any) -> str | None:
    """Text, and NULL for what Zoho writes where it has nothing."""
    return str(value) if value != "" else None


def number(value: Any) -> Decimal | None:
    """A number, and NULL for what Zoho writes where it has none."""
    return Decimal(value) if value != "" else None


def moment(value: Any) -> datetime | None:
    """A time, UTC."""
    return datetime.fromisoformat(value).astimezone(UTC) if value != "" else None


Reader = Callable[[Any], Any]


@dataclass(frozen=True)
class Lines:
    """A list of lines: where it is in the document, its ids, and its columns by their fields."""

    source: str
    key: str
    columns: Mapping[str, tuple[str, Reader]]


@dataclass(frozen=True)
class Rows:
    """An entity type: its columns by their fields, its lists, and what its rows cannot lack."""

    columns: Mapping[str, tuple[str, Reader]]
    lists: Mapping[str, Lines] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    hard: bool = False
    keeps_document: bool = False


@dataclass
class Row:
    """One expected row; ``lists`` holds lines by their ids, within the names of their lists."""

    columns: Values
    deleted_at: datetime | None
    lists: dict[str, dict[str, Values]]


def is_resend(event: Event, known: Iterable[Event]) -> bool:
    """Whether an event is recognised as one that is known, and so makes no event.

    The limits of that are the promise's own: a return to an earlier state within one second is
    such a resend, and a document without a time never is.
    """
    compared = ("type", "id", "op", "time", "document")
    return event["time"] is not None and any(
        all(event[name] == other[name] for name in compared) for other in known
    )


def version(event: Event) -> tuple[int, bool, tuple[int, int]]:
    """Where an event stands: its second, deletes above upserts, its arrival."""
    deletes = event["op"] == "delete"
    arrived = event["arrival"][0] // 1_000_000
    timeless = arrived + (600 if deletes else 0)
    return (timeless if event["time"] is None else event["time"]), deletes, event["arrival"]


def carried(rows: Rows, event: Event) -> Values:
    """The columns that an upsert carries."""
    document = event["document"]
    values = {
        column: read(document[source])
        for column, (source, read) in rows.columns.items()
        if source in document
    }
    return values | ({"raw": document} if rows.keeps_document else {})


def carried_lists(rows: Rows, event: Event) -> dict[str, dict[str, Values]]:
    """The lists that an upsert carries, each the whole truth of its lines."""
    document = _with_thin_allocation(event["document"])
    return {
        name: {
            str(line.get(lines.key) or f"#{position}"): {
                column: read(line.get(source, ""))
                for column, (source, read) in lines.columns.items()
            }
            for position, line in enumerate(document[lines.source] or ())
        }
        for name, lines in rows.lists.items()
        if lines.source in document
    }


def _with_thin_allocation(document: Mapping[str, Any]) -> Mapping[str, Any]:
    if "payment_id" not in document or "invoices" in document or not document.get("invoice_id"):
        return document
    invoice = document["invoice_id"]
    line = {"invoice_payment_id": invoice, "invoice_id": invoice}
    if "amount" in document:
        line["amount_applied"] = document["amount"]
    return {**document, "invoices": [line]}


def final_row(rows: Rows, events: Iterable[Event]) -> Row | None:
    """The row of one entity after its events; None where it has none."""
    ordered = sorted(events, key=version)
    upserts = [event for event in ordered if event["op"] == "upsert"]
    if rows.hard and len(upserts) < len(ordered):
        return None
    if not any(rows.required <= carried(rows, event).keys() for event in upserts):
        return None
    row = Row(dict.fromkeys(rows.columns), _deleted_at(ordered[-1]), {n: {} for n in rows.lists})
    for event in upserts:
        row.columns |= carried(rows, event)
        row.lists |= carried_lists(rows, event)
    return row


def may_wait(rows: Rows, events: Iterable[Event]) -> list[Event]:
    """The events of one entity that wait for it in the end: it has no row that they could update.

    Upserts that carry nothing are not asked about: the tests make none.
    """
    events = list(events)
    killed = rows.hard and any(event["op"] == "delete" for event in events)
    if killed or final_row(rows, events) is not None:
        return []
    return [event for event in events if event["op"] == "upsert"]


def must_wait(rows: Rows, events: Iterable[Event]) -> list[Event]:
    """Those of them that are no duplicates of one that was received later and waits as well."""
    waiting = sorted(may_wait(rows, events), key=version)
    return [event for n, event in enumerate(waiting) if not is_resend(event, waiting[n + 1 :])]


def _deleted_at(newest: Event) -> datetime | None:
    if newest["op"] != "delete":
        return None
    second = newest["arrival"][0] // 1_000_000 if newest["time"] is None else newest["time"]
    return datetime.fromtimestamp(second, UTC)
