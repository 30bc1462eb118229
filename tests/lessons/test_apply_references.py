"""Leaves targets missing, late or deleted, and looks at those that refer to them."""

from __future__ import annotations

import pytest

from tests.hosts import tables
from tests.hosts.application import Host
from tests.hosts.documents import customer, invoice, item, line, payment
from zoho_sync import Outcome

pytestmark = pytest.mark.databases("sqlite", "postgresql", "mariadb")


async def test_lesson_13_line_of_an_unknown_product_waits(erp: Host) -> None:
    """It would be back if the invoice were applied without the line, or called a success."""
    body = invoice(line_items=[line("l1"), line("l2", item_id="41")])
    assert await erp.take(customer(), body) == {Outcome.APPLIED: 1, Outcome.PARKED: 1}
    assert await erp.count(tables.invoices) == 0
    assert await erp.take(item()) == {Outcome.APPLIED: 2}
    lines = await erp.rows(tables.invoice_lines)
    product = await erp.row(tables.products)
    assert [row["product_id"] for row in lines] == [None, product["id"]]


async def test_lesson_14_missing_customer_is_awaited_not_invented(erp: Host) -> None:
    """It would be back if a nameless client were made for the invoice that came too early."""
    assert await erp.take(invoice()) == {Outcome.PARKED: 1}
    assert (await erp.count(tables.clients), await erp.count(tables.invoices)) == (0, 0)
    (waiting,) = await erp.sync.parked.list()
    assert (waiting.waiting_type, waiting.waiting_id) == ("customer", "11")
    await erp.take(customer())
    client = await erp.row(tables.clients)
    assert client["name"] == "Acme"
    assert (await erp.row(tables.invoices))["client_id"] == client["id"]


async def test_lesson_53_deleted_parent_keeps_its_history(erp: Host) -> None:
    """It would be back if a deleted customer, invoice or item took other rows along."""
    bill = invoice(line_items=[line(item_id="41")])
    applied = [{"invoice_payment_id": "a1", "invoice_id": "21", "amount_applied": "10"}]
    await erp.take(customer(), item(), bill, payment(invoices=applied))
    for body in (customer(), item(), bill):
        assert await erp.take(body, operation="delete") == {Outcome.APPLIED: 1}
    for table in (tables.invoices, tables.invoice_lines, tables.allocations):
        assert await erp.count(table) == 1
    client = await erp.row(tables.clients)
    assert (await erp.row(tables.invoices))["client_id"] == client["id"]


async def test_lesson_55_deleted_product_does_not_block_orders(erp: Host) -> None:
    """It would be back if an order with a deleted product could never be synced."""
    await erp.take(customer(), item())
    await erp.take(item(), operation="delete")
    body = invoice(line_items=[line("l1", item_id="41"), line("l2")])
    assert await erp.take(body) == {Outcome.APPLIED: 1}
    assert await erp.count(tables.invoice_lines) == 2
