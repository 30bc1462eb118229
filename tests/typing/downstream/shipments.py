"""An entity of the application's own: a payload model, a table, a handler, a registry."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any, assert_type

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from zoho_sync import (
    BaseEntityHandler,
    EntityMap,
    HandlerRegistry,
    Operation,
    Outcome,
    SyncEvent,
    SyncResult,
    custom_field,
    default_registry,
)
from zoho_sync.handlers import InvoiceHandler
from zoho_sync.payloads import InvoicePayload, Payload
from zoho_sync.payloads.fields import Amount, Day, EntityId


class Base(DeclarativeBase):
    """The application's tables."""


class Shipment(Base):
    """A table of the application's own."""

    __tablename__ = "shipment"

    id: Mapped[int] = mapped_column(primary_key=True)
    zoho_id: Mapped[str] = mapped_column(unique=True)
    weight: Mapped[Decimal | None]
    shipped_on: Mapped[dt.date | None]
    carrier: Mapped[str | None]


class ShipmentPayload(Payload):
    """What arrives of a shipment."""

    entity_type = "shipment"
    id_fields = ("shipment_id",)

    shipment_id: EntityId
    weight: Amount = None
    shipped_on: Day = None


registry = HandlerRegistry()


@registry.register
class ShipmentHandler(BaseEntityHandler[ShipmentPayload]):
    """A handler with a mapping, and an `upsert` that adds to what the mapping does."""

    mapping = EntityMap(
        table=Shipment,
        key="zoho_id",
        columns={"weight": "weight", "shipped_on": "shipped_on", "carrier": custom_field("cf_by")},
        on_delete="hard",
    )

    async def upsert(self, payload: ShipmentPayload) -> int:
        """Write what the mapping says, and look at what is there."""
        assert_type(payload.weight, Decimal | None)
        assert_type(payload.shipped_on, dt.date | None)
        assert_type(payload.shipment_id, str)
        assert_type(payload.entity_id, str)
        key = await super().upsert(payload)
        found = await self.execute_with_context(select(Shipment.id).where(Shipment.id == key))
        return assert_type(found.scalar_one(), int)

    async def after_apply(self, event: SyncEvent, result: SyncResult) -> None:
        """Look at what was done."""
        assert_type(event.operation, Operation)
        assert_type(result.changed, tuple[str, ...])
        assert_type(result.primary_key, Any)


@registry.register()
class Invoices(InvoiceHandler):
    """A handler of the library's, over a table of the application's own."""

    mapping = EntityMap(table=Shipment, key="zoho_id", columns={"weight": "total"})

    async def upsert(self, payload: InvoicePayload) -> Any:
        """Read the model of a built-in entity."""
        assert_type(payload.invoice_id, str)
        assert_type(payload.customer_id, str | None)
        assert_type(payload.payment_made, Decimal | None)
        assert_type(payload.due_date, dt.date | None)
        return await super().upsert(payload)


async def one_column(session: AsyncSession) -> None:
    """Ids, counts and sums come back as what they are, on every version of SQLAlchemy."""
    handler = ShipmentHandler(session)
    ids = await handler.execute_with_context(select(Shipment.id))
    assert_type(ids.scalar_one(), int)
    made = await handler.execute_with_context(
        insert(Shipment).returning(Shipment.id), {"zoho_id": "1"}
    )
    assert_type(made.scalar_one(), int)
    nullable = await handler.execute_with_context(select(Shipment.carrier))
    assert_type(nullable.scalar_one_or_none(), str | None)
    count = await handler.execute_with_context(select(func.count()).select_from(Shipment))
    assert_type(count.scalar_one(), int)


async def direct(session: AsyncSession, payload: ShipmentPayload) -> None:
    """A direct call takes a model or a mapping, and an operation in any of its forms."""
    handler = ShipmentHandler(session, organization_id="20")
    assert_type(await handler.sync(payload), SyncResult)
    assert_type(await handler.sync({"shipment_id": "1"}, "deleted"), SyncResult)
    result = await handler.sync(payload, Operation.DELETE)
    assert_type(result.outcome, Outcome)
    assert_type(result.committed, bool)


def registries() -> None:
    """A registered class keeps its own type; the registry gives back handler classes."""
    assert_type(ShipmentHandler.mapping, EntityMap)
    assert_type(registry["shipment"], type[BaseEntityHandler[Any]])
    assert_type(registry.get("shipment"), type[BaseEntityHandler[Any]] | None)
    assert_type(default_registry().merge(registry), HandlerRegistry)
    assert_type(registry.register(ShipmentHandler), type[ShipmentHandler])
    assert_type(registry.override(ShipmentHandler), type[ShipmentHandler])
    assert_type(list(registry), list[str])
    assert_type(len(registry), int)
    assert_type("shipment" in registry, bool)
