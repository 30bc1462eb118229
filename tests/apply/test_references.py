"""References whose target is missing: debts, placeholders, deletions; SQL expressions."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from sqlalchemy import ForeignKey, Numeric, String, Text, func, literal, select, text
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import DeclarativeBase, Mapped, aliased, mapped_column

from tests.hosts.events import at, dated
from tests.hosts.sql import Sessions, count, make
from zoho_sync import (
    ChildMap,
    EntityMap,
    HandlerRegistry,
    MappingError,
    Operation,
    Outcome,
    Reference,
    SyncEvent,
    ZohoSync,
)
from zoho_sync.exceptions import RowGone
from zoho_sync.handlers import CustomerHandler, InvoiceHandler, ProductHandler
from zoho_sync.store.tables import library_tables

NEVER = "99"
"""The id of an entity that never comes."""

pytestmark = pytest.mark.databases("sqlite", "postgresql", "mariadb")

DEBTS = library_tables().debts


class Base(DeclarativeBase):
    """The host's tables; foreign keys included."""

    # MariaDB's texts have a length, or no index.
    type_annotation_map: ClassVar[Any] = {str: String(255)}


class Client(Base):
    __tablename__ = "r_clients"
    __table_args__ = ({"sqlite_autoincrement": True},)
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None] = mapped_column(Text)
    shouted: Mapped[str | None] = mapped_column(Text)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("r_clients.id"))


class Item(Base):
    __tablename__ = "r_items"
    id: Mapped[int] = mapped_column(primary_key=True)
    zoho_id: Mapped[str] = mapped_column(Text, unique=True)
    name: Mapped[str] = mapped_column(Text)


class Invoice(Base):
    __tablename__ = "r_invoices"
    id: Mapped[int] = mapped_column(primary_key=True)
    zoho_id: Mapped[str] = mapped_column(Text, unique=True)
    client_id: Mapped[int | None] = mapped_column(ForeignKey(Client.id))
    item_id: Mapped[int | None] = mapped_column(ForeignKey(Item.id))


class Line(Base):
    __tablename__ = "r_lines"
    __table_args__ = ({"sqlite_autoincrement": True},)
    id: Mapped[int] = mapped_column(primary_key=True)
    invoice_id: Mapped[int] = mapped_column(ForeignKey(Invoice.id))
    item_id: Mapped[int | None] = mapped_column(ForeignKey(Item.id))
    words: Mapped[str | None] = mapped_column(Text)
    taxed: Mapped[int | None] = mapped_column(Numeric(20, 2))


class Clients(CustomerHandler):
    """Refers to itself: a client's parent is a client."""

    mapping = EntityMap(
        table=Client,
        columns={
            "name": "contact_name",
            "shouted": lambda contact: func.upper(literal(contact.contact_name)),
        },
        references=[Reference("parent_id", to="customer", source="notes", missing="null")],
        on_delete="hard",
    )


class Items(ProductHandler):
    mapping = EntityMap(table=Item, key="zoho_id", columns={"name": "name"}, on_delete="hard")


def invoices(missing: Any) -> EntityMap:
    """Map invoices; say what becomes of a client, or of a line's item, that is missing."""
    return EntityMap(
        table=Invoice,
        key="zoho_id",
        columns={},
        references=[Reference("client_id", to="customer", source="customer_id", missing=missing)],
        children=[
            ChildMap(
                table=Line,
                source="line_items",
                parent="invoice_id",
                columns={"words": "description"},
                references=[Reference("item_id", to="product", source="item_id", missing=missing)],
            )
        ],
        on_delete="ignore",
    )


def stand_in(zoho_id: str) -> Mapping[str, Any]:
    return {"name": f"Zoho {zoho_id}"}


class Invoices(InvoiceHandler):
    mapping = invoices("null")


class Hasty(InvoiceHandler):
    """Makes a placeholder for a client and for an item that are not there."""

    mapping = invoices(stand_in)


def client(entity_id: str, second: int, parent: str = "") -> SyncEvent:
    document = {"contact_id": entity_id, "contact_name": f"Client {entity_id}", "notes": parent}
    return dated("customer", entity_id, document, second)


def item(entity_id: str, second: int = 1, operation: Operation = Operation.UPSERT) -> SyncEvent:
    document = {"item_id": entity_id, "name": f"Item {entity_id}"}
    return dated("product", entity_id, document, second, operation)


def invoice(entity_id: str, second: int, customer: str, *items: str) -> SyncEvent:
    lines = [{"item_id": each, "description": each} for each in items]
    document = {"invoice_id": entity_id, "customer_id": customer, "line_items": lines}
    return dated("invoice", entity_id, document, second)


@pytest.fixture(autouse=True)
async def tables(sessions: Sessions) -> None:
    await make(sessions, Base.metadata)
    await ZohoSync(sessions).create_tables()


