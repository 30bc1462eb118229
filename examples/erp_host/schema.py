"""The ERP's tables, as they were before Zoho: the library never changes them.

Clients, receipts, and the lines of orders have no Zoho column at all; the library links their rows
by primary key. On SQLite such a table needs AUTOINCREMENT, because a primary key that is used again
would lead to a stranger's row.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from zoho_sync.mirror import ExactDecimal, UtcDateTime


class Base(DeclarativeBase):
    """Money is exact and times are UTC, on SQLite too."""

    type_annotation_map = {  # noqa: RUF012  # SQLAlchemy reads it once, from the class
        Decimal: ExactDecimal(18, 6),
        datetime: UtcDateTime(),
        str: Text(),
    }
    __table_args__: Any = {"sqlite_autoincrement": True}  # noqa: RUF012  # as above


class Branch(Base):
    """A branch office; Zoho knows nothing of it."""

    __tablename__ = "branches"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Client(Base):
    """A customer."""

    __tablename__ = "clients"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    email: Mapped[str | None]
    city: Mapped[str | None]
    closed_at: Mapped[datetime | None]
    # The ERP's alone:
    credit_limit: Mapped[Decimal] = mapped_column(default=Decimal(1000))
    account_manager: Mapped[str | None]


class Article(Base):
    """What is sold."""

    __tablename__ = "articles"

    id: Mapped[int] = mapped_column(primary_key=True)
    zoho_item_id: Mapped[str | None] = mapped_column(String(50), unique=True)
    name: Mapped[str]
    sku: Mapped[str | None]
    price: Mapped[Decimal] = mapped_column(default=Decimal(0))
    discontinued: Mapped[bool] = mapped_column(default=False)
    # The ERP's alone:
    shelf: Mapped[str | None]


class Order(Base):
    """A sales order."""

    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    zoho_salesorder_id: Mapped[str | None] = mapped_column(String(50), unique=True)
    number: Mapped[str]
    client_id: Mapped[int] = mapped_column(ForeignKey("clients.id"))
    placed_on: Mapped[date | None]
    status: Mapped[str | None]
    total: Mapped[Decimal]
    cancelled_at: Mapped[datetime | None]


class OrderLine(Base):
    """A line of a sales order; without an article it was typed in by hand."""

    __tablename__ = "order_lines"

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    article_id: Mapped[int | None] = mapped_column(ForeignKey("articles.id"))
    text: Mapped[str | None]
    quantity: Mapped[Decimal]
    price: Mapped[Decimal]


class Invoice(Base):
    """An invoice."""

    __tablename__ = "invoices"

    id: Mapped[int] = mapped_column(primary_key=True)
    zoho_invoice_id: Mapped[str | None] = mapped_column(String(50), unique=True)
    number: Mapped[str]
    client_id: Mapped[int] = mapped_column(ForeignKey("clients.id"))
    branch_id: Mapped[int] = mapped_column(ForeignKey("branches.id"))
    issued_on: Mapped[date]
    due_on: Mapped[date | None]
    total: Mapped[Decimal]
    balance: Mapped[Decimal] = mapped_column(default=Decimal(0))
    voided_at: Mapped[datetime | None]
    # The ERP's alone:
    printed_at: Mapped[datetime | None]


class InvoiceLine(Base):
    """A line of an invoice."""

    __tablename__ = "invoice_lines"

    id: Mapped[int] = mapped_column(primary_key=True)
    zoho_line_id: Mapped[str | None] = mapped_column(String(50))
    invoice_id: Mapped[int] = mapped_column(ForeignKey("invoices.id"))
    article_id: Mapped[int | None] = mapped_column(ForeignKey("articles.id"))
    text: Mapped[str | None]
    quantity: Mapped[Decimal] = mapped_column(default=Decimal(1))
    price: Mapped[Decimal] = mapped_column(default=Decimal(0))
    amount: Mapped[Decimal | None]


class Receipt(Base):
    """Money that came in."""

    __tablename__ = "receipts"

    id: Mapped[int] = mapped_column(primary_key=True)
    client_id: Mapped[int] = mapped_column(ForeignKey("clients.id"))
    received_on: Mapped[date]
    amount: Mapped[Decimal]
    on_account: Mapped[Decimal] = mapped_column(default=Decimal(0))
    # The ERP's alone:
    booked_by: Mapped[str | None]


class Allocation(Base):
    """What a receipt pays of an invoice."""

    __tablename__ = "allocations"

    id: Mapped[int] = mapped_column(primary_key=True)
    receipt_id: Mapped[int] = mapped_column(ForeignKey("receipts.id"))
    invoice_id: Mapped[int] = mapped_column(ForeignKey("invoices.id"))
    amount: Mapped[Decimal]
