"""The mirror's tables follow the payload models."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from sqlalchemy import BigInteger, Boolean, Date, MetaData, String, Table, Text, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine

from zoho_sync import mirror
from zoho_sync.database.types import ExactDecimal, ExactJSON, UtcDateTime
from zoho_sync.payloads import InvoicePayload, line_key, parse

pytestmark = pytest.mark.databases("sqlite", "postgresql", "mariadb")

NAMES = [
    "products",
    "customers",
    "vendors",
    "invoices",
    "invoice_lines",
    "sales_orders",
    "sales_order_lines",
    "payments",
    "payment_allocations",
    "users",
    "bills",
    "bill_lines",
    "credit_notes",
    "credit_note_lines",
    "credit_note_allocations",
    "stock_adjustments",
    "stock_adjustment_lines",
    "price_lists",
    "price_list_items",
    "price_list_brackets",
]
KEYS = {
    "products": ["item_id"],
    "customers": ["contact_id"],
    "vendors": ["contact_id"],
    "invoices": ["invoice_id"],
    "invoice_lines": ["invoice_id", "line_item_id"],
    "sales_orders": ["salesorder_id"],
    "sales_order_lines": ["salesorder_id", "line_item_id"],
    "payments": ["payment_id"],
    "payment_allocations": ["payment_id", "invoice_payment_id"],
    "users": ["user_id"],
    "bills": ["bill_id"],
    "bill_lines": ["bill_id", "line_item_id"],
    "credit_notes": ["creditnote_id"],
    "credit_note_lines": ["creditnote_id", "line_item_id"],
    "credit_note_allocations": ["creditnote_id", "creditnote_invoice_id"],
    "stock_adjustments": ["inventory_adjustment_id"],
    "stock_adjustment_lines": ["inventory_adjustment_id", "line_item_id"],
    "price_lists": ["pricebook_id"],
    "price_list_items": ["pricebook_id", "pricebook_item_id"],
    "price_list_brackets": ["pricebook_id", "bracket_id"],
}


def test_the_tables_and_their_names() -> None:
    assert sorted(mirror.tables.entries) == sorted(NAMES)
    assert set(mirror.metadata.tables) == {f"zoho_{name}" for name in NAMES}
    for name in NAMES:
        assert getattr(mirror, name) is mirror.tables.entries[name].table
        assert getattr(mirror.tables, name) is mirror.metadata.tables[f"zoho_{name}"]
    assert set(NAMES) < set(mirror.__all__)
    assert sorted(mirror.__all__) == mirror.__all__


@pytest.mark.parametrize("name", NAMES)
def test_the_primary_keys(name: str) -> None:
    table: Table = getattr(mirror, name)
    assert [column.name for column in table.primary_key] == ["organization_id", *KEYS[name]]
    assert all(not column.nullable for column in table.primary_key)
    assert all(column.nullable for column in table.columns if not column.primary_key)
    assert not table.foreign_keys


@pytest.mark.parametrize("name", NAMES)
def test_every_column_has_a_source(name: str) -> None:
    entry = mirror.tables.entries[name]
    own = {"organization_id", *KEYS[name]} | (set() if entry.parent else {"raw", "deleted_at"})
    assert set(entry.table.columns.keys()) == own | set(entry.columns)
    assert set(entry.columns.values()) <= set(entry.model.model_fields)
    assert entry.key == KEYS[name][-1]


def test_lines_know_their_document() -> None:
    entry = mirror.tables.entries["credit_note_allocations"]
    assert (entry.parent, entry.parent_key) == ("credit_notes", "creditnote_id")
    assert entry.source == "invoices_credited"
    brackets = mirror.tables.entries["price_list_brackets"]
    assert (brackets.parent, brackets.source) == ("price_lists", "price_brackets")


def test_the_column_types() -> None:
    types = {column.name: type(column.type) for column in mirror.invoices.columns}
    assert types["invoice_id"] is types["customer_id"] is String
    assert types["invoice_number"] is Text
    assert types["total"] is ExactDecimal
    assert types["payment_terms"] is BigInteger
    assert types["is_emailed"] is Boolean
    assert types["date"] is Date
    assert types["last_modified_time"] is types["deleted_at"] is UtcDateTime
    assert types["billing_address"] is types["taxes"] is types["raw"] is ExactJSON
    assert "line_items" not in types


def test_another_schema_and_prefix() -> None:
    metadata = MetaData()
    tables = mirror.build(metadata, schema="erp", prefix="books_")
    assert tables.invoices.fullname == "erp.books_invoices"
    assert len(metadata.tables) == len(NAMES)


async def test_a_document_goes_in_and_comes_out(engine: AsyncEngine) -> None:
    document = {
        "invoice_id": "1",
        "date": "2026-09-04",
        "total": Decimal("99999999999999.99"),
        "last_modified_time": "2026-09-04T14:22:03+0100",
        "taxes": [{"tax_amount": Decimal("0.08")}],
        "line_items": [{"rate": Decimal("1.10")}, {"line_item_id": "9"}],
    }
    invoice = parse(InvoicePayload, document)
    entries = mirror.tables.entries
    row = {name: getattr(invoice, name) for name in entries["invoices"].columns}
    keys = {"organization_id": "10", "invoice_id": invoice.entity_id}
    lines = [
        keys
        | {"line_item_id": line_key(line, position)}
        | {name: getattr(line, name) for name in entries["invoice_lines"].columns}
        for position, line in enumerate(invoice.line_items)
    ]
    async with engine.begin() as connection:
        await connection.run_sync(mirror.metadata.create_all)
        await connection.execute(insert(mirror.invoices), [keys | row | {"raw": document}])
        await connection.execute(insert(mirror.invoice_lines), lines)
    async with engine.connect() as connection:
        found = (await connection.execute(select(mirror.invoices))).one()
        ids = await connection.scalars(select(mirror.invoice_lines.c.line_item_id))
        assert sorted(ids) == ["#0", "9"]
    assert found.date == date(2026, 9, 4)
    assert found.total == Decimal("99999999999999.99")
    assert found.last_modified_time == datetime(2026, 9, 4, 13, 22, 3, tzinfo=UTC)
    assert (found.raw, found.taxes) == (document, document["taxes"])
    assert found.deleted_at is None
