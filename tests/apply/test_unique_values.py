"""Unique values move from row to row, in whatever order the events come that say so."""

from __future__ import annotations

import random
from collections import Counter
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from sqlalchemy import CheckConstraint, ForeignKey, String, Table, Text, UniqueConstraint, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tests.hosts.events import at, dated
from tests.hosts.sql import Sessions, make
from tests.laws.tools import EXAMPLES
from zoho_sync import (
    BaseEntityHandler,
    ChildMap,
    EntityMap,
    HandlerRegistry,
    Outcome,
    RetryPolicy,
    SyncEvent,
    ZohoSync,
)
from zoho_sync.exceptions import ValueTaken
from zoho_sync.handlers import InvoiceHandler, ProductHandler
from zoho_sync.payloads import ProductPayload

NEW = "99"

pytestmark = pytest.mark.databases("sqlite", "postgresql", "psycopg", "mariadb")

SOON = RetryPolicy(base_delay=timedelta(microseconds=1), max_delay=timedelta(microseconds=1))
LATER = RetryPolicy(base_delay=timedelta(hours=1), max_delay=timedelta(hours=1))


class Base(DeclarativeBase):
    """The host's tables."""

    # MariaDB's texts have a length, or no index.
    type_annotation_map: ClassVar[Any] = {str: String(255)}


