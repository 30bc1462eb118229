"""Maps the ERP for the tests of the laws, reads it, and works in it as its host does.

Products are found by a Zoho column. Clients, invoices and payments, and the lines of invoices, are
linked by the ledger. Payments are deleted for good, everything else is marked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Table, insert, update

from tests.hosts import handlers
from tests.hosts.sql import Sessions, execute, library, rows
from tests.hosts.tables import (
    allocations,
    clients,
    invoice_lines,
    invoices,
    metadata,
    payments,
    products,
)
from tests.laws import oracle
from tests.laws.oracle import number, text
from zoho_sync.handlers import CustomerHandler, InvoiceHandler, PaymentHandler, ProductHandler

_LINKED_LINES: Final = replace(
    handlers.LINES,
    key=None,
    columns={"quantity": "quantity", "description": "description"},
)


class Clients(CustomerHandler):
    """By link, marked when deleted."""

    mapping = replace(handlers.CLIENTS, key=None)


class Items(ProductHandler):
    """By a Zoho column, flagged when deleted."""

    mapping = replace(
        handlers.PRODUCTS,
        # What is random here is not unique.
        columns={"name": "name", "barcode": "sku", "price": "rate"},
        insert_only={"active": True},
    )


class Invoices(InvoiceHandler):
    """By link, as its lines."""

    mapping = replace(
        handlers.INVOICES,
        key=None,
        columns={"number": "invoice_number", "total": "total", "note": "notes"},
        children=[_LINKED_LINES],
    )


class Payments(PaymentHandler):
    """By link, deleted for good; its allocations by a Zoho column."""

    mapping = replace(
        handlers.PAYMENTS,
        key=None,
        columns={"amount": "amount", "reference": "reference_number"},
        on_delete="hard",
        deleted_column=None,
    )


TABLES: Final = {"customer": clients, "product": products, "invoice": invoices, "payment": payments}
CHILDREN: Final = {"invoice": invoice_lines, "payment": allocations}
MAPPED: Final = {
    "clients": {"name", "email", "deleted_at"},
    "products": {"name", "barcode", "price", "discontinued"},
    "invoices": {"number", "total", "note", "client_id", "deleted_at"},
    "invoice_lines": {"quantity", "description", "product_id", "invoice_id"},
    "payments": {"amount", "reference", "client_id"},
    "allocations": {"amount", "invoice_id", "payment_id"},
}
"""Columns that a mapping names, and writes again; all others are the host's."""

EXPECTED: Final[Mapping[str, oracle.Rows]] = {
    "customer": oracle.Rows(
        {"name": ("contact_name", text), "email": ("email", text)}, required=frozenset({"name"})
    ),
    "product": oracle.Rows(
        {"name": ("name", text), "barcode": ("sku", text), "price": ("rate", number)},
        required=frozenset({"name"}),
    ),
    "invoice": oracle.Rows(
        {
            "number": ("invoice_number", text),
            "total": ("total", number),
            "note": ("notes", text),
            "client_id": ("customer_id", text),
        },
        {
            "lines": oracle.Lines(
                "line_items",
                "line_item_id",
                {
                    "quantity": ("quantity", number),
                    "description": ("description", text),
                    "product_id": ("item_id", text),
                },
            )
        },
        required=frozenset({"number", "client_id"}),
    ),
    "payment": oracle.Rows(
        {
            "amount": ("amount", number),
            "reference": ("reference_number", text),
            "client_id": ("customer_id", text),
        },
        {
            "lines": oracle.Lines(
                "invoices",
                "invoice_payment_id",
                {"amount": ("amount_applied", number), "invoice_id": ("invoice_id", text)},
            )
        },
        required=frozenset({"amount", "client_id"}),
        hard=True,
    ),
}
"""The same mapping in the oracle's words; references are expected as Zoho's ids."""


