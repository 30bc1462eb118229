"""Check and status name the mapped custom fields that no document ever had."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table

from tests.hosts.sql import Sessions, library, make, rows
from zoho_sync import EntityMap, HandlerRegistry, ZohoSync, custom_field
from zoho_sync.handlers import ProductHandler

metadata = MetaData()
lamps = Table(
    "lamps_with_fields",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("zoho_id", String(100), unique=True),
    Column("shelf", String(50)),
    Column("colour", String(50)),
    Column("slip", String(50)),
    sqlite_autoincrement=True,
)


class Lamps(ProductHandler):
    mapping = EntityMap(
        table=lamps,
        key="zoho_id",
        columns={
            "shelf": custom_field("cf_shelf"),
            "colour": custom_field("Colour"),
            "slip": custom_field("cf_shelff"),
        },
        on_delete="ignore",
    )


async def opened(sessions: Sessions) -> ZohoSync:
    sync = ZohoSync(sessions, registry=HandlerRegistry([Lamps]))
    await sync.create_tables()
    return sync


async def take(sync: ZohoSync, number: int, **fields: Any) -> None:
    await sync.ingest({"item": {"item_id": f"{number}", **fields}})
    await sync.drain()


@pytest.mark.databases("sqlite", "postgresql", "mariadb")
async def test_fields_that_no_document_had_are_named(sessions: Sessions) -> None:
    await make(sessions, metadata)
    sync = await opened(sessions)
    assert (await sync.status()).unseen_fields == ()
    assert not [each for each in await sync.check() if "custom field" in each]
    await take(sync, 1, name="bare")
    everything = ("product.Colour", "product.cf_shelf", "product.cf_shelff")
    assert (await sync.status()).unseen_fields == everything
    listed = {"api_name": "cf_shelf", "label": "Shelf", "value": "A4"}
    for number in (2, 3, 4):
        await take(sync, number, custom_fields=[listed])
    assert (await sync.status()).unseen_fields == ("product.Colour", "product.cf_shelff")
    assert (await sync.status()).healthy
    # Another process knows as much, and each remembers what it need not write again.
    other = await opened(sessions)
    await take(other, 5, custom_fields=[listed, {"label": "Colour", "value": "red"}])
    assert (await other.status()).unseen_fields == ("product.cf_shelff",)
    (warning,) = [each for each in await other.check() if "custom field" in each]
    assert "'cf_shelff'" in warning
    assert "Lamps" in warning
    assert len(await rows(sessions, library.fields)) == 2
    assert sync._runtime.context.noted == {("product", "cf_shelf")}


async def test_what_is_rolled_back_was_not_seen(sessions: Sessions) -> None:
    await make(sessions, metadata)
    sync = await opened(sessions)
    async with sessions() as session:
        handler = sync.handler("product", session)
        await handler.sync({"item_id": "1", "cf_shelf": "A4"})
        await session.rollback()
    await take(sync, 2, cf_shelf="A5")
    assert "product.cf_shelf" not in (await sync.status()).unseen_fields
