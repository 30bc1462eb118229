"""Law 3 in tables that were there first: links, debts, parked chains, and a host that works on.

Clients are adopted by name, lines are linked, payments wait for invoices which wait for clients,
lines owe their item. In between the host inserts items and deletes invoices. Whatever the order,
every row ends right, no client has a second row, and what is the host's alone is as it was.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pytest
from sqlalchemy import String, Text, delete, insert, select
from sqlalchemy.orm import DeclarativeBase, Mapped, aliased, mapped_column

from tests.hosts import handlers
from tests.hosts.events import dated
from tests.hosts.sql import Sessions, execute, make
from tests.hosts.tables import Client, Invoice, InvoiceLine, Product, metadata
from tests.laws.tools import EXAMPLES
from zoho_sync import (
    EntityMap,
    HandlerRegistry,
    Outcome,
    Reference,
    SyncEvent,
    ZohoSync,
)
from zoho_sync.handlers import CustomerHandler, InvoiceHandler, PaymentHandler, ProductHandler
from zoho_sync.mapping.declaration import folded

CLIENTS = [f"1{number}" for number in range(5)]
ITEMS = [f"4{number}" for number in range(4)]
INVOICES = [f"2{number}" for number in range(4)]
PAID, DELETED_BY_HOST = INVOICES[:2], INVOICES[2:]
"""Payments refer to the first ones; the host deletes the others. The last item is never sent."""


class Base(DeclarativeBase):
    """What the host has besides the ERP's tables: payments of one invoice each."""


class Payment(Base):
    __tablename__ = "m_payments"
    id: Mapped[int] = mapped_column(primary_key=True)
    zoho_id: Mapped[str] = mapped_column(String(64), unique=True)
    invoice_id: Mapped[int]
    words: Mapped[str | None] = mapped_column(Text)


class Clients(CustomerHandler):
    mapping = replace(
        handlers.CLIENTS,
        key=None,
        adopt=[("name", folded)],
        columns={"name": "contact_name", "note": "notes"},
        references=[Reference("parent_id", to="customer", source="website", missing="null")],
        on_delete="ignore",
        deleted_column=None,
    )


class Products(ProductHandler):
    mapping = replace(
        handlers.PRODUCTS,
        columns={"name": "name"},
        insert_only={"active": True, "discontinued": False},
        on_delete="ignore",
        deleted_column=None,
    )


class Invoices(InvoiceHandler):
    mapping = replace(
        handlers.INVOICES,
        columns={"number": "invoice_number"},
        children=[
            replace(
                handlers.LINES,
                key=None,
                columns={"description": "description"},
                insert_only={"quantity": 1},
                references=[
                    Reference("product_id", to="product", source="item_id", missing="null")
                ],
            )
        ],
        on_delete="ignore",
        deleted_column=None,
    )


class Payments(PaymentHandler):
    mapping = EntityMap(
        table=Payment,
        key="zoho_id",
        columns={"words": "description"},
        references=[Reference("invoice_id", to="invoice", source="invoice_id")],
        on_delete="ignore",
    )