def syncing(sessions: Sessions, *handlers: Any) -> ZohoSync:
    chosen: tuple[Any, ...] = handlers or (Clients, Items, Invoices)
    return ZohoSync(sessions, registry=HandlerRegistry(chosen))


async def parents(sessions: Sessions) -> dict[str | None, str | None]:
    above = aliased(Client)
    statement = select(Client.name, above.name).outerjoin(above, Client.parent_id == above.id)
    async with sessions() as session:
        return {row[0]: row[1] for row in await session.execute(statement)}


@pytest.mark.parametrize("seed", range(6))
async def test_debts_are_paid_whatever_the_order(sessions: Sessions, seed: int) -> None:
    """Self-references, cycles, chains, changes of mind: the last parent that was told is there."""
    dice = random.Random(seed)  # noqa: S311  # repeatable, not secret
    names = [str(number) for number in range(1, 9)]
    told: dict[str, str] = {}
    events = []
    for second in range(3):
        for name in names:
            told[name] = dice.choice([*names, "", NEVER])
            events.append(client(name, second + 1, told[name]))
    dice.shuffle(events)
    sync = syncing(sessions)
    for start in range(0, len(events), 5):
        await sync.enqueue(events[start : start + 5])
        if dice.random() < 0.7:
            await sync.drain()
    await sync.drain()
    assert await sync.dead_letters.list() == []
    assert await parents(sessions) == {
        f"Client {name}": f"Client {parent}" if parent in names else None
        for name, parent in told.items()
    }
    assert await count(sessions, DEBTS) == list(told.values()).count(NEVER)


async def test_the_columns_of_lines_are_paid_too(sessions: Sessions) -> None:
    sync = syncing(sessions)
    await sync.enqueue([invoice("9", 1, "3", "1", "2", "", "1")])
    assert await sync.drain() == {Outcome.APPLIED: 1}
    assert await count(sessions, DEBTS) == 4
    await sync.enqueue([item("1"), client("3", 1)])
    await sync.drain()
    statement = select(Line.words, Item.name).outerjoin(Item).order_by(Line.id)
    async with sessions() as session:
        lines = [tuple(row) for row in await session.execute(statement)]
        assert await session.scalar(select(Client.name).join(Invoice)) == "Client 3"
    assert lines == [("1", "Item 1"), ("2", None), (None, None), ("1", "Item 1")]
    assert await count(sessions, DEBTS) == 1
    await sync.enqueue([invoice("9", 2, "3")])
    await sync.drain()
    assert await count(sessions, DEBTS) == 0


async def test_a_row_that_the_host_makes_itself_pays_what_waits_for_it(sessions: Sessions) -> None:
    """Nobody tells us of it: the sweep finds it."""
    sync = syncing(sessions)
    await sync.enqueue([invoice("9", 1, "3", "1")])
    await sync.drain()
    async with sessions.begin() as host:
        host.add(Item(zoho_id="1", name="Own"))
    await sync.drain()
    async with sessions() as session:
        assert await session.scalar(select(Item.name).join(Line)) == "Own"


async def test_a_direct_call_pays_too(sessions: Sessions) -> None:
    sync = syncing(sessions)
    async with sessions.begin() as session:
        await sync.handler("customer", session).sync(client("1", 1, "2").payload)
        await sync.handler("customer", session).sync(client("2", 1).payload)
    assert await parents(sessions) == {"Client 1": "Client 2", "Client 2": None}


async def test_a_target_that_was_deleted_for_good_is_null_and_not_awaited(
    sessions: Sessions,
) -> None:
    """Lesson 55: one deleted product makes no order unsyncable."""
    sync = syncing(sessions)
    await sync.enqueue([item("1"), item("1", 2, Operation.DELETE)])
    await sync.drain()
    await sync.enqueue([invoice("9", 1, "", "1")])
    assert await sync.drain() == {Outcome.APPLIED: 1}

    class Strict(InvoiceHandler):
        mapping = EntityMap(
            table=Invoice,
            key="zoho_id",
            columns={},
            references=[
                Reference(
                    "item_id",
                    to="product",
                    source=lambda document: document.line_items[0].item_id,
                    deleted="fail",
                )
            ],
            on_delete="ignore",
        )

    strict = syncing(sessions, Items, Strict)
    await strict.enqueue([invoice("10", 1, "", "1")])
    assert await strict.drain() == {Outcome.DEAD_LETTER: 1}
    (letter,) = await strict.dead_letters.list()
    assert "was deleted" in letter.error


