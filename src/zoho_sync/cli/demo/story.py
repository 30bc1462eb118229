"""Tells what the demo delivers, in this order, and what is expected to become of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from zoho_sync.cli.demo import documents
from zoho_sync.events import exact_json

__all__ = ["STORY", "Delivery"]

_FORM: Final = "application/x-www-form-urlencoded"


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


_NEWER_ITEM: Final = _json(item=documents.NEWER_ITEM)
_DELETE: Final = (("operation", "delete"),)

STORY: Final[tuple[Delivery, ...]] = (
    Delivery("a test ping: no body", b"", ("ping",)),
    Delivery("item created, rate 18.50", _json(item=documents.ITEM)),
    Delivery("customer Café Nordlys", _json(contact=documents.CUSTOMER)),
    Delivery(
        "vendor Kaffa Exporters",
        _json(organization_id=documents.ORGANIZATION, contact=documents.VENDOR),
    ),
    Delivery("sales order SO-00118, two lines", _json(salesorder=documents.ORDER)),
    Delivery(
        "invoice INV-000231, before its customer",
        _json(invoice=documents.EARLY_INVOICE),
        ("parked", "applied"),
    ),
    Delivery(
        "its customer, Hotel Meridian",
        _json(code=0, message="success", contact=documents.LATE_CUSTOMER),
    ),
    Delivery("item edited on 1 April, rate 19.75", _NEWER_ITEM),
    Delivery("item edited on 20 March, arrives late", _json(item=documents.OLDER_ITEM), ("stale",)),
    Delivery("the edit of 1 April once more", _NEWER_ITEM, ("duplicate",)),
    Delivery(
        "payment of 431.80, a flat form", urlencode(documents.PAYMENT).encode(), content_type=_FORM
    ),
    Delivery("INV-000231 is paid: a sparse update", _json(invoice=documents.SPARSE_INVOICE)),
    Delivery(
        "bill KX-7741, from a raw template",
        _json(
            event="bill.created",
            organization_id=documents.ORGANIZATION,
            data={"bill": documents.BILL},
        ),
    ),
    Delivery(
        "credit note CN-00012, JSON in a form",
        urlencode({"JSONString": _json(creditnote=documents.CREDIT_NOTE)}).encode(),
        content_type=_FORM,
    ),
    Delivery(
        "stock adjustment of -3.5 bags", _json(inventory_adjustment=documents.STOCK_ADJUSTMENT)
    ),
    Delivery("price list with two brackets", _json(pricebook=documents.PRICE_LIST)),
    Delivery("user Ingrid Solheim", _json(user=documents.USER)),
    Delivery("invoice INV-000232", _json(invoice=documents.SECOND_INVOICE)),
    Delivery("INV-000232 deleted", _json(invoice=documents.SECOND_INVOICE), query=_DELETE),
    Delivery(
        "an edit of INV-000232, after its delete",
        _json(invoice={**documents.SECOND_INVOICE, "status": "viewed"}),
        ("stale",),
    ),
    Delivery("invoice INV-000233, a draft", _json(invoice=documents.DRAFT_INVOICE), ("ignored",)),
    Delivery(
        "invoice of a customer who never comes",
        _json(invoice=documents.ORPHAN_INVOICE),
        ("parked",),
    ),
    Delivery("bill KX-7742, due on 30 February", _json(bill=documents.BAD_BILL), ("dead_letter",)),
    Delivery(
        "item with rate 0.01, signature forged",
        _json(item={**documents.ITEM, "rate": "0.01"}),
        ("refused",),
        forged=True,
    ),
)
