"""Maps Zoho's entities to the ERP's tables; tests vary a mapping with `dataclasses.replace`."""

from __future__ import annotations

from typing import Any, Final

from tests.hosts.tables import (
    allocations,
    clients,
    invoice_lines,
    invoices,
    payments,
    products,
)
from zoho_sync import ABSENT, BaseEntityHandler, ChildMap, EntityMap, Reference
from zoho_sync.handlers import CustomerHandler, InvoiceHandler, PaymentHandler, ProductHandler
from zoho_sync.payloads import ProductPayload


def is_active(payload: ProductPayload) -> Any:
    """Zoho says ``status``; a document without it leaves the column alone."""
    if "status" not in payload.model_fields_set:
        return ABSENT
    return payload.status == "active"


CLIENTS: Final = EntityMap(
    table=clients,
    key="zoho_id",
    columns={"name": "contact_name", "email": "email"},
    insert_only={"created_by": "zoho"},
    deleted_column="deleted_at",
)
PRODUCTS: Final = EntityMap(
    table=products,
    key="zoho_id",
    columns={
        "name": "name",
        "sku": "sku",
        "price": "rate",
        "stock": "stock_on_hand",
        "active": is_active,
    },
    deleted_column="discontinued",
)
LINES: Final = ChildMap(
    table=invoice_lines,
    source="line_items",
    key="zoho_id",
    parent="invoice_id",
    columns={"name": "name", "quantity": "quantity", "rate": "rate"},
    references=[Reference("product_id", to="product", source="item_id")],
)
INVOICES: Final = EntityMap(
    table=invoices,
    key="zoho_id",
    columns={
        "number": "invoice_number",
        "total": "total",
        "balance": "balance",
        "issued_on": "date",
        "status": "status",
        "note": "notes",
    },
    insert_only={"branch": 7},
    references=[Reference("client_id", to="customer", source="customer_id")],
    children=[LINES],
    deleted_column="deleted_at",
)
PAYMENTS: Final = EntityMap(
    table=payments,
    key="zoho_id",
    columns={"number": "payment_number", "amount": "amount", "unused": "unused_amount"},
    references=[Reference("client_id", to="customer", source="customer_id")],
    children=[
        ChildMap(
            table=allocations,
            source="invoices",
            key="zoho_id",
            parent="payment_id",
            columns={"amount": "amount_applied"},
            references=[Reference("invoice_id", to="invoice", source="invoice_id")],
        )
    ],
    deleted_column="deleted_at",
)


class Clients(CustomerHandler):
    mapping = CLIENTS


class Products(ProductHandler):
    mapping = PRODUCTS


class Invoices(InvoiceHandler):
    mapping = INVOICES


class Payments(PaymentHandler):
    mapping = PAYMENTS


HANDLERS: Final[tuple[type[BaseEntityHandler[Any]], ...]] = (Clients, Products, Invoices, Payments)