async def test_placeholders_are_made_once_and_filled_by_their_entity(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    workers = [syncing(sessions, Clients, Items, Hasty) for _ in range(4)]
    for worker in workers:
        object.__setattr__(worker._runtime, "batch_size", 2)
    sent = [invoice(f"2{number}", 1, f"1{number % 3}", f"4{number % 2}") for number in range(24)]
    await workers[0].enqueue(sent)
    if engine.dialect.name == "sqlite":
        await workers[0].drain()
    else:
        await asyncio.gather(*(worker.drain() for worker in workers))
        await asyncio.sleep(1.1)
        await workers[0].drain()
    assert await workers[0].dead_letters.list() == []
    assert (await count(sessions, Client), await count(sessions, Item)) == (3, 2)
    async with sessions() as session:
        names = set(await session.scalars(select(Client.name)))
    assert names == {"Zoho 10", "Zoho 11", "Zoho 12"}
    await workers[0].enqueue([client("10", 1), item("40")])
    assert await workers[0].drain() == {Outcome.APPLIED: 2}
    assert (await count(sessions, Client), await count(sessions, Item)) == (3, 2)
    async with sessions() as session:
        assert set(await session.scalars(select(Client.name))) == {
            "Client 10",
            "Zoho 11",
            "Zoho 12",
        }


async def test_a_placeholder_that_fits_no_column_names_it(sessions: Sessions) -> None:
    class Typo(InvoiceHandler):
        mapping = EntityMap(
            table=Invoice,
            key="zoho_id",
            columns={},
            references=[
                Reference(
                    "client_id",
                    to="customer",
                    source="customer_id",
                    missing=lambda zoho_id: {"nmae": zoho_id},
                )
            ],
            on_delete="ignore",
        )

    sync = syncing(sessions, Clients, Typo)
    await sync.enqueue([invoice("9", 1, "3")])
    await sync.drain()
    (letter,) = await sync.dead_letters.list()
    assert "'nmae'" in letter.error
    assert "name" in letter.error


async def test_a_source_may_be_a_sql_expression(engine: AsyncEngine, sessions: Sessions) -> None:
    """It is evaluated by the database, with every event that writes the row."""

    class Shouted(InvoiceHandler):
        mapping = EntityMap(
            table=Line,
            columns={"words": func.coalesce(literal("by "), "").concat(literal("sql"))},
            insert_only={"invoice_id": 1},
            on_delete="ignore",
        )

    async with sessions.begin() as host:
        host.add(Invoice(id=1, zoho_id="own"))
    sync = syncing(sessions, Clients, Shouted)
    await sync.check()
    await sync.enqueue([invoice("9", 1, ""), client("1", 1)])
    assert await sync.drain() == {Outcome.APPLIED: 2}
    async with sessions() as session:
        assert await session.scalar(select(Line.words)) == "by sql"
        assert await session.scalar(select(Client.shouted)) == "CLIENT 1"
    del engine


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        (Reference("client_id", to="customer", source="customer_id", missing="nul"), "callable"),  # type: ignore[arg-type]  # that is the fault
        (Reference("client_id", to="customer", source="customer_id", deleted="drop"), "deleted="),  # type: ignore[arg-type]  # that is the fault
    ],
)
async def test_a_choice_that_is_none_is_refused(
    sessions: Sessions, reference: Reference, said: str
) -> None:
    class Wrong(InvoiceHandler):
        mapping = EntityMap(
            table=Invoice, key="zoho_id", columns={}, references=[reference], on_delete="ignore"
        )

    with pytest.raises(MappingError, match=said):
        await syncing(sessions, Clients, Wrong).check()


async def test_null_into_a_column_that_may_not_be_null_is_refused(sessions: Sessions) -> None:
    class Wrong(InvoiceHandler):
        mapping = EntityMap(
            table=Line,
            columns={},
            references=[
                Reference("invoice_id", to="product", source="invoice_number", missing="null")
            ],
            on_delete="ignore",
        )

    with pytest.raises(MappingError, match='missing="null", and the column may not be NULL'):
        await syncing(sessions, Items, Wrong).check()


async def test_a_cycle_of_waits_is_refused_and_the_remedy_is_null(sessions: Sessions) -> None:
    class Waiting(CustomerHandler):
        mapping = EntityMap(
            table=Client,
            columns={"name": "contact_name"},
            references=[Reference("parent_id", to="product", source="notes")],
            on_delete="ignore",
        )

    class Back(ProductHandler):
        mapping = EntityMap(
            table=Item,
            key="zoho_id",
            columns={"name": "name"},
            references=[Reference("id", to="customer", source="vendor_id")],
            on_delete="ignore",
        )

    with pytest.raises(MappingError, match='missing="null"'):
        await syncing(sessions, Waiting, Back).check()


