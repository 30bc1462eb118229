"""What goes into a row: how values become what their columns take, and how a refusal says where."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal
from typing import Any, ClassVar

import pytest
from pydantic import Field
from sqlalchemy import BigInteger, ForeignKey, String, func, select, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tests.hosts.sql import make
from zoho_sync import (
    BaseEntityHandler,
    ChildMap,
    EntityMap,
    HandlerRegistry,
    Outcome,
    Reference,
    ReferenceFailed,
    RowRejected,
    ZohoSync,
    custom_field,
)
from zoho_sync.handlers import CustomerHandler
from zoho_sync.mirror import ExactDecimal
from zoho_sync.payloads import Line, Payload
from zoho_sync.payloads.fields import Amount, EntityId, Integer, ListOf, Text, ZohoId

pytestmark = pytest.mark.databases("sqlite", "postgresql", "psycopg", "mariadb")


class Base(DeclarativeBase):
    """The host's tables."""

    # MariaDB's texts have a length, or no index.
    type_annotation_map: ClassVar[Any] = {str: String(255)}


class Depot(Base):
    __tablename__ = "depots"

    id: Mapped[int] = mapped_column(primary_key=True)
    zoho_id: Mapped[str] = mapped_column(unique=True)


class Crate(Base):
    __tablename__ = "crates"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012  # SQLAlchemy's own

    id: Mapped[int] = mapped_column(primary_key=True)
    zoho_id: Mapped[str | None] = mapped_column(unique=True)
    number: Mapped[str]
    code: Mapped[int] = mapped_column(BigInteger, default=3)
    shelf: Mapped[str] = mapped_column(server_default="it's A")
    row: Mapped[str] = mapped_column(server_default=text("'B'"))
    made: Mapped[str] = mapped_column(default=lambda: "by hand")
    count: Mapped[str | None] = mapped_column(String(20))
    mark: Mapped[str | None] = mapped_column(unique=True)
    depot_id: Mapped[int | None]
    weight: Mapped[Decimal | None] = mapped_column(ExactDecimal(5, 2))
    left_on: Mapped[date | None]


class CrateLine(Base):
    __tablename__ = "crate_lines"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012  # SQLAlchemy's own

    id: Mapped[int] = mapped_column(primary_key=True)
    crate_id: Mapped[int] = mapped_column(ForeignKey("crates.id"))
    what: Mapped[str]
    size: Mapped[int | None]


class CrateLinePayload(Line):
    id_field = "crate_line_id"

    crate_line_id: ZohoId = None
    what: Text = None
    size: ZohoId = None


class CratePayload(Payload):
    entity_type = "crate"
    id_fields = ("crate_id",)

    crate_id: EntityId
    number: Text = None
    code: ZohoId = None
    shelf: Text = None
    row: Text = None
    made: Text = None
    count: Integer = None
    customer_id: ZohoId = None
    weight: Amount = None
    lines: ListOf[CrateLinePayload] = Field(default_factory=list)


class Depots(CustomerHandler):
    mapping = EntityMap(table=Depot, key="zoho_id", columns={}, on_delete="hard")


class Crates(BaseEntityHandler[CratePayload]):
    mapping = EntityMap(
        table=Crate,
        key="zoho_id",
        columns={
            "number": "number",
            "code": "code",
            "shelf": "shelf",
            "row": "row",
            "made": "made",
            "count": "count",
            "mark": custom_field("cf_mark"),
            "weight": "weight",
        },
        references=[Reference("depot_id", to="customer", source="customer_id", missing="fail")],
        children=[
            ChildMap(
                table=CrateLine,
                source="lines",
                parent="crate_id",
                columns={"what": "what", "size": "size"},
            )
        ],
        on_delete="hard",
    )


def crate(**fields: Any) -> dict[str, Any]:
    return {"crate_id": "1", "number": "C-1"} | fields


@pytest.fixture
async def session(sessions: async_sessionmaker[AsyncSession]) -> AsyncIterator[AsyncSession]:
    await make(sessions, Base.metadata)
    await ZohoSync(sessions).create_tables()
    async with sessions() as session:
        yield session


async def refused(session: AsyncSession, document: dict[str, Any]) -> RowRejected:
    with pytest.raises(RowRejected) as rejected:
        await Crates(session).sync(document)
    return rejected.value


@pytest.mark.parametrize(
    ("fields", "path", "message"),
    [
        (
            {"number": ""},
            "crate.number",
            "crates.number: may not be NULL, and the document has nothing for it",
        ),
        (
            {"code": "A-7"},
            "crate.code",
            "crates.code: holds integers, and what the document holds is not one",
        ),
        (
            {"code": str(2**63)},
            "crate.code",
            "crates.code: holds integers, and the document's is longer than 63 bits",
        ),
        (
            {"lines": [{"crate_line_id": "1", "what": "lamps"}, {"crate_line_id": "2"}]},
            "crate.lines[1].what",
            "crate_lines.what: may not be NULL, and the document has nothing for it",
        ),
        (
            {"lines": [{"crate_line_id": "1", "what": "lamps", "size": "wide"}]},
            "crate.lines[0].size",
            "crate_lines.size: holds integers, and what the document holds is not one",
        ),
    ],
)
async def test_a_refusal_names_column_and_field(
    session: AsyncSession, fields: dict[str, Any], path: str, message: str
) -> None:
    rejected = await refused(session, crate(**fields))
    table, _, column = message.partition(":")[0].partition(".")
    assert str(rejected) == message
    assert (rejected.table, rejected.constraint, rejected.path) == (table, column, path)
    assert await session.scalar(select(func.count()).select_from(Crate)) == 0


