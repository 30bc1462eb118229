"""Tables as hosts have them: in schemas, with names that need quotes, odd keys, own defaults."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Computed,
    ForeignKeyConstraint,
    Integer,
    MetaData,
    Numeric,
    Table,
    Text,
    Uuid,
    select,
    text,
)
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    async_sessionmaker,
    create_async_engine,
)

from tests.hosts.sql import Sessions
from zoho_sync import (
    BaseEntityHandler,
    ChildMap,
    EntityMap,
    HandlerRegistry,
    Outcome,
    ZohoSync,
)
from zoho_sync.payloads import CustomerPayload, InvoicePayload

CUSTOMER = {"contact_id": "101", "contact_type": "customer", "contact_name": "Hotel Meridian"}
INVOICE: dict[str, Any] = {
    "invoice_id": "301",
    "customer_id": "101",
    "total": "12.50",
    "line_items": [
        {"line_item_id": "1", "description": "soap", "quantity": 2},
        {"line_item_id": "2", "description": "towel", "quantity": 3},
    ],
}


class Shop:
    """One host: its tables, its handlers, its `ZohoSync`, all in one schema.

    Clients have a key of two columns, which the database or the host's own mapping fills; orders
    a UUID that the host's default makes; both are linked by the ledger alone.
    """

    def __init__(self, sessions: Sessions, schema: str | None, branch: int) -> None:
        self.metadata = metadata = MetaData(schema=schema)
        self.clients = clients = Table(
            "Key Accounts",
            metadata,
            Column("Branch", Integer, primary_key=True, autoincrement=False),
            Column("No.", Text, primary_key=True),
            Column("Full Name", Text, nullable=False),
            Column("select", Text, server_default=text("'by hand'"), nullable=False),
            Column("Gone?", Boolean, nullable=False, server_default=text("false")),
        )
        self.orders = orders = Table(
            "order",
            metadata,
            Column("ID", Uuid, primary_key=True, default=uuid.uuid4),
            Column("client branch", Integer, nullable=False),
            Column("client no", Text),
            Column("Total", Text),
            Column("Gone?", Boolean, nullable=False, server_default=text("false")),
        )
        self.lines = lines = Table(
            "Order Lines",
            metadata,
            Column("ID", Uuid, primary_key=True, default=uuid.uuid4),
            Column("order ID", Uuid, nullable=False),
            Column("What", Text),
            Column("How many", Numeric(12, 2, asdecimal=True)),
            Column("Twice", Numeric(12, 2), Computed('"How many" * 2')),
            ForeignKeyConstraint(["order ID"], [orders.c.ID]),
        )

        class Clients(BaseEntityHandler[CustomerPayload]):
            mapping = EntityMap(
                table=clients,
                columns={"Full Name": "contact_name", "No.": "contact_id"},
                insert_only={"Branch": branch},
                deleted_column="Gone?",
            )

        class Orders(BaseEntityHandler[InvoicePayload]):
            mapping = EntityMap(
                table=orders,
                columns={"Total": lambda payload: str(payload.total), "client no": "customer_id"},
                insert_only={"client branch": branch},
                children=[
                    ChildMap(
                        table=lines,
                        source="line_items",
                        parent="order ID",
                        columns={"What": "description", "How many": "quantity"},
                    )
                ],
                deleted_column="Gone?",
            )

        self.sessions = sessions
        registry = HandlerRegistry([Clients, Orders])
        self.sync = ZohoSync(sessions, registry=registry, schema=schema)

    async def create(self, engine: AsyncEngine) -> None:
        """Make the schema, the host's tables and the library's."""
        async with engine.begin() as connection:
            if self.metadata.schema is not None:
                await connection.execute(text(f'CREATE SCHEMA "{self.metadata.schema}"'))
            await connection.run_sync(self.metadata.create_all)
        await self.sync.create_tables()

    async def take(self, *documents: dict[str, Any]) -> dict[Outcome, int]:
        """Ingest documents, and apply them."""
        for document in documents:
            await self.sync.ingest(document)
        return await self.sync.drain()

    async def rows(self, table: Table) -> list[tuple[Any, ...]]:
        """Return what a table holds."""
        async with self.sessions() as session:
            return [tuple(row) for row in await session.execute(select(table))]


async def lived_through(shop: Shop, branch: int) -> None:
    """Make, change and delete a client and an order, and see each row right."""
    counts = await shop.take({"contact": CUSTOMER}, {"invoice": INVOICE})
    assert counts == {Outcome.APPLIED: 2}
    assert await shop.rows(shop.clients) == [(branch, "101", "Hotel Meridian", "by hand", False)]
    ((order, *rest),) = await shop.rows(shop.orders)
    assert isinstance(order, uuid.UUID)
    assert rest == [branch, "101", "12.50", False]
    first = {line[2]: line for line in await shop.rows(shop.lines)}
    assert {line[1] for line in first.values()} == {order}
    assert [first[name][3:] for name in ("soap", "towel")] == [
        (Decimal(2), Decimal(4)),
        (Decimal(3), Decimal(6)),
    ]

    fewer = INVOICE | {"total": 7, "line_items": [INVOICE["line_items"][0] | {"quantity": 5}]}
    renamed = CUSTOMER | {"contact_name": "Meridian"}
    assert await shop.take({"contact": renamed}, {"invoice": fewer}) == {Outcome.APPLIED: 2}
    assert await shop.rows(shop.clients) == [(branch, "101", "Meridian", "by hand", False)]
    assert await shop.rows(shop.orders) == [(order, branch, "101", "7", False)]
    assert await shop.rows(shop.lines) == [
        (first["soap"][0], order, "soap", Decimal(5), Decimal(10))
    ]

    await shop.sync.ingest({}, entity="invoice", operation="delete", entity_id="301")
    assert await shop.sync.drain() == {Outcome.APPLIED: 1}
    assert await shop.rows(shop.orders) == [(order, branch, "101", "7", True)]
    found = await shop.sync.provenance(shop.clients, (branch, "101"))
    assert found is not None
    assert found.zoho_id == "101"


async def test_names_that_need_quotes_and_keys_of_every_kind(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    shop = Shop(sessions, None, 7)
    await shop.create(engine)
    await shop.sync.check()
    await lived_through(shop, 7)


async def test_two_hosts_in_two_schemas_of_one_database(postgres_url: str) -> None:
    """Equal names, equal Zoho ids, one process: neither sees anything of the other."""
    engine = create_async_engine(postgres_url)
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    north, south = Shop(sessions, "North Ltd", 1), Shop(sessions, "South", 2)
    for shop in (north, south):
        await shop.create(engine)
        await shop.sync.check()
    await lived_through(north, 1)
    for table in (south.clients, south.orders, south.lines):
        assert await south.rows(table) == []
    assert (await south.sync.status()).accepted == 0
    kept = [await north.rows(table) for table in (north.clients, north.orders, north.lines)]
    await lived_through(south, 2)
    assert [await north.rows(t) for t in (north.clients, north.orders, north.lines)] == kept
    await engine.dispose()
