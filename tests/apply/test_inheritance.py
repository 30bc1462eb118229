"""ORM inheritance: a row in several tables is one row, and a class in a shared table a class."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import ForeignKey, Text, event, func, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tests.hosts.application import take
from tests.hosts.sql import Sessions, make
from zoho_sync import (
    BaseEntityHandler,
    EntityMap,
    HandlerRegistry,
    MappingError,
    Outcome,
    Reference,
    ZohoSync,
)
from zoho_sync.handlers import CustomerHandler, InvoiceHandler, VendorHandler
from zoho_sync.mapping.declaration import folded


class Base(DeclarativeBase):
    """The host's tables."""


class Party(Base):
    __tablename__ = "parties"
    __table_args__ = ({"sqlite_autoincrement": True},)
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(Text)
    zoho_id: Mapped[str | None] = mapped_column(Text, unique=True)
    name: Mapped[str] = mapped_column(Text)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("parties.id"))
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "party"}  # noqa: RUF012  # as SQLAlchemy documents it


class Customer(Party):
    __tablename__ = "party_customers"
    customer_no: Mapped[int] = mapped_column(ForeignKey("parties.id"), primary_key=True)
    zoho_customer: Mapped[str | None] = mapped_column(Text, unique=True)
    phone: Mapped[str | None] = mapped_column(Text)
    gone_at: Mapped[datetime | None]
    credit: Mapped[int] = mapped_column(server_default="0")
    __mapper_args__ = {"polymorphic_identity": "customer"}  # noqa: RUF012  # as above


class KeyAccount(Customer):
    __tablename__ = "party_key_accounts"
    account_no: Mapped[int] = mapped_column(
        ForeignKey("party_customers.customer_no"), primary_key=True
    )
    manager: Mapped[str | None] = mapped_column(Text)
    __mapper_args__ = {"polymorphic_identity": "key account"}  # noqa: RUF012  # as above


class Supplier(Party):
    """Lives in the table of all parties."""

    __mapper_args__ = {"polymorphic_identity": "supplier"}  # noqa: RUF012  # as above


class Invoice(Base):
    __tablename__ = "party_invoices"
    id: Mapped[int] = mapped_column(primary_key=True)
    zoho_id: Mapped[str] = mapped_column(Text, unique=True)
    customer_no: Mapped[int] = mapped_column(ForeignKey("party_customers.customer_no"))


class Odd(Base):
    __tablename__ = "odd_parties"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None] = mapped_column(Text)


class OddCustomer(Odd):
    __tablename__ = "odd_customers"
    number: Mapped[int] = mapped_column(primary_key=True)
    odd_id: Mapped[int] = mapped_column(ForeignKey("odd_parties.id"))


class Invoices(InvoiceHandler):
    mapping = EntityMap(
        table=Invoice,
        key="zoho_id",
        columns={},
        references=[
            Reference(
                "customer_no",
                to="customer",
                source="customer_id",
                missing=lambda zoho_id: {"name": f"unknown {zoho_id}"},
            )
        ],
        on_delete="hard",
    )


def customers(key: str | None, table: type[Customer] = Customer, **more: Any) -> Any:
    """Return a handler of customers, found by a column of either table or by a link."""

    class Customers(CustomerHandler):
        mapping = EntityMap(
            table=table,
            key=key,
            adopt=[("name", folded)],
            columns={"name": "contact_name", "phone": "phone"},
            references=[Reference("parent_id", to="customer", source="website", missing="null")],
            **{"deleted_column": "gone_at"} | more,
        )

    return Customers


class Suppliers(VendorHandler):
    mapping = EntityMap(
        table=Supplier,
        key="zoho_id",
        adopt=[("name", folded)],
        columns={"name": "contact_name"},
        on_delete="ignore",
    )


KEYS = pytest.mark.parametrize("key", ["zoho_id", "zoho_customer", None])
"""In the table that is inherited from, in the one that inherits, and in neither."""


@pytest.fixture
async def host(engine: AsyncEngine, sessions: Sessions) -> AsyncIterator[Sessions]:
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", _with_foreign_keys)
    await make(sessions, Base.metadata)
    await ZohoSync(sessions).create_tables()
    yield sessions
    async with sessions() as session:
        parties = set(await session.scalars(select(Party.__table__.c.id)))
        assert set(await session.scalars(select(Customer.__table__.c.customer_no))) <= parties


