"""What the ERP does itself while Zoho's events come in, and what it remembers of it.

The ERP writes as its people do, in transactions of its own. All of it is noted in `Shadow`, plain
dicts by primary key, so that the oracle knows what must be found in the end.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, delete, func, insert, literal_column, select, update
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from examples.erp_awkward.guards import reserved, row_key, who
from examples.erp_awkward.tables import (
    Customer,
    Invoice,
    InvoiceLine,
    Party,
    order_lines,
    orders,
    stock_items,
    table_of,
)

Sessions = async_sessionmaker[AsyncSession]
Row = dict[str, Any]


@asynccontextmanager
async def as_host(sessions: Sessions) -> AsyncIterator[AsyncSession]:
    """Give a transaction in which the guards know the ERP itself at work."""
    async with sessions() as session, session.begin():
        await session.execute(update(who).values(host=1))
        yield session
        await session.flush()
        await session.execute(update(who).values(host=0))


@dataclass
class Shadow:
    """What the ERP knows that it has written.

    Attributes:
        columns: Its own columns: table → primary key → column → value, where it changed them.
        rows: Rows that it has made and that Zoho does not know: table → primary key → all columns.
        items: Items that it has made with a Zoho id: the id → its columns.
        deleted: Primary keys of rows that it has removed, by table.
    """

    columns: dict[str, dict[Any, Row]] = field(default_factory=dict)
    rows: dict[str, dict[Any, Row]] = field(default_factory=dict)
    items: dict[str, Row] = field(default_factory=dict)
    deleted: dict[str, set[Any]] = field(default_factory=dict)

    def changed(self, table: str, key: Any, **values: Any) -> None:
        """Note columns of a row."""
        self.columns.setdefault(table, {}).setdefault(key, {}).update(values)

    def made(self, table: str, key: Any, row: Row) -> None:
        """Note a row of the ERP's own."""
        self.rows.setdefault(table, {})[key] = row

    def removed(self, table: str, key: Any) -> None:
        """Note that a row is gone."""
        self.deleted.setdefault(table, set()).add(key)
        self.rows.get(table, {}).pop(key, None)
        self.columns.get(table, {}).pop(key, None)