class Reading:
    """The tables with Zoho's ids in place of the host's keys."""

    def __init__(self) -> None:
        self.names: dict[tuple[str, int], str] = {}
        self.tables: dict[str, list[dict[str, Any]]] = {}
        self.line_names: dict[tuple[str, int], tuple[str, str]] = {}

    async def read(self, sessions: Sessions) -> Reading:
        """Read everything."""
        self.tables = {t.name: await rows(sessions, t) for t in metadata.sorted_tables}
        for linked in await rows(sessions, library.ledger):
            if linked["primary_key"] is not None:
                key = (linked["table_name"], json.loads(linked["primary_key"])[0])
                self.names[key] = linked["entity_id"]
        for linked in await rows(sessions, library.child_links):
            key = (linked["table_name"], json.loads(linked["primary_key"])[0])
            self.line_names[key] = (linked["entity_id"], linked["line_id"])
        return self

    def entities(self) -> dict[tuple[str, str], tuple[dict[str, Any], dict[str, Any]]]:
        """The synced rows by type and id: what the mapping names, and the lines by their ids."""
        found = {}
        for kind, table in TABLES.items():
            for row in self.tables[table.name]:
                name = self.names.get((table.name, row["id"]))
                if name is not None:
                    assert row["zoho_id"] == (name if kind == "product" else None)
                    found[kind, name] = (self._plain(table, row), self._lines(kind, row["id"]))
        assert len(found) == len(self.names), "a link leads nowhere"
        return found

    def hosts_rows(self) -> dict[str, list[dict[str, Any]]]:
        """The rows that no event made."""
        return {
            name: [row for row in found if not self._is_synced(name, row)]
            for name, found in self.tables.items()
        }

    def hosts_columns(self) -> dict[tuple[str, int], dict[str, Any]]:
        """Of every row the columns that are the host's alone."""
        return {
            (name, row["id"]): {
                column: row[column] for column in row.keys() - MAPPED[name] - {"id", "zoho_id"}
            }
            for name, found in self.tables.items()
            for row in found
        }

    def _is_synced(self, table: str, row: Mapping[str, Any]) -> bool:
        key = (table, row["id"])
        return key in self.names or key in self.line_names or row["zoho_id"] is not None

    def _lines(self, kind: str, parent: int) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        table = CHILDREN.get(kind)
        for row in self.tables[table.name] if table is not None else ():
            assert table is not None
            if row[f"{kind}_id"] == parent and self._is_synced(table.name, row):
                name = row["zoho_id"] or self.line_names[table.name, row["id"]][1]
                assert name not in found
                found[name] = self._plain(table, row)
                del found[name][f"{kind}_id"]
        return found

    def _plain(self, table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
        plain = {name: row[name] for name in MAPPED[table.name]}
        for column in table.columns:
            for key in column.foreign_keys:
                if column.name in plain:
                    plain[column.name] = self.names.get((key.column.table.name, row[column.name]))
        return plain


async def settle_in(sessions: Sessions) -> None:
    """Make rows that are the host's own, before anything comes from Zoho."""
    await execute(
        sessions,
        insert(clients).values(id=901, name="own", created_by="me", points=1),
        insert(products).values(id=901, name="own", shelf="A", active=True, discontinued=False),
        insert(invoices).values(id=901, client_id=901, number="own", branch=1, dunned=3),
        insert(invoice_lines).values(
            id=901, invoice_id=901, product_id=901, quantity=1, shelf="own"
        ),
        insert(payments).values(id=901, client_id=901, amount=1, booked_by="me"),
        insert(allocations).values(id=901, payment_id=901, invoice_id=901, amount=1),
    )


async def work_on(sessions: Sessions) -> None:
    """Do what hosts do with rows that came from Zoho: fill columns of their own, add lines."""
    found = await rows(sessions, invoices)
    own = [
        {"invoice_id": row["id"], "product_id": 901, "quantity": 2, "shelf": "own"} for row in found
    ]
    await execute(
        sessions,
        update(clients).values(points=9),
        update(products).values(shelf="B"),
        update(invoices).values(dunned=invoices.c.dunned + 1),
        update(invoice_lines).values(shelf="C"),
        update(payments).values(booked_by="you"),
        *([insert(invoice_lines).values(own)] if own else []),
    )
