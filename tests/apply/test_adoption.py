"""Adoption and links: an entity takes over the row that the host has of it, and no other."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import (
    Column,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    event,
    func,
    insert,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tests.hosts.events import at, customer, deletion, invoice
from tests.hosts.handlers import CLIENTS
from tests.hosts.sql import Sessions, make
from tests.hosts.tables import ClientTable
from zoho_sync import EntityMap, HandlerRegistry, Outcome, SyncEvent, ZohoSync
from zoho_sync.handlers import CustomerHandler
from zoho_sync.mapping.declaration import folded
from zoho_sync.operate.adoption_report import AdoptionCount
from zoho_sync.operate.linking import LinkReport, RefusedLink
from zoho_sync.store.tables import library_tables

TABLES = library_tables()


class Base(DeclarativeBase):
    """The host's tables, full before the first event."""


class Known(ClientTable, Base):
    """Clients whom the host knew before; some have no name."""

    name: Mapped[str] = mapped_column(Text, nullable=True)
    created_by: Mapped[str] = mapped_column(String(20), default="host")


class KeyedClients(CustomerHandler):
    mapping = replace(
        CLIENTS,
        table=Known,
        adopt=(("name", folded),),
        columns={"name": "contact_name", "note": "notes"},
        insert_only={"points": 7},
    )


class LinkedClients(CustomerHandler):
    mapping = replace(KeyedClients.mapping, key=None)


HANDLERS = {"key": KeyedClients, "link": LinkedClients}


@pytest.fixture(params=HANDLERS)
def handler(request: pytest.FixtureRequest) -> type[CustomerHandler]:
    return HANDLERS[request.param]


@pytest.fixture
async def sync(sessions: Sessions, handler: type[CustomerHandler]) -> ZohoSync:
    await make(sessions, Base.metadata)
    sync = ZohoSync(sessions, registry=HandlerRegistry([handler]))
    await sync.create_tables()
    return sync


async def fill(sessions: Sessions, handler: type[CustomerHandler], *names: str | None) -> list[int]:
    """Let the host have rows; return their keys."""
    assert handler.mapping is not None
    async with sessions.begin() as session:
        rows = [handler.mapping.table(name=name, points=100) for name in names]
        session.add_all(rows)
        await session.flush()
        return [row.id for row in rows]


async def rows(sessions: Sessions, handler: type[CustomerHandler]) -> list[tuple[Any, ...]]:
    """Return id, name, note, points and mark of every row."""
    assert handler.mapping is not None
    t = handler.mapping.table
    async with sessions() as session:
        found = await session.execute(
            select(t.id, t.name, t.note, t.points, t.deleted_at.is_not(None)).order_by(t.id)
        )
        return [tuple(row) for row in found]


def named(entity_id: str, name: str, second: int = 1, **more: Any) -> SyncEvent:
    return customer(entity_id, second, stamp=f"{entity_id}.{second}", contact_name=name, **more)


async def test_the_one_row_that_matches_is_taken_over(
    sync: ZohoSync, sessions: Sessions, handler: type[CustomerHandler]
) -> None:
    """Case and white space aside; what is the host's alone stays, and no second row is made."""
    acme, other = await fill(sessions, handler, " ACME \t Ltd", "Other")
    await sync.enqueue([named("1", "Acme ltd"), named("2", "New")])
    assert await sync.drain() == {Outcome.APPLIED: 2}
    await sync.enqueue([named("1", "Acme Limited", 2)])
    assert await sync.drain() == {Outcome.APPLIED: 1}
    assert await rows(sessions, handler) == [
        (acme, "Acme Limited", "1.2", 100, False),
        (other, "Other", None, 100, False),
        (other + 1, "New", "2.1", 7, False),
    ]
    async with sessions() as session:
        reasons = select(TABLES.journal.c.reason).order_by(TABLES.journal.c.id)
        assert list(await session.scalars(reasons)) == ["took over a row of the host", "", ""]


