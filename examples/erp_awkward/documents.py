"""Documents as Zoho sends them: `""` for what is absent, one amount in three spellings, twins.

Keys that the ERP does not map are here too, because they are there in every real delivery.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

Document = dict[str, Any]

START: Final = datetime(2024, 5, 1, 6, 0, tzinfo=UTC)
"""When the month begins, in Zoho."""


KINDS: Final = (
    "customer",
    "vendor",
    "product",
    "invoice",
    "sales_order",
    "payment",
    "bill",
    "user",
)


def zoho_id(kind: str, number: int) -> str:
    """Return Zoho's id of an entity; customers and vendors share one space of ids."""
    return f"398100{KINDS.index(kind):02d}00{number:06d}"


def number_of(name: str) -> int:
    """Return the number that an id was made of."""
    return int(name[-6:])


def zoho_time(second: int) -> str:
    """Return a time as Zoho writes it: seconds, an offset without a colon."""
    return (START + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%S+0000")


def day(number: int) -> str:
    """Return a day of the month."""
    return (START + timedelta(days=number)).date().isoformat()


def spelt(dice: random.Random, name: str) -> str:
    """Return a name as somebody else would have typed it in: case and white space differ."""
    ways = (name, name, name.upper(), name.lower(), f" {name}", f"{name} ", name.replace(" ", "  "))
    return dice.choice((*ways, name.replace(" ", "\t"), name.replace(" ", "\u00a0")))


def amount(dice: random.Random, cents: int) -> Any:
    """Return an amount in one of Zoho's spellings."""
    exact = Decimal(cents) / 100
    return dice.choice((exact, str(exact), f"{exact:.6f}", int(exact)))


def custom_fields(values: Mapping[str, str]) -> list[Document]:
    """Return custom fields as the detail document lists them."""
    return [
        {"api_name": name, "label": name[3:].title(), "value": value, "data_type": "string"}
        for name, value in values.items()
    ]


def customer(dice: random.Random, name: str, email: str, parent: str) -> Document:
    """Return a contact of type customer."""
    city = dice.choice(("Pune", "Graz", "Porto", ""))
    region = dice.choice(("north", "south", ""))
    return {
        "contact_name": spelt(dice, name),
        "company_name": name,
        "contact_type": "customer",
        "customer_sub_type": "business",
        "status": "active",
        "email": email,
        "payment_terms": 15,
        "currency_code": "EUR",
        "outstanding_receivable_amount": amount(dice, 12_50),
        "outstanding_receivable_amount_formatted": "€12,50",
        "billing_address": {"address": "", "city": city, "zip": "", "country": ""},
        "custom_fields": custom_fields({"cf_region": region, "cf_parent_account": parent}),
    }


def vendor(dice: random.Random, name: str, email: str) -> Document:
    """Return a contact of type vendor."""
    return {
        "contact_name": spelt(dice, name),
        "contact_type": "vendor",
        "status": "active",
        "email": email,
        "payment_terms": dice.choice((7, 14, "")),
        "billing_address": "",
        "custom_fields": "",
    }


def item(dice: random.Random, name: str, sku: str, group: str) -> Document:
    """Return an item."""
    rate = amount(dice, dice.randint(100, 9999))
    return {
        "name": spelt(dice, name),
        "sku": sku,
        "status": "active",
        "unit": dice.choice(("pcs", "kg", "")),
        "rate": rate,
        "rate_formatted": f"€{rate}",
        "description": "",
        "tax_percentage": "",
        "custom_fields": custom_fields({"cf_group_item": group}),
    }


def lines(
    dice: random.Random, owner: str, items: Sequence[str], *, at_least: int = 0
) -> list[Document] | str:
    """Return lines, each of another item; `""` where there are none, as Zoho has it."""
    chosen = dice.sample(items, min(len(items), dice.randint(at_least, 3)))
    return [
        {
            "line_item_id": f"{owner}{name[-6:]}",
            "item_id": name,
            "description": dice.choice(("as agreed", "")),
            "quantity": amount(dice, dice.randint(1, 9) * 100),
            "rate": amount(dice, dice.randint(100, 9999)),
            "item_order": position,
        }
        for position, name in enumerate(chosen)
    ] or ""


def invoice(dice: random.Random, number: str, buyer: str, listed: list[Document] | str) -> Document:
    """Return an invoice."""
    total = amount(dice, dice.randint(1000, 99999))
    return {
        "invoice_number": number,
        "customer_id": buyer,
        "date": day(dice.randint(0, 29)),
        "due_date": "",
        "status": dice.choice(("sent", "viewed", "paid", "overdue")),
        "total": total,
        "total_formatted": f"€{total}",
        "balance": total,
        "line_items": listed,
    }


def order(dice: random.Random, number: str, buyer: str, listed: list[Document] | str) -> Document:
    """Return a sales order."""
    return {
        "salesorder_number": number,
        "customer_id": buyer,
        "date": day(dice.randint(0, 29)),
        "status": dice.choice(("open", "confirmed", "closed")),
        "line_items": listed,
    }


def payment(dice: random.Random, owner: str, buyer: str, paid: Sequence[str]) -> Document:
    """Return a customer payment."""
    return {
        "customer_id": buyer,
        "date": day(dice.randint(0, 29)),
        "amount": amount(dice, dice.randint(1000, 99999)),
        "payment_mode": "banktransfer",
        "unused_amount": 0,
        "invoices": [
            {
                "invoice_payment_id": f"{owner}{name[-6:]}",
                "invoice_id": name,
                "amount_applied": amount(dice, dice.randint(100, 999)),
            }
            for name in paid
        ],
    }


def bill(dice: random.Random, number: str, seller: str) -> Document:
    """Return a bill; a draft now and then."""
    return {
        "bill_number": number,
        "vendor_id": seller,
        "due_date": dice.choice((day(dice.randint(0, 29)), "")),
        "status": dice.choice(("draft", "open", "open", "paid")),
        "total": amount(dice, dice.randint(1000, 99999)),
    }


def user(dice: random.Random, name: str, email: str) -> Document:
    """Return a user; there is no time in it."""
    return {
        "name": name,
        "email": dice.choice((email, email.upper())),
        "user_role": dice.choice(("staff", "admin", "timesheetstaff")),
        "status": "active",
    }
