"""An entity of one's own: shipments, with their lines, in two tables of the application.

Run it with ``python examples/custom_entity.py``; it needs ``pip install "zoho-sync[sqlite]"``.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import Field
from sqlalchemy import Column, Date, ForeignKey, Integer, MetaData, String, Table, select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from zoho_sync import BaseEntityHandler, ChildMap, EntityMap, ZohoSync, default_registry
from zoho_sync.mirror import ExactDecimal
from zoho_sync.payloads import Amount, Day, EntityId, Line, ListOf, Payload, Text, ZohoId

metadata = MetaData()
parcels = Table(
    "parcels",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("zoho_shipment_id", String(50), unique=True, nullable=False),
    Column("tracking_number", String(50)),
    Column("shipped_on", Date),
)
contents = Table(
    "parcel_contents",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("parcel_id", ForeignKey("parcels.id"), nullable=False),
    Column("zoho_line_id", String(50), nullable=False),
    Column("name", String(200), nullable=False),
    Column("quantity", ExactDecimal(18, 6), nullable=False),
)


class ShipmentLine(Line):
    """One of a shipment's ``line_items``."""

    id_field = "line_item_id"

    line_item_id: ZohoId = None
    name: Text = None
    quantity: Amount = None


class Shipment(Payload):
    """A shipment as Zoho sends it; keys that are not named here are kept."""

    entity_type = "shipment"
    id_fields = ("shipment_id",)

    shipment_id: EntityId
    tracking_number: Text = None
    date: Day = None
    line_items: ListOf[ShipmentLine] = Field(default_factory=list)


class Shipments(BaseEntityHandler[Shipment]):
    """Applies shipments."""

    mapping = EntityMap(
        table=parcels,
        key="zoho_shipment_id",
        columns={"tracking_number": "tracking_number", "shipped_on": "date"},
        children=[
            ChildMap(
                table=contents,
                source="line_items",
                key="zoho_line_id",
                parent="parcel_id",
                columns={"name": "name", "quantity": "quantity"},
            )
        ],
        on_delete="hard",
    )


DOCUMENT = """{"shipment": {
    "shipment_id": "982000000888001", "tracking_number": "1Z-4711", "date": "2026-03-04",
    "last_modified_time": "2026-03-04T16:20:00+0100",
    "line_items": [
        {"line_item_id": "1", "name": "Desk lamp", "quantity": 2},
        {"line_item_id": "2", "name": "Bulb", "quantity": "6.0"}
    ]
}}"""
CORRECTION = """{"shipment": {
    "shipment_id": "982000000888001", "last_modified_time": "2026-03-04T17:00:00+0100",
    "line_items": [{"line_item_id": "2", "name": "Bulb", "quantity": 4}]
}}"""


async def main(database: Path) -> None:
    """Apply a shipment and its correction, the correction first."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{database}")
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    registry = default_registry()
    registry.register(Shipments)

    async with ZohoSync(sessions, registry=registry) as sync:
        await sync.create_tables()
        for name, body in (("correction", CORRECTION), ("shipment", DOCUMENT)):
            await sync.ingest(body)
            for outcome, count in (await sync.drain()).items():
                print(f"the {name}: {outcome} {count}")

    async with sessions() as session:
        for parcel in await session.execute(select(parcels)):
            print(f"{parcel.tracking_number} of {parcel.shipped_on}")
        for line in await session.execute(select(contents)):
            print(f"  {line.quantity:.0f} x {line.name}")
    await engine.dispose()


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        asyncio.run(main(Path(folder) / "erp.db"))
