"""Tells what the demo delivers, in this order, and what is expected to become of it.

A small coffee roastery, as Zoho would send it. Numbers, offsets, blanks and doubled fields are of
the kinds that real documents hold: amounts as integers, decimals and text by turns, ``""`` for what
is not there, ``*_formatted`` twins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlencode

from zoho_sync.events import exact_json

__all__ = ["ORGANIZATION", "STORY", "Delivery"]

Document = Mapping[str, Any]

_FORM: Final = "application/x-www-form-urlencoded"

ORGANIZATION: Final = "60021987345"

_ITEM_ID: Final = "3915000000101007"
_CUSTOMER_ID: Final = "3915000000202011"
_LATE_CUSTOMER_ID: Final = "3915000000202045"
_VENDOR_ID: Final = "3915000000203002"
_INVOICE_ID: Final = "3915000000404019"

_BEANS: Final = "Yirgacheffe, whole bean, 1 kg"

ITEM: Final[Document] = {
    "item_id": _ITEM_ID,
    "name": _BEANS,
    "sku": "COF-YIR-1000",
    "status": "active",
    "item_type": "inventory",
    "unit": "bag",
    "rate": Decimal("18.50"),
    "rate_formatted": "€18,50",
    "purchase_rate": "11.20",
    "stock_on_hand": Decimal("140.00"),
    "reorder_level": "",
    "cf_roast": "light",
    "created_time": "2025-03-03T09:12:44+0100",
    "last_modified_time": "2025-03-03T09:12:44+0100",
}


def _edited_item(rate: str, modified: str) -> Document:
    formatted = f"€{rate.replace('.', ',')}"
    price = {"rate": Decimal(rate), "rate_formatted": formatted}
    return {**ITEM, **price, "last_modified_time": modified}


def _line(line_item_id: str, quantity: Any, rate: Any, item_total: Any, **changed: str) -> Document:
    return {
        "line_item_id": line_item_id,
        "item_id": _ITEM_ID,
        "name": _BEANS,
        "quantity": quantity,
        "rate": rate,
        "item_total": item_total,
        **changed,
    }


CUSTOMER: Final[Document] = {
    "contact_id": _CUSTOMER_ID,
    "contact_name": "Café Nordlys",
    "contact_type": "customer",
    "company_name": "Nordlys Drift AS",
    "email": "innkjop@nordlys.example",
    "status": "active",
    "payment_terms": 14,
    "outstanding_receivable_amount": 0,
    "billing_address": {"city": "Tromsø ", "zip": 9008, "country": "Norway"},
    "last_modified_time": "2025-03-04T10:20:00+0100",
}
LATE_CUSTOMER: Final[Document] = {
    **CUSTOMER,
    "contact_id": _LATE_CUSTOMER_ID,
    "contact_name": "Hotel Meridian",
    "company_name": "Meridian Hospitality GmbH",
    "email": "ap@meridian.example",
    "payment_terms": "30",
    "billing_address": {"city": "Lübeck", "zip": "23552", "country": "Germany"},
    "last_modified_time": "2025-03-18T15:00:12+0100",
}
VENDOR: Final[Document] = {
    "contact_id": _VENDOR_ID,
    "contact_name": "Kaffa Exporters PLC",
    "contact_type": "vendor",
    "status": "active",
    "currency_code": "USD",
    "payment_terms": -3,
    # More digits than a binary float holds.
    "credit_limit": Decimal("99999999999999.99"),
    "gst_no": "",
    "last_modified_time": "2025-03-05T11:45:31+0100",
}

ORDER: Final[Document] = {
    "salesorder_id": "3915000000303008",
    "salesorder_number": "SO-00118",
    "customer_id": _CUSTOMER_ID,
    "date": "2025-03-06",
    "shipment_date": "2025-03-10",
    "status": "open",
    "order_status": "open",
    "invoiced_status": "not_invoiced",
    "total": Decimal("333.00"),
    "line_items": [
        _line("3915000000303010", 12, Decimal("18.50"), Decimal("222.00")),
        _line(
            "3915000000303012",
            Decimal("1.00"),
            "111.0",
            111,
            item_id="",
            name="Barista course, half a day",
        ),
    ],
    "last_modified_time": "2025-03-06T09:30:00+0100",
}


def _invoice(number: str, invoice_id: str, customer_id: str, **changed: Any) -> Document:
    return {
        "invoice_id": invoice_id,
        "invoice_number": number,
        "customer_id": customer_id,
        "date": "2025-03-18",
        "due_date": "2025-04-17",
        "status": "sent",
        "exchange_rate": "",
        "total": Decimal("431.80"),
        "total_formatted": "€431,80",
        "balance": Decimal("431.80"),
        "line_items": [
            _line(f"{invoice_id[:-2]}71", 20, Decimal("19.75"), Decimal("395.00")),
            _line(f"{invoice_id[:-2]}72", 1, "36.80", "36.80", item_id="", name="Freight"),
        ],
        "last_modified_time": "2025-03-18T14:58:01+0100",
        **changed,
    }


EARLY_INVOICE: Final = _invoice("INV-000231", _INVOICE_ID, _LATE_CUSTOMER_ID)
SPARSE_INVOICE: Final[Document] = {
    "invoice_id": _INVOICE_ID,
    "status": "paid",
    "balance": 0,
    "last_modified_time": "2025-04-02T07:10:33+0200",
}
SECOND_INVOICE: Final = _invoice("INV-000232", "3915000000404033", _CUSTOMER_ID)
DRAFT_INVOICE: Final = _invoice("INV-000233", "3915000000404057", _CUSTOMER_ID, status="draft")
ORPHAN_INVOICE: Final = _invoice("INV-000234", "3915000000404081", "3915000000202099")

PAYMENT: Final[Mapping[str, str]] = {
    "payment_id": "3915000000505003",
    "payment_number": "87",
    "payment_mode": "banktransfer",
    "customer_id": _LATE_CUSTOMER_ID,
    "invoice_id": _INVOICE_ID,
    "invoice_number": "INV-000231",
    "date": "2025-04-02",
    "amount": "431.80",
    "unused_amount": "0.00",
    "updated_time": "2025-04-02T07:10:33+0200",
}

BILL: Final[Document] = {
    "bill_id": "3915000000606021",
    "bill_number": "KX-7741",
    "vendor_id": _VENDOR_ID,
    "date": "2025-03-11",
    "due_date": "2025-04-10",
    "status": "open",
    "currency_code": "USD",
    "total": "10820.0",
    "line_items": [
        _line("3915000000606023", Decimal("966.071429"), "11.20", "10820.0"),
    ],
    "last_modified_time": "2025-03-11T12:00:00.000Z",
}
BAD_BILL: Final[Document] = {
    **BILL,
    "bill_id": "3915000000606044",
    "bill_number": "KX-7742",
    "due_date": "2025-02-30",
}

CREDIT_NOTE: Final[Document] = {
    "creditnote_id": "3915000000707005",
    "creditnote_number": "CN-00012",
    "customer_id": _CUSTOMER_ID,
    "date": "2025-03-14",
    "status": "open",
    "total": Decimal("37.00"),
    "line_items": [
        _line("3915000000707007", 2, Decimal("18.50"), 37),
    ],
    "last_modified_time": "2025-03-14T09:05:59+0100",
}

STOCK_ADJUSTMENT: Final[Document] = {
    "inventory_adjustment_id": "3915000000808006",
    "date": "2025-03-17",
    "reason": "Stock taking",
    "adjustment_type": "quantity",
    "status": "adjusted",
    "line_items": [
        {
            "line_item_id": "3915000000808008",
            "item_id": _ITEM_ID,
            "quantity_adjusted": Decimal("-3.5"),
        }
    ],
    "last_modified_time": "2025-03-17T18:22:10+0100",
}

PRICE_LIST: Final[Document] = {
    "pricebook_id": "3915000000909001",
    "name": "Wholesale",
    "status": "active",
    "currency_code": "EUR",
    "pricebook_type": "per_item",
    "pricing_scheme": "volume",
    "pricebook_items": [
        {
            "item_id": _ITEM_ID,
            "price_brackets": [
                {"start_quantity": 1, "end_quantity": 49, "pricebook_rate": "17.40"},
                {"start_quantity": 50, "end_quantity": "", "pricebook_rate": Decimal("16.25")},
            ],
        }
    ],
}

USER: Final[Document] = {
    "user_id": 3915000000010023,
    "name": "Ingrid Solheim",
    "email": "ingrid@roastery.example",
    "user_role": "staff",
    "status": "active",
}


@dataclass(frozen=True, slots=True)
class Delivery:
    """One HTTP request, and the states that it should be recorded in, one after the other.

    If it is forged, it is signed with another secret.
    """

    title: str
    body: bytes
    expected: tuple[str, ...] = ("applied",)
    content_type: str = "application/json"
    query: tuple[tuple[str, str], ...] = ()
    forged: bool = False


def _json(**body: Any) -> bytes:
    return exact_json.dumps(body).encode()


_NEWER_ITEM: Final = _json(item=_edited_item("19.75", "2025-04-01T08:00:05+0200"))
_OLDER_ITEM: Final = _json(item=_edited_item("18.90", "2025-03-20T16:31:50+0100"))
_DELETE: Final = (("operation", "delete"),)

STORY: Final[tuple[Delivery, ...]] = (
    Delivery("a test ping: no body", b"", ("ping",)),
    Delivery("item created, rate 18.50", _json(item=ITEM)),
    Delivery("customer Café Nordlys", _json(contact=CUSTOMER)),
    Delivery("vendor Kaffa Exporters", _json(organization_id=ORGANIZATION, contact=VENDOR)),
    Delivery("sales order SO-00118, two lines", _json(salesorder=ORDER)),
    Delivery(
        "invoice INV-000231, before its customer",
        _json(invoice=EARLY_INVOICE),
        ("parked", "applied"),
    ),
    Delivery(
        "its customer, Hotel Meridian", _json(code=0, message="success", contact=LATE_CUSTOMER)
    ),
    Delivery("item edited on 1 April, rate 19.75", _NEWER_ITEM),
    Delivery("item edited on 20 March, arrives late", _OLDER_ITEM, ("stale",)),
    Delivery("the edit of 1 April once more", _NEWER_ITEM, ("duplicate",)),
    Delivery("payment of 431.80, a flat form", urlencode(PAYMENT).encode(), content_type=_FORM),
    Delivery("INV-000231 is paid: a sparse update", _json(invoice=SPARSE_INVOICE)),
    Delivery(
        "bill KX-7741, from a raw template",
        _json(event="bill.created", organization_id=ORGANIZATION, data={"bill": BILL}),
    ),
    Delivery(
        "credit note CN-00012, JSON in a form",
        urlencode({"JSONString": _json(creditnote=CREDIT_NOTE)}).encode(),
        content_type=_FORM,
    ),
    Delivery("stock adjustment of -3.5 bags", _json(inventory_adjustment=STOCK_ADJUSTMENT)),
    Delivery("price list with two brackets", _json(pricebook=PRICE_LIST)),
    Delivery("user Ingrid Solheim", _json(user=USER)),
    Delivery("invoice INV-000232", _json(invoice=SECOND_INVOICE)),
    Delivery("INV-000232 deleted", _json(invoice=SECOND_INVOICE), query=_DELETE),
    Delivery(
        "an edit of INV-000232, after its delete",
        _json(invoice={**SECOND_INVOICE, "status": "viewed"}),
        ("stale",),
    ),
    Delivery("invoice INV-000233, a draft", _json(invoice=DRAFT_INVOICE), ("ignored",)),
    Delivery("invoice of a customer who never comes", _json(invoice=ORPHAN_INVOICE), ("parked",)),
    Delivery("bill KX-7742, due on 30 February", _json(bill=BAD_BILL), ("dead_letter",)),
    Delivery(
        "item with rate 0.01, signature forged",
        _json(item={**ITEM, "rate": "0.01"}),
        ("refused",),
        forged=True,
    ),
)