@dataclass
class Month:
    """What happens, and what must come of it.

    Attributes:
        dice: Decides.
        told: Entity → its newest document.
        inserted: Items that the host has made by itself.
        own_lines: How many lines the host has added itself.
        adopted: Clients whose row was there before their first event.
    """

    dice: random.Random
    told: dict[str, dict[str, Any]] = field(default_factory=dict)
    inserted: set[str] = field(default_factory=set)
    own_lines: int = 0
    adopted: set[str] = field(default_factory=set)

    def events(self) -> list[SyncEvent]:
        """Return several versions of most entities; some never come."""
        made = [
            self.event(name, second)
            for second in range(1, 4)
            for name in (*CLIENTS, *ITEMS[:-1], *INVOICES, "50", "51")
            if self.dice.random() < 0.55
        ]
        self.dice.shuffle(made)
        return made

    def event(self, name: str, second: int) -> SyncEvent:
        """Return a whole document of an entity, the newest so far."""
        mark = f"{name}.{second}"
        make = {"1": self._client, "4": self._item, "2": self._invoice, "5": self._payment}
        kind, document = make[name[0]](name, mark)
        self.told[name] = document
        return dated(kind, name, document, second)

    def _client(self, name: str, mark: str) -> tuple[str, dict[str, Any]]:
        # The name is spelt otherwise than the host has it: adoption folds both.
        parent = self.dice.choice([*CLIENTS, ""])
        named = {"contact_id": name, "contact_name": f"CLIENT  {name}"}
        return "customer", named | {"notes": mark, "website": parent}

    def _item(self, name: str, mark: str) -> tuple[str, dict[str, Any]]:
        return "product", {"item_id": name, "name": mark}

    def _invoice(self, name: str, mark: str) -> tuple[str, dict[str, Any]]:
        lines = [
            {"line_item_id": f"{name}{item}", "item_id": item, "description": mark}
            for item in self.dice.sample(ITEMS, self.dice.randint(0, 3))
        ]
        client = self.dice.choice(CLIENTS)
        named = {"invoice_id": name, "invoice_number": mark}
        return "invoice", named | {"customer_id": client, "line_items": lines}

    def _payment(self, name: str, mark: str) -> tuple[str, dict[str, Any]]:
        paid = PAID[int(name[1])]
        return "payment", {"payment_id": name, "invoice_id": paid, "description": mark}


@pytest.fixture
async def host(sessions: Sessions) -> Sessions:
    await make(sessions, metadata)
    await make(sessions, Base.metadata)
    await ZohoSync(sessions).create_tables()
    return sessions


async def pairs(sessions: Sessions, statement: Any) -> list[tuple[Any, ...]]:
    """Return what the host reads, in order."""
    async with sessions() as session:
        return sorted((tuple(row) for row in await session.execute(statement)), key=repr)


async def delete_invoice(sessions: Sessions, name: str) -> None:
    """Let the host delete an invoice with all its lines, if it is there."""
    async with sessions() as session, session.begin():
        key = await session.scalar(select(Invoice.id).where(Invoice.zoho_id == name))
        if key is not None:
            await session.execute(delete(InvoiceLine).where(InvoiceLine.invoice_id == key))
            await session.execute(delete(Invoice).where(Invoice.id == key))


async def insert_item(sessions: Sessions, month: Month, name: str) -> None:
    """Let the host make an item itself, with Zoho's id, if it has none yet."""
    async with sessions() as session, session.begin():
        if await session.scalar(select(Product.id).where(Product.zoho_id == name)) is None:
            await session.execute(
                insert(Product).values(
                    zoho_id=name, name="by hand", active=True, discontinued=False
                )
            )
            month.inserted.add(name)


async def insert_line(sessions: Sessions, month: Month, name: str) -> None:
    """Let the host add a line of its own to an invoice, if that is there."""
    async with sessions() as session, session.begin():
        key = await session.scalar(select(Invoice.id).where(Invoice.zoho_id == name))
        if key is not None:
            await session.execute(
                insert(InvoiceLine).values(invoice_id=key, quantity=1, description="ours")
            )
            month.own_lines += 1


async def live_through(sessions: Sessions, sync: ZohoSync, month: Month) -> None:
    """Deliver everything, some of it twice, while the host works; then what was deleted, anew."""
    dice = month.dice
    steps: list[Callable[[], Awaitable[object]]] = []
    for event in month.events():
        steps.append(partial(sync.enqueue, [event]))
        if dice.random() < 0.3:
            steps.append(partial(sync.ingest, dict(event.payload), entity=event.entity_type))
    steps += [partial(delete_invoice, sessions, name) for name in DELETED_BY_HOST]
    steps += [partial(insert_item, sessions, month, name) for name in ITEMS[2:]]
    steps += [partial(insert_line, sessions, month, name) for name in PAID * 3]
    steps += [sync.drain] * 6
    dice.shuffle(steps)
    for step in steps:
        await step()
    for name in (*CLIENTS[:4], *DELETED_BY_HOST):
        await sync.enqueue([month.event(name, 9)])
    await sync.drain()


