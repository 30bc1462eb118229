"""Every digit, every line, every state: what a document says is what the tables hold."""

from __future__ import annotations

from decimal import Decimal

import pytest
from sqlalchemy import select, text

from tests.hosts import tables
from tests.hosts.application import Host, open_host
from tests.hosts.documents import at, customer, invoice, item, line, sparse
from tests.hosts.sql import Sessions, library
from zoho_sync import Outcome, mirror

pytestmark = pytest.mark.databases("sqlite", "postgresql", "psycopg", "mariadb")

BIG = "99999999999999.99"
RATES = ["0.000001", "123456.654321", "33.333333"]


@pytest.fixture
async def erp(sessions: Sessions) -> Host:
    """A host with tables of its own."""
    return await open_host(sessions)


@pytest.fixture
async def mirrored(sessions: Sessions) -> Host:
    """A host that uses the mirror."""
    return await open_host(sessions, None)


async def test_an_invoice_keeps_every_digit(mirrored: Host) -> None:
    """Through receipt, the queue, the mapping and the mirror, and in the raw document."""
    lines = ",".join(
        f'{{"line_item_id":"l{n}","quantity":{n}.000001,"rate":{rate},"item_total":{BIG}}}'
        for n, rate in enumerate(RATES, start=1)
    )
    body = (
        f'{{"invoice":{{"invoice_id":"21","total":{BIG},"balance":"{BIG}","sub_total":-{BIG},'
        f'"exchange_rate":1.000000,"line_items":[{lines}]}}}}'
    )
    assert await mirrored.take(body.encode()) == {Outcome.APPLIED: 1}
    row = await mirrored.row(mirror.invoices)
    assert (row["total"], row["balance"], row["sub_total"]) == (
        Decimal(BIG),
        Decimal(BIG),
        -Decimal(BIG),
    )
    assert str(row["raw"]["total"]) == BIG
    assert [str(each["rate"]) for each in row["raw"]["line_items"]] == RATES
    stored = await mirrored.rows(mirror.invoice_lines)
    assert [each["rate"] for each in stored] == [Decimal(rate) for rate in RATES]
    assert [each["quantity"] for each in stored] == [Decimal(f"{n}.000001") for n in (1, 2, 3)]
    assert {each["item_total"] for each in stored} == {Decimal(BIG)}
    async with mirrored.sessions() as session:
        # Not the type's doing: the database itself holds the digits.
        kind = "CHAR" if session.get_bind().dialect.name == "mysql" else "TEXT"
        as_text = await session.execute(text(f"SELECT CAST(total AS {kind}) FROM zoho_invoices"))  # noqa: S608  # our own words
        assert as_text.scalar_one() == f"{BIG}00000000"


async def test_allocations_and_rest_equal_the_amount(mirrored: Host) -> None:
    """One payment over three invoices makes three rows, and nothing is lost to rounding."""
    amounts = ["33333333333333.33", "33333333333333.34", "0.000001"]
    applied = [
        {"invoice_payment_id": f"a{n}", "invoice_id": f"2{n}", "amount_applied": amount}
        for n, amount in enumerate(amounts, start=1)
    ]
    rest = Decimal(BIG) - sum(Decimal(amount) for amount in amounts)
    body = {"payment_id": "51", "amount": BIG, "unused_amount": str(rest), "invoices": applied}
    await mirrored.take({"payment": body})
    payment = await mirrored.row(mirror.payments)
    allocations = await mirrored.rows(mirror.payment_allocations)
    assert [row["invoice_id"] for row in allocations] == ["21", "22", "23"]
    assert [row["amount_applied"] for row in allocations] == [Decimal(a) for a in amounts]
    total = sum(row["amount_applied"] for row in allocations) + payment["unused_amount"]
    assert total == payment["amount"] == Decimal(BIG)


async def test_an_emptied_list_removes_lines_an_absent_one_does_not(mirrored: Host) -> None:
    """Absent is not empty."""
    await mirrored.take(invoice(line_items=[line("l1"), line("l2")]))
    await mirrored.take(sparse("invoice", invoice_id="21", notes="x", last_modified_time=at(1)))
    assert await mirrored.count(mirror.invoice_lines) == 2
    removed = sparse("invoice", invoice_id="21", line_items=[], last_modified_time=at(2))
    await mirrored.take(removed)
    assert await mirrored.count(mirror.invoice_lines) == 0
    assert (await mirrored.row(mirror.invoices))["notes"] == "x"


async def test_an_inactive_item_stays_inactive(mirrored: Host) -> None:
    """A document that does not speak of the status leaves it alone."""
    await mirrored.take(item(status="inactive"))
    await mirrored.take(sparse("item", item_id="41", rate=2, last_modified_time=at(1)))
    row = await mirrored.row(mirror.products)
    assert (row["status"], row["rate"], row["name"]) == ("inactive", 2, "Bolt")


async def test_a_sparse_update_of_a_row_with_required_columns(erp: Host) -> None:
    """The row is known, so it is updated: the columns that may not be NULL are not asked for."""
    await erp.take(customer(), invoice(total=BIG))
    before = await erp.row(tables.invoices)
    status = sparse("invoice", invoice_id="21", status="paid", last_modified_time=at(1))
    assert await erp.take(status) == {Outcome.APPLIED: 1}
    assert await erp.row(tables.invoices) == before | {"status": "paid"}
    assert before["total"] == Decimal(BIG)


async def test_a_sparse_update_that_comes_first_waits_for_the_whole(erp: Host) -> None:
    """It parks on its own entity, and is applied when the full document arrives."""
    await erp.take(customer())
    newer = sparse("invoice", invoice_id="21", status="paid", last_modified_time=at(5))
    assert await erp.take(newer) == {Outcome.PARKED: 1}
    assert await erp.count(tables.invoices) == 0
    (waiting,) = await erp.sync.parked.list()
    assert (waiting.waiting_type, waiting.waiting_id) == ("invoice", "21")
    event = waiting.event
    assert (waiting.entity_type, waiting.entity_id) == (event.entity_type, event.entity_id)
    assert await erp.take(invoice(status="sent", last_modified_time=at(1))) == {Outcome.APPLIED: 2}
    row = await erp.row(tables.invoices)
    assert (row["status"], row["number"], row["total"]) == ("paid", "INV-1", 10)
    assert await erp.sync.parked.list() == []
    async with erp.sessions() as session:
        statement = select(library.ledger.c.effective_time)
        statement = statement.where(library.ledger.c.entity_id == "21")
        assert (await session.execute(statement)).scalar_one().second == 5