# SQLite has one writer: no host deletes beside a batch.
@pytest.mark.databases("postgresql", "mariadb")
async def test_a_row_that_goes_between_look_up_and_write_is_made_anew(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    """An update that hits no row is no application: the event is decided again."""
    deleted = False

    class Losing(ProductHandler):
        mapping = EntityMap(table=Item, key="zoho_id", columns={"name": "name"}, on_delete="hard")

        async def before_apply(self, event: SyncEvent) -> None:
            nonlocal deleted
            if event.effective_time == at(2) and not deleted:
                deleted = True
                async with sessions.begin() as host:
                    await host.execute(text("DELETE FROM r_items"))

    sync = syncing(sessions, Losing)
    await sync.enqueue([item("1", 1)])
    await sync.drain()
    await sync.enqueue([item("1", 2)])
    assert await sync.drain() == {Outcome.APPLIED: 1}
    assert (deleted, await count(sessions, Item)) == (True, 1)
    if engine.dialect.name == "mysql":
        return  # What a host's transaction looks up there is locked from then on.
    deleted = False
    async with sessions.begin() as session:
        handler = sync.handler("product", session)
        await session.execute(text("SELECT 1"))
        with pytest.raises(RowGone):
            await handler.sync({**item("1", 2).payload, "name": "other"})


class SelfMade(CustomerHandler):
    """Makes a placeholder for a parent that is not there."""

    mapping = EntityMap(
        table=Client,
        columns={"name": "contact_name"},
        references=[Reference("parent_id", to="customer", source="notes", missing=stand_in)],
        on_delete="ignore",
    )


async def test_a_placeholder_is_the_row_of_an_entity_of_the_same_batch(sessions: Sessions) -> None:
    sync = syncing(sessions, SelfMade)
    await sync.enqueue([client("1", 1, "2"), client("2", 1, "3")])
    assert await sync.drain() == {Outcome.APPLIED: 2}
    assert await parents(sessions) == {
        "Client 1": "Client 2",
        "Client 2": "Zoho 3",
        "Zoho 3": None,
    }


async def test_a_debt_of_a_row_that_the_host_deleted_is_nobodys(sessions: Sessions) -> None:
    """The row that is made anew does not refer to what the old one waited for."""
    sync = syncing(sessions)
    await sync.enqueue([invoice("9", 1, "3")])
    await sync.drain()
    async with sessions.begin() as host:
        await host.execute(text("DELETE FROM r_invoices"))
    await sync.enqueue([dated("invoice", "9", {"invoice_id": "9"}, 2), client("3", 1)])
    assert await sync.drain() == {Outcome.APPLIED: 2}
    async with sessions() as session:
        assert list(await session.scalars(select(Invoice.client_id))) == [None]


# SQLite has one writer: a host that holds a row holds them all.
@pytest.mark.databases("postgresql", "mariadb")
async def test_a_row_that_the_host_holds_keeps_no_worker_waiting(sessions: Sessions) -> None:
    """Its debt is paid by a later sweep; what else there is to do is done meanwhile."""
    sync = syncing(sessions)
    await sync.enqueue([invoice("9", 1, "3")])
    await sync.drain()
    async with sessions() as host:
        await host.execute(select(Invoice).with_for_update())
        await sync.enqueue([client("3", 1), item("1")])
        async with asyncio.timeout(20):
            assert await sync.drain() == {Outcome.APPLIED: 2}
        assert await count(sessions, DEBTS) == 1
    await sync.drain()
    assert await count(sessions, DEBTS) == 0


@pytest.mark.databases("postgresql")  # only PostgreSQL has such a trigger
async def test_an_unchanged_line_is_not_made_again(engine: AsyncEngine, sessions: Sessions) -> None:
    """A trigger of the host suppresses updates that change nothing."""
    async with engine.begin() as host:
        await host.execute(
            text(
                "CREATE TRIGGER quiet BEFORE UPDATE ON r_lines FOR EACH ROW"
                " EXECUTE FUNCTION suppress_redundant_updates_trigger()"
            )
        )
    sync = syncing(sessions)
    for second in (1, 2, 3):
        await sync.enqueue([invoice("9", second, "", "1", "2")])
        await sync.drain()
    async with sessions() as session:
        words = await session.scalars(select(Line.words).order_by(Line.id))
        assert list(words) == ["1", "2"]


async def test_a_direct_call_wakes_what_it_overtook(sessions: Sessions) -> None:
    class Waiting(InvoiceHandler):
        mapping = EntityMap(
            table=Invoice,
            key="zoho_id",
            columns={},
            references=[Reference("client_id", to="customer", source="customer_id")],
            on_delete="ignore",
        )

    sync = syncing(sessions, Clients, Waiting)
    await sync.enqueue([invoice("9", 1, NEVER)])
    assert await sync.drain() == {Outcome.PARKED: 1}
    async with sessions.begin() as session:
        await sync.handler("invoice", session).sync(invoice("9", 2, "").payload)
    assert await sync.drain() == {Outcome.STALE: 1}
    assert await sync.parked.list() == []
