"""What goes wrong while a mapping is applied names the attribute, or the table and the column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    MetaData,
    Table,
    Text,
    event,
    literal,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator, UserDefinedType

from tests.hosts.sql import Sessions
from zoho_sync import (
    ChildMap,
    EntityMap,
    HandlerRegistry,
    Outcome,
    Reference,
    RetryPolicy,
    ZohoSync,
)
from zoho_sync.apply.refusals import RefusedAt
from zoho_sync.database.creation import create_missing
from zoho_sync.database.faults import note_place, noted_place
from zoho_sync.exceptions import CallableFailed
from zoho_sync.handlers import CustomerHandler, InvoiceHandler
from zoho_sync.mapping.declaration import ABSENT
from zoho_sync.mapping.foreign_keys import same_row, targets_of
from zoho_sync.mapping.inheritance import Part
from zoho_sync.mapping.values import suspect
from zoho_sync.operate.dead_letters import DeadLetter

# What was refused is said in the words of the driver.
pytestmark = pytest.mark.databases("sqlite", "postgresql")

PRIVATE = "4711-private"
CLIENT: Mapping[str, Any] = {
    "contact": {"contact_id": "11", "contact_type": "customer", "contact_name": PRIVATE}
}
INVOICE: Mapping[str, Any] = {
    "invoice": {
        "invoice_id": "21",
        "customer_id": "11",
        "notes": PRIVATE,
        "line_items": [{"line_item_id": "l1", "description": PRIVATE, "quantity": "3"}],
    }
}
LATE = RetryPolicy(base_delay=timedelta(hours=1), max_delay=timedelta(hours=1))


class Odd(UserDefinedType[Any]):
    """A type that does not say what it is in Python."""

    cache_ok = True

    @property
    def python_type(self) -> type[Any]:
        raise NotImplementedError


class Strict(TypeDecorator[Any]):
    """A type that takes nothing."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        raise RuntimeError((value, dialect))


class Base(DeclarativeBase):
    """The host's tables."""


class Branch(Base):
    __tablename__ = "branches"
    code: Mapped[str] = mapped_column(Text, primary_key=True)


class Client(Base):
    __tablename__ = "clients"
    __table_args__ = ({"sqlite_autoincrement": True},)
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None] = mapped_column(Text)
    branch: Mapped[str | None] = mapped_column(ForeignKey("branches.code"))
    closed: Mapped[bool] = mapped_column(default=False)


class Sale(Base):
    __tablename__ = "sales"
    id: Mapped[int] = mapped_column(primary_key=True)
    zoho_id: Mapped[str | None] = mapped_column(Text, unique=True)
    client_id: Mapped[int | None] = mapped_column(ForeignKey("clients.id"))
    size: Mapped[int | None]
    amount: Mapped[float | None]


class SaleLine(Base):
    __tablename__ = "sale_lines"
    __table_args__ = (CheckConstraint("pieces < 3", name="few"), {"sqlite_autoincrement": True})
    id: Mapped[int] = mapped_column(primary_key=True)
    sale_id: Mapped[int] = mapped_column(ForeignKey("sales.id"))
    branch: Mapped[str | None] = mapped_column(ForeignKey("branches.code"))
    pieces: Mapped[int | None]
    words: Mapped[str | None] = mapped_column(Text)


CLIENTS = EntityMap(table=Client, columns={"name": "contact_name"}, on_delete="ignore")
LINES = ChildMap(
    table=SaleLine, source="line_items", parent="sale_id", columns={"words": "description"}
)
SALES = EntityMap(
    table=Sale,
    key="zoho_id",
    columns={},
    references=[Reference("client_id", to="customer", source="customer_id")],
    children=[LINES],
    on_delete="ignore",
)


class Clients(CustomerHandler):
    mapping = CLIENTS


@pytest.fixture(autouse=True)
async def tables(engine: AsyncEngine) -> None:
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", _enforce)
    async with engine.begin() as connection:
        await connection.run_sync(create_missing, Base.metadata)