async def test_a_row_that_an_entity_has_is_never_taken_over(
    sync: ZohoSync, sessions: Sessions, handler: type[CustomerHandler]
) -> None:
    (acme,) = await fill(sessions, handler, "Acme")
    await sync.enqueue([named("1", "Acme"), named("2", "Acme"), named("3", "")])
    assert await sync.drain() == {Outcome.APPLIED: 3}
    found = await rows(sessions, handler)
    assert [(row[0], row[2]) for row in found] == [
        (acme, "1.1"),
        (acme + 1, "2.1"),
        (acme + 2, "3.1"),
    ]


async def test_several_that_match_are_a_dead_letter_that_names_them(
    sync: ZohoSync, sessions: Sessions, handler: type[CustomerHandler]
) -> None:
    """Nobody guesses; once one is linked by hand, the dead letter is replayed."""
    first, second, _ = await fill(sessions, handler, "Acme", "acme", "Other")
    await sync.enqueue([named("1", "ACME")])
    assert await sync.drain() == {Outcome.DEAD_LETTER: 1}
    (letter,) = await sync.dead_letters.list()
    assert letter.error_type == "AmbiguousMatch"
    assert f": {first}, {second};" in letter.error
    assert await sync.link("customer", [("1", second)]) == LinkReport(linked=("1",))
    await sync.dead_letters.replay([letter.id])
    assert await sync.drain() == {Outcome.APPLIED: 1}
    assert [row[:4] for row in await rows(sessions, handler)][:2] == [
        (first, "Acme", None, 100),
        (second, "ACME", "1.1", 100),
    ]


async def test_a_document_without_the_natural_key_waits_for_one_that_has_it(
    sync: ZohoSync, sessions: Sessions, handler: type[CustomerHandler]
) -> None:
    """A row made now would be the second of its customer."""
    (acme,) = await fill(sessions, handler, "Acme")
    sparse = customer("1", 2, stamp="sparse")
    sparse.payload.pop("contact_name")  # type: ignore[attr-defined]  # a dict, until it is sent
    await sync.enqueue([sparse])
    assert await sync.drain() == {Outcome.PARKED: 1}
    await sync.enqueue([named("1", "acme", 1)])
    assert await sync.drain() == {Outcome.APPLIED: 2}
    assert await rows(sessions, handler) == [(acme, "acme", "sparse", 100, False)]


async def test_what_is_deleted_before_it_is_heard_of_is_adopted_deleted(
    sync: ZohoSync, sessions: Sessions, handler: type[CustomerHandler]
) -> None:
    (acme,) = await fill(sessions, handler, "Acme")
    known = named("1", "Acme", 1)
    await sync.enqueue([deletion(known, 5)])
    await sync.drain()
    assert await rows(sessions, handler) == [(acme, "Acme", None, 100, False)]
    await sync.enqueue([known])
    await sync.drain()
    assert await rows(sessions, handler) == [(acme, "Acme", "1.1", 100, True)]


async def test_a_mark_of_the_hosts_own_stays_until_the_entity_says_otherwise(
    sync: ZohoSync, sessions: Sessions, handler: type[CustomerHandler]
) -> None:
    assert handler.mapping is not None
    (acme,) = await fill(sessions, handler, "Acme")
    async with sessions.begin() as session:
        await session.execute(update(handler.mapping.table).values(deleted_at=at(0)))
    for sent, gone in (
        (named("1", "Acme", 1), True),
        (named("1", "Acme", 2), True),
        (deletion(named("1", "Acme", 3), 4), True),
        (named("1", "Acme", 5), False),
    ):
        await sync.enqueue([sent])
        assert await sync.drain() == {Outcome.APPLIED: 1}
        assert [(row[0], row[4]) for row in await rows(sessions, handler)] == [(acme, gone)]


