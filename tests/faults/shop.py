"""A small ERP with tables of its own, its handlers, and the events that the tests send it.

Clients have no Zoho column: the ledger links them. Invoices refer to clients, and have lines.
Every document carries a stamp that no other has, so that each write can be told apart.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import ForeignKey, Text, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tests.faults.writes import statements
from zoho_sync import (
    BaseEntityHandler,
    ChildMap,
    EntityMap,
    HandlerRegistry,
    Operation,
    Reference,
    SyncEvent,
    SyncResult,
)
from zoho_sync._column_types import ExactDecimal
from zoho_sync.payloads import CustomerPayload, InvoicePayload

START = datetime(2024, 5, 1, tzinfo=UTC)

Step = Callable[[SyncEvent, AsyncSession], Awaitable[None]]
"""What a test makes a handler do before it writes."""


class Shop(DeclarativeBase):
    """The shop's tables."""


class Client(Shop):
    """Somebody who buys."""

    __tablename__ = "shop_clients"
    __table_args__ = ({"sqlite_autoincrement": True},)
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None] = mapped_column(Text, unique=True)
    stamp: Mapped[str | None] = mapped_column(Text)
    closed: Mapped[bool] = mapped_column(default=False, server_default=text("false"))


class Invoice(Shop):
    """What a client owes."""

    __tablename__ = "shop_invoices"
    __table_args__ = ({"sqlite_autoincrement": True},)
    id: Mapped[int] = mapped_column(primary_key=True)
    zoho_id: Mapped[str] = mapped_column(Text, unique=True)
    client_id: Mapped[int] = mapped_column(ForeignKey(Client.id))
    number: Mapped[str | None] = mapped_column(Text)
    total: Mapped[Decimal | None] = mapped_column(ExactDecimal())
    stamp: Mapped[str | None] = mapped_column(Text)
    voided: Mapped[bool] = mapped_column(default=False, server_default=text("false"))


class InvoiceLine(Shop):
    """One line of an invoice."""

    __tablename__ = "shop_lines"
    __table_args__ = ({"sqlite_autoincrement": True},)
    id: Mapped[int] = mapped_column(primary_key=True)
    invoice_id: Mapped[int] = mapped_column(ForeignKey(Invoice.id))
    words: Mapped[str | None] = mapped_column(Text)
    quantity: Mapped[Decimal | None] = mapped_column(ExactDecimal())


CLIENTS = EntityMap(
    table=Client,
    columns={"name": "contact_name", "stamp": "notes"},
    deleted_column="closed",
)
INVOICES = EntityMap(
    table=Invoice,
    key="zoho_id",
    columns={"number": "invoice_number", "total": "total", "stamp": "notes"},
    references=[Reference("client_id", to="customer", source="customer_id")],
    children=[
        ChildMap(
            table=InvoiceLine,
            source="line_items",
            parent="invoice_id",
            columns={"words": "description", "quantity": "quantity"},
        )
    ],
    deleted_column="voided",
)


@dataclass
class Script:
    """What the handlers do besides writing; tests set it.

    Attributes:
        before: Runs before each fresh event is written.
        after: Runs after it was written, in the same transaction.
    """

    before: Step | None = None
    after: Step | None = None


def registry(script: Script | None = None) -> HandlerRegistry:
    """Return the shop's handlers; a script makes them misbehave."""
    told = script or Script()

    class Scripted(BaseEntityHandler[Any]):
        async def before_apply(self, event: SyncEvent) -> None:
            if told.before is not None:
                await told.before(event, self.session)

        async def after_apply(self, event: SyncEvent, result: SyncResult) -> None:
            del result
            if told.after is not None:
                await told.after(event, self.session)

    class Clients(Scripted, BaseEntityHandler[CustomerPayload]):
        entity_type = "customer"
        payload_model = CustomerPayload
        mapping = CLIENTS

    class Invoices(Scripted, BaseEntityHandler[InvoicePayload]):
        entity_type = "invoice"
        payload_model = InvoicePayload
        mapping = INVOICES

    return HandlerRegistry([Clients, Invoices])


async def create_shop(engine: AsyncEngine) -> None:
    """Create the shop's tables, and let the host itself note every write to them."""
    async with engine.begin() as connection:
        await connection.run_sync(Shop.metadata.create_all)
        for statement in statements(connection.dialect.name):
            await connection.exec_driver_sql(statement)


def at(second: int) -> datetime:
    """Return a time that documents carry."""
    return START + timedelta(seconds=second)


def customer(entity_id: str, second: int | None = 0, *, stamp: str = "", **more: Any) -> SyncEvent:
    """Return an upsert of a client; without a second, its document has no time."""
    document = {"contact_id": entity_id, "contact_name": f"Client {entity_id}", "notes": stamp}
    return _event("customer", entity_id, document | more, second)


def invoice(
    entity_id: str, client_id: str, second: int | None = 0, *, stamp: str = "", **more: Any
) -> SyncEvent:
    """Return an upsert of an invoice; without a second, its document has no time."""
    document = {
        "invoice_id": entity_id,
        "invoice_number": f"INV-{entity_id}",
        "customer_id": client_id,
        "notes": stamp,
    }
    return _event("invoice", entity_id, document | more, second)


def deletion(event: SyncEvent, second: int) -> SyncEvent:
    """Return the delete of an event's entity."""
    kind, entity_id, document = event.entity_type, event.entity_id, dict(event.payload)
    return _event(kind, entity_id, document, second, Operation.DELETE)


def _event(
    kind: str,
    entity_id: str,
    document: dict[str, Any],
    second: int | None,
    operation: Operation = Operation.UPSERT,
) -> SyncEvent:
    if second is None:
        return SyncEvent(kind, entity_id, document, operation)
    document["last_modified_time"] = at(second).isoformat()
    return SyncEvent(kind, entity_id, document, operation, effective_time=at(second))
