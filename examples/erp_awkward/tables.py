"""The ERP's tables, as its own developers wrote them over the years, before anybody spoke of Zoho.

The older half is SQLAlchemy Core with the names of a desktop database, the younger one the ORM.
Nothing here was made for the library, and the library changes none of it.
"""

from __future__ import annotations

import uuid
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, cast

from sqlalchemy import (
    Boolean,
    Column,
    Computed,
    Date,
    FetchedValue,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    Uuid,
    false,
    text,
)
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from zoho_sync.mapping import folded
from zoho_sync.mirror import ExactDecimal, UtcDateTime

SCHEMA: Final = "erp"
"""The database is shared with other applications, so the ERP has a schema of its own."""

HEAD_OFFICE: Final = 1
"""The branch to which everything from Zoho belongs."""

metadata = MetaData(schema=SCHEMA)
money = ExactDecimal(18, 6)


def in_its_schema(engine: AsyncEngine) -> AsyncEngine:
    """Return the engine that the ERP works with; SQLite has no schemas."""
    if engine.dialect.name == "sqlite":
        return engine.execution_options(schema_translate_map={SCHEMA: None})
    return engine


class Base(DeclarativeBase):
    """Money is exact and times are UTC; primary keys are never used twice, on SQLite too."""

    metadata = metadata
    type_annotation_map = {  # noqa: RUF012  # SQLAlchemy reads it once, from the class
        Decimal: money,
        datetime: UtcDateTime(),
        str: Text(),
    }
    __table_args__: Any = {"sqlite_autoincrement": True}  # noqa: RUF012  # as above


def table_of(model: type[Base]) -> Table:
    """Return a class's own table, without that of the class above it."""
    return cast("Table", model.__table__)


class Branch(Base):
    """A branch office; Zoho knows nothing of it."""

    __tablename__ = "branches"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Party(Base):
    """Whoever the firm has to do with: what customers and vendors have in common.

    Names were typed in by many hands: some twice, in other spellings, so they are not unique.
    """

    __tablename__ = "parties"
    __mapper_args__: Any = {"polymorphic_on": "kind"}  # noqa: RUF012  # as above

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))
    name: Mapped[str]
    email: Mapped[str | None]
    closed_at: Mapped[datetime | None]
    # A trigger keeps it, for the search box.
    search_name: Mapped[str | None] = mapped_column(server_default=FetchedValue())
    # The ERP's alone:
    internal_note: Mapped[str | None]


# Added when Zoho came, and the only thing that was: rows are adopted by this expression.
Index("ix_parties_folded_name", folded(table_of(Party).c.name))


class Customer(Party):
    """Who buys. There is no Zoho column: the library links the rows."""

    __tablename__ = "customers"
    __mapper_args__: Any = {"polymorphic_identity": "customer"}  # noqa: RUF012  # as above
    __table_args__: Any = {}  # noqa: RUF012  # the primary key is the party's

    id: Mapped[int] = mapped_column(ForeignKey(f"{SCHEMA}.parties.id"), primary_key=True)
    city: Mapped[str | None]
    region: Mapped[str | None]
    parent_id: Mapped[int | None] = mapped_column(ForeignKey(f"{SCHEMA}.customers.id"))
    # The ERP's alone:
    credit_limit: Mapped[Decimal] = mapped_column(server_default=text("'1000.000000'"))


class Vendor(Party):
    """Who sells. Somebody added the Zoho column when the two systems were first compared."""

    __tablename__ = "vendors"
    __mapper_args__: Any = {"polymorphic_identity": "vendor"}  # noqa: RUF012  # as above
    __table_args__: Any = {}  # noqa: RUF012  # the primary key is the party's

    id: Mapped[int] = mapped_column(ForeignKey(f"{SCHEMA}.parties.id"), primary_key=True)
    zoho_vendor_id: Mapped[str | None] = mapped_column(String(50), unique=True)
    payment_days: Mapped[int] = mapped_column(server_default=text("30"))
    short_name: Mapped[str | None]
    # The ERP's alone:
    rating: Mapped[int | None]


# The warehouse came from a desktop database, and kept its names: everything needs quotes.
stock_items = Table(
    "Stock Items",
    metadata,
    Column("Item Key", Integer, primary_key=True),
    Column("Zoho Item", String(50), unique=True),
    # Numbers are unique, and people swap them.
    Column("Item No.", Text, nullable=False, unique=True),
    Column("Name", Text, nullable=False),
    Column("Unit", Text, nullable=False, server_default=text("'pcs'")),
    Column("Net Price", money, nullable=False, server_default=text("'0.000000'")),
    Column("Part Of", ForeignKey(f"{SCHEMA}.Stock Items.Item Key")),
    Column("Discontinued?", Boolean, nullable=False, server_default=false()),
    Column("Label", Text, Computed('"Item No." || \' \' || "Name"', persisted=True)),
    # A trigger keeps it.
    Column("Updated At", UtcDateTime, server_default=FetchedValue()),
    # The ERP's alone:
    Column("Shelf", Text),
    Column("Reorder Level", Integer, nullable=False, server_default=text("5")),
    sqlite_autoincrement=True,
)


