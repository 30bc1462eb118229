"""Declares the tables of an ERP: what it keeps of Zoho's entities, and columns that are its own.

Tests that need another rule inherit from a class here and their own base, and say what differs.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any, ClassVar, Final

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from zoho_sync.mirror import ExactDecimal, UtcDateTime

Deleted = Mapped[datetime | None]


class Entity:
    """What every table has: a key of the host's, and a column for Zoho's id."""

    __table_args__: ClassVar[Any] = {"sqlite_autoincrement": True}
    id: Mapped[int] = mapped_column(primary_key=True)
    zoho_id: Mapped[str | None] = mapped_column(String(50), unique=True)


class ClientTable(Entity):
    """Somebody who buys; ``created_by`` and ``points`` are the host's own."""

    __tablename__ = "clients"
    name: Mapped[str] = mapped_column(String(100))
    email: Mapped[str | None] = mapped_column(String(100))
    note: Mapped[str | None] = mapped_column(Text)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("clients.id"))
    created_by: Mapped[str] = mapped_column(String(20))
    points: Mapped[int] = mapped_column(server_default="0")
    deleted_at: Deleted = mapped_column(UtcDateTime)


class ProductTable(Entity):
    """Something to sell; ``shelf`` is the host's own."""

    __tablename__ = "products"
    name: Mapped[str] = mapped_column(String(100))
    sku: Mapped[str | None] = mapped_column(String(50), unique=True)
    barcode: Mapped[str | None] = mapped_column(String(50))
    price: Mapped[Decimal | None] = mapped_column(ExactDecimal)
    stock: Mapped[Decimal | None] = mapped_column(ExactDecimal)
    active: Mapped[bool]
    shelf: Mapped[str | None] = mapped_column(String(20))
    discontinued: Mapped[bool]


class InvoiceTable(Entity):
    """What a client owes; ``branch``, ``paid`` and ``dunned`` are the host's own."""

    __tablename__ = "invoices"
    client_id: Mapped[int] = mapped_column(ForeignKey("clients.id"))
    number: Mapped[str] = mapped_column(String(50))
    total: Mapped[Decimal | None] = mapped_column(ExactDecimal)
    balance: Mapped[Decimal | None] = mapped_column(ExactDecimal)
    issued_on: Mapped[date | None]
    status: Mapped[str | None] = mapped_column(String(30))
    note: Mapped[str | None] = mapped_column(Text)
    branch: Mapped[int]
    paid: Mapped[Decimal | None] = mapped_column(ExactDecimal)
    dunned: Mapped[int] = mapped_column(server_default="0")
    deleted_at: Deleted = mapped_column(UtcDateTime)


class InvoiceLineTable(Entity):
    """One line of an invoice; ``shelf`` is the host's own."""

    __tablename__ = "invoice_lines"
    zoho_id: Mapped[str | None] = mapped_column(String(50))
    invoice_id: Mapped[int] = mapped_column(ForeignKey("invoices.id"))
    product_id: Mapped[int | None] = mapped_column(ForeignKey("products.id"))
    name: Mapped[str | None] = mapped_column(String(100))
    description: Mapped[str | None] = mapped_column(Text)
    quantity: Mapped[Decimal] = mapped_column(ExactDecimal)
    rate: Mapped[Decimal | None] = mapped_column(ExactDecimal)
    shelf: Mapped[str | None] = mapped_column(String(20))


class PaymentTable(Entity):
    """What a client has paid; ``booked_by`` is the host's own."""

    __tablename__ = "payments"
    client_id: Mapped[int] = mapped_column(ForeignKey("clients.id"))
    number: Mapped[str | None] = mapped_column(String(50))
    amount: Mapped[Decimal] = mapped_column(ExactDecimal)
    unused: Mapped[Decimal | None] = mapped_column(ExactDecimal)
    reference: Mapped[str | None] = mapped_column(String(50))
    booked_by: Mapped[str | None] = mapped_column(String(20))
    deleted_at: Deleted = mapped_column(UtcDateTime)


class AllocationTable(Entity):
    """What of a payment goes to an invoice."""

    __tablename__ = "allocations"
    zoho_id: Mapped[str | None] = mapped_column(String(50))
    payment_id: Mapped[int] = mapped_column(ForeignKey("payments.id"))
    invoice_id: Mapped[int] = mapped_column(ForeignKey("invoices.id"))
    amount: Mapped[Decimal | None] = mapped_column(ExactDecimal)


class Erp(DeclarativeBase):
    """The ERP as it stands above."""


class Client(ClientTable, Erp): ...


class Product(ProductTable, Erp): ...


class Invoice(InvoiceTable, Erp): ...


class InvoiceLine(InvoiceLineTable, Erp): ...


class Payment(PaymentTable, Erp): ...


class Allocation(AllocationTable, Erp): ...


metadata: Final = Erp.metadata
clients: Final = metadata.tables["clients"]
products: Final = metadata.tables["products"]
invoices: Final = metadata.tables["invoices"]
invoice_lines: Final = metadata.tables["invoice_lines"]
payments: Final = metadata.tables["payments"]
allocations: Final = metadata.tables["allocations"]
