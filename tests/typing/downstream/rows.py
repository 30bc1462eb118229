"""Several columns and whole entities keep their types; under SQLAlchemy 2.1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, assert_type

from sqlalchemy import Result, delete, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from tests.typing.downstream.shipments import Shipment, ShipmentHandler


async def two_columns(session: AsyncSession) -> None:
    """A row of two columns unpacks into their types."""
    handler = ShipmentHandler(session)
    rows = await handler.execute_with_context(select(Shipment.id, Shipment.carrier))
    number, carrier = rows.one()
    assert_type(number, int)
    assert_type(carrier, str | None)
    changed = await handler.execute_with_context(
        update(Shipment).values(carrier="").returning(Shipment.id, Shipment.zoho_id)
    )
    for key, zoho_id in changed:
        assert_type(key, int)
        assert_type(zoho_id, str)


async def entities(session: AsyncSession) -> None:
    """An entity comes back as its class."""
    handler = ShipmentHandler(session)
    found = await handler.execute_with_context(select(Shipment))
    assert_type(found.scalars().all(), Sequence[Shipment])
    made = await handler.execute_with_context(insert(Shipment).returning(Shipment), [{}, {}])
    assert_type(made.scalars().first(), Shipment | None)


async def without_rows(session: AsyncSession) -> None:
    """What says nothing about its columns gives a result of anything."""
    handler = ShipmentHandler(session)
    assert_type(await handler.execute_with_context(text("SELECT 1")), Result[Any])
    assert_type(await handler.execute_with_context(delete(Shipment)), Result[Any])
