"""Changes lines: they come, stay and go with the list that a document carries."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select

from tests.hosts import tables
from tests.hosts.application import Host
from tests.hosts.documents import at, customer, invoice, line, payment, sparse
from tests.hosts.sql import library
from zoho_sync import Outcome, mirror

pytestmark = pytest.mark.databases("sqlite", "postgresql", "mariadb")


async def test_lesson_12_payment_over_three_invoices(erp: Host) -> None:
    """It would be back if the allocations shared one unique number: the last alone would stay."""
    allocations = [
        {"invoice_payment_id": f"a{n}", "invoice_id": f"2{n}", "amount_applied": f"{n}.10"}
        for n in (1, 2, 3)
    ]
    invoices = [invoice(f"2{n}", invoice_number=f"INV-{n}") for n in (1, 2, 3)]
    body = payment(amount="10.00", unused_amount="3.70", invoices=allocations)
    assert await erp.take(customer(), *invoices, body) == {Outcome.APPLIED: 5}
    paid = await erp.row(tables.payments)
    rows = await erp.rows(tables.allocations)
    amounts = [row["amount"] for row in rows]
    assert amounts == [Decimal("1.10"), Decimal("2.10"), Decimal("3.10")]
    assert len({row["invoice_id"] for row in rows}) == 3
    assert sum(amounts) + paid["unused"] == paid["amount"]


async def test_lesson_15_invoice_lines_are_stored(erp: Host, mirrored: Host) -> None:
    """It would be back if an invoice came without its lines, in the host's tables or the mirror."""
    lines = [line("l1", name="Work", quantity="1.5"), line("l2", name="Travel", rate="0.000001")]
    await erp.take(customer(), invoice(line_items=lines))
    stored = [
        (row["name"], row["quantity"], row["rate"]) for row in await erp.rows(tables.invoice_lines)
    ]
    assert stored == [
        ("Work", Decimal("1.5"), Decimal(10)),
        ("Travel", Decimal(1), Decimal("0.000001")),
    ]
    await mirrored.take(invoice("29", line_items=lines))
    rows = await mirrored.rows(mirror.invoice_lines)
    assert [(row["line_item_id"], row["invoice_id"]) for row in rows] == [
        ("l1", "29"),
        ("l2", "29"),
    ]


async def test_lesson_23_removed_prices_leave_the_list(mirrored: Host) -> None:
    """It would be back if a price that is not in the list any more stayed in the table."""

    def prices(*ids: str, **more: Any) -> dict[str, Any]:
        rows = [{"pricebook_item_id": f"r{n}", "item_id": n, "pricebook_rate": n} for n in ids]
        return {"pricebook": {"pricebook_id": "81", "pricebook_items": rows} | more}

    await mirrored.take(prices("1", "2", "3"))
    await mirrored.take(prices("1", "3"))
    kept = [row["item_id"] for row in await mirrored.rows(mirror.price_list_items)]
    assert kept == ["1", "3"]


async def test_lesson_23_removed_brackets_leave_the_list(mirrored: Host) -> None:
    """It would be back if the brackets of a removed price, or a removed bracket, stayed."""

    def list_of(*starts: int) -> dict[str, Any]:
        brackets = [
            {"start_quantity": start, "end_quantity": "", "pricebook_rate": 1} for start in starts
        ]
        rows = [{"item_id": "1", "price_brackets": brackets}]
        return {"pricebook": {"pricebook_id": "81", "pricebook_items": rows if starts else []}}

    brackets = mirror.price_list_brackets
    await mirrored.take(list_of(1, 10, 100))
    assert await mirrored.count(brackets) == 3
    await mirrored.take(list_of(1, 50))
    starts = [row["start_quantity"] for row in await mirrored.rows(brackets)]
    assert starts == [Decimal(1), Decimal(50)]
    await mirrored.take(list_of())
    assert await mirrored.count(brackets) == 0
    async with mirrored.sessions() as session:
        ledger = (await session.execute(select(library.ledger.c.entity_id))).scalars().all()
    assert ledger == ["81"]


async def test_lesson_56_stale_event_leaves_the_lines(erp: Host) -> None:
    """It would be back if a late, older document replaced the current lines."""
    now = invoice(line_items=[line("l1"), line("l2")], last_modified_time=at(5))
    old = invoice(line_items=[line("l3")], last_modified_time=at(4))
    await erp.take(customer(), now)
    assert await erp.take(old) == {Outcome.STALE: 1}
    lines = await erp.rows(tables.invoice_lines)
    assert [row["zoho_id"] for row in lines] == ["l1", "l2"]


@pytest.mark.parametrize("empty", [[], ""])
async def test_lesson_57_emptied_list_removes_the_lines(erp: Host, empty: Any) -> None:
    """It would be back if an empty list were taken for an absent one, and the lines stayed."""
    await erp.take(customer(), invoice(line_items=[line("l1"), line("l2")]))
    await erp.take(sparse("invoice", invoice_id="21", notes="x", last_modified_time=at(1)))
    assert await erp.count(tables.invoice_lines) == 2
    await erp.take(sparse("invoice", invoice_id="21", line_items=empty, last_modified_time=at(2)))
    assert await erp.count(tables.invoice_lines) == 0