class Host:
    """The ERP's people at work.

    Args:
        sessions: The ERP's sessions.
        dice: Decides which rows they work on.
    """

    def __init__(self, sessions: Sessions, dice: random.Random) -> None:
        self.shadow = Shadow()
        self._sessions = sessions
        self._dice = dice
        self._made = 0

    async def work(self) -> None:
        """Change what is the ERP's alone in a few rows, whosever they are."""
        dice = self._dice
        async with as_host(self._sessions) as session:
            if (key := await self._any(session, Customer.id)) is not None:
                own: Row = {"credit_limit": Decimal(dice.randint(1, 99) * 100)}
                # Both tables of the customer have a column of the ERP's.
                note = {"internal_note": f"called, {dice.randint(1, 999)}"}
                customers, parties = table_of(Customer), table_of(Party)
                await _change(session, customers, key, own)
                await _change(session, parties, key, note)
                self.shadow.changed("customers", key, **own, **note)
            if (key := await self._any(session, stock_items.c["Item Key"])) is not None:
                shelf: Row = {"Shelf": f"{dice.choice('ABC')}{dice.randint(1, 40)}"}
                await _change(session, stock_items, key, shelf)
                self.shadow.changed("Stock Items", key, **shelf)
            if (key := await self._any(session, Invoice.id)) is not None:
                printed: Row = {"printed_copies": dice.randint(1, 5), "remark": "sent by post"}
                await _change(session, table_of(Invoice), key, printed)
                self.shadow.changed("invoices", key, **printed)

    async def add_lines(self) -> None:
        """Add a line to some invoice and to some order."""
        async with as_host(self._sessions) as session:
            if (invoice := await self._any(session, Invoice.id)) is not None:
                line: Row = {"text": "postage", "quantity": Decimal(1), "price": self._price()}
                values = line | {"invoice_id": invoice, "picked": True}
                made = await session.execute(
                    insert(InvoiceLine).values(values).returning(InvoiceLine.id)
                )
                self.shadow.made("invoice_lines", made.scalar_one(), values)
            if (order := await self._any(session, orders.c["ID"])) is not None:
                item = await self._any(session, stock_items.c["Item Key"])
                packing: Row = {
                    "ID": uuid.UUID(int=self._dice.getrandbits(128)),
                    "order ID": order,
                    "Item": item,
                    "Quantity": Decimal(1),
                    "Text": "packing",
                    "Packed?": True,
                }
                await session.execute(insert(order_lines).values(packing))
                self.shadow.made("Order Lines", packing["ID"], packing)

    async def insert_customer(self) -> None:
        """Type in a customer that Zoho will never speak of."""
        self._made += 1
        row: Row = {"name": f"Walk-in {self._made:04d}", "credit_limit": Decimal(50)}
        async with as_host(self._sessions) as session:
            customer = Customer(**row)
            session.add(customer)
            await session.flush()
            key = customer.id
            await reserve(session, table_of(Party), key)
            await reserve(session, table_of(Customer), key)
        self.shadow.made("customers", key, row)

    async def insert_item(self, zoho_id: str) -> None:
        """Type in an item with its Zoho id, unless it is there by now."""
        key, zoho = stock_items.c["Item Key"], stock_items.c["Zoho Item"]
        row: Row = {
            "Zoho Item": zoho_id,
            "Item No.": f"H-{zoho_id}",
            "Name": f"By hand {zoho_id}",
            "Net Price": self._price(),
            "Reorder Level": 2,
        }
        async with as_host(self._sessions) as session:
            if await session.scalar(select(key).where(zoho == zoho_id)) is not None:
                return
            made = await session.execute(insert(stock_items).values(row).returning(key))
            self.shadow.changed("Stock Items", made.scalar_one(), **{"Reorder Level": 2})
        self.shadow.items[zoho_id] = row

    async def delete_invoice(self, number: str) -> None:
        """Remove an invoice with all its lines, whoever made them; it may have been linked."""
        async with as_host(self._sessions) as session:
            key = await session.scalar(select(Invoice.id).where(Invoice.number == number))
            if key is None:
                return
            lines = select(InvoiceLine.id).where(InvoiceLine.invoice_id == key)
            for line in (await session.scalars(lines)).all():
                self.shadow.removed("invoice_lines", line)
            await session.execute(delete(InvoiceLine).where(InvoiceLine.invoice_id == key))
            await session.execute(delete(Invoice).where(Invoice.id == key))
        self.shadow.removed("invoices", key)

    async def delete_customer(self, email: str) -> None:
        """Remove a customer whom nothing refers to."""
        async with as_host(self._sessions) as session:
            for customer in (
                await session.scalars(select(Customer).where(Customer.email == email))
            ).all():
                await session.delete(customer)
                self.shadow.removed("customers", customer.id)

    def _price(self) -> Decimal:
        return Decimal(self._dice.randint(100, 9999)) / 100

    async def _any(self, session: AsyncSession, key: Any) -> Any:
        """Return the primary key of some row; None where there is none."""
        count = await session.scalar(select(func.count(key)))
        if not count:
            return None
        # Not by the key itself: those of orders are made at random.
        order = orders.c["Number"] if key is orders.c["ID"] else key
        return await session.scalar(
            select(key).order_by(order).offset(self._dice.randrange(count)).limit(1)
        )


async def reserve(session: AsyncSession, table: Any, key: Any) -> None:
    """Tell the guards that a row is the ERP's alone."""
    (column,) = table.primary_key
    both: list[ColumnElement[str]] = [
        literal_column(f"'{table.name}'"),
        literal_column(row_key(table)),
    ]
    row = select(*both).select_from(table).where(column == key)
    await session.execute(insert(reserved).from_select(["table_name", "row_key"], row))


async def release(session: AsyncSession, table: Any, key: Any) -> None:
    """Take that back: an operator has linked the row to one of Zoho's entities."""
    await session.execute(
        delete(reserved).where(reserved.c.table_name == table.name, reserved.c.row_key == str(key))
    )


async def _change(session: AsyncSession, table: Any, key: Any, values: Row) -> None:
    (column,) = table.primary_key
    await session.execute(update(table).where(column == key).values(values))