class Item(Base):
    __tablename__ = "u_items"
    __table_args__ = (UniqueConstraint("branch", "shelf"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    zoho_id: Mapped[str] = mapped_column(Text, unique=True)
    sku: Mapped[str] = mapped_column(Text, unique=True)
    barcode: Mapped[str | None] = mapped_column(Text, unique=True)
    branch: Mapped[int] = mapped_column(default=1)
    shelf: Mapped[str | None] = mapped_column(Text)


class Invoice(Base):
    __tablename__ = "u_invoices"
    id: Mapped[int] = mapped_column(primary_key=True)
    zoho_id: Mapped[str] = mapped_column(Text, unique=True)


class Line(Base):
    __tablename__ = "u_lines"
    __table_args__ = (
        UniqueConstraint("invoice_id", "position"),
        CheckConstraint("position > 0"),
        {"sqlite_autoincrement": True},
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    invoice_id: Mapped[int] = mapped_column(ForeignKey("u_invoices.id"))
    position: Mapped[int]
    serial: Mapped[str | None] = mapped_column(Text, unique=True)


class Items(ProductHandler):
    mapping = EntityMap(
        table=Item,
        key="zoho_id",
        columns={"sku": "sku", "barcode": "upc", "shelf": "unit"},
        insert_only={"branch": 1},
        on_delete="ignore",
    )


class Invoices(InvoiceHandler):
    mapping = EntityMap(
        table=Invoice,
        key="zoho_id",
        columns={},
        children=[
            ChildMap(
                table=Line,
                source="line_items",
                parent="invoice_id",
                columns={"position": "item_order", "serial": "description"},
            )
        ],
        on_delete="ignore",
    )


@pytest.fixture
async def host(sessions: Sessions) -> Sessions:
    await make(sessions, Base.metadata)
    await ZohoSync(sessions).create_tables()
    return sessions


def syncing(sessions: Sessions, retry: RetryPolicy = SOON, **more: Any) -> ZohoSync:
    return ZohoSync(sessions, registry=HandlerRegistry([Items, Invoices]), retry=retry, **more)


def item(name: str, second: int, **fields: Any) -> SyncEvent:
    return dated("product", name, {"item_id": name} | fields, second)


def invoice(name: str, second: int, *lines: tuple[str, int, str]) -> SyncEvent:
    listed = [
        {"line_item_id": key, "item_order": position, "description": serial}
        for key, position, serial in lines
    ]
    return dated("invoice", name, {"invoice_id": name, "line_items": listed}, second)


async def take(sync: ZohoSync, *events: SyncEvent) -> Counter[Outcome]:
    """Queue events, and drain until nothing comes again."""
    await sync.enqueue(list(events))
    counts = Counter(await sync.drain())
    while (await sync.status()).queue.total:
        counts += Counter(await sync.drain())
    return counts


async def make_due(sessions: Sessions, sync: ZohoSync) -> None:
    """Let the oldest job be due, as an hour would."""
    jobs = sync._runtime.context.tables.jobs  # the hand on the clock
    async with sessions() as session, session.begin():
        oldest = select(jobs.c.id).order_by(jobs.c.id).limit(1).scalar_subquery()
        await session.execute(jobs.update().where(jobs.c.id == oldest).values(not_before=at(0)))


def select_jobs(jobs: Table) -> Any:
    return select(jobs.c.entity_id, jobs.c.attempts, jobs.c.not_before)


async def skus(sessions: Sessions) -> dict[str, tuple[str, str | None, str | None]]:
    async with sessions() as session:
        rows = await session.execute(select(Item.zoho_id, Item.sku, Item.barcode, Item.shelf))
        return {row[0]: (row[1], row[2], row[3]) for row in rows}


async def lines(sessions: Sessions) -> dict[tuple[str, int], str | None]:
    async with sessions() as session:
        statement = select(Invoice.zoho_id, Line.position, Line.serial)
        rows = await session.execute(statement.join(Line, Line.invoice_id == Invoice.id))
        return {(row[0], row[1]): row[2] for row in rows}


async def test_two_rows_swap_in_one_batch(host: Sessions) -> None:
    """In columns that may not be NULL, that may be, and that are unique together with another."""
    sync = syncing(host)
    await take(
        sync,
        item("1", 1, sku="A", upc="1", unit="1"),
        item("2", 1, sku="B", upc="2", unit="2"),
    )
    counts = await take(
        sync,
        item("1", 2, sku="B", upc="2", unit="2"),
        item("2", 2, sku="A", upc="1", unit="1"),
    )
    assert counts == {Outcome.APPLIED: 2}
    assert await skus(host) == {"1": ("B", "2", "2"), "2": ("A", "1", "1")}


async def test_a_ring_of_rows_moves_on(host: Sessions) -> None:
    sync, names = syncing(host), "12345"
    await take(sync, *(item(name, 1, sku=name) for name in names))
    moved = [item(n, 2, sku=to) for n, to in zip(names, names[1:] + names[0], strict=True)]
    assert await take(sync, *moved) == {Outcome.APPLIED: 5}
    assert {name: row[0] for name, row in (await skus(host)).items()} == {
        "1": "2",
        "2": "3",
        "3": "4",
        "4": "5",
        "5": "1",
    }


async def test_a_value_is_freed_later_in_the_batch(host: Sessions) -> None:
    """The event that takes it is for a new row even."""
    sync = syncing(host)
    await take(sync, item("26", 1, sku="Z"))
    assert await take(sync, item("1", 2, sku="Z"), item("26", 3, sku="Y")) == {Outcome.APPLIED: 2}
    assert {name: row[0] for name, row in (await skus(host)).items()} == {"1": "Z", "26": "Y"}


async def test_events_that_one_constraint_refused_are_claimed_together(host: Sessions) -> None:
    """Each comes alone, an hour before its next attempt; whichever is due takes the other along."""
    sync = syncing(host, LATER)
    await take(sync, item("1", 1, sku="A"), item("2", 1, sku="B"), item("3", 1, sku="C"))
    for event in (item("1", 2, sku="B"), item("2", 2, sku="A")):
        await sync.enqueue([event])
        assert await sync.drain() == {Outcome.RETRY: 1}
    await sync.enqueue([item("3", 2, sku="D")])
    assert await sync.drain() == {Outcome.APPLIED: 1}
    await make_due(host, sync)
    assert await sync.drain() == {Outcome.APPLIED: 2}
    assert {name: row[0] for name, row in (await skus(host)).items()} == {
        "1": "B",
        "2": "A",
        "3": "D",
    }


async def test_who_is_taken_along_in_vain_spends_no_attempt(host: Sessions) -> None:
    """Others that conflict with rows of the host's own must not wear an event's patience out."""
    sync = syncing(host, LATER)
    async with host() as session, session.begin():
        session.add(Item(zoho_id="ours", sku="OURS"))
    for name in "123":
        await sync.enqueue([item(name, 1, sku="OURS")])
        await sync.drain()
    jobs = sync._runtime.context.tables.jobs  # what the queue holds
    async with host() as session:
        before = {row[0]: row[1:] for row in await session.execute(select_jobs(jobs))}
    await make_due(host, sync)
    assert await sync.drain() == {Outcome.RETRY: 1}
    async with host() as session:
        after = {row[0]: row[1:] for row in await session.execute(select_jobs(jobs))}
    assert [row[0] for row in after.values()].count(2) == 1
    assert before.keys() == after.keys()
    kept = [name for name, row in after.items() if row[0] == 1]
    for name in kept:
        assert abs(after[name][1] - before[name][1]) < timedelta(seconds=5)


async def test_what_still_conflicts_is_a_dead_letter_that_names_both_rows(host: Sessions) -> None:
    sync = syncing(host)
    await take(sync, item("1", 1, sku="A"), item("2", 1, sku="B"), item("3", 1, sku="C"))
    async with host() as session, session.begin():
        session.add(Item(zoho_id="ours", sku="OURS"))
    counts = await take(
        sync,
        item("1", 2, sku="B"),
        item("3", 2, sku="OURS"),
        item("2", 2, sku="A"),
        item(NEW, 2, sku="OURS"),
    )
    # An event that comes again is counted once, as what it is in the end.
    assert counts == {Outcome.APPLIED: 2, Outcome.DEAD_LETTER: 2}
    rows = await skus(host)
    assert {name: row[0] for name, row in rows.items()} == {
        "1": "B",
        "2": "A",
        "3": "C",
        "ours": "OURS",
    }
    letters = {letter.entity_id: letter for letter in await sync.dead_letters.list()}
    assert {letter.error_type for letter in letters.values()} == {"ValueTaken"}
    async with host() as session:
        keys = {item.zoho_id: item.id for item in await session.scalars(select(Item))}
    assert letters["3"].error == (
        f"u_items.sku: row {keys['ours']} has the value that row {keys['3']} is to get"
    )
    assert letters[NEW].error == (
        f"u_items.sku: row {keys['ours']} has the value that a new row is to get"
    )
    assert {letter.path for letter in letters.values()} == {"product.sku"}


async def test_an_event_without_the_value_sets_nothing_aside(host: Sessions) -> None:
    """The newest state of b has no sku: its row keeps the one that it has."""
    sync = syncing(host)
    await take(sync, item("1", 1, sku="A"), item("2", 1, sku="B", upc="2"))
    counts = await take(sync, item("1", 2, sku="B", upc="2"), item("2", 2, upc="1"))
    assert counts[Outcome.DEAD_LETTER] == 1
    assert await skus(host) == {"1": ("A", None, None), "2": ("B", "1", None)}


async def test_lines_change_places(host: Sessions) -> None:
    """In a column that may not be NULL and must be positive, and with a serial that moves along."""
    sync = syncing(host)
    await take(sync, invoice("9", 1, ("24", 1, "X"), ("25", 2, "Y"), ("26", 3, "Z")))
    counts = await take(sync, invoice("9", 2, ("25", 1, "X"), ("24", 2, "Y"), ("23", 3, "Z")))
    assert counts == {Outcome.APPLIED: 1}
    assert await lines(host) == {("9", 1): "X", ("9", 2): "Y", ("9", 3): "Z"}


async def test_lines_of_two_documents_swap_their_serials(host: Sessions) -> None:
    sync = syncing(host)
    await take(sync, invoice("9", 1, ("24", 1, "X")), invoice("10", 1, ("25", 1, "Y")))
    counts = await take(sync, invoice("9", 2, ("24", 1, "Y")), invoice("10", 2, ("25", 1, "X")))
    assert counts == {Outcome.APPLIED: 2}
    assert await lines(host) == {("9", 1): "Y", ("10", 1): "X"}


async def test_a_direct_call_sets_its_own_lines_aside(host: Sessions) -> None:
    sync = syncing(host)
    await sync.apply(invoice("9", 1, ("24", 1, "X"), ("25", 2, "Y")))
    result = await sync.apply(invoice("9", 2, ("25", 1, "Y"), ("24", 2, "X")))
    assert result.outcome is Outcome.APPLIED
    assert await lines(host) == {("9", 1): "Y", ("9", 2): "X"}
    async with host() as session, session.begin():
        session.add(Invoice(zoho_id="ours"))
        await session.flush()
        again = invoice("9", 3, ("25", 2, "Y"), ("24", 1, "X")).payload
        assert (await Invoices(session).sync(dict(again))).outcome is Outcome.APPLIED
    assert await lines(host) == {("9", 1): "X", ("9", 2): "Y"}


async def test_a_direct_call_raises_and_names_both_rows(host: Sessions) -> None:
    sync = syncing(host)
    await sync.apply(item("1", 1, sku="A"))
    await sync.apply(item("2", 1, sku="B"))
    with pytest.raises(ValueTaken, match=r"u_items\.sku: row 1 has the value that row 2 is"):
        await sync.apply(item("2", 2, sku="A"))
    async with host() as session, session.begin():
        session.add(Invoice(zoho_id="ours"))
        await session.flush()
        with pytest.raises(ValueTaken) as raised:
            await Items(session).sync({"item_id": "2", "sku": "A"})
        assert (raised.value.row, raised.value.holder) == ((2,), (1,))
    async with host() as session:
        assert await session.scalar(select(Invoice.zoho_id)) == "ours"
    assert (await skus(host))["2"][0] == "B"


async def test_what_own_code_writes_comes_again_as_well(host: Sessions) -> None:
    class Own(BaseEntityHandler[ProductPayload]):
        async def upsert(self, payload: ProductPayload) -> Any:
            row = Item(zoho_id=payload.item_id, sku=payload.sku or "")
            self.session.add(row)
            await self.session.flush()
            return row.id

    sync = ZohoSync(host, registry=HandlerRegistry([Own]), retry=LATER)
    await take(sync, item("1", 1, sku="A"))
    await sync.enqueue([item("2", 1, sku="A")])
    assert await sync.drain() == {Outcome.RETRY: 1}
    async with host() as session, session.begin():
        await session.delete((await session.scalars(select(Item))).one())
    await make_due(host, sync)
    assert await sync.drain() == {Outcome.APPLIED: 1}


@pytest.mark.databases("sqlite", "postgresql", "mariadb")  # no driver knows the order
@pytest.mark.parametrize("seed", range(EXAMPLES))
async def test_whatever_the_order_every_value_ends_where_it_belongs(
    host: Sessions, seed: int
) -> None:
    """The values of four rows are dealt anew, three times; the events come in any order.

    What conflicts for so long that it is a dead letter is replayed once everything is there.
    """
    dice = random.Random(seed)  # noqa: S311  # repeatable, not secret
    sync = syncing(host)
    names, final = "1234", dict[str, tuple[str, str, str]]()
    events = []
    for second in range(1, 4):
        sku, upc, shelf = (dice.sample(range(4), 4) for _ in range(3))
        for place, name in enumerate(names):
            # Nobody keeps a value of an earlier second that another has by now.
            final[name] = (f"{sku[place]}", f"{upc[place]}", f"{shelf[place]}")
            fields = dict(zip(("sku", "upc", "unit"), final[name], strict=True))
            events.append(item(name, second, **fields))
    dice.shuffle(events)
    while events:
        cut = dice.randint(1, 4)
        await sync.enqueue(events[:cut])
        events = events[cut:]
        if dice.random() < 0.5:
            await sync.drain()
    await take(sync)
    if letters := [letter.id for letter in await sync.dead_letters.list()]:
        await sync.dead_letters.replay(letters)
        await take(sync)
    assert await skus(host) == final
    assert await sync.dead_letters.list() == []


async def test_more_swaps_than_a_batch_holds_find_their_partners(host: Sessions) -> None:
    """The first halves of all swaps come before the second halves of any."""
    sync = syncing(host, batch_size=10)
    names = [f"1{number:02}" for number in range(60)]
    await take(sync, *(item(name, 1, sku=name) for name in names))
    pairs = list(zip(names[::2], names[1::2], strict=True))
    await sync.enqueue([item(mine, 2, sku=other) for mine, other in pairs])
    await sync.enqueue([item(other, 2, sku=mine) for mine, other in pairs])
    await take(sync)
    assert await sync.dead_letters.list() == []
    assert {name: row[0] for name, row in (await skus(host)).items()} == {
        **dict(pairs),
        **{other: mine for mine, other in pairs},
    }
