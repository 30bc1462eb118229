"""Reads documents: numbers, dates, ids, and what is absent or empty."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from tests.hosts import tables
from tests.hosts.application import Host
from tests.hosts.documents import at, customer, invoice, item, sparse
from tests.hosts.handlers import Products
from zoho_sync import Outcome, PayloadError, mirror

pytestmark = pytest.mark.databases("sqlite", "postgresql", "mariadb")


async def test_lesson_07_money_never_goes_through_a_float(erp: Host) -> None:
    """It would be back if 99999999999999.99 came out as …99.98, or a float were taken."""
    body = b'{"item":{"item_id":"41","name":"Bolt","status":"active","rate":99999999999999.99}}'
    await erp.take(body)
    assert (await erp.row(tables.products))["price"] == Decimal("99999999999999.99")
    async with erp.sessions() as session:
        with pytest.raises(PayloadError, match="float"):
            await Products(session).sync({"item_id": "42", "name": "x", "rate": 0.1})


async def test_lesson_09_unparseable_date_is_a_dead_letter(erp: Host) -> None:
    """It would be back if a bad date became NULL or today; an empty one is NULL."""
    await erp.take(customer(), invoice(date="31.02.2024"))
    assert [path for path, _ in await erp.dead()] == ["invoice.date"]
    assert await erp.count(tables.invoices) == 0
    await erp.take(invoice("22"), invoice("23", date="", invoice_number="INV-3"))
    dates = [row["issued_on"] for row in await erp.rows(tables.invoices)]
    assert dates == [date(2024, 5, 17), None]


async def test_lesson_19_inactive_items_stay_inactive(erp: Host, mirrored: Host) -> None:
    """It would be back if a missing `is_active` counted as True: the item would come to life."""
    await erp.take(item(status="inactive"))
    assert (await erp.row(tables.products))["active"] is False
    await erp.take(sparse("item", item_id="41", rate="2", last_modified_time=at(1)))
    assert (await erp.row(tables.products))["active"] is False
    await mirrored.take(item("49", status="inactive"))
    assert (await mirrored.row(mirror.products, item_id="49"))["status"] == "inactive"


async def test_lesson_20_empty_sku_is_null(erp: Host) -> None:
    """It would be back if "" were stored: the second item would violate the unique constraint."""
    assert await erp.take(item("41", sku=""), item("42", sku="")) == {Outcome.APPLIED: 2}
    assert [row["sku"] for row in await erp.rows(tables.products)] == [None, None]


async def test_lesson_21_ids_are_text_however_they_arrive(erp: Host) -> None:
    """It would be back if an id printed as a number were refused, or made a second row."""
    number = 460000000026049123
    await erp.take(customer(number), invoice(customer_id=number))
    await erp.take(customer(str(number), contact_name="Same", last_modified_time=at(1)))
    client = await erp.row(tables.clients)
    assert (client["zoho_id"], client["name"]) == (str(number), "Same")
    assert (await erp.row(tables.invoices))["client_id"] == client["id"]


async def test_lesson_22_stock_keeps_its_fraction(erp: Host) -> None:
    """It would be back if 12.7 were stored as 12, or "12.5" crashed."""
    await erp.take(item("41", stock_on_hand=12), item("42", stock_on_hand="12.5"))
    await erp.take(b'{"item":{"item_id":"43","name":"x","status":"active","stock_on_hand":12.7}}')
    stock = [row["stock"] for row in await erp.rows(tables.products)]
    assert stock == [Decimal(12), Decimal("12.5"), Decimal("12.7")]