async def test_a_row_that_is_adopted_gets_its_organization(sessions: Sessions) -> None:
    class Shared(CustomerHandler):
        mapping = EntityMap(
            table=Known,
            adopt=("name",),
            columns={"name": "contact_name"},
            organization_column="note",
            on_delete="ignore",
        )

    await make(sessions, Base.metadata)
    sync = ZohoSync(sessions, registry=HandlerRegistry([Shared]), organization_id="60001")
    await sync.create_tables()
    await fill(sessions, Shared, "Acme")
    document = {"contact_id": "1", "contact_type": "customer", "contact_name": "Acme"}
    await sync.ingest({"contact": document})
    assert await sync.drain() == {Outcome.APPLIED: 1}
    assert [row[1:3] for row in await rows(sessions, Shared)] == [("Acme", "60001")]


@pytest.mark.databases("sqlite", "postgresql")
async def test_of_two_at_once_one_adopts_and_the_other_decides_again(
    sync: ZohoSync, engine: AsyncEngine, sessions: Sessions, handler: type[CustomerHandler]
) -> None:
    names = [f"Client {number}" for number in range(12)]
    taken = await fill(sessions, handler, *names)
    workers = [ZohoSync(sessions, registry=sync.registry, batch_size=3) for _ in range(4)]
    numbered = enumerate(names, 1)
    sent = [named(f"{number}0{copy}", name) for number, name in numbered for copy in range(3)]
    await sync.enqueue(sent)
    if engine.dialect.name == "sqlite":
        await workers[0].drain()
    else:
        await asyncio.gather(*(worker.drain() for worker in workers))
        await sync.drain()
    assert await sync.dead_letters.list() == []
    found = await rows(sessions, handler)
    assert len(found) == len(sent)
    assert {row[0] for row in found if row[3] == 100} == set(taken)
    assert len({row[2] for row in found}) == len(sent)


async def test_links_are_made_once_and_refused_with_a_reason(
    sync: ZohoSync, sessions: Sessions, handler: type[CustomerHandler]
) -> None:
    one, two, three = await fill(sessions, handler, "One", "Two", "Three")
    pairs = [("1", one), ("2", two)]
    dry = await sync.link("customers", pairs, dry_run=True)
    assert dry == await sync.link("customer", pairs) == LinkReport(linked=("1", "2"))
    again = await sync.link("customer", [*pairs, ("3", one), ("1", three), ("4", 999)])
    assert again.unchanged == ("1", "2")
    assert again.refused == (
        RefusedLink("3", one, again.refused[0].reason),
        RefusedLink("1", three, f"it is linked to row {one}"),
        RefusedLink("4", 999, again.refused[2].reason),
    )
    assert "belongs to" in again.refused[0].reason
    assert "no such row" in again.refused[2].reason
    await sync.enqueue([named("1", "Renamed"), named("2", "Two")])
    await sync.drain()
    assert [row[:3] for row in await rows(sessions, handler)] == [
        (one, "Renamed", "1.1"),
        (two, "Two", "2.1"),
        (three, "Three", None),
    ]


async def test_the_report_counts_what_would_match(
    sync: ZohoSync, sessions: Sessions, handler: type[CustomerHandler]
) -> None:
    keys = await fill(sessions, handler, "A", "B", "b ", "C", None, "")
    await sync.link("customer", [("1", keys[0])])
    assert handler.mapping is not None
    assert await sync.adoption_report() == [
        AdoptionCount(
            "customer",
            handler.mapping.table.__tablename__,
            rows=6,
            linked=1,
            adoptable=1,
            ambiguous=2,
            keyless=2,
        )
    ]


