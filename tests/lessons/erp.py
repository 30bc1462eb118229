"""The host of these tests: an ERP with tables of its own, and Zoho's documents for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Date,
    Executable,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    func,
    select,
)
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from zoho_sync import (
    ABSENT,
    BaseEntityHandler,
    ChildMap,
    EntityMap,
    HandlerRegistry,
    Operation,
    Outcome,
    Receipt,
    Reference,
    SyncEvent,
    ZohoSync,
)
from zoho_sync._column_types import ExactDecimal, UtcDateTime
from zoho_sync._tables import library_tables
from zoho_sync.handlers import CustomerHandler, InvoiceHandler, PaymentHandler, ProductHandler
from zoho_sync.payloads import ProductPayload

library = library_tables()
metadata = MetaData()

clients = Table(
    "erp_clients",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("zoho_id", String(50), unique=True),
    Column("name", String(100), nullable=False),
    Column("email", String(100)),
    Column("created_by", String(20), nullable=False),
    Column("loyalty_points", Integer, nullable=False, server_default="0"),
    Column("deleted_at", UtcDateTime),
    sqlite_autoincrement=True,
)
products = Table(
    "erp_products",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("zoho_id", String(50), unique=True),
    Column("name", String(100), nullable=False),
    Column("sku", String(50), unique=True),
    Column("price", ExactDecimal),
    Column("stock", ExactDecimal),
    Column("active", Boolean, nullable=False),
    Column("deleted_at", UtcDateTime),
    sqlite_autoincrement=True,
)
invoices = Table(
    "erp_invoices",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("zoho_id", String(50), unique=True),
    Column("number", String(50), nullable=False),
    Column("amount", ExactDecimal, nullable=False),
    Column("balance", ExactDecimal),
    Column("issued_on", Date),
    Column("status", String(30)),
    Column("note", Text),
    Column("client_id", ForeignKey("erp_clients.id"), nullable=False),
    Column("branch_id", Integer, nullable=False),
    Column("paid_amount", ExactDecimal),
    Column("deleted_at", UtcDateTime),
    sqlite_autoincrement=True,
)
invoice_lines = Table(
    "erp_invoice_lines",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("zoho_line_id", String(50)),
    Column("invoice_id", ForeignKey("erp_invoices.id"), nullable=False),
    Column("product_id", ForeignKey("erp_products.id")),
    Column("text", Text),
    Column("quantity", ExactDecimal, nullable=False),
    Column("rate", ExactDecimal),
    sqlite_autoincrement=True,
)
payments = Table(
    "erp_payments",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("zoho_id", String(50), unique=True),
    Column("number", String(50)),
    Column("amount", ExactDecimal, nullable=False),
    Column("unused", ExactDecimal),
    Column("client_id", ForeignKey("erp_clients.id"), nullable=False),
    Column("deleted_at", UtcDateTime),
    sqlite_autoincrement=True,
)
allocations = Table(
    "erp_allocations",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("zoho_id", String(50)),
    Column("payment_id", ForeignKey("erp_payments.id"), nullable=False),
    Column("invoice_id", ForeignKey("erp_invoices.id"), nullable=False),
    Column("amount", ExactDecimal, nullable=False),
    sqlite_autoincrement=True,
)


def is_active(payload: ProductPayload) -> Any:
    """Zoho says ``status``; a document without it leaves the column alone."""
    if "status" not in payload.model_fields_set:
        return ABSENT
    return payload.status == "active"


class Clients(CustomerHandler):
    mapping = EntityMap(
        table=clients,
        key="zoho_id",
        columns={"name": "contact_name", "email": "email"},
        insert_only={"created_by": "zoho"},
        deleted_column="deleted_at",
    )


class Products(ProductHandler):
    mapping = EntityMap(
        table=products,
        key="zoho_id",
        columns={
            "name": "name",
            "sku": "sku",
            "price": "rate",
            "stock": "stock_on_hand",
            "active": is_active,
        },
        deleted_column="deleted_at",
    )


class Invoices(InvoiceHandler):
    mapping = EntityMap(
        table=invoices,
        key="zoho_id",
        columns={
            "number": "invoice_number",
            "amount": "total",
            "balance": "balance",
            "issued_on": "date",
            "status": "status",
            "note": "notes",
        },
        insert_only={"branch_id": 7},
        references=[Reference("client_id", to="customer", source="customer_id")],
        children=[
            ChildMap(
                table=invoice_lines,
                source="line_items",
                key="zoho_line_id",
                parent="invoice_id",
                columns={"text": "name", "quantity": "quantity", "rate": "rate"},
                references=[Reference("product_id", to="product", source="item_id")],
            )
        ],
        deleted_column="deleted_at",
    )


class Payments(PaymentHandler):
    mapping = EntityMap(
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


HANDLERS: tuple[type[BaseEntityHandler[Any]], ...] = (Clients, Products, Invoices, Payments)

Sessions = async_sessionmaker[AsyncSession]


@dataclass(frozen=True)
class Host:
    """An application that uses the library, and looks at its own tables with plain SQL."""

    sync: ZohoSync
    sessions: Sessions

    async def take(self, *bodies: Any, **said: Any) -> dict[Outcome, int]:
        """Take bodies in through the trusted door, work off the queue, say what they came to."""
        for body in bodies:
            await self.sync.ingest(body, **said)
        return await self.sync.drain()

    async def receive(self, *bodies: Any, **said: Any) -> list[Receipt]:
        """Take bodies in without working them off."""
        return [await self.sync.ingest(body, **said) for body in bodies]

    async def rows(self, table: Table, **where: Any) -> list[dict[str, Any]]:
        """Return a table's rows in the order of their primary keys."""
        statement = select(table).order_by(*table.primary_key.columns)
        for name, value in where.items():
            statement = statement.where(table.c[name] == value)
        async with self.sessions() as session:
            return [dict(row) for row in (await session.execute(statement)).mappings()]

    async def row(self, table: Table, **where: Any) -> dict[str, Any]:
        """Return the one row that there is."""
        (row,) = await self.rows(table, **where)
        return row

    async def count(self, table: Table) -> int:
        """Return how many rows a table has."""
        async with self.sessions() as session:
            statement = select(func.count()).select_from(table)
            count: int = (await session.execute(statement)).scalar_one()
            return count

    async def write(self, *statements: Executable) -> None:
        """Change tables as the host does: not through the library."""
        async with self.sessions() as session, session.begin():
            for statement in statements:
                await session.execute(statement)

    async def journal(self, **where: Any) -> list[tuple[str, str]]:
        """Return outcome and reason of all settled events, in the order of their settlement."""
        rows = await self.rows(library.journal, **where)
        return [(row["outcome"], row["reason"]) for row in rows]

    async def dead(self) -> list[tuple[str, str]]:
        """Return field and text of all dead letters."""
        return [(letter.path, letter.error) for letter in await self.sync.dead_letters.list()]