async def check(sessions: Sessions, month: Month) -> None:
    """Compare every row with what the newest documents say."""
    told, above = month.told, aliased(Client)
    known = {name for name in CLIENTS if name in told}
    found = await pairs(
        sessions,
        select(Client.name, Client.note, above.note, Client.points).outerjoin(
            above, above.id == Client.parent_id
        ),
    )
    written = [row for row in found if row[0].startswith("CLIENT")]
    assert written == sorted(
        (
            (
                told[name]["contact_name"],
                told[name]["notes"],
                told[told[name]["website"]]["notes"] if told[name]["website"] in known else None,
                5 if name in month.adopted else 0,
            )
            for name in known
        ),
        key=repr,
    )
    items = await pairs(sessions, select(Product.zoho_id, Product.name))
    assert items == sorted(
        (name, told[name]["name"] if name in told else "by hand")
        for name in ITEMS
        if name in told or name in month.inserted
    )
    # An invoice whose newest client never came has the newest state whose client did, or none.
    there = {name for name in INVOICES if name in told and told[name]["customer_id"] in known}
    invoices = select(Invoice.zoho_id, Invoice.number, Client.note).outerjoin(
        Client, Client.id == Invoice.client_id
    )
    rows = {row[0]: row[1:] for row in await pairs(sessions, invoices)}
    assert there <= rows.keys() <= told.keys()
    for name in there:
        document = told[name]
        assert rows[name] == (document["invoice_number"], told[document["customer_id"]]["notes"])
    lines = select(Invoice.zoho_id, InvoiceLine.description, Product.zoho_id).join(
        InvoiceLine, InvoiceLine.invoice_id == Invoice.id
    )
    by_item = lines.outerjoin(Product, Product.id == InvoiceLine.product_id).where(
        InvoiceLine.description != "ours"
    )
    present = {name for name, _ in items}
    assert [row for row in await pairs(sessions, by_item) if row[0] in there] == sorted(
        (
            (name, line["description"], line["item_id"] if line["item_id"] in present else None)
            for name in there
            for line in told[name]["line_items"]
        ),
        key=repr,
    )
    assert (
        await pairs(
            sessions,
            select(InvoiceLine.id).where(InvoiceLine.invoice_id.not_in(select(Invoice.id))),
        )
        == []
    )
    own = await pairs(
        sessions, select(InvoiceLine.product_id).where(InvoiceLine.description == "ours")
    )
    assert own == [(None,)] * month.own_lines
    paid = await pairs(
        sessions,
        select(Payment.zoho_id, Payment.words, Invoice.zoho_id).join(
            Invoice, Invoice.id == Payment.invoice_id
        ),
    )
    assert paid == sorted(
        (name, told[name]["description"], told[name]["invoice_id"])
        for name in ("50", "51")
        if name in told and told[name]["invoice_id"] in rows
    )


@pytest.mark.parametrize("seed", range(EXAMPLES))
async def test_rows_that_were_there_first_end_right(host: Sessions, seed: int) -> None:
    month = Month(random.Random(seed))  # noqa: S311  # repeatable, not secret
    month.adopted = set(month.dice.sample(CLIENTS, 3))
    await execute(
        host,
        *(
            insert(Client).values(name=f"Client {name}", created_by="us", points=5)
            for name in sorted(month.adopted)
        ),
        insert(Client).values(name="Nobody in Zoho", created_by="us", note="ours", points=9),
    )
    sync = ZohoSync(host, registry=HandlerRegistry([Clients, Products, Invoices, Payments]))
    await live_through(host, sync, month)
    await check(host, month)
    own = select(Client.name, Client.note, Client.points).where(Client.name == "Nobody in Zoho")
    assert await pairs(host, own) == [("Nobody in Zoho", "ours", 9)]
    report = await sync.status()
    assert await sync.dead_letters.list() == []
    assert report.queue.ready == 0
    assert set(report.settled) <= {Outcome.APPLIED, Outcome.STALE, Outcome.DUPLICATE}
