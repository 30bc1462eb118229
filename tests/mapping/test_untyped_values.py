"""Custom fields and what nested objects hold: read as the column that they go into means them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Boolean, Column, Date, DateTime, Integer, MetaData, String, Table, select

from tests.hosts.sql import Sessions, make
from zoho_sync import ChildMap, EntityMap, HandlerRegistry, Outcome, ZohoSync, custom_field, mirror
from zoho_sync.handlers import InvoiceHandler

HOST = MetaData()
SALES = Table(
    "untyped_sales",
    HOST,
    Column("id", Integer, primary_key=True),
    Column("zoho_id", String(50), unique=True),
    Column("due", Date),
    Column("amount", mirror.ExactDecimal()),
    Column("agreed", Boolean),
    Column("called", DateTime(timezone=True)),
    Column("signed", mirror.UtcDateTime()),
    Column("score", Integer),
    Column("note", String(50)),
    Column("zip", Integer),
    Column("closed", Boolean),
)
LINES = Table(
    "l" * 63,
    HOST,
    Column("id", Integer, primary_key=True),
    Column("sale", Integer),
    Column("name", String(50)),
    sqlite_autoincrement=True,
)
FIELDS = ("due", "amount", "agreed", "called", "signed", "score", "note")


class Sales(InvoiceHandler):
    """Everything comes from custom fields and from a nested object."""

    mapping = EntityMap(
        table=SALES,
        key="zoho_id",
        columns={name: custom_field(f"cf_{name}") for name in FIELDS}
        | {"zip": "billing_address.zip"},
        children=[
            ChildMap(table=LINES, source="line_items", parent="sale", columns={"name": "name"})
        ],
        deleted_column="closed",
    )


@pytest.fixture
async def sync(sessions: Sessions) -> ZohoSync:
    """A host whose zone is two hours ahead."""
    await make(sessions, HOST)
    zone = timezone(timedelta(hours=2))
    sync = ZohoSync(
        sessions, registry=HandlerRegistry([Sales]), time_zone=zone, date_formats=["%d/%m/%Y"]
    )
    await sync.create_tables()
    return sync


async def deliver(sync: ZohoSync, **document: Any) -> dict[Outcome, int]:
    """Send an invoice, and apply it."""
    fields = [
        {"api_name": f"cf_{name}", "value": document.pop(name)}
        for name in FIELDS
        if name in document
    ]
    await sync.ingest({"invoice": {"invoice_id": "1", "custom_fields": fields, **document}})
    return await sync.drain()


async def test_a_good_value_is_taken(sync: ZohoSync, sessions: Sessions) -> None:
    assert await deliver(
        sync,
        due="06/05/2024",
        amount="77.50",
        agreed="Yes",
        called="2024-05-06 10:00",
        signed="2024-05-06T10:00:00+0530",
        score="12",
        note=Decimal("7.10"),
        billing_address={"zip": "1070"},
        line_items=[{"name": "Beans"}],
    ) == {Outcome.APPLIED: 1}
    async with sessions() as session:
        row = (await session.execute(select(SALES))).mappings().one()
    called = row["called"]
    told = dict(row) | {"called": called.replace(tzinfo=called.tzinfo or UTC)}
    assert {name: told[name] for name in (*FIELDS, "zip")} == {
        "due": date(2024, 5, 6),
        "amount": Decimal("77.50"),
        "agreed": True,
        "called": datetime(2024, 5, 6, 8, tzinfo=UTC),
        "signed": datetime(2024, 5, 6, 4, 30, tzinfo=UTC),
        "score": 12,
        "note": "7.10",
        "zip": 1070,
    }


async def test_an_empty_value_is_null(sync: ZohoSync, sessions: Sessions) -> None:
    await deliver(sync, due="2024-05-06", amount="1", billing_address={"zip": "1"})
    emptied = deliver(sync, due="", amount=" ", billing_address={"zip": ""})
    assert await emptied == {Outcome.APPLIED: 1}
    async with sessions() as session:
        columns = select(SALES.c.due, SALES.c.amount, SALES.c.zip)
        assert (await session.execute(columns)).one() == (None, None, None)


@pytest.mark.parametrize("name", [*FIELDS, "billing_address.zip"])
async def test_what_is_none_names_its_field(sync: ZohoSync, name: str) -> None:
    value: Any = ["MARK"] if name == "note" else "MARK"
    first, _, last = name.partition(".")
    document = {first: {last: value}} if last else {first: value}
    assert await deliver(sync, **document) == {Outcome.DEAD_LETTER: 1}
    (letter,) = await sync.dead_letters.list()
    path = f"invoice.{name}" if last else f"invoice.cf_{name}"
    assert (letter.error_type, letter.path) == ("PayloadError", path)
    assert "MARK" not in letter.error
