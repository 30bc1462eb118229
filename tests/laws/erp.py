"""A host for the tests of the laws: an ERP with integer keys, foreign keys and columns of its own.

Products are found by a Zoho column. Clients, invoices and payments, and the lines of invoices, have
none: the ledger links them. Payments are deleted for good, everything else is marked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Boolean, Column, ForeignKey, Integer, MetaData, String, Table, insert, update

from tests.laws import oracle
from tests.laws.oracle import number, text
from tests.laws.plain_sql import Sessions, execute, library, rows
from zoho_sync import ChildMap, EntityMap, Reference
from zoho_sync.handlers import CustomerHandler, InvoiceHandler, PaymentHandler, ProductHandler
from zoho_sync.mirror import ExactDecimal, UtcDateTime

metadata = MetaData()


def _key() -> Column[Any]:
    return Column("id", Integer, primary_key=True)


def _to(table: str, *, nullable: bool = False) -> Column[Any]:
    target = f"law_{table}s.id"
    return Column(f"{table}_id", Integer, ForeignKey(target), nullable=nullable)


clients = Table(
    "law_clients",
    metadata,
    _key(),
    Column("name", String(50), nullable=False),
    Column("email", String(50)),
    Column("branch", Integer, nullable=False),
    Column("rating", Integer, nullable=False, server_default="5"),
    Column("deleted_at", UtcDateTime),
    sqlite_autoincrement=True,
)
items = Table(
    "law_items",
    metadata,
    _key(),
    Column("zoho_id", String(50), unique=True),
    Column("name", String(50), nullable=False),
    Column("sku", String(50)),
    Column("rate", ExactDecimal),
    Column("shelf", String(10)),
    Column("discontinued", Boolean, nullable=False),
)
invoices = Table(
    "law_invoices",
    metadata,
    _key(),
    _to("client"),
    Column("number", String(50), nullable=False),
    Column("total", ExactDecimal),
    Column("note", String(50)),
    Column("dunned", Integer, nullable=False, server_default="0"),
    Column("deleted_at", UtcDateTime),
    sqlite_autoincrement=True,
)
lines = Table(
    "law_lines",
    metadata,
    _key(),
    _to("invoice"),
    _to("item"),
    Column("quantity", ExactDecimal, nullable=False),
    Column("description", String(50)),
    Column("cost_centre", String(10)),
    sqlite_autoincrement=True,
)
payments = Table(
    "law_payments",
    metadata,
    _key(),
    _to("client"),
    Column("amount", ExactDecimal, nullable=False),
    Column("reference", String(50)),
    Column("booked_by", String(10)),
    sqlite_autoincrement=True,
)
allocations = Table(
    "law_allocations",
    metadata,
    _key(),
    Column("zoho_id", String(50)),
    _to("payment"),
    _to("invoice"),
    Column("applied", ExactDecimal),
)


class Clients(CustomerHandler):
    """By link, marked when deleted."""

    mapping = EntityMap(
        table=clients,
        columns={"name": "contact_name", "email": "email"},
        insert_only={"branch": 7},
        deleted_column="deleted_at",
    )


class Items(ProductHandler):
    """By a Zoho column, flagged when deleted."""

    mapping = EntityMap(
        table=items,
        key="zoho_id",
        columns={"name": "name", "sku": "sku", "rate": "rate"},
        deleted_column="discontinued",
    )


class Invoices(InvoiceHandler):
    """By link, as its lines."""

    mapping = EntityMap(
        table=invoices,
        columns={"number": "invoice_number", "total": "total", "note": "notes"},
        references=[Reference("client_id", to="customer", source="customer_id")],
        children=[
            ChildMap(
                table=lines,
                source="line_items",
                parent="invoice_id",
                columns={"quantity": "quantity", "description": "description"},
                references=[Reference("item_id", to="product", source="item_id")],
            )
        ],
        deleted_column="deleted_at",
    )


class Payments(PaymentHandler):
    """By link, deleted for good; its allocations by a Zoho column."""

    mapping = EntityMap(
        table=payments,
        columns={"amount": "amount", "reference": "reference_number"},
        references=[Reference("client_id", to="customer", source="customer_id")],
        children=[
            ChildMap(
                table=allocations,
                source="invoices",
                key="zoho_id",
                parent="payment_id",
                columns={"applied": "amount_applied"},
                references=[Reference("invoice_id", to="invoice", source="invoice_id")],
            )
        ],
        on_delete="hard",
    )


TABLES: Final = {"customer": clients, "product": items, "invoice": invoices, "payment": payments}
CHILDREN: Final = {"invoice": lines, "payment": allocations}
HOSTS_OWN: Final = {
    "law_clients": {"rating"},
    "law_items": {"shelf"},
    "law_invoices": {"dunned"},
    "law_lines": {"cost_centre"},
    "law_payments": {"booked_by"},
    "law_allocations": set[str](),
}
"""Columns that no mapping names."""

EXPECTED: Final[Mapping[str, oracle.Rows]] = {
    "customer": oracle.Rows(
        {"name": ("contact_name", text), "email": ("email", text)}, required=frozenset({"name"})
    ),
    "product": oracle.Rows(
        {"name": ("name", text), "sku": ("sku", text), "rate": ("rate", number)},
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
                    "item_id": ("item_id", text),
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
                {"applied": ("amount_applied", number), "invoice_id": ("invoice_id", text)},
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
                    assert row.get("zoho_id", name) == name
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
            (name, row["id"]): {column: row[column] for column in HOSTS_OWN[name]}
            for name, found in self.tables.items()
            for row in found
        }

    def _is_synced(self, table: str, row: Mapping[str, Any]) -> bool:
        key = (table, row["id"])
        return key in self.names or key in self.line_names or row.get("zoho_id") is not None

    def _lines(self, kind: str, parent: int) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        table = CHILDREN.get(kind)
        for row in self.tables[table.name] if table is not None else ():
            assert table is not None
            if row[f"{kind}_id"] == parent and self._is_synced(table.name, row):
                name = row.get("zoho_id") or self.line_names[table.name, row["id"]][1]
                assert name not in found
                found[name] = self._plain(table, row)
                del found[name][f"{kind}_id"]
        return found

    def _plain(self, table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
        dropped = {"id", "zoho_id", "branch"} | HOSTS_OWN[table.name]
        plain = {name: value for name, value in row.items() if name not in dropped}
        for column in table.columns:
            for key in column.foreign_keys:
                if column.name in plain:
                    plain[column.name] = self.names.get((key.column.table.name, row[column.name]))
        return plain


async def settle_in(sessions: Sessions) -> None:
    """Make rows that are the host's own, before anything comes from Zoho."""
    await execute(
        sessions,
        insert(clients).values(id=901, name="own", branch=1, rating=1),
        insert(items).values(id=901, name="own", shelf="A", discontinued=False),
        insert(invoices).values(id=901, client_id=901, number="own", dunned=3),
        insert(lines).values(id=901, invoice_id=901, item_id=901, quantity=1, cost_centre="own"),
        insert(payments).values(id=901, client_id=901, amount=1, booked_by="me"),
        insert(allocations).values(id=901, payment_id=901, invoice_id=901, applied=1),
    )


async def work_on(sessions: Sessions) -> None:
    """Do what hosts do with rows that came from Zoho: fill columns of their own, add lines."""
    found = await rows(sessions, invoices)
    own = [
        {"invoice_id": row["id"], "item_id": 901, "quantity": 2, "cost_centre": "own"}
        for row in found
    ]
    await execute(
        sessions,
        update(clients).values(rating=9),
        update(items).values(shelf="B"),
        update(invoices).values(dunned=invoices.c.dunned + 1),
        update(lines).values(cost_centre="C"),
        update(payments).values(booked_by="you"),
        *([insert(lines).values(own)] if own else []),
    )
