"""Makes the events that are measured: documents in the shape of Zoho's, the same for one seed.

Seven in ten are items of about 2 KB, the others invoices of about 2.4 KB with five lines. A fifth
is about an entity that was seen before: newer, with another price, and an invoice with one line
replaced. Numbers inside nested objects are written as Python writes floats, so that everybody who
reads them can write the same text again.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

__all__ = ["KINDS", "ORGANIZATION", "Event", "Kind", "generate", "newest"]

Kind = Literal["item", "invoice"]
KINDS: Final[tuple[Kind, ...]] = ("item", "invoice")
ORGANIZATION: Final = "60000000001"

_ITEMS: Final = 0.7
_SEEN: Final = 0.2
_LINES: Final = 5
_START: Final = datetime(2024, 5, 1, tzinfo=UTC)
_NOUNS: Final = ("Bracket", "Hinge", "Bolt M8", "Cable drum", "Door closer", "Pump seal", "Valve")
_GRADES: Final = ("zinc plated", "stainless", "black", "galvanised", "brass", "nylon")
_PEOPLE: Final = ("Hotel Meridian", "Keller und Söhne", "Osprey Marine", "Patel Stores", "Vesta")
_SENTENCE: Final = (
    "Delivered in boxes of twenty; keep dry, and check the thread before it is mounted. "
)

_OF_EVERY_ITEM: Final[Mapping[str, Any]] = {
    "status": "active",
    "item_type": "inventory",
    "product_type": "goods",
    "unit": "pcs",
    "purchase_description": _SENTENCE,
    "tax_id": "3915000000000075",
    "tax_name": "Standard rate",
    "tax_percentage": 19,
    "tax_type": "tax",
    "is_taxable": True,
    "item_tax_preferences": [
        {"tax_id": "3915000000000075", "tax_specification": "intra", "tax_percentage": 19},
        {"tax_id": "3915000000000078", "tax_specification": "inter", "tax_percentage": 19},
    ],
    "hsn_or_sac": "83024190",
    "account_id": "3915000000000388",
    "account_name": "Sales",
    "purchase_account_id": "3915000000034003",
    "purchase_account_name": "Cost of goods sold",
    "inventory_account_id": "3915000000034001",
    "vendor_id": "",
    "vendor_name": "",
    "can_be_sold": True,
    "can_be_purchased": True,
    "track_inventory": True,
    "is_combo_product": False,
    "is_returnable": True,
    "brand": "Ferrum",
    "manufacturer": "Ferrum Works",
    "upc": "",
    "length": 12.5,
    "width": 4.0,
    "height": 2.25,
    "dimension_unit": "cm",
    "weight_unit": "kg",
    "source": "user",
    "has_attachment": False,
    "tags": [],
}


@dataclass(frozen=True, slots=True)
class Event:
    """Holds one change of one entity: its document as JSON text, and what a queue asks of it."""

    kind: Kind
    entity_id: str
    text: str

    @property
    def body(self) -> bytes:
        """Return the document in its wrapper, as a webhook brings it."""
        return f'{{"{self.kind}":{self.text}}}'.encode()


def generate(count: int, seed: int) -> list[Event]:
    """Return that many events; the same for the same seed."""
    return list(_events(count, random.Random(seed)))  # noqa: S311  # the same for everybody, no secret


def newest(events: Sequence[Event]) -> dict[tuple[Kind, str], Event]:
    """Return the last event of each entity, which is the newest."""
    return {(event.kind, event.entity_id): event for event in events}


def _events(count: int, chance: random.Random) -> Iterator[Event]:
    seen: Mapping[Kind, list[int]] = {kind: [] for kind in KINDS}
    for second in range(count):
        kind: Kind = "item" if chance.random() < _ITEMS else "invoice"
        known = seen[kind]
        if known and chance.random() < _SEEN:
            number = chance.choice(known)
        else:
            number = len(known)
            known.append(number)
        made = _item if kind == "item" else _invoice
        document = made(number, second, chance)
        text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
        yield Event(kind, document[f"{kind}_id"], text)


def _time(second: int) -> str:
    return (_START + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%S%z")


def _money(chance: random.Random, most: int) -> float:
    return chance.randrange(100, most * 100) / 100


def _name(number: int) -> str:
    return f"{_NOUNS[number % len(_NOUNS)]}, {_GRADES[number % len(_GRADES)]}, no. {number}"


def _item(number: int, second: int, chance: random.Random) -> dict[str, Any]:
    rate, bought, stock = _money(chance, 900), _money(chance, 500), float(chance.randrange(4000))
    name = _name(number)
    return {
        "item_id": f"39150000000{100_000 + number}",
        "name": name,
        "item_name": name,
        "sku": f"SKU-{number:07}",
        "description": f"{name}. {_SENTENCE * 2}",
        "rate": rate,
        "rate_formatted": f"€{rate:,.2f}",
        "purchase_rate": bought,
        "purchase_rate_formatted": f"€{bought:,.2f}",
        **_OF_EVERY_ITEM,
        "stock_on_hand": stock,
        "available_stock": stock,
        "actual_available_stock": stock,
        "reorder_level": float(chance.randrange(50)),
        "locations": [_location(each, stock) for each in (1, 2)],
        "ean": f"40{number:011}",
        "part_number": f"FW-{number}",
        "weight": _money(chance, 20),
        "custom_fields": [{"api_name": "cf_shelf", "label": "Shelf", "value": f"R{number % 90}"}],
        "created_time": _time(0),
        "last_modified_time": _time(second),
    }


def _location(number: int, stock: float) -> dict[str, Any]:
    return {
        "location_id": f"391500000003808{number}",
        "location_name": f"Warehouse {number}",
        "status": "active",
        "is_primary": number == 1,
        "location_stock_on_hand": stock,
    }


def _invoice(number: int, second: int, chance: random.Random) -> dict[str, Any]:
    day = _START + timedelta(days=number % 300)
    lines = [_line(number, position, second, chance) for position in range(_LINES)]
    total = round(sum(line["item_total"] for line in lines), 2)
    customer = number % 4000
    return {
        "invoice_id": f"39150000001{100_000 + number}",
        "invoice_number": f"INV-{number:06}",
        "date": f"{day:%Y-%m-%d}",
        "due_date": f"{day + timedelta(days=30):%Y-%m-%d}",
        "status": "sent",
        "customer_id": f"39150000002{100_000 + customer}",
        "customer_name": f"{_PEOPLE[customer % len(_PEOPLE)]} {customer}",
        "currency_code": "EUR",
        "exchange_rate": 1.0,
        "payment_terms": 30,
        "reference_number": "",
        "is_inclusive_tax": False,
        "sub_total": total,
        "tax_total": round(total * 0.19, 2),
        "total": round(total * 1.19, 2),
        "total_formatted": f"€{total * 1.19:,.2f}",
        "balance": round(total * 1.19, 2),
        "is_emailed": True,
        "reminders_sent": 0,
        "salesperson_name": "M. Okafor",
        "billing_address": {"address": "Hafenstr. 12", "city": "Kiel", "zip": "24103"},
        "shipping_address": {"address": "Am Kai 3", "city": "Kiel", "zip": "24103"},
        "taxes": [{"tax_name": "Standard rate (19%)", "tax_amount": round(total * 0.19, 2)}],
        "notes": _SENTENCE,
        "terms": f"Payable within thirty days. {_SENTENCE}",
        "created_by_id": "3915000000031001",
        "template_name": "Standard",
        "created_time": _time(0),
        "last_modified_time": _time(second),
        "line_items": lines,
    }


def _line(invoice: int, position: int, second: int, chance: random.Random) -> dict[str, Any]:
    rate, quantity = _money(chance, 90), float(chance.randrange(1, 40))
    # The last line is another one in every version of the invoice, so that lines go and come.
    line = f"9{second}" if position == _LINES - 1 else f"1{position}"
    item = chance.randrange(5000)
    return {
        "line_item_id": f"3915{invoice:07}{line}",
        "item_id": f"39150000000{100_000 + item}",
        "item_order": position + 1,
        "name": _name(item),
        "unit": "pcs",
        "quantity": quantity,
        "rate": rate,
        "discount": f"{position}%",
        "tax_id": "3915000000000075",
        "tax_percentage": 19,
        "item_total": round(rate * quantity, 2),
        "line_item_taxes": [],
    }
