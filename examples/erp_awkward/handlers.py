"""Which of the ERP's columns hold what: eight mappings, and no code but a few callables."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, func

from examples.erp_awkward.tables import (
    HEAD_OFFICE,
    Bill,
    Customer,
    Employee,
    Invoice,
    InvoiceLine,
    Vendor,
    allocations,
    order_lines,
    orders,
    receipts,
    stock_items,
)
from zoho_sync import ChildMap, EntityMap, HandlerRegistry, Reference, custom_field
from zoho_sync.handlers import (
    BillHandler,
    CustomerHandler,
    InvoiceHandler,
    PaymentHandler,
    ProductHandler,
    SalesOrderHandler,
    UserHandler,
    VendorHandler,
)
from zoho_sync.mapping import ABSENT, Absent, folded
from zoho_sync.payloads import BillPayload, VendorPayload

COST_CENTRE = 4711
"""Where bills are booked first; the accountants move them later."""


class Customers(CustomerHandler):
    """Adopted by name, however it is spelt; the library links the rows.

    A parent that has not arrived is a debt: the column is NULL until it does.
    """

    mapping = EntityMap(
        table=Customer,
        adopt=[("name", folded)],
        columns={
            "name": "contact_name",
            "email": "email",
            "city": "billing_address.city",
            "region": custom_field("cf_region"),
        },
        references=[
            Reference(
                "parent_id",
                to="customer",
                source=custom_field("cf_parent_account"),
                missing="null",
            )
        ],
        on_delete="soft",
        deleted_column="closed_at",
    )


def short_name(vendor: VendorPayload) -> ColumnElement[str] | Absent:
    """Let the database shorten the name, as it does for the vendors that are typed in."""
    if "contact_name" not in vendor.model_fields_set:
        return ABSENT
    return func.upper(func.substr(vendor.contact_name, 1, 8))


class Vendors(VendorHandler):
    """Found by the Zoho column. Vendors that are deleted in Zoho stay: old bills name them."""

    mapping = EntityMap(
        table=Vendor,
        key="zoho_vendor_id",
        columns={
            "name": "contact_name",
            "email": "email",
            "payment_days": "payment_terms",
            "short_name": short_name,
        },
        on_delete="ignore",
    )


class StockItems(ProductHandler):
    """Adopted by name as well, and given Zoho's id then; the warehouse's own columns stay."""

    mapping = EntityMap(
        table=stock_items,
        key="Zoho Item",
        adopt=[("Name", folded)],
        columns={"Item No.": "sku", "Name": "name", "Unit": "unit", "Net Price": "rate"},
        references=[
            Reference("Part Of", to="product", source=custom_field("cf_group_item"), missing="null")
        ],
        on_delete="soft",
        deleted_column="Discontinued?",
    )


class Invoices(InvoiceHandler):
    """Wait for their customer; a line whose item is unknown is written without it for now."""

    mapping = EntityMap(
        table=Invoice,
        columns={
            "number": "invoice_number",
            "issued_on": "date",
            "status": "status",
            "total": "total",
        },
        insert_only={"branch_id": HEAD_OFFICE},
        references=[Reference("customer_id", to="customer", source="customer_id")],
        children=[
            ChildMap(
                table=InvoiceLine,
                source="line_items",
                parent="invoice_id",
                columns={"text": "description", "quantity": "quantity", "price": "rate"},
                references=[Reference("item_key", to="product", source="item_id", missing="null")],
            )
        ],
        on_delete="soft",
        deleted_column="void",
    )


class Orders(SalesOrderHandler):
    """Wait for their customer and for every item: the warehouse cannot pack what has no shelf."""

    mapping = EntityMap(
        table=orders,
        columns={"Number": "salesorder_number", "Placed On": "date", "Status": "status"},
        references=[Reference("Customer", to="customer", source="customer_id")],
        children=[
            ChildMap(
                table=order_lines,
                source="line_items",
                key="Zoho Line",
                parent="order ID",
                columns={"Quantity": "quantity", "Text": "description"},
                references=[Reference("Item", to="product", source="item_id")],
            )
        ],
        on_delete="soft",
        deleted_column="Cancelled On",
    )


class Receipts(PaymentHandler):
    """Wait for their invoices, which wait for their customers; deleted for good."""

    mapping = EntityMap(
        table=receipts,
        columns={"Voucher": "payment_id", "Received On": "date", "Amount": "amount"},
        insert_only={"Branch": HEAD_OFFICE},
        references=[Reference("Customer", to="customer", source="customer_id")],
        children=[
            ChildMap(
                table=allocations,
                source="invoices",
                parent=("Branch", "Voucher"),
                columns={"Amount": "amount_applied"},
                references=[Reference("Invoice", to="invoice", source="invoice_id")],
            )
        ],
        on_delete="hard",
    )


def unknown_vendor(zoho_id: str) -> dict[str, Any]:
    """Return the row that stands for a vendor until it arrives: bills are booked the same day."""
    return {"name": f"Zoho vendor {zoho_id}"}


def is_final(bill: BillPayload) -> bool:
    """Drafts are nobody's business yet."""
    return bill.status != "draft"


class Bills(BillHandler):
    """Booked whether their vendor is known or not; drafts are ignored."""

    mapping = EntityMap(
        table=Bill,
        key="zoho_bill_id",
        columns={
            "number": "bill_number",
            "due_on": "due_date",
            "total": "total",
            "source_system": func.upper("zoho"),
        },
        insert_only={"cost_centre": COST_CENTRE},
        references=[
            Reference("vendor_id", to="vendor", source="vendor_id", missing=unknown_vendor)
        ],
        on_delete="ignore",
        when=is_final,
    )


class Staff(UserHandler):
    """Zoho's users carry no time: the order of their arrival decides."""

    mapping = EntityMap(
        table=Employee,
        adopt=[("email", folded)],
        columns={"email": "email", "full_name": "name", "role": "user_role"},
        on_delete="ignore",
    )


def registry() -> HandlerRegistry:
    """Return the eight handlers; the other entity types are unknown to this ERP."""
    return HandlerRegistry(
        [Customers, Vendors, StockItems, Invoices, Orders, Receipts, Bills, Staff]
    )