async def test_a_row_that_the_host_deleted_is_made_anew_or_left(sessions: Sessions) -> None:
    """Adoption is for the first contact alone; what the host deleted, it may leave deleted."""

    class Leaving(LinkedClients):
        mapping = EntityMap(
            table=Known,
            adopt=("name",),
            columns={"name": "contact_name", "note": "notes"},
            deleted_column="deleted_at",
            host_deleted="leave",
        )

    await make(sessions, Base.metadata)
    for entity, handler, outcome, left in (
        ("1", Leaving, Outcome.IGNORED, 1),
        ("2", LinkedClients, Outcome.APPLIED, 2),
    ):
        sync = ZohoSync(sessions, registry=HandlerRegistry([handler]))
        await sync.create_tables()
        await sync.enqueue([named(entity, f"Client {entity}")])
        await sync.drain()
        async with sessions.begin() as host:
            await host.execute(
                Known.__table__.delete().where(Known.name == f"Client {entity}")  # type: ignore[attr-defined]  # a Table
            )
            host.add(Known(name=f"Client {entity}", points=100))
        await sync.enqueue([named(entity, f"Client {entity}", 2)])
        assert await sync.drain() == {outcome: 1}
        async with sessions() as session:
            count = select(func.count()).where(Known.name == f"Client {entity}")
            assert await session.scalar(count) == left


async def test_an_entity_that_is_forgotten_comes_back(sessions: Sessions) -> None:
    """A hard delete is final, until somebody says otherwise."""

    class Final(KeyedClients):
        mapping = EntityMap(
            table=Known, key="zoho_id", columns={"name": "contact_name"}, on_delete="hard"
        )

    await make(sessions, Base.metadata)
    sync = ZohoSync(sessions, registry=HandlerRegistry([Final]))
    await sync.create_tables()
    assert not await sync.forget("customer", "1")
    await sync.enqueue([named("1", "Acme"), deletion(named("1", "Acme"), 2)])
    await sync.drain()
    await sync.enqueue([named("1", "Acme", 3)])
    assert await sync.drain() == {Outcome.STALE: 1}
    assert await sync.forget("contact", "1")
    await sync.enqueue([named("1", "Acme", 4)])
    assert await sync.drain() == {Outcome.APPLIED: 1}
    assert [row[1] for row in await rows(sessions, Final)] == ["Acme"]


async def test_links_wake_what_waited(engine: AsyncEngine, sessions: Sessions) -> None:
    """An invoice of a customer whom only the host knows is applied once that row is linked."""
    from tests.hosts.shop import Client, Invoice, create_shop, registry  # noqa: PLC0415

    await create_shop(engine)
    sync = ZohoSync(sessions, registry=registry())
    await sync.create_tables()
    await sync.enqueue([invoice("9", "3", 1)])
    assert await sync.drain() == {Outcome.PARKED: 1}
    async with sessions.begin() as host:
        host.add(Client(id=5, name="Theirs"))
    await sync.link("customer", [("3", 5)])
    assert await sync.drain() == {Outcome.APPLIED: 1}
    async with sessions() as session:
        assert await session.scalar(select(Invoice.client_id)) == 5


@pytest.mark.databases("sqlite", "postgresql")
async def test_an_index_on_the_folded_column_is_used(engine: AsyncEngine) -> None:
    """Whatever has parameters, SQLite looks through the whole table for."""
    names = Table(
        "indexed_names",
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("name", Text, nullable=False),
    )
    Index("ix_indexed_names_folded", folded(names.c.name))
    looked_up = select(names.c.id).where(folded(names.c.name) == folded(literal("Ada", Text)))
    async with engine.begin() as connection:
        await connection.run_sync(names.metadata.create_all)
        await connection.execute(
            insert(names), [{"name": f"Client {number}"} for number in range(2000)]
        )
        if engine.dialect.name == "postgresql":
            await connection.execute(text("ANALYZE indexed_names"))
        sent: list[Any] = []
        event.listen(
            engine.sync_engine,
            "before_cursor_execute",
            lambda _connection, _cursor, *statement: sent.append(statement[:2]),
        )
        await connection.execute(looked_up)
        ((statement, parameters),) = sent
        explain = "EXPLAIN QUERY PLAN" if engine.dialect.name == "sqlite" else "EXPLAIN"
        plan = await connection.exec_driver_sql(f"{explain} {statement}", parameters)
        assert "ix_indexed_names_folded" in "\n".join(str(row) for row in plan)
