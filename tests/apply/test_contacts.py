"""Contacts that change between customer and vendor: one ledger row, two tables of the host."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from sqlalchemy import Text, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tests.hosts.events import dated
from tests.hosts.sql import Sessions, make
from zoho_sync import EntityMap, HandlerRegistry, Outcome, PayloadError, Reference, SyncEvent
from zoho_sync import Operation as Op
from zoho_sync.app.sync import ZohoSync
from zoho_sync.handlers import CustomerHandler, ProductHandler, VendorHandler


class Base(DeclarativeBase):
    """The host's tables."""


class Item(Base):
    __tablename__ = "x_items"
    id: Mapped[int] = mapped_column(primary_key=True)
    zoho_id: Mapped[str] = mapped_column(Text, unique=True)


class Client(Base):
    __tablename__ = "x_clients"
    id: Mapped[int] = mapped_column(primary_key=True)
    zoho_id: Mapped[str] = mapped_column(Text, unique=True)
    name: Mapped[str | None] = mapped_column(Text)
    item_id: Mapped[int | None]
    gone: Mapped[bool] = mapped_column(default=False)


class Supplier(Base):
    __tablename__ = "x_suppliers"
    id: Mapped[int] = mapped_column(primary_key=True)
    zoho_id: Mapped[str] = mapped_column(Text, unique=True)
    name: Mapped[str | None] = mapped_column(Text)
    item_id: Mapped[int | None]
    gone: Mapped[bool] = mapped_column(default=False)


FAVOURITE = [Reference("item_id", to="product", source="notes", missing="null")]


class Items(ProductHandler):
    mapping = EntityMap(table=Item, key="zoho_id", columns={}, on_delete="ignore")


class Clients(CustomerHandler):
    mapping = EntityMap(
        table=Client,
        key="zoho_id",
        columns={"name": "contact_name"},
        references=FAVOURITE,
        deleted_column="gone",
    )


class Suppliers(VendorHandler):
    mapping = EntityMap(
        table=Supplier,
        key="zoho_id",
        columns={"name": "contact_name"},
        references=FAVOURITE,
        deleted_column="gone",
    )


def contact(kind: str, second: int, name: str, item: str = "", op: Op = Op.UPSERT) -> SyncEvent:
    return dated(kind, "1", {"contact_id": "1", "contact_name": name, "notes": item}, second, op)


@pytest.fixture
async def sync(sessions: Sessions) -> ZohoSync:
    await make(sessions, Base.metadata)
    sync = ZohoSync(sessions, registry=HandlerRegistry([Items, Clients, Suppliers]))
    await sync.create_tables()
    return sync


async def rows(sessions: Sessions, table: type[Any]) -> list[tuple[Any, ...]]:
    async with sessions() as session:
        found = await session.execute(select(table.name, table.item_id, table.gone))
        return [tuple(row) for row in found]


async def each(sync: ZohoSync, *events: SyncEvent) -> dict[Outcome, int]:
    counts: dict[Outcome, int] = {}
    for event in events:
        await sync.enqueue([event])
        counts = await sync.drain()
    return counts


async def test_the_newest_type_has_the_living_row(sync: ZohoSync, sessions: Sessions) -> None:
    """In every order; the row of the other type is marked deleted, or was never made."""
    told = [contact("customer", 1, "a"), contact("vendor", 2, "b"), contact("customer", 3, "c")]
    for order in itertools.permutations(told):
        async with sessions.begin() as session:
            for table in (
                *Base.metadata.sorted_tables,
                *sync._runtime.context.tables.metadata.sorted_tables,
            ):
                await session.execute(table.delete())
        await each(sync, *order)
        assert [row for row in await rows(sessions, Client) if not row[2]] == [("c", None, False)]
        assert [row for row in await rows(sessions, Supplier) if not row[2]] == []
        assert len(await rows(sessions, Client)) == 1


async def test_what_the_former_row_owed_is_forgotten(sync: ZohoSync, sessions: Sessions) -> None:
    await each(
        sync,
        contact("customer", 1, "1", "24"),
        contact("vendor", 2, "2", "24"),
        contact("customer", 3, "3"),
        SyncEvent("product", "24", {"item_id": "24"}),
    )
    assert await rows(sessions, Client) == [("3", None, False)]
    assert await rows(sessions, Supplier) == [("2", None, True)]
    assert await sync.dead_letters.list() == []


async def test_a_delete_goes_to_the_type_that_the_contact_has(
    sync: ZohoSync, sessions: Sessions
) -> None:
    """Whatever its sender believes; a direct call of the wrong handler is told."""
    await each(sync, contact("customer", 1, "a"))
    async with sessions.begin() as session:
        with pytest.raises(PayloadError, match="customer by now"):
            await sync.handler("vendor", session).sync({"contact_id": "1"}, "delete")
    assert await each(sync, contact("vendor", 2, "a", op=Op.DELETE)) == {Outcome.APPLIED: 1}
    assert await rows(sessions, Client) == [("a", None, True)]
    await each(sync, contact("customer", 3, "b"))
    assert await rows(sessions, Client) == [("b", None, False)]
