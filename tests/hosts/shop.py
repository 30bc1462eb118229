"""Makes the ERP misbehave, and notes its writes: what the tests of faults and of the worker need.

Clients have no Zoho column: the ledger links them. Invoices refer to clients, and have lines.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import String
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tests.hosts import handlers
from tests.hosts.tables import ClientTable, InvoiceLineTable, InvoiceTable, ProductTable
from tests.hosts.writes import statements
from zoho_sync import BaseEntityHandler, HandlerRegistry, SyncEvent, SyncResult
from zoho_sync.database.creation import create_missing
from zoho_sync.payloads import CustomerPayload, InvoicePayload

Step = Callable[[SyncEvent, AsyncSession], Awaitable[None]]
"""What a test makes a handler do before it writes."""


class Shop(DeclarativeBase):
    """The shop's tables: no two clients have one name."""


class Client(ClientTable, Shop):
    name: Mapped[str] = mapped_column(String(100), unique=True)
    created_by: Mapped[str] = mapped_column(String(20), default="host")


class Invoice(InvoiceTable, Shop): ...


class InvoiceLine(InvoiceLineTable, Shop): ...


class Product(ProductTable, Shop): ...


CLIENTS = replace(
    handlers.CLIENTS,
    table=Client,
    key=None,
    columns={"name": "contact_name", "note": "notes"},
)
INVOICES = replace(
    handlers.INVOICES,
    table=Invoice,
    columns={"number": "invoice_number", "total": "total", "note": "notes"},
    children=[
        replace(
            handlers.LINES,
            table=InvoiceLine,
            key=None,
            columns={"description": "description", "quantity": "quantity"},
            references=[],
        )
    ],
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
        await connection.run_sync(create_missing, Shop.metadata)
        for statement in statements(connection.dialect.name):
            await connection.exec_driver_sql(statement)
