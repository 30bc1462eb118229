"""The mirror rounds no number: what has more decimals than its columns is refused by name."""

from __future__ import annotations

from decimal import Decimal

import pytest
from sqlalchemy import select

from tests.hosts.sql import Sessions
from zoho_sync import Outcome, ZohoSync, mirror

pytestmark = pytest.mark.databases("sqlite", "postgresql", "mariadb")


@pytest.fixture
async def sync(sessions: Sessions) -> ZohoSync:
    sync = ZohoSync(sessions)
    await sync.create_tables()
    return sync


async def test_a_number_with_too_many_decimals_is_refused_by_name(sync: ZohoSync) -> None:
    longer = "0.12345678901"
    lines = f'[{{"line_item_id": "21"}}, {{"line_item_id": "22", "rate": "{longer}"}}]'
    bodies = [
        f'{{"item": {{"item_id": "1", "rate": {longer}}}}}',
        f'{{"invoice": {{"invoice_id": "2", "line_items": {lines}}}}}',
        '{"item": {"item_id": "3", "rate": 5}}',
    ]
    for body in bodies:
        await sync.ingest(body)
    assert await sync.drain() == {Outcome.APPLIED: 1, Outcome.DEAD_LETTER: 2}
    letters = await sync.dead_letters.list()
    assert [letter.path for letter in letters] == ["product.rate", "invoice.line_items[1].rate"]
    for letter in letters:
        assert "more than 10 decimals" in letter.error
        assert longer not in letter.error
        assert letter.kind == "data"


async def test_zeros_at_the_end_are_no_decimals(sync: ZohoSync, sessions: Sessions) -> None:
    await sync.ingest(
        '{"item": {"item_id": "1", "rate": 0.1234567890000000, "stock_on_hand": 1E+2}}'
    )
    assert await sync.drain() == {Outcome.APPLIED: 1}
    async with sessions() as session:
        found = (await session.execute(select(mirror.products))).one()
    assert (found.rate, found.stock_on_hand) == (Decimal("0.1234567890"), Decimal(100))