async def open_host(
    sessions: Sessions,
    handlers: Iterable[type[BaseEntityHandler[Any]]] | None = HANDLERS,
    **options: Any,
) -> Host:
    """Wire the library to these handlers, and make the tables they need.

    Without handlers they are those of the mirror, which is made by `create_tables`.
    """
    if handlers is None:
        sync = ZohoSync(sessions, **options)
        await sync.create_tables()
        return Host(sync, sessions)
    sync = ZohoSync(sessions, registry=HandlerRegistry(handlers), **options)
    async with sessions() as session, session.begin():
        connection = await session.connection()
        for each in (library.metadata, metadata):
            await connection.run_sync(each.create_all)
    return Host(sync, sessions)


def at(second: int, minute: int = 0) -> str:
    """A time as Zoho writes it; all of them are in the past."""
    return f"2024-05-17T10:{minute:02}:{second:02}+0000"


def customer(contact_id: str | int = "c1", **fields: Any) -> dict[str, Any]:
    """A customer's document in its wrapper."""
    document = {
        "contact_id": contact_id,
        "contact_type": "customer",
        "contact_name": "Acme",
        "last_modified_time": at(0),
    }
    return {"contact": document | fields}


def item(item_id: str = "p1", **fields: Any) -> dict[str, Any]:
    """An item's document in its wrapper."""
    document = {
        "item_id": item_id,
        "name": "Bolt",
        "status": "active",
        "rate": "1.50",
        "last_modified_time": at(0),
    }
    return {"item": document | fields}


def line(line_item_id: str = "l1", **fields: Any) -> dict[str, Any]:
    """A line of an invoice, typed in by hand unless it names an item."""
    return {
        "line_item_id": line_item_id,
        "item_id": "",
        "name": "Work",
        "quantity": 1,
        "rate": "10.00",
    } | fields


def invoice(invoice_id: str = "i1", **fields: Any) -> dict[str, Any]:
    """An invoice's document in its wrapper, for customer c1, without lines."""
    document = {
        "invoice_id": invoice_id,
        "invoice_number": "INV-1",
        "customer_id": "c1",
        "date": "2024-05-17",
        "status": "sent",
        "total": "10.00",
        "balance": "10.00",
        "last_modified_time": at(0),
    }
    return {"invoice": document | fields}


def sparse(wrapper: str, **fields: Any) -> dict[str, Any]:
    """A document that holds nothing but these fields."""
    return {wrapper: fields}


def payment(payment_id: str = "y1", **fields: Any) -> dict[str, Any]:
    """A payment's document in its wrapper, from customer c1, without allocations."""
    document = {
        "payment_id": payment_id,
        "payment_number": "1",
        "customer_id": "c1",
        "amount": "10.00",
        "unused_amount": "10.00",
        "updated_time": at(0),
    }
    return {"payment": document | fields}


def event(wrapped: Mapping[str, Any], operation: Operation = Operation.UPSERT) -> SyncEvent:
    """An event of the host's own making, from a document in its wrapper."""
    ((wrapper, document),) = wrapped.items()
    names = {"contact": "customer", "item": "product"}
    entity_type = names.get(wrapper, wrapper)
    entity_id = document.get(f"{wrapper}_id")
    return SyncEvent(entity_type, entity_id, payload=document, operation=operation)
