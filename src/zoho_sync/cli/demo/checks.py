"""Looks at the rows that the demo should have left, and says what they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Table, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from zoho_sync import mirror
from zoho_sync.cli.demo.erp import customers, invoice_lines, invoices

__all__ = ["Check", "read_checks"]

Rows = tuple[tuple[Any, ...], ...]


@dataclass(frozen=True, slots=True)
class Check:
    """Values in the database, and what they should be."""

    table: str
    columns: tuple[str, ...]
    expected: Rows
    query: Any  # a Select, whose type parameter differs between versions of SQLAlchemy
    found: Rows = ()

    @property
    def ok(self) -> bool:
        """Whether they are what they should be."""
        return self.found == self.expected


def _plain(table: Table, columns: str, *rows: tuple[Any, ...]) -> Check:
    names = tuple(columns.split())
    query = select(*(table.c[name] for name in names)).order_by(*table.primary_key.columns)
    return Check(table.name, names, rows, query)


def _issued(*rows: tuple[Any, ...]) -> Check:
    lines = select(func.count()).where(invoice_lines.c.invoice_id == invoices.c.id)
    query = select(
        invoices.c.number,
        customers.c.name.label("customer"),
        invoices.c.issued_on,
        invoices.c.total,
        invoices.c.status,
        lines.scalar_subquery().label("lines"),
    )
    names = tuple(query.selected_columns.keys())
    return Check(invoices.name, names, rows, query.join(customers).order_by(invoices.c.id))


_EXPECTED: Final = (
    _plain(
        customers,
        "name email",
        ("Café Nordlys", "innkjop@nordlys.example"),
        ("Hotel Meridian", "ap@meridian.example"),
    ),
    _issued(
        ("INV-000231", "Hotel Meridian", date(2025, 3, 18), Decimal("431.80"), "paid", 2),
    ),
    _plain(
        mirror.products, "sku rate stock_on_hand", ("COF-YIR-1000", Decimal("19.75"), Decimal(140))
    ),
    _plain(
        mirror.vendors,
        "contact_name credit_limit payment_terms",
        ("Kaffa Exporters PLC", Decimal("99999999999999.99"), -3),
    ),
    _plain(
        mirror.sales_orders, "salesorder_number status total", ("SO-00118", "open", Decimal(333))
    ),
    _plain(
        mirror.sales_order_lines,
        "quantity rate item_total",
        (Decimal(12), Decimal("18.50"), Decimal(222)),
        (Decimal(1), Decimal(111), Decimal(111)),
    ),
    _plain(
        mirror.payments,
        "date amount unused_amount",
        (date(2025, 4, 2), Decimal("431.80"), Decimal(0)),
    ),
    _plain(
        mirror.payment_allocations,
        "invoice_number amount_applied",
        ("INV-000231", Decimal("431.80")),
    ),
    _plain(
        mirror.bills, "bill_number due_date total", ("KX-7741", date(2025, 4, 10), Decimal(10820))
    ),
    _plain(mirror.bill_lines, "quantity rate", (Decimal("966.071429"), Decimal("11.20"))),
    _plain(mirror.credit_notes, "creditnote_number total", ("CN-00012", Decimal(37))),
    _plain(mirror.stock_adjustment_lines, "quantity_adjusted", (Decimal("-3.5"),)),
    _plain(
        mirror.price_list_brackets,
        "start_quantity end_quantity pricebook_rate",
        (Decimal(1), Decimal(49), Decimal("17.40")),
        (Decimal(50), None, Decimal("16.25")),
    ),
    _plain(mirror.users, "user_id name", ("3915000000010023", "Ingrid Solheim")),
)


async def read_checks(engine: AsyncEngine) -> Sequence[Check]:
    """Read every row that the demo makes a promise about."""
    async with engine.connect() as connection:
        return [
            replace(each, found=tuple(map(tuple, await connection.execute(each.query))))
            for each in _EXPECTED
        ]
