"""Declares a small ERP: tables as a host would have them, and the mappings that fill them."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Column, Date, ForeignKey, Integer, MetaData, String, Table

from zoho_sync.database.types import ExactDecimal
from zoho_sync.handlers import CustomerHandler, InvoiceHandler
from zoho_sync.handlers.registry import HandlerRegistry, default_registry
from zoho_sync.mapping.declaration import ChildMap, EntityMap, Reference

__all__ = ["customers", "invoice_lines", "invoices", "metadata", "registry"]

metadata: Final = MetaData()

customers = Table(
    "demo_customers",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(200), nullable=False),
    Column("email", String(200)),
    Column("zoho_id", String(32), unique=True),
    sqlite_autoincrement=True,
)

invoices = Table(
    "demo_invoices",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("number", String(40), nullable=False),
    Column("customer_id", ForeignKey(customers.c.id), nullable=False),
    Column("issued_on", Date, nullable=False),
    Column("total", ExactDecimal(14, 2), nullable=False),
    Column("status", String(40), nullable=False),
    Column("zoho_id", String(32), unique=True),
    sqlite_autoincrement=True,
)

# No Zoho column: the library remembers which row is which line.
invoice_lines = Table(
    "demo_invoice_lines",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("invoice_id", ForeignKey(invoices.c.id), nullable=False),
    Column("description", String(200), nullable=False),
    Column("quantity", ExactDecimal(14, 4), nullable=False),
    Column("amount", ExactDecimal(14, 2), nullable=False),
    sqlite_autoincrement=True,
)


def is_issued(invoice: Any) -> bool:
    """Return whether an invoice is one for the books; drafts are not."""
    return bool(invoice.status != "draft")


class DemoCustomers(CustomerHandler):
    """Customers, in the ERP's own table."""

    mapping = EntityMap(
        table=customers,
        key="zoho_id",
        columns={"name": "contact_name", "email": "email"},
        on_delete="ignore",
    )


class DemoInvoices(InvoiceHandler):
    """Invoices, in the ERP's own tables; one whose customer is not there yet waits for it."""

    mapping = EntityMap(
        table=invoices,
        key="zoho_id",
        columns={
            "number": "invoice_number",
            "issued_on": "date",
            "total": "total",
            "status": "status",
        },
        references=[Reference("customer_id", to="customer", source="customer_id", missing="park")],
        children=[
            ChildMap(
                table=invoice_lines,
                source="line_items",
                parent="invoice_id",
                columns={"description": "name", "quantity": "quantity", "amount": "item_total"},
            )
        ],
        on_delete="hard",
        when=is_issued,
    )


def registry() -> HandlerRegistry:
    """Return the eleven handlers, those of customers and invoices with the ERP's mappings."""
    handlers = default_registry()
    handlers.override(DemoCustomers)
    handlers.override(DemoInvoices)
    return handlers
