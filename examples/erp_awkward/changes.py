"""What each delivery carries, and which of them count, in version order; without the library."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

from examples.erp_awkward.documents import Document
from examples.erp_awkward.host import Row
from examples.erp_awkward.lives import Delivery

_NO_TIME: Final = 1 << 40
"""What has no time of its own counts by its arrival, which is after the month."""


def text(value: Any) -> str | None:
    """Text, and None for what Zoho writes where it has nothing."""
    return None if value == "" else str(value)


def number(value: Any) -> Decimal | None:
    """A number, and None for what Zoho writes where it has none."""
    return None if value == "" else Decimal(value)


def day(value: Any) -> date | None:
    """A date, and None for what Zoho writes where it has none."""
    return None if value == "" else date.fromisoformat(value)


def city(address: Any) -> str | None:
    """The city of an address."""
    return text(address["city"]) if address else None


def custom(name: str) -> Callable[[Any], str | None]:
    """Return what reads one of the custom fields."""

    def read(fields: Any) -> str | None:
        return next(
            (text(each["value"]) for each in fields or () if each["api_name"] == name), None
        )

    return read


def listed(*names: str) -> Callable[[Any], list[tuple[Any, ...]]]:
    """Return what reads a list of lines: an id or a text first, then numbers."""

    def read(lines: Any) -> list[tuple[Any, ...]]:
        return [
            tuple(number(line[name]) if name in _NUMBERS else text(line[name]) for name in names)
            for line in lines or ()
        ]

    return read


_NUMBERS: Final = {"quantity", "rate", "amount_applied"}

Fields = tuple[tuple[str, str, Callable[[Any], Any]], ...]
FIELDS: Final[Mapping[str, Fields]] = {
    "customer": (
        ("name", "contact_name", text),
        ("email", "email", text),
        ("city", "billing_address", city),
        ("region", "custom_fields", custom("cf_region")),
        ("parent", "custom_fields", custom("cf_parent_account")),
    ),
    "vendor": (
        ("name", "contact_name", text),
        ("email", "email", text),
        ("payment_days", "payment_terms", lambda days: 30 if days == "" else days),
        ("short_name", "contact_name", lambda name: name[:8].upper()),
    ),
    "product": (
        ("Item No.", "sku", text),
        ("Name", "name", text),
        ("Unit", "unit", lambda unit: unit or "pcs"),
        ("Net Price", "rate", number),
        ("Part Of", "custom_fields", custom("cf_group_item")),
    ),
    "invoice": (
        ("number", "invoice_number", text),
        ("customer", "customer_id", text),
        ("issued_on", "date", day),
        ("status", "status", text),
        ("total", "total", number),
        ("lines", "line_items", listed("item_id", "description", "quantity", "rate")),
    ),
    "sales_order": (
        ("Number", "salesorder_number", text),
        ("Customer", "customer_id", text),
        ("Placed On", "date", day),
        ("Status", "status", text),
        ("lines", "line_items", listed("item_id", "line_item_id", "description", "quantity")),
    ),
    "payment": (
        ("Customer", "customer_id", text),
        ("Received On", "date", day),
        ("Amount", "amount", number),
        ("lines", "invoices", listed("invoice_id", "amount_applied")),
    ),
    "bill": (
        ("number", "bill_number", text),
        ("vendor", "vendor_id", text),
        ("due_on", "due_date", day),
        ("total", "total", number),
    ),
    "user": (
        ("email", "email", text),
        ("full_name", "name", text),
        ("role", "user_role", text),
    ),
}


def carried(kind: str, document: Document) -> Row:
    """Return the columns that a document carries."""
    return {column: read(document[key]) for column, key, read in FIELDS[kind] if key in document}


def fold(name: str) -> str:
    """Return a name for comparison: lower case, one space for any run of white space."""
    return " ".join(name.split()).lower()


@dataclass(frozen=True)
class Event:
    """A delivery that counts: where it stands, and what it carries."""

    version: tuple[int, bool, int]
    delivery: Delivery
    values: Row


def events_of(deliveries: Iterable[Delivery]) -> dict[str, dict[str, list[Event]]]:
    """Return, by kind and id, the events in version order.

    A delivery with a time of its own that equals an earlier one makes no event; neither does a
    draft of a bill.
    """
    found: dict[str, dict[str, list[Event]]] = {kind: {} for kind in FIELDS}
    for arrival, each in enumerate(deliveries):
        known = found[each.kind].setdefault(each.name, [])
        resent = each.second is not None and any(each == other.delivery for other in known)
        if resent or each.document.get("status") == "draft":
            continue
        second = _NO_TIME if each.second is None else each.second
        values = {} if each.deletes else carried(each.kind, each.document)
        known.append(Event((second, each.deletes, arrival), each, values))
    for named in found.values():
        for known in named.values():
            known.sort(key=lambda event: event.version)
    return found
