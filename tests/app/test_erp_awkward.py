"""A month of an ERP with all the awkward habits ends right, by an oracle and by the ERP's guards.

`examples/erp_awkward` says what the habits are. `ZOHO_SYNC_ERP_EVENTS` sets the size: 20000 is the
whole month, with 10,000 customers and 3,000 products.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    create_async_engine,
)

from examples.erp_awkward.comparison import differences
from examples.erp_awkward.documents import number_of
from examples.erp_awkward.first import Sizes
from examples.erp_awkward.guards import violations
from examples.erp_awkward.host import as_host
from examples.erp_awkward.month import Month
from examples.erp_awkward.replay import Replay, set_up
from examples.erp_awkward.tables import (
    Customer,
    Invoice,
    InvoiceLine,
    Party,
    stock_items,
    table_of,
)
from tests.amounts import amount
from tests.hosts.sql import Sessions
from zoho_sync import ReceiptStatus

EVENTS: Final = int(os.environ.get("ZOHO_SYNC_ERP_EVENTS", "0")) or amount(core=150, everything=800)
SIZES: Final = Sizes(
    customers=EVENTS // 2, products=EVENTS * 3 // 20, events=EVENTS, swaps=max(3, EVENTS // 200)
)
TINY: Final = Sizes(customers=8, products=8, events=40, duplicate_every=4, swaps=1)


@pytest.mark.timeout(120 + EVENTS // 10)
async def test_a_month_ends_with_every_row_right(engine: AsyncEngine) -> None:
    month = Month(SIZES)
    replay = Replay(await set_up(engine), month)
    report = await replay.run()
    assert report.differences == []
    assert report.violations == []

    # Every event is in exactly one place, and the front door took them all.
    assert report.receipts.total() == len(month.deliveries) >= EVENTS
    assert set(report.receipts) == {ReceiptStatus.ACCEPTED, ReceiptStatus.DUPLICATE}
    assert report.outcomes.total() == report.receipts[ReceiptStatus.ACCEPTED]
    assert report.outcomes["queued"] == 0
    # What waits, waits for what never came; nothing else does.
    assert report.waiting <= replay.oracle.waiting
    await every_ambiguous_one_is_reported(replay)


async def every_ambiguous_one_is_reported(replay: Replay) -> None:
    """See a dead letter that names both rows, for each name that was there twice."""
    lives, first = replay.month.lives, replay.month.first
    reported = {
        (letter.entity_type, letter.entity_id): letter for letter in replay.report.ambiguous
    }
    twice = {
        *(("customer", name) for name in lives.customers.twice),
        *(("product", name) for name in lives.items.twice),
    }
    assert reported.keys() == twice
    for (kind, name), letter in reported.items():
        rows = first.customers if kind == "customer" else first.items
        number = number_of(str(name))
        assert f"{rows[number]['key']}, {rows[number + 1]['key']}" in letter.error
    # The operator has linked some of them; the others are as they were.
    linked = {(kind, name) for kind, names in replay.report.linked.items() for name in names}
    left = {(letter.entity_type, letter.entity_id) for letter in await replay.dead_letters()}
    assert linked
    assert left == twice - linked
    # Numbers that changed hands are nobody's dead letter in the end.
    assert replay.report.outcomes["dead_letter"] == len(await replay.dead_letters())


@pytest.mark.runs_on("psycopg")
async def test_a_small_month_through_the_other_driver(postgres_url: str) -> None:
    """What a constraint has refused is told in other words by psycopg."""
    engine = create_async_engine(postgres_url.replace("+asyncpg", "+psycopg"))
    report = await Replay(await set_up(engine), Month(TINY)).run()
    await engine.dispose()
    assert (report.differences, report.violations) == ([], [])
    assert report.outcomes["queued"] == 0


@pytest.fixture
async def replay(engine: AsyncEngine) -> Replay:
    """A small month, before it begins."""
    made = Replay(await set_up(engine), Month(TINY))
    await made.prepare()
    return made


async def seen(sessions: Sessions) -> list[tuple[str, str]]:
    """Return what the guards have seen: table, and what was done."""
    async with sessions() as session:
        rows = await session.execute(
            select(violations.c.table_name, violations.c.what).order_by(violations.c.id)
        )
        return [(row[0], row[1]) for row in rows]


async def test_what_will_be_ambiguous_is_known_before(replay: Replay) -> None:
    """The report counts the rows that share their name, before Zoho speaks of them."""
    counts = {count.entity_type: count for count in await replay.sync.adoption_report()}
    assert (counts["customer"].rows, counts["customer"].ambiguous) == (8, 4)
    assert (counts["product"].rows, counts["product"].ambiguous) == (8, 4)
    assert (counts["user"].rows, counts["user"].ambiguous) == (6, 0)


async def test_the_guards_see_what_is_not_done_by_the_host(replay: Replay) -> None:
    """Each kind of violation, once; and none of it if the host does the same."""
    customers, parties = table_of(Customer), table_of(Party)
    key = replay.month.first.customers[2]["key"]  # typed in twice: nobody may touch it
    free = next(
        row["key"]
        for number, row in enumerate(replay.month.first.customers)
        if ("customer", row) not in replay.month.untouchable()
    )
    deeds = (
        update(customers).where(customers.c.id == free).values(credit_limit=1),
        update(parties).where(parties.c.id == free).values(internal_note="changed"),
        update(parties).where(parties.c.id == key).values(name="changed"),
        insert(stock_items).values({"Item No.": "x", "Name": "x", "Reorder Level": 9}),
        stock_items.delete().where(stock_items.c["Item No."] == "x"),
    )
    async with as_host(replay.sessions) as session:
        for deed in deeds:
            await session.execute(deed)
    assert await seen(replay.sessions) == []
    async with replay.sessions.begin() as session:
        for deed in deeds:
            await session.execute(deed)
    # The host has changed the two columns to the same: what is not changed is no violation.
    assert await seen(replay.sessions) == [
        ("parties", "update of an own row"),
        ("Stock Items", "insert of the own column Reorder Level"),
        ("Stock Items", "delete"),
    ]
    async with replay.sessions.begin() as session:
        await session.execute(
            update(customers).where(customers.c.id == free).values(credit_limit=2)
        )
        await session.execute(update(parties).where(parties.c.id == free).values(internal_note=""))
    assert (await seen(replay.sessions))[3:] == [
        ("customers", "update of the own column credit_limit"),
        ("parties", "update of the own column internal_note"),
    ]


async def test_the_guards_keep_the_hosts_own_lines(replay: Replay) -> None:
    """A line that the host has added may be neither changed nor removed."""
    await replay.run_prepared()
    await replay.host.add_lines()
    (line, *_) = replay.host.shadow.rows["invoice_lines"]
    assert await seen(replay.sessions) == []
    async with replay.sessions.begin() as session:
        mine = InvoiceLine.id == line
        await session.execute(update(InvoiceLine).where(mine).values(text="changed"))
        await session.execute(table_of(InvoiceLine).delete().where(mine))
    assert await seen(replay.sessions) == [
        ("invoice_lines", "update of an own row"),
        ("invoice_lines", "delete of an own row"),
    ]
    await replay.compare()
    assert any("the ERP's own line" in each for each in replay.report.differences)


async def test_the_oracle_sees_a_wrong_row(replay: Replay) -> None:
    """A value, a second row of a customer, and a row that was written too often."""
    report = await replay.run_prepared()
    assert report.differences == []
    async with as_host(replay.sessions) as session:
        invoice = (await session.execute(select(Invoice).order_by(Invoice.id))).scalars().first()
        assert invoice is not None
        number, invoice.status = invoice.number, "wrong"
        name = replay.month.first.customers[2]["name"]
        session.add(Customer(name=name))
    found = await differences(replay.sessions, replay.oracle)
    assert [each for each in found if each.startswith(f"invoices {number!r}: status is 'wrong'")]
    assert f"customers {name!r}: nothing makes such a row" in found
    assert len(found) == 2
    async with replay.sessions.begin() as session:
        for _ in range(9):
            await session.execute(
                update(Invoice).where(Invoice.number == number).values(status="again")
            )
    found = await differences(replay.sessions, replay.oracle)
    assert any(f"invoices {number!r}: written" in each for each in found)


async def test_a_number_of_the_hosts_own_row_is_not_taken_away(replay: Replay) -> None:
    """What conflicts for good is a dead letter that names the row; nothing is set aside for it."""
    row = replay.month.first.items[2]  # typed in twice: the ERP's alone
    document = {"item_id": "1", "name": "Wanted", "sku": row["Item No."]}
    await replay.sync.ingest({"item": document})
    while (await replay.sync.status()).queue.total:
        await replay.sync.drain()
    (letter,) = await replay.sync.dead_letters.list()
    assert letter.error_type == "ValueTaken"
    assert letter.error == (
        f"Stock Items.Item No.: row {row['key']} has the value that a new row is to get"
    )
    assert letter.path == "product.sku"
    assert await seen(replay.sessions) == []


def test_it_runs_as_a_program(tmp_path: Path) -> None:
    """It prints what came of the month, and its exit code says whether all was right."""
    sizes = ("--customers", "10", "--products", "10", "--events", "30", "--seed", "3")
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-m", "examples.erp_awkward", *sizes],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONDEVMODE": "1", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "0 differences\n0 violations\n" in ran.stdout
    assert "Traceback" not in ran.stderr
    assert "Warning" not in ran.stderr
    assert not list(tmp_path.iterdir())