def _with_foreign_keys(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA foreign_keys=ON")


def contact(zoho_id: str, name: str, kind: str = "customer", **more: Any) -> dict[str, Any]:
    return {"contact_id": zoho_id, "contact_type": kind, "contact_name": name} | more


async def all_of(sessions: Sessions, model: Any) -> list[Any]:
    """Return what the ORM of the host loads."""
    async with sessions() as session:
        return list(await session.scalars(select(model).order_by(model.id)))


@KEYS
async def test_a_row_is_made_changed_and_marked_in_both_tables(
    host: Sessions, key: str | None
) -> None:
    sync = ZohoSync(host, registry=HandlerRegistry([customers(key), Invoices]))
    await sync.check()
    counts = await take(
        sync,
        {"contact": contact("11", "Hotel Meridian", phone="1", website="12")},
        {"invoice": {"invoice_id": "31", "customer_id": "11"}},
    )
    assert counts == {Outcome.APPLIED: 2}
    assert await take(sync, {"contact": contact("12", "Meridian Group", phone="2")}) == {
        Outcome.APPLIED: 1
    }
    child, group = await all_of(host, Customer)
    assert (type(child), child.kind, child.name, child.phone) == (
        Customer,
        "customer",
        "Hotel Meridian",
        "1",
    )
    assert (child.parent_id, child.credit, child.gone_at) == (group.id, 0, None)
    ((invoice,),) = [await all_of(host, Invoice)]
    assert invoice.customer_no == child.customer_no == child.id

    await take(sync, {"contact": contact("11", "Meridian", phone="3")})
    await sync.ingest({}, entity="customer", operation="delete", entity_id="11")
    await sync.drain()
    child, group = await all_of(host, Customer)
    assert (child.name, child.phone, group.phone) == ("Meridian", "3", "2")
    assert child.gone_at is not None
    found = await sync.provenance(Customer, child.id)
    assert found is not None
    assert found.zoho_id == "11"


@KEYS
async def test_a_hard_delete_removes_the_row_from_both_tables(
    host: Sessions, key: str | None
) -> None:
    hard = customers(key, on_delete="hard", deleted_column=None)
    sync = ZohoSync(host, registry=HandlerRegistry([hard]))
    await take(sync, {"contact": contact("11", "Hotel Meridian")})
    await sync.ingest({}, entity="customer", operation="delete", entity_id="11")
    assert await sync.drain() == {Outcome.APPLIED: 1}
    assert await all_of(host, Party) == []


@KEYS
async def test_a_placeholder_is_a_row_of_its_class(host: Sessions, key: str | None) -> None:
    sync = ZohoSync(host, registry=HandlerRegistry([customers(key), Invoices]))
    await take(sync, {"invoice": {"invoice_id": "31", "customer_id": "11"}})
    (made,) = await all_of(host, Customer)
    assert (type(made), made.name) == (Customer, "unknown 11")
    await take(sync, {"contact": contact("11", "Hotel Meridian")})
    (known,) = await all_of(host, Customer)
    assert (known.id, known.name) == (made.id, "Hotel Meridian")


@KEYS
async def test_only_rows_of_the_class_are_adopted(host: Sessions, key: str | None) -> None:
    async with host() as session, session.begin():
        session.add(Supplier(name="Hotel  meridian"))
        session.add(Customer(name="HOTEL meridian", phone="ours", credit=5))
        session.add(KeyAccount(name="Grand Hotel", manager="ours"))
    sync = ZohoSync(host, registry=HandlerRegistry([customers(key), Suppliers]))
    await sync.check()
    (mine, theirs) = await sync.adoption_report()
    assert (mine.rows, mine.adoptable, theirs.rows, theirs.adoptable) == (2, 2, 1, 1)
    counts = await take(
        sync,
        {"contact": contact("11", "Hotel Meridian", phone="1")},
        {"contact": contact("12", "grand hotel", phone="2")},
        {"contact": contact("13", "Hotel Meridian", "vendor")},
    )
    assert counts == {Outcome.APPLIED: 3}
    parties = await all_of(host, Party)
    assert {(type(p), p.name) for p in parties} == {
        (Customer, "Hotel Meridian"),
        (KeyAccount, "grand hotel"),
        (Supplier, "Hotel Meridian"),
    }
    assert len(parties) == 3
    found = {p.name: p for p in await all_of(host, Customer)}
    assert (found["Hotel Meridian"].phone, found["Hotel Meridian"].credit) == ("1", 5)
    assert found["grand hotel"].phone == "2"
    assert [account.manager for account in await all_of(host, KeyAccount)] == ["ours"]


@KEYS
async def test_rows_are_linked_by_hand(host: Sessions, key: str | None) -> None:
    async with host() as session, session.begin():
        for _ in range(2):
            session.add(Customer(name="Hotel Meridian"))
    sync = ZohoSync(host, registry=HandlerRegistry([customers(key)]))
    assert await take(sync, {"contact": contact("11", "Hotel Meridian", phone="1")}) == {
        Outcome.DEAD_LETTER: 1
    }
    second = (await all_of(host, Customer))[1].id
    assert (await sync.link("customer", [("11", second)])).linked == ("11",)
    (letter,) = await sync.dead_letters.list()
    await sync.dead_letters.replay([letter.id])
    assert await sync.drain() == {Outcome.APPLIED: 1}
    assert [(c.id, c.phone) for c in await all_of(host, Customer)] == [
        (second - 1, None),
        (second, "1"),
    ]


async def test_three_tables_deep(host: Sessions) -> None:
    class Accounts(CustomerHandler):
        mapping = EntityMap(
            table=KeyAccount,
            columns={"name": "contact_name", "phone": "phone", "manager": "notes"},
            on_delete="hard",
        )

    sync = ZohoSync(host, registry=HandlerRegistry([Accounts]))
    await sync.check()
    await take(sync, {"contact": contact("11", "Hotel", phone="1", notes="A")})
    await take(sync, {"contact": contact("11", "Hotel Meridian", phone="2", notes="B")})
    (made,) = await all_of(host, Party)
    assert (type(made), made.kind, made.name) == (KeyAccount, "key account", "Hotel Meridian")
    (account,) = await all_of(host, KeyAccount)
    assert (account.phone, account.manager, account.account_no) == ("2", "B", account.id)
    await sync.ingest({}, entity="customer", operation="delete", entity_id="11")
    assert await sync.drain() == {Outcome.APPLIED: 1}
    assert await all_of(host, Party) == []


async def test_an_id_that_a_row_of_another_class_has_is_said(host: Sessions) -> None:
    async with host() as session, session.begin():
        session.add(Supplier(name="Hotel Meridian", zoho_id="11"))
    sync = ZohoSync(host, registry=HandlerRegistry([customers("zoho_id")]))
    await take(sync, {"contact": contact("11", "Hotel Meridian")})
    (letter,) = await sync.dead_letters.list()
    assert "another class" in letter.error
    assert [type(each) for each in await all_of(host, Party)] == [Supplier]


async def test_a_row_that_the_host_makes_at_the_same_moment_leaves_no_half(
    host: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key is in the table that inherits: the other's row is made first, and taken back."""
    handler = customers("zoho_customer")
    async with host() as session, session.begin():
        session.add(Customer(name="ours", zoho_customer="11"))
    seen = []

    async def locate(*_: Any) -> Any:
        # The host commits between the look-up and the insert.
        seen.append(1)

    monkeypatch.setattr("zoho_sync.apply.one_event.locate", locate)
    sync = ZohoSync(host, registry=HandlerRegistry([handler]))
    assert await take(sync, {"contact": contact("11", "theirs")}) == {Outcome.APPLIED: 1}
    assert seen
    async with host() as session:
        assert await session.scalar(select(func.count()).select_from(Party.__table__)) == 1
    assert [c.name for c in await all_of(host, Customer)] == ["theirs"]


async def test_inheritance_by_something_else_than_the_key_is_refused(host: Sessions) -> None:
    class Customers(CustomerHandler):
        mapping = EntityMap(table=OddCustomer, columns={"name": "contact_name"}, on_delete="ignore")

    with pytest.raises(MappingError, match=r"Customers.table.*other columns than its key"):
        await ZohoSync(host, registry=HandlerRegistry([Customers])).check()


async def test_typos_are_looked_for_in_all_tables(host: Sessions) -> None:
    class Customers(CustomerHandler):
        mapping = EntityMap(
            table=Customer,
            columns={"nmae": "contact_name", "phnoe": "phone"},
            on_delete="ignore",
        )

    with pytest.raises(MappingError) as raised:
        await ZohoSync(host, registry=HandlerRegistry([Customers])).check()
    assert "Did you mean 'name'?" in str(raised.value)
    assert "Did you mean 'phone'?" in str(raised.value)


async def test_what_nothing_fills_is_found_in_all_tables(host: Sessions) -> None:
    class Customers(CustomerHandler):
        mapping = EntityMap(table=Customer, columns={"phone": "phone"}, on_delete="ignore")

    with pytest.raises(MappingError, match=r"column 'name' of 'parties' may not be NULL") as raised:
        await ZohoSync(host, registry=HandlerRegistry([Customers])).check()
    assert len(raised.value.findings) == 1


async def test_a_handler_called_directly_knows_the_class(host: Sessions) -> None:
    handler: type[BaseEntityHandler[Any]] = customers(None)
    async with host() as session, session.begin():
        result = await handler(session).sync(contact("11", "Hotel Meridian"))
        assert (await session.get_one(Customer, result.primary_key)).name == "Hotel Meridian"
        await session.execute(insert(Party), [{"name": "x", "kind": "party"}])