def _enforce(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA foreign_keys = ON")


async def letter(
    sessions: Sessions, sales: EntityMap = SALES, clients: EntityMap = CLIENTS
) -> DeadLetter:
    """Apply a customer and an invoice of it; return the dead letter that comes of it, at once."""
    handlers = HandlerRegistry(
        [
            type("Clients", (CustomerHandler,), {"mapping": clients}),
            type("Sales", (InvoiceHandler,), {"mapping": sales}),
        ]
    )
    sync = ZohoSync(sessions, registry=handlers, retry=LATE)
    await sync.create_tables()
    for document in (CLIENT, INVOICE):
        await sync.ingest(document)
    assert Outcome.RETRY not in await sync.drain()
    (found,) = await sync.dead_letters.list()
    assert found.attempts == 1
    assert PRIVATE not in found.error
    return found


def with_lines(**changes: Any) -> EntityMap:
    """Return the sales with other lines."""
    return replace(SALES, children=[replace(LINES, **changes)])


def placeholder(made: Any) -> EntityMap:
    """Return the sales, which refer to what nobody has sent, and what stands for it."""
    reference = Reference("client_id", to="customer", source=lambda _: "19", missing=lambda _: made)
    return replace(SALES, references=[reference])


@pytest.mark.parametrize(
    ("sales", "where", "said"),
    [
        (
            placeholder(("name",)),
            "references['client_id'].missing",
            'the callable gives a tuple, not the columns of a row: {"column": value}',
        ),
        (
            placeholder({5: "name"}),
            "references['client_id'].missing",
            'the callable gives a int as a name, not the columns of a row: {"column": value}',
        ),
        (
            placeholder({"nmae": "?"}),
            "references['client_id'].missing",
            (
                "the placeholder of customer gives 'nmae', which 'clients' does not have. Did you "
                "mean 'name'?"
            ),
        ),
        (
            with_lines(source=lambda _: 5),
            "children[0].source",
            "the callable gives a int, not a list of the document's lines",
        ),
        (
            with_lines(source=lambda _: "line_items"),
            "children[0].source",
            "the callable gives a str, not a list of the document's lines",
        ),
        (
            with_lines(source=lambda _: [{"words": PRIVATE}]),
            "children[0].source",
            "the callable gives a list with a dict, not a list of the document's lines",
        ),
        (
            with_lines(columns={"words": lambda line: line.desciption}),
            "children[0].columns['words']",
            (
                "the callable raised AttributeError: InvoiceLine has no field 'desciption'. Did "
                "you mean 'description'?"
            ),
        ),
        (
            replace(SALES, when=lambda invoice: getattr(invoice, invoice.notes)),
            "when",
            "the callable raised AttributeError",
        ),
        (
            replace(SALES, when=lambda invoice: invoice.notes.qqq),
            "when",
            "the callable raised AttributeError",
        ),
    ],
)
async def test_what_a_callable_does_wrong(
    sessions: Sessions, sales: EntityMap, where: str, said: str
) -> None:
    found = await letter(sessions, sales)
    assert (found.error_type, found.path) == (CallableFailed.__name__, f"Sales.{where}")
    assert found.error == f"Sales.{where}: {said}"


@pytest.mark.parametrize("nothing", [None, ABSENT])
async def test_a_callable_may_give_no_lines(sessions: Sessions, nothing: Any) -> None:
    sales = with_lines(source=lambda _: nothing)
    handlers = HandlerRegistry([Clients, type("Sales", (InvoiceHandler,), {"mapping": sales})])
    sync = ZohoSync(sessions, registry=handlers)
    await sync.create_tables()
    await sync.ingest(CLIENT)
    await sync.ingest(INVOICE)
    assert await sync.drain() == {Outcome.APPLIED: 2}


async def test_a_natural_key_that_is_no_expression(sessions: Sessions) -> None:
    """Without the check at the start, as a handler is that is called directly."""
    clients = replace(CLIENTS, adopt=(("name", lambda _: True),))
    await ZohoSync(sessions).create_tables()
    handler = type("Clients", (CustomerHandler,), {"mapping": clients})
    async with sessions() as session:
        with pytest.raises(CallableFailed) as raised:
            await handler(session).sync(CLIENT["contact"])
    assert str(raised.value) == (
        "Clients.adopt[0]: the callable gives a bool, not a SQL expression of the column"
    )


@pytest.mark.parametrize("number", [Decimal("NaN"), Decimal("Infinity"), Decimal("1.5")])
async def test_a_number_that_is_none(sessions: Sessions, number: Decimal) -> None:
    found = await letter(sessions, replace(SALES, columns={"size": lambda _: number}))
    assert found.error == "sales.size: holds integers, and what the document holds is not one"


async def test_a_foreign_key_that_refers_to_nothing(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    found = await letter(
        sessions,
        replace(SALES, references=(), children=()),
        replace(CLIENTS, insert_only={"branch": "HQ"}),
    )
    if engine.dialect.name == "sqlite":
        assert found.error == (
            "clients: FOREIGN KEY constraint failed; what refers to other tables is "
            "insert_only['branch'] (to branches)"
        )
    else:
        assert '"clients" violates foreign key constraint "clients_branch_fkey"' in found.error


async def test_a_foreign_key_of_a_line(engine: AsyncEngine, sessions: Sessions) -> None:
    found = await letter(sessions, with_lines(columns={"branch": "description"}))
    assert (found.error_type, "sale_lines" in found.error) == ("RowGone", True)
    if engine.dialect.name == "sqlite":
        assert found.error.endswith("is columns['branch'] (to branches)")


async def test_a_check_of_a_line(sessions: Sessions) -> None:
    found = await letter(sessions, with_lines(columns={"pieces": lambda _: 5}))
    assert "sale_lines" in found.error
    assert ("few" in found.error) or ("pieces < 3" in found.error)


async def test_a_value_that_no_driver_takes(sessions: Sessions) -> None:
    found = await letter(sessions, replace(SALES, columns={"amount": lambda _: object()}))
    assert found.error.startswith("sales.amount: ")


async def test_a_line_of_a_callable_source_is_found_by_its_table(sessions: Sessions) -> None:
    sales = with_lines(source=lambda invoice: invoice.line_items, columns={"pieces": "description"})
    found = await letter(sessions, sales)
    assert found.path == "invoice.sale_lines[0].description"


async def test_a_line_that_no_driver_takes(sessions: Sessions) -> None:
    found = await letter(sessions, with_lines(columns={"words": lambda _: object()}))
    assert found.error.startswith("sale_lines.words: ")


def test_which_value_is_to_blame() -> None:
    columns: Any = Sale.__table__.c
    size: Column[Any] = columns.size
    dialect = sqlite.dialect()
    assert suspect({columns.size: 1, columns.zoho_id: "x"}, dialect) is None
    assert suspect({columns.size: None, columns.amount: literal(1)}, dialect) is None
    assert suspect({size: "x", columns.amount: Decimal(1)}, dialect) is size
    assert suspect({columns.size: "x", columns.zoho_id: 5}, dialect) is None
    unknown: Column[Any] = Column("odd", Odd())
    assert suspect({unknown: 5}, dialect) is None
    strict: Column[Any] = Column("strict", Strict())
    assert suspect({strict: 5}, dialect) is strict


def test_a_place_is_kept_with_an_error() -> None:
    error = ValueError()
    assert noted_place(error) == ("", "")
    error.add_note("of another")
    note_place(error, "sales", "size")
    assert noted_place(error) == ("sales", "size")


def test_foreign_keys_to_what_is_not_declared() -> None:
    """Tables of one thing refer to each other by their primary keys."""
    metadata = MetaData()
    whole = Table("whole", metadata, Column("id", Text, primary_key=True))
    part = Table("part", metadata, Column("id", ForeignKey("whole.id"), primary_key=True))
    odd = Table("odd", metadata, Column("id", ForeignKey("nowhere.id"), primary_key=True))
    assert same_row([Part(part, (part.c.id,))]) == {"part", "whole"}
    assert same_row([Part(whole, (whole.c.id,))]) == {"whole"}
    assert targets_of(odd.c.id) == []


def test_where_a_refusal_is_without_a_mapping_or_of_a_table_that_has_none() -> None:
    error = ValueError()
    note_place(error, "sales", "size")
    place = RefusedAt.of(error, None)
    assert (place.table, place.column, place.field) == ("sales", "size", "")
    assert place.told("no", dangling=True) == "sales.size: no"
    bound = Clients.binding()
    elsewhere = ValueError()
    note_place(elsewhere, "sales", "")
    place = RefusedAt.of(elsewhere, bound)
    assert place.told("no", dangling=True) == "sales: no"
    assert place.told("no row in sales", dangling=False) == "no row in sales"
    assert RefusedAt.of(ValueError(), bound).told("no", dangling=True) == "clients: no"
    assert RefusedAt.of(ValueError(), None).told("no", dangling=True) == "no"
    named = IntegrityError("", {}, Exception("NOT NULL constraint failed: clients.name"))
    note_place(named, "sales", "size")
    assert RefusedAt.of(named, bound).field == "customer.contact_name"