Index("ix_stock_items_folded_name", folded(stock_items.c["Name"]))  # as above


class Invoice(Base):
    """An invoice. No Zoho column here either; the number is unique."""

    __tablename__ = "invoices"

    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[str] = mapped_column(unique=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey(f"{SCHEMA}.customers.id"))
    branch_id: Mapped[int] = mapped_column(ForeignKey(f"{SCHEMA}.branches.id"))
    issued_on: Mapped[date]
    status: Mapped[str | None]
    total: Mapped[Decimal]
    void: Mapped[bool] = mapped_column(default=False, server_default=false())
    # The ERP's alone:
    printed_copies: Mapped[int] = mapped_column(server_default=text("0"))
    remark: Mapped[str | None]


class InvoiceLine(Base):
    """A line of an invoice; clerks add lines of their own, for packing and postage."""

    __tablename__ = "invoice_lines"

    id: Mapped[int] = mapped_column(primary_key=True)
    invoice_id: Mapped[int] = mapped_column(ForeignKey(f"{SCHEMA}.invoices.id"))
    item_key: Mapped[int | None] = mapped_column(ForeignKey(f"{SCHEMA}.Stock Items.Item Key"))
    text: Mapped[str | None]
    quantity: Mapped[Decimal]
    price: Mapped[Decimal]
    # The ERP's alone:
    picked: Mapped[bool] = mapped_column(default=False, server_default=false())


# Orders are made on laptops that are offline: their keys are UUIDs. "order" is a word of SQL.
orders = Table(
    "order",
    metadata,
    Column("ID", Uuid, primary_key=True, default=uuid.uuid4),
    Column("Number", Text, nullable=False),
    Column("Customer", ForeignKey(f"{SCHEMA}.customers.id"), nullable=False),
    Column("Placed On", Date),
    Column("Status", Text),
    Column("Cancelled On", Date),
    # The ERP's alone:
    Column("Picker", Text),
)
order_lines = Table(
    "Order Lines",
    metadata,
    Column("ID", Uuid, primary_key=True, default=uuid.uuid4),
    Column("order ID", ForeignKey(orders.c.ID), nullable=False),
    # Empty in the lines that the warehouse adds itself.
    Column("Zoho Line", String(80)),
    Column("Item", ForeignKey(stock_items.c["Item Key"]), nullable=False),
    Column("Quantity", money, nullable=False),
    Column("Text", Text),
    # The ERP's alone:
    Column("Packed?", Boolean, nullable=False, server_default=false()),
)

# Vouchers are numbered by each branch for itself: the primary key has two columns.
receipts = Table(
    "receipts",
    metadata,
    Column("Branch", ForeignKey(f"{SCHEMA}.branches.id"), primary_key=True, autoincrement=False),
    Column("Voucher", String(50), primary_key=True),
    Column("Customer", ForeignKey(f"{SCHEMA}.customers.id"), nullable=False),
    Column("Received On", Date),
    Column("Amount", money, nullable=False),
    # The ERP's alone:
    Column("Booked By", Text),
)
allocations = Table(
    "allocations",
    metadata,
    Column("ID", Integer, primary_key=True),
    Column("Branch", Integer, nullable=False),
    Column("Voucher", String(50), nullable=False),
    Column("Invoice", ForeignKey(f"{SCHEMA}.invoices.id"), nullable=False),
    Column("Amount", money, nullable=False),
    ForeignKeyConstraint(["Branch", "Voucher"], [receipts.c.Branch, receipts.c.Voucher]),
    sqlite_autoincrement=True,
)


class Bill(Base):
    """A vendor's bill, as the accountants keep it."""

    __tablename__ = "bills"

    id: Mapped[int] = mapped_column(primary_key=True)
    zoho_bill_id: Mapped[str | None] = mapped_column(String(50), unique=True)
    number: Mapped[str]
    vendor_id: Mapped[int] = mapped_column(ForeignKey(f"{SCHEMA}.vendors.id"))
    due_on: Mapped[date | None]
    total: Mapped[Decimal]
    source_system: Mapped[str | None]
    cost_centre: Mapped[int]
    # The ERP's alone:
    approved: Mapped[bool] = mapped_column(default=False, server_default=false())


class Employee(Base):
    """Who works here. Zoho's users are found by their e-mail address."""

    __tablename__ = "staff"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str]
    full_name: Mapped[str | None]
    role: Mapped[str | None]
    # The ERP's alone:
    desk: Mapped[str | None]