async def test_a_refusal_by_the_database_names_what_the_database_says(
    session: AsyncSession,
) -> None:
    marked = {"custom_field_hash": {"cf_mark": "M-1"}}
    await Crates(session).sync(crate(**marked))
    rejected = await refused(session, crate(crate_id="2", **marked))
    assert rejected.table == "crates"
    if session.get_bind().dialect.name == "sqlite":
        assert rejected.path == "crate.cf_mark"


async def test_a_column_that_only_the_database_wants_is_named(
    engine: AsyncEngine, session: AsyncSession
) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("DROP TABLE crate_lines"))
        await connection.execute(text("DROP TABLE crates"))
        stricter = Base.metadata.tables["crates"].to_metadata(type(Base.metadata)())
        stricter.c["count"].nullable = False
        await connection.run_sync(stricter.create)
    rejected = await refused(session, crate(count=""))
    assert (rejected.table, rejected.path) == ("crates", "crate.count")


@pytest.mark.usefixtures("session")
async def test_a_dead_letter_names_the_field(sessions: async_sessionmaker[AsyncSession]) -> None:
    registry = HandlerRegistry()
    registry.register(Crates)
    registry.register(Depots)
    sync = ZohoSync(sessions, registry=registry)
    await sync.ingest({"crate": crate(number="")})
    await sync.ingest({"crate": crate(crate_id="2", customer_id="9")})
    assert await sync.drain() == {Outcome.DEAD_LETTER: 2}
    empty, missing = await sync.dead_letters.list()
    assert (empty.error_type, empty.path) == (RowRejected.__name__, "crate.number")
    assert (missing.error_type, missing.path) == (ReferenceFailed.__name__, "crate.customer_id")


async def test_what_is_emptied_and_may_not_be_null_has_its_default_again(
    session: AsyncSession,
) -> None:
    """On an insert the database fills it; on an update nobody does."""
    handler = Crates(session)
    filled = {"code": "8", "shelf": "Z", "row": "Z", "made": "there"}
    for emptied in ({"code": ""}, {"shelf": "", "row": ""}):
        await handler.sync(crate(**filled))
        await handler.sync(crate(**filled) | emptied)
    found = (await session.execute(select(Crate.code, Crate.shelf, Crate.row))).one()
    assert tuple(found) == (8, "it's A", "B")
    await handler.sync(crate(code=""))
    assert await session.scalar(select(Crate.code)) == 3


async def test_a_default_that_is_made_anew_each_time_is_not_guessed(session: AsyncSession) -> None:
    await Crates(session).sync(crate(made="there"))
    rejected = await refused(session, crate(made=""))
    assert str(rejected) == "crates.made: may not be NULL, and its default cannot be written again"
    assert rejected.path == "crate.made"


async def test_whole_numbers_become_text_where_the_column_holds_text(session: AsyncSession) -> None:
    await Crates(session).sync(crate(count=12))
    assert await session.scalar(select(Crate.count)) == "12"


async def test_what_the_type_of_a_column_refuses_is_no_foreign_keys_doing(
    session: AsyncSession,
) -> None:
    rejected = await refused(session, crate(weight="1000.00"))
    assert (rejected.table, type(rejected)) == ("crates", RowRejected)
    assert "more than 3 digits before the point" in str(rejected)


class Gone(Crates):
    mapping = EntityMap(
        table=Crate, key="zoho_id", columns={"number": "number"}, deleted_column="left_on"
    )


async def test_a_day_of_deletion_is_the_day(session: AsyncSession) -> None:
    handler = Gone(session)
    changed = {"last_modified_time": "2024-05-01T23:59:59Z"}
    await handler.sync(crate(last_modified_time="2024-04-30T10:00:00Z"))
    await handler.sync(crate(**changed), "delete")
    assert await session.scalar(select(Crate.left_on)) == date(2024, 5, 1)
    await handler.sync(crate(last_modified_time="2024-05-02T10:00:00Z"))
    assert await session.scalar(select(Crate.left_on)) is None


async def test_a_target_that_was_deleted_for_good_is_not_waited_for(
    session: AsyncSession, sessions: async_sessionmaker[AsyncSession]
) -> None:
    """It never comes back, so that the event would wait in vain."""

    class Waiting(Crates):
        mapping = EntityMap(
            table=Crate,
            key="zoho_id",
            columns={"number": "number"},
            references=[Reference("depot_id", to="customer", source="customer_id", deleted="fail")],
            on_delete="hard",
        )

    sync = ZohoSync(sessions, registry=HandlerRegistry([Depots, Waiting]))
    depot = {"contact": {"contact_id": "9", "contact_type": "customer"}}
    await sync.ingest(depot)
    await sync.ingest(depot, operation="delete")
    await sync.ingest({"crate": crate(customer_id="9")})
    assert await sync.drain() == {Outcome.APPLIED: 2, Outcome.DEAD_LETTER: 1}
    (letter,) = await sync.dead_letters.list()
    assert (letter.error, letter.path) == ("customer 9 was deleted", "crate.customer_id")
    assert await session.scalar(select(Depot.id)) is None
