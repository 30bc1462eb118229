"""Runs the handlers that the library brings, and looks for what none of them does."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.hosts.application import Host
from tests.hosts.documents import customer, invoice, item, line
from zoho_sync import Outcome, mirror
from zoho_sync.handlers.builtin import BUILTIN_HANDLERS

pytestmark = pytest.mark.databases("sqlite", "postgresql", "mariadb")


async def test_lesson_17_handlers_change_no_schema(erp: Host, engine: AsyncEngine) -> None:
    """It would be back if an event ran CREATE, ALTER or DROP: seen at the driver."""
    sent: list[str] = []

    def record(*arguments: Any) -> None:
        sent.append(arguments[2].split(maxsplit=1)[0].upper())

    event.listen(engine.sync_engine, "before_cursor_execute", record)
    await erp.take(customer(), item(), invoice(line_items=[line(item_id="41")]))
    await erp.take(invoice(), operation="delete")
    assert {"INSERT", "SELECT"} <= set(sent)
    assert not {"CREATE", "ALTER", "DROP", "TRUNCATE"} & set(sent)


ELEVEN = {
    "product": {"item": {"item_id": "1"}},
    "customer": {"contact": {"contact_id": "2", "contact_type": "customer"}},
    "vendor": {"contact": {"contact_id": "3", "contact_type": "vendor"}},
    "invoice": {"invoice": {"invoice_id": "4"}},
    "sales_order": {"salesorder": {"salesorder_id": "5"}},
    "payment": {"payment": {"payment_id": "6"}},
    "user": {"user": {"user_id": "7"}},
    "bill": {"bill": {"bill_id": "8"}},
    "credit_note": {"creditnote": {"creditnote_id": "9"}},
    "stock_adjustment": {"inventory_adjustment": {"inventory_adjustment_id": "10"}},
    "price_list": {"pricebook": {"pricebook_id": "11"}},
}


async def test_lesson_18_all_eleven_handlers_work(mirrored: Host) -> None:
    """It would be back if one of them raised, for an upsert or for a delete."""
    assert {handler.entity_type for handler in BUILTIN_HANDLERS} == set(ELEVEN)
    assert await mirrored.take(*ELEVEN.values()) == {Outcome.APPLIED: 11}
    deleted = await mirrored.take(*ELEVEN.values(), operation="delete")
    assert deleted == {Outcome.APPLIED: 11}
    for name in ELEVEN:
        table = mirror.metadata.tables[f"zoho_{name}s"]
        assert (await mirrored.row(table))["deleted_at"] is not None
