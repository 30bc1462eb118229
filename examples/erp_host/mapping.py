"""Which of the ERP's columns hold what; the entity types that are not here go to the mirror."""

from __future__ import annotations

from examples.erp_host.schema import (
    Allocation,
    Article,
    Client,
    Invoice,
    InvoiceLine,
    Order,
    OrderLine,
    Receipt,
)
from zoho_sync import ChildMap, EntityMap, HandlerRegistry, Reference, default_registry
from zoho_sync.handlers import (
    CustomerHandler,
    InvoiceHandler,
    PaymentHandler,
    ProductHandler,
    SalesOrderHandler,
)

HEAD_OFFICE = 1
"""The branch to which new invoices belong."""


class Clients(CustomerHandler):
    """Customers; their table has no Zoho column, so the library links the rows."""

    mapping = EntityMap(
        table=Client,
        columns={"name": "contact_name", "email": "email", "city": "billing_address.city"},
        on_delete="soft",
        deleted_column="closed_at",
    )


class Articles(ProductHandler):
    """Products; the ERP's own articles have no Zoho id, and stay as they are."""

    mapping = EntityMap(
        table=Article,
        key="zoho_item_id",
        columns={"name": "name", "sku": "sku", "price": "rate"},
        on_delete="soft",
        deleted_column="discontinued",
    )


class Orders(SalesOrderHandler):
    """Sales orders."""

    mapping = EntityMap(
        table=Order,
        key="zoho_salesorder_id",
        columns={
            "number": "salesorder_number",
            "placed_on": "date",
            "status": "status",
            "total": "total",
        },
        references=[Reference("client_id", to="customer", source="customer_id")],
        children=[
            ChildMap(
                table=OrderLine,
                source="line_items",
                parent="order_id",
                columns={"text": "name", "quantity": "quantity", "price": "rate"},
                references=[Reference("article_id", to="product", source="item_id")],
            )
        ],
        on_delete="soft",
        deleted_column="cancelled_at",
    )


class Invoices(InvoiceHandler):
    """Invoices; the branch is written when the row is made, and belongs to the ERP from then on."""

    mapping = EntityMap(
        table=Invoice,
        key="zoho_invoice_id",
        columns={
            "number": "invoice_number",
            "issued_on": "date",
            "due_on": "due_date",
            "total": "total",
            "balance": "balance",
        },
        insert_only={"branch_id": HEAD_OFFICE},
        references=[Reference("client_id", to="customer", source="customer_id")],
        children=[
            ChildMap(
                table=InvoiceLine,
                source="line_items",
                key="zoho_line_id",
                parent="invoice_id",
                columns={
                    "text": "name",
                    "quantity": "quantity",
                    "price": "rate",
                    "amount": "item_total",
                },
                references=[Reference("article_id", to="product", source="item_id")],
            )
        ],
        on_delete="soft",
        deleted_column="voided_at",
    )


class Receipts(PaymentHandler):
    """Customer payments with what they pay; one that is deleted in Zoho disappears here too."""

    mapping = EntityMap(
        table=Receipt,
        columns={"received_on": "date", "amount": "amount", "on_account": "unused_amount"},
        references=[Reference("client_id", to="customer", source="customer_id")],
        children=[
            ChildMap(
                table=Allocation,
                source="invoices",
                parent="receipt_id",
                columns={"amount": "amount_applied"},
                references=[Reference("invoice_id", to="invoice", source="invoice_id")],
            )
        ],
        on_delete="hard",
    )


def registry() -> HandlerRegistry:
    """Return the handlers: five of the ERP's own, and the mirror's for the other entity types."""
    handlers = default_registry()
    for handler in (Clients, Articles, Orders, Invoices, Receipts):
        handlers.override(handler)
    return handlers
