"""Declares the mirror: ready-made tables for hosts that have none of their own.

The tables are derived from the models in `zoho_sync.payloads`, and their columns carry Zoho's own
names. ``mirror.products`` and so on are tables on ``mirror.metadata`` under the prefix ``zoho_``;
`build` makes them under another prefix, or in a schema.

=====================  ==================================================================
primary key            documents ``(organization_id, <id>)``; lines ``(organization_id,
                       <id of the document>, <id of the line>)``
amounts, quantities    NUMERIC(28, 10), on SQLite the same number as text; more decimals
                       are refused
times                  aware UTC; on MariaDB DATETIME(6), in UTC
nested objects, lists  JSON as text, numbers with every digit
``raw``                the document as received, JSON as text
``deleted_at``         when the entity was deleted in Zoho; NULL while it lives
=====================  ==================================================================

A line without an id of its own has ``#`` and its position there. Brackets of price lists have
``(organization_id, pricebook_id, bracket_id)``, where ``bracket_id`` is ``<item key>#<position>``.
All other columns can be NULL. There are no foreign keys: entities arrive in any order.

`ExactDecimal`, `UtcDateTime` and `ExactJSON`, the types of its amounts, times and nested objects,
serve in an application's own tables as well.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from sqlalchemy import BigInteger, Boolean, Column, Date, MetaData, String, Table
from sqlalchemy.types import TypeEngine

from zoho_sync.database.types import (
    LONG_TEXT,
    MARIADB_TABLE,
    ExactDecimal,
    ExactJSON,
    UtcDateTime,
)
from zoho_sync.payloads import (
    BillLine,
    BillPayload,
    CreditNoteAllocation,
    CreditNoteLine,
    CreditNotePayload,
    CustomerPayload,
    FieldKind,
    InvoiceLine,
    InvoicePayload,
    Line,
    Payload,
    PaymentAllocation,
    PaymentPayload,
    PriceBracket,
    PriceListItem,
    PriceListPayload,
    ProductPayload,
    SalesOrderLine,
    SalesOrderPayload,
    StockAdjustmentLine,
    StockAdjustmentPayload,
    UserPayload,
    VendorPayload,
)

__all__ = [
    "ExactDecimal",
    "ExactJSON",
    "MirrorTable",
    "MirrorTables",
    "UtcDateTime",
    "bill_lines",
    "bills",
    "build",
    "credit_note_allocations",
    "credit_note_lines",
    "credit_notes",
    "customers",
    "invoice_lines",
    "invoices",
    "metadata",
    "payment_allocations",
    "payments",
    "price_list_brackets",
    "price_list_items",
    "price_lists",
    "products",
    "sales_order_lines",
    "sales_orders",
    "stock_adjustment_lines",
    "stock_adjustments",
    "tables",
    "users",
    "vendors",
]

_ID_LENGTH: Final = 255


@dataclasses.dataclass(frozen=True)
class MirrorTable:
    """One table of the mirror, and where its columns come from.

    Attributes:
        name: Without the prefix: ``invoice_lines``.
        table: The table.
        model: The payload or line model whose fields the columns hold.
        key: The column of the entity's or the line's own id.
        parent: The name of the document's table; ``""`` for a document's own.
        parent_key: The column of the document's id; ``""`` for a document's own table.
        source: The field of the document's payload that holds the lines; ``""`` for a document.
        columns: Column name to field name, for all columns but the keys and ``raw``,
            ``organization_id`` and ``deleted_at``, which no field fills.
    """

    name: str
    table: Table
    model: type[Payload | Line]
    key: str
    parent: str
    parent_key: str
    source: str
    columns: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class MirrorTables:
    """The tables of one mirror, by name; ``entries`` describes each."""

    products: Table
    customers: Table
    vendors: Table
    invoices: Table
    invoice_lines: Table
    sales_orders: Table
    sales_order_lines: Table
    payments: Table
    payment_allocations: Table
    users: Table
    bills: Table
    bill_lines: Table
    credit_notes: Table
    credit_note_lines: Table
    credit_note_allocations: Table
    stock_adjustments: Table
    stock_adjustment_lines: Table
    price_lists: Table
    price_list_items: Table
    price_list_brackets: Table
    entries: Mapping[str, MirrorTable]


class _Rows(NamedTuple):
    """What a table holds: documents, or the lines that a field of their documents holds."""

    model: type[Payload | Line]
    parent: str = ""
    source: str = ""


_ROWS: Final[Mapping[str, _Rows]] = {
    "products": _Rows(ProductPayload),
    "customers": _Rows(CustomerPayload),
    "vendors": _Rows(VendorPayload),
    "invoices": _Rows(InvoicePayload),
    "sales_orders": _Rows(SalesOrderPayload),
    "payments": _Rows(PaymentPayload),
    "users": _Rows(UserPayload),
    "bills": _Rows(BillPayload),
    "credit_notes": _Rows(CreditNotePayload),
    "stock_adjustments": _Rows(StockAdjustmentPayload),
    "price_lists": _Rows(PriceListPayload),
    "invoice_lines": _Rows(InvoiceLine, "invoices", "line_items"),
    "sales_order_lines": _Rows(SalesOrderLine, "sales_orders", "line_items"),
    "payment_allocations": _Rows(PaymentAllocation, "payments", "invoices"),
    "bill_lines": _Rows(BillLine, "bills", "line_items"),
    "credit_note_lines": _Rows(CreditNoteLine, "credit_notes", "line_items"),
    "credit_note_allocations": _Rows(CreditNoteAllocation, "credit_notes", "invoices_credited"),
    "stock_adjustment_lines": _Rows(StockAdjustmentLine, "stock_adjustments", "line_items"),
    "price_list_items": _Rows(PriceListItem, "price_lists", "pricebook_items"),
    "price_list_brackets": _Rows(PriceBracket, "price_lists", "price_brackets"),
}

_TYPES: Final[Mapping[FieldKind, Callable[[], TypeEngine[Any]]]] = {
    FieldKind.ID: lambda: String(_ID_LENGTH),
    FieldKind.TEXT: lambda: LONG_TEXT,
    FieldKind.NUMBER: partial(ExactDecimal, rounds=False),
    FieldKind.INTEGER: BigInteger,
    FieldKind.FLAG: Boolean,
    FieldKind.DAY: Date,
    FieldKind.MOMENT: UtcDateTime,
    FieldKind.JSON: ExactJSON,
}


def build(metadata: MetaData, *, schema: str | None = None, prefix: str = "zoho_") -> MirrorTables:
    """Make the mirror's tables on ``metadata``.

    Args:
        metadata: Where the tables are registered; nothing is created in a database.
        schema: The database's schema; None for the default one.
        prefix: Of the physical names.
    """
    entries: dict[str, MirrorTable] = {}
    for name, (model, parent, source) in _ROWS.items():
        key = model.id_field if issubclass(model, Line) else model.id_fields[0]
        parent_key = entries[parent].key if parent else ""
        keys = [parent_key, key] if parent else [key]
        fields = {field: kind for field, kind in _column_fields(model) if field not in keys}
        columns = [
            Column(each, _TYPES[FieldKind.ID](), primary_key=True)
            for each in ("organization_id", *keys)
        ]
        columns += [Column(field, _TYPES[kind]()) for field, kind in fields.items()]
        if not parent:
            columns += [Column("raw", ExactJSON), Column("deleted_at", UtcDateTime)]
        entries[name] = MirrorTable(
            name=name,
            table=Table(prefix + name, metadata, *columns, schema=schema, **MARIADB_TABLE),
            model=model,
            key=key,
            parent=parent,
            parent_key=parent_key,
            source=source,
            columns=MappingProxyType({field: field for field in fields}),
        )
    named = {name: entry.table for name, entry in entries.items()}
    return MirrorTables(**named, entries=MappingProxyType(entries))


def _column_fields(model: type[Payload | Line]) -> list[tuple[str, FieldKind]]:
    """Return the fields that are columns, JSON last; lists of lines have tables of their own."""
    kinds = [
        (name, kind)
        for name, field in model.model_fields.items()
        for kind in field.metadata
        if isinstance(kind, FieldKind)
    ]
    return sorted(kinds, key=lambda item: item[1] is FieldKind.JSON)


metadata = MetaData()
"""The metadata of the default mirror's tables."""

tables = build(metadata)
"""The default mirror."""

products = tables.products
customers = tables.customers
vendors = tables.vendors
invoices = tables.invoices
invoice_lines = tables.invoice_lines
sales_orders = tables.sales_orders
sales_order_lines = tables.sales_order_lines
payments = tables.payments
payment_allocations = tables.payment_allocations
users = tables.users
bills = tables.bills
bill_lines = tables.bill_lines
credit_notes = tables.credit_notes
credit_note_lines = tables.credit_note_lines
credit_note_allocations = tables.credit_note_allocations
stock_adjustments = tables.stock_adjustments
stock_adjustment_lines = tables.stock_adjustment_lines
price_lists = tables.price_lists
price_list_items = tables.price_list_items
price_list_brackets = tables.price_list_brackets
