"""Refuses mappings that would lose something, before anything is applied."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.hosts.application import open_host
from tests.hosts.documents import customer, item
from tests.hosts.sql import Sessions, make
from zoho_sync import EntityMap, MappingError, Outcome
from zoho_sync.handlers import CustomerHandler, ProductHandler
from zoho_sync.payloads import ProductPayload

pytestmark = pytest.mark.databases("sqlite", "postgresql", "mariadb")

shelf_metadata = MetaData()
shelves = Table(
    "erp_shelves",
    shelf_metadata,
    Column("id", Integer, primary_key=True),
    Column("zoho_id", String(50), unique=True),
    Column("pieces", Integer),
    sqlite_autoincrement=True,
)


def pieces(payload: ProductPayload) -> Any:
    """The host's own reading of the stock."""
    return payload.stock_on_hand


class _Shelves(ProductHandler):
    mapping = EntityMap(table=shelves, key="zoho_id", columns={"pieces": pieces}, on_delete="hard")


class _CarelessShelves(ProductHandler):
    mapping = EntityMap(
        table=shelves, key="zoho_id", columns={"pieces": "stock_on_hand"}, on_delete="hard"
    )


async def test_lesson_22_integer_column_does_not_cut(sessions: Sessions) -> None:
    """It would be back if a driver cut 12.7 to 12, or the start-up check let such a mapping be."""
    await make(sessions, shelf_metadata)
    host = await open_host(sessions, [_Shelves])
    counts = await host.take(
        item("41", stock_on_hand="12.7"), item("42", stock_on_hand="12.0"), item("43")
    )
    assert counts == {Outcome.APPLIED: 2, Outcome.DEAD_LETTER: 1}
    assert [row["pieces"] for row in await host.rows(shelves)] == [12, None]
    ((_, error),) = await host.dead()
    assert "pieces" in error
    careless = await open_host(sessions, [_CarelessShelves])
    with pytest.raises(MappingError, match="pieces"):
        await careless.sync.drain()


linked_metadata = MetaData()
reusing = Table(
    "erp_reusing",
    linked_metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(50)),
)


class _Linked(CustomerHandler):
    mapping = EntityMap(table=reusing, columns={"name": "contact_name"}, on_delete="ignore")


@pytest.mark.breaks_connections
async def test_ruling_linked_table_on_sqlite_needs_autoincrement(
    sessions: Sessions, engine: AsyncEngine
) -> None:
    """A rowid that is used again would make the link point at a stranger's row."""
    await make(sessions, linked_metadata)
    host = await open_host(sessions, [_Linked])
    if engine.dialect.name == "sqlite":
        with pytest.raises(MappingError, match=r"(?i)autoincrement"):
            await host.take(customer())
    else:
        assert await host.take(customer()) == {Outcome.APPLIED: 1}
