"""Bodies as Zoho sends them, written by hand: one of each entity, in several of its shapes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

CUSTOMER = "982000000567001"
VENDOR = "982000000567002"
ITEM = "982000000030049"
ORDER = "982000000720001"
INVOICE = "982000000567114"
PAYMENT = "982000000801001"


@dataclass(frozen=True)
class Sample:
    """A delivery, and where plain SQL finds what it holds.

    Attributes:
        route: Below the mount point.
        body: The document, in one of Zoho's shapes.
        statement: Plain SQL.
        rows: What it returns, every value as text.
    """

    route: str
    body: dict[str, Any]
    statement: str
    rows: list[tuple[str, ...]]


CUSTOMER_SAMPLE = Sample(
    "customer",
    {
        "contact": {
            "contact_id": CUSTOMER,
            "contact_name": "Bowman & Co ",
            "contact_type": "customer",
            "email": "accounts@bowman.example",
            "billing_address": {"city": "Pune", "zip": 411001},
            "last_modified_time": "2026-03-01T08:00:00-0800",
        }
    },
    "SELECT name, email, city, credit_limit, account_manager FROM clients",
    [("Bowman & Co ", "accounts@bowman.example", "Pune", "1000.000000", "None")],
)

PRODUCT_SAMPLE = Sample(
    "item",
    {
        "item": {
            "item_id": int(ITEM),  # some senders print ids as numbers
            "name": "Desk lamp",
            "sku": "LAMP-1",
            "rate": "74.95",
            "rate_formatted": "$74.95",
            "last_modified_time": "2026-03-01T08:00:00-0800",
        },
        "organization_id": 60012345678,
    },
    "SELECT zoho_item_id, name, sku, price FROM articles",
    [(ITEM, "Desk lamp", "LAMP-1", "74.950000")],
)

SALES_ORDER_SAMPLE = Sample(
    "sales-orders",
    {
        "code": 0,
        "message": "success",
        "salesorder": {
            "salesorder_id": ORDER,
            "salesorder_number": "SO-00012",
            "customer_id": CUSTOMER,
            "date": "2026-03-01",
            "status": "confirmed",
            "total": 149.90,
            "line_items": [
                {"line_item_id": "1", "item_id": ITEM, "name": "Lamp", "quantity": 2, "rate": 74.95}
            ],
            "last_modified_time": "2026-03-01T09:00:00-0800",
        },
    },
    "SELECT o.number, c.name, l.quantity, l.price, a.sku FROM orders o"
    " JOIN clients c ON c.id = o.client_id JOIN order_lines l ON l.order_id = o.id"
    " JOIN articles a ON a.id = l.article_id",
    [("SO-00012", "Bowman & Co ", "2.000000", "74.950000", "LAMP-1")],
)

INVOICE_SAMPLE = Sample(
    "invoice",
    {  # bare, with the small contact of its own
        "invoice_id": INVOICE,
        "invoice_number": "INV-000031",
        "customer_id": CUSTOMER,
        "contact": {"customer_balance": 40},
        "date": "2026-03-02",
        "due_date": "",
        "total": 99999999999.99,
        "balance": "40.0",
        "line_items": [
            {"line_item_id": "11", "item_id": ITEM, "name": "Lamp", "quantity": 2, "rate": 74.95},
            {"line_item_id": "12", "item_id": "", "name": "Delivery", "quantity": 1, "rate": 0},
        ],
        "last_modified_time": "2026-03-02T09:14:07-0800",
    },
    "SELECT i.number, c.name, i.branch_id, i.issued_on, i.due_on, i.total, i.balance,"
    " l.zoho_line_id, l.article_id IS NULL FROM invoices i JOIN clients c ON c.id = i.client_id"
    " JOIN invoice_lines l ON l.invoice_id = i.id ORDER BY l.zoho_line_id",
    [
        (*("INV-000031", "Bowman & Co ", "1", "2026-03-02", "None"), *tail)
        for tail in (
            ("99999999999.990000", "40.000000", "11", "False"),
            ("99999999999.990000", "40.000000", "12", "True"),
        )
    ],
)

PAYMENT_SAMPLE = Sample(
    "customer_payment",
    {
        "payment": {
            "payment_id": PAYMENT,
            "customer_id": CUSTOMER,
            "date": "2026-03-05",
            "amount": 150,
            "unused_amount": 40.10,
            "invoices": [
                {"invoice_payment_id": "21", "invoice_id": INVOICE, "amount_applied": 109.90}
            ],
            "updated_time": "2026-03-05T10:00:00-0800",
        }
    },
    "SELECT r.received_on, r.amount, r.on_account, a.amount, i.number FROM receipts r"
    " JOIN allocations a ON a.receipt_id = r.id JOIN invoices i ON i.id = a.invoice_id",
    [("2026-03-05", "150.000000", "40.100000", "109.900000", "INV-000031")],
)

VENDOR_SAMPLE = Sample(
    "vendor",
    {
        "contact": {
            "contact_id": VENDOR,
            "contact_name": "Lightworks",
            "contact_type": "vendor",
            "last_modified_time": "2026-03-01T08:00:00-0800",
        }
    },
    "SELECT contact_id, contact_name FROM zoho_vendors",
    [(VENDOR, "Lightworks")],
)

USER_SAMPLE = Sample(
    "users",
    {"user": {"user_id": "982000000554041", "name": "Sujin", "role_id": "", "status": "active"}},
    "SELECT user_id, name, status FROM zoho_users",
    [("982000000554041", "Sujin", "active")],
)

BILL_SAMPLE = Sample(
    "",  # an administrator's template says what it is
    {
        "event": "bill.created",
        "organization_id": "60012345678",
        "data": {
            "bill": {
                "bill_id": "982000000098765",
                "bill_number": "B-77",
                "vendor_id": VENDOR,
                "date": "2026-03-03",
                "total": 80,
                "line_items": [{"line_item_id": "31", "name": "Lamps", "quantity": 1, "rate": 80}],
            }
        },
    },
    "SELECT b.bill_number, b.vendor_id, l.line_item_id FROM zoho_bills b"
    " JOIN zoho_bill_lines l ON l.bill_id = b.bill_id",
    [("B-77", VENDOR, "31")],
)

CREDIT_NOTE_SAMPLE = Sample(
    "creditnote",
    {
        "creditnote": {
            "creditnote_id": "982000000072369",
            "creditnote_number": "CN-29",
            "customer_id": CUSTOMER,
            "total": "10.50",
            "invoices_credited": [
                {"creditnote_invoice_id": "41", "invoice_id": INVOICE, "amount_applied": 10.5}
            ],
        }
    },
    "SELECT n.creditnote_number, n.total, a.invoice_id FROM zoho_credit_notes n"
    " JOIN zoho_credit_note_allocations a ON a.creditnote_id = n.creditnote_id",
    [("CN-29", "10.5000000000", INVOICE)],
)

STOCK_ADJUSTMENT_SAMPLE = Sample(
    "inventory-adjustment",
    {
        "inventory_adjustment": {
            "inventory_adjustment_id": "982000001555109",
            "adjustment_type": "quantity",
            "date": "2026-03-04",
            "line_items": [{"line_item_id": "51", "item_id": ITEM, "quantity_adjusted": -3}],
        }
    },
    "SELECT s.adjustment_type, l.item_id, l.quantity_adjusted FROM zoho_stock_adjustments s"
    " JOIN zoho_stock_adjustment_lines l"
    " ON l.inventory_adjustment_id = s.inventory_adjustment_id",
    [("quantity", ITEM, "-3.0000000000")],
)

PRICE_LIST_SAMPLE = Sample(
    "pricebook",
    {
        "pricebook": {
            "pricebook_id": "982000000870001",
            "name": "Wholesale",
            "pricebook_type": "per_item",
            "pricebook_items": [
                {"pricebook_item_id": "61", "item_id": ITEM, "pricebook_rate": "70.00"}
            ],
        }
    },
    "SELECT p.name, i.item_id, i.pricebook_rate FROM zoho_price_lists p"
    " JOIN zoho_price_list_items i ON i.pricebook_id = p.pricebook_id",
    [("Wholesale", ITEM, "70.0000000000")],
)

SAMPLES = (
    # What refers to others comes before what it refers to: it parks, and is woken.
    PAYMENT_SAMPLE,
    INVOICE_SAMPLE,
    SALES_ORDER_SAMPLE,
    CREDIT_NOTE_SAMPLE,
    BILL_SAMPLE,
    STOCK_ADJUSTMENT_SAMPLE,
    PRICE_LIST_SAMPLE,
    USER_SAMPLE,
    VENDOR_SAMPLE,
    CUSTOMER_SAMPLE,
    PRODUCT_SAMPLE,
)
"""One of each of the eleven entity types."""
