"""Law 7: what is raised to the host is printed with its causes, and none of them quotes a value."""

from __future__ import annotations

import pytest
from sqlalchemy import CheckConstraint, Column, Integer, MetaData, String, Table
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from tests.laws.test_closed_door import told
from tests.laws.written import MARK, leaks
from zoho_sync import EntityMap, HandlerRegistry, SyncEvent, ZohoSync
from zoho_sync.exceptions import RowRejected, ValueTaken
from zoho_sync.handlers import CustomerHandler

pytestmark = [
    pytest.mark.databases("sqlite", "postgresql", "psycopg", "mariadb"),
    pytest.mark.breaks_connections,
]


@pytest.mark.parametrize("refused", ["unique", "check"])
async def test_law_7_row_that_is_refused_shows_no_value_in_a_traceback(
    engine: AsyncEngine, refused: str
) -> None:
    host = MetaData()
    table = Table(
        "refusing_items",
        host,
        Column("id", Integer, primary_key=True),
        Column("zoho_id", String(64), unique=True),
        Column("name", String(64), unique=refused == "unique"),
        Column("sku", String(64)),
        *([CheckConstraint("name = 'nobody'")] if refused == "check" else []),
    )
    async with engine.begin() as connection:
        await connection.run_sync(host.create_all)

    class Customers(CustomerHandler):
        mapping = EntityMap(
            table=table,
            key="zoho_id",
            columns={"name": "contact_name", "sku": "notes"},
            on_delete="ignore",
        )

    sync = ZohoSync(async_sessionmaker(engine), registry=HandlerRegistry([Customers]))
    await sync.create_tables()
    raised = []
    for item_id in ("7101", "7102"):
        document = {"contact_id": item_id, "contact_name": MARK, "notes": f"{MARK}{item_id}"}
        event = SyncEvent(entity_type="customer", entity_id=item_id, payload=document)
        try:
            await sync.apply(event)
        except RowRejected as error:
            raised.append(error)
    assert len(raised) == (1 if refused == "unique" else 2)
    assert isinstance(raised[-1], ValueTaken) == (refused == "unique")
    assert [text for error in raised for text in leaks(told(error))] == []
