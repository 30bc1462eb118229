"""What was in the ERP before the month began: made from a seed, and put into the tables.

One customer in twenty, and one item in twenty, was typed in twice. People spelt the names as they
liked; nothing here has a Zoho id, but for a few vendors.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from examples.erp_awkward.documents import spelt, zoho_id
from examples.erp_awkward.host import Row, as_host, reserve
from examples.erp_awkward.tables import (
    HEAD_OFFICE,
    Branch,
    Customer,
    Employee,
    Party,
    Vendor,
    stock_items,
    table_of,
)

FIRMS: Final = ("Hotel Meridian", "Bakery Lindenhof", "Harbour Supplies", "Studio Nord")
THINGS: Final = ("Desk lamp", "Bulb", "Shelf board", "Cable drum")


@dataclass(frozen=True)
class Sizes:
    """How large the ERP and its month are.

    Attributes:
        customers: Rows that are there first.
        products: The same.
        events: Deliveries of the month, those included that come twice.
        seed: Decides everything else.
        duplicate_every: Every how many rows a name was typed in twice.
        swaps: How often two or three items, or invoices, exchange their numbers.
        wild: Whether deliveries come in any order, with many changes in one second.
    """

    customers: int = 10_000
    products: int = 3_000
    events: int = 20_000
    seed: int = 1
    duplicate_every: int = 20
    swaps: int = 100
    wild: bool = False

    def is_copy(self, number: int) -> bool:
        """Whether a row has the name of the one before it."""
        return number % self.duplicate_every == self.duplicate_every - 1


@dataclass
class First:
    """The rows that were there first; each gets its primary key in ``"key"`` when it is put in."""

    customers: list[Row] = field(default_factory=list)
    items: list[Row] = field(default_factory=list)
    vendors: list[Row] = field(default_factory=list)
    staff: list[Row] = field(default_factory=list)


def firm(number: int) -> str:
    """Return the name of a customer."""
    return f"{FIRMS[number % len(FIRMS)]} {number:05d}"


def thing(number: int) -> str:
    """Return the name of an item."""
    return f"{THINGS[number % len(THINGS)]} {number:05d}"


def first_rows(sizes: Sizes, dice: random.Random) -> First:
    """Make the rows."""
    first = First()
    for number in range(sizes.customers):
        name = firm(number - 1 if sizes.is_copy(number) else number)
        first.customers.append(
            {
                "name": spelt(dice, name),
                "email": f"old-{number:05d}@example.com",
                "city": "Trieste",
                "internal_note": dice.choice(("pays late", None)),
                "credit_limit": Decimal(dice.randint(1, 50) * 100),
            }
        )
    for number in range(sizes.products):
        name = thing(number - 1 if sizes.is_copy(number) else number)
        first.items.append(
            {
                "Item No.": sku(number),
                "Name": spelt(dice, name),
                "Net Price": Decimal(dice.randint(100, 9999)) / 100,
                "Shelf": f"Z{dice.randint(1, 40)}",
                "Reorder Level": dice.randint(1, 20),
            }
        )
    for number in range(8):
        # Every other one was compared with Zoho by hand, and has its id.
        zoho = zoho_id("vendor", number) if number % 2 == 0 else None
        row: Row = {"name": f"Works {number:02d}", "zoho_vendor_id": zoho, "rating": number}
        first.vendors.append(row)
    for number in range(6):
        email = f"Desk.{number}@Example.com"
        first.staff.append({"email": email, "full_name": "", "role": "clerk", "desk": f"D{number}"})
    return first


def sku(number: int) -> str:
    """Return the number of an item that was there first."""
    return f"E-{number:05d}"


async def put_in(sessions: async_sessionmaker[AsyncSession], first: First) -> None:
    """Let the ERP insert the rows, and note their primary keys."""
    async with as_host(sessions) as session:
        for number, name in ((HEAD_OFFICE, "Head office"), (2, "Warehouse")):
            session.add(Branch(id=number, name=name))
            await session.flush()
            await reserve(session, table_of(Branch), number)
        made: tuple[tuple[type[Any], list[Row]], ...] = (
            (Customer, first.customers),
            (Vendor, first.vendors),
            (Employee, first.staff),
        )
        for model, rows in made:
            objects = [model(**row) for row in rows]
            session.add_all(objects)
            await session.flush()
            for row, each in zip(rows, objects, strict=True):
                row["key"] = each.id
        await session.execute(insert(stock_items), first.items)
        columns = (stock_items.c["Item No."], stock_items.c["Item Key"])
        keys = {row[0]: row[1] for row in await session.execute(select(*columns))}
        for row in first.items:
            row["key"] = keys[row["Item No."]]


async def reserve_all(
    sessions: async_sessionmaker[AsyncSession], rows: list[tuple[str, Row]]
) -> None:
    """Tell the guards of first rows that Zoho never speaks of, or cannot tell apart."""
    tables: dict[str, tuple[Any, ...]] = {
        "customer": (table_of(Party), table_of(Customer)),
        "vendor": (table_of(Party), table_of(Vendor)),
        "product": (stock_items,),
        "user": (table_of(Employee),),
    }
    async with as_host(sessions) as session:
        for kind, row in rows:
            for table in tables[kind]:
                await reserve(session, table, row["key"])
