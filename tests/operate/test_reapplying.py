"""A changed mapping is applied to what was received before."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.hosts.sql import Sessions
from zoho_sync import HandlerRegistry, Outcome, ZohoSync, mirror
from zoho_sync.handlers import ProductHandler
from zoho_sync.payloads import ProductPayload


class Products(ProductHandler):
    """Handlers of the mirror, whose own code returns Zoho's id, and not the key of the row.

    The mirror's tables have two key columns, so what the ledger keeps is no key of its table.
    """

    async def upsert(self, payload: ProductPayload) -> Any:
        await super().upsert(payload)
        return payload.item_id


class FewerColumns(Products):
    mapping = replace(
        Products.mapping,
        columns={
            name: source for name, source in Products.mapping.columns.items() if name != "sku"
        },
    )


async def test_documents_of_the_mirror_are_found_by_zohos_id(sessions: Sessions) -> None:
    before = ZohoSync(sessions, registry=HandlerRegistry([FewerColumns]))
    await before.create_tables()
    await before.ingest({"item": {"item_id": "1", "name": "Lamp", "sku": "L-1"}})
    assert (await before.drain())[Outcome.APPLIED] == 1
    after = ZohoSync(sessions, registry=HandlerRegistry([Products]))
    assert (await after.reapply("product")).queued == 1
    assert (await after.drain())[Outcome.APPLIED] == 1
    async with sessions() as session:
        row = (await session.execute(mirror.products.select())).one()
    assert (row.name, row.sku) == ("Lamp", "L-1")
