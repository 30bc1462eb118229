"""Parked events: deadlines, entities that the host makes itself, one leader at a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from tests.hosts.clock import Clock
from tests.hosts.events import customer, invoice
from tests.hosts.shop import INVOICES, Client, Invoice, Script, create_shop, registry
from tests.hosts.sql import Sessions
from zoho_sync import (
    BaseEntityHandler,
    EntityMap,
    HandlerRegistry,
    Outcome,
    RetryPolicy,
    SyncEvent,
    ZohoSync,
)
from zoho_sync.exceptions import ReferencePending
from zoho_sync.payloads import CustomerPayload, InvoicePayload
from zoho_sync.store.tables import library_tables

pytestmark = pytest.mark.databases("sqlite", "postgresql", "mariadb")

TABLES = library_tables()
NOW = datetime(2024, 6, 1, tzinfo=UTC)


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
async def sync(engine: AsyncEngine, sessions: Sessions, clock: Clock) -> ZohoSync:
    await create_shop(engine)
    sync = ZohoSync(
        sessions,
        registry=registry(),
        clock=clock,
        retry=RetryPolicy(parked_for=timedelta(hours=24)),
    )
    await sync.create_tables()
    return sync


class NamedClients(BaseEntityHandler[CustomerPayload]):
    """Clients that carry Zoho's id in a column of the host, here the name."""

    entity_type = "customer"
    payload_model = CustomerPayload
    mapping = EntityMap(
        table=Client, key="name", columns={"note": "notes"}, deleted_column="deleted_at"
    )


class Invoices(BaseEntityHandler[InvoicePayload]):
    """The shop's invoices."""

    entity_type = "invoice"
    payload_model = InvoicePayload
    mapping = INVOICES


async def test_the_deadline_names_what_was_waited_for(
    sync: ZohoSync, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    await sync.enqueue([invoice("9", "177", 1), invoice("8", "177", 1)])
    assert await sync.drain() == {Outcome.PARKED: 2}
    (parked, _) = await sync.parked.list(waiting_for=("customer", "177"))
    assert (parked.parked_at, parked.expires_at) == (NOW, NOW + timedelta(hours=24))
    clock.now += timedelta(hours=24, microseconds=-1)
    assert await sync.drain() == {}
    clock.now += timedelta(microseconds=1)
    assert await sync.drain() == {Outcome.DEAD_LETTER: 2}
    letters = await sync.dead_letters.list()
    assert [letter.entity_id for letter in letters] == ["9", "8"]
    for letter in letters:
        assert letter.error_type == "ReferenceFailed"
        assert letter.error.startswith("customer 177 ")
        assert letter.attempts == 0
        assert f"event {letter.id} (invoice {letter.entity_id}) is a dead letter: " in caplog.text
    assert await sync.parked.list() == []


async def test_the_deadline_counts_from_the_first_parking(sync: ZohoSync, clock: Clock) -> None:
    """An event that is woken and parks again does not start anew; a replayed one does."""
    event = invoice("9", "11", 1)
    await sync.enqueue([event])
    await sync.drain()
    clock.now += timedelta(hours=23)
    await sync.enqueue([invoice("9", "11", 2, invoice_number="newer")])
    await sync.drain()
    assert {p.expires_at for p in await sync.parked.list()} == {
        NOW + timedelta(hours=24),
        NOW + timedelta(hours=47),
    }
    clock.now += timedelta(hours=1)
    assert await sync.drain() == {Outcome.DEAD_LETTER: 1}
    await sync.dead_letters.replay(event.id)
    assert await sync.drain() == {Outcome.PARKED: 1}
    assert {p.expires_at for p in await sync.parked.list()} == {
        NOW + timedelta(hours=47),
        NOW + timedelta(hours=48),
    }


async def test_hundreds_of_deadlines_pass_at_once(sync: ZohoSync, clock: Clock) -> None:
    await sync.enqueue([invoice(f"2{n}", f"1{n}", 1) for n in range(205)])
    assert await sync.drain() == {Outcome.PARKED: 205}
    clock.now += timedelta(days=2)
    assert await sync.drain() == {Outcome.DEAD_LETTER: 205}


async def test_a_row_that_the_host_makes_wakes_its_events(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    """Nothing tells the library of it: the sweep at the end of a drain finds it."""
    await create_shop(engine)
    sync = ZohoSync(sessions, registry=HandlerRegistry([NamedClients, Invoices]))
    await sync.create_tables()
    await sync.enqueue([invoice(f"2{n}", "177", 1) for n in range(3)])
    await sync.enqueue([invoice("8", "99", 1)])
    assert await sync.drain() == {Outcome.PARKED: 4}
    async with sessions.begin() as session:
        await session.execute(insert(Client).values(name="177"))
    assert await sync.drain() == {Outcome.APPLIED: 3}
    (left,) = await sync.parked.list()
    assert left.event.entity_id == "8"
    async with sessions() as session:
        assert len(list(await session.scalars(select(Invoice.zoho_id)))) == 3


async def test_a_sweep_looks_at_every_target(sync: ZohoSync, sessions: Sessions) -> None:
    """However many entities are waited for, the last is found as well."""
    await sync.enqueue([invoice(f"2{n:03}", f"1{n:03}", 1) for n in range(202)])
    await sync.drain()
    async with sessions.begin() as session:
        made = await session.execute(insert(Client).values(name="by hand").returning(Client.id))
        ledger = TABLES.ledger
        await session.execute(
            ledger.update()
            .where(ledger.c.entity_id == "1201")
            .values(table_name="clients", primary_key=f"[{made.scalar_one()}]")
        )
    assert await sync.drain() == {Outcome.APPLIED: 1}


async def test_a_drain_ends_although_a_handler_parks_for_what_is_there(
    sessions: Sessions, engine: AsyncEngine
) -> None:
    """A handler may wait for something that only it knows; it is asked once in each drain."""
    asked = 0

    async def wait(event: SyncEvent, session: AsyncSession) -> None:
        nonlocal asked
        del session
        if event.entity_type == "invoice":
            asked += 1
            raise ReferencePending("customer", "11")

    await create_shop(engine)
    sync = ZohoSync(sessions, registry=registry(Script(before=wait)))
    await sync.create_tables()
    await sync.enqueue([customer("11", 1), invoice("9", "11", 1)])
    assert await sync.drain() == {Outcome.APPLIED: 1, Outcome.PARKED: 1}
    assert asked <= 6
    assert await sync.drain() == {Outcome.PARKED: 1}


async def test_a_woken_event_whose_equal_is_queued_is_a_duplicate(
    sync: ZohoSync, sessions: Sessions
) -> None:
    """A wake-up never fails the transaction that causes it."""
    parked = invoice("9", "3", 1)
    await sync.enqueue([parked])
    await sync.drain()
    equal = SyncEvent("invoice", "9", dict(parked.payload), effective_time=parked.effective_time)
    async with sessions.begin() as session:
        # As a peer that did not see the parked one would have queued it.
        row = dict((await session.execute(select(TABLES.parked))).mappings().one())
        kept = {name: row[name] for name in row if name in TABLES.jobs.c and name != "id"}
        queued = kept | {"event_id": equal.id, "not_before": NOW}
        await session.execute(insert(TABLES.jobs).values(queued))
    assert (await sync.apply(customer("3", 1))).outcome is Outcome.APPLIED
    assert await sync.drain() == {Outcome.APPLIED: 1}
    async with sessions() as session:
        rows = await session.execute(select(TABLES.journal.c.event_id, TABLES.journal.c.outcome))
        assert {(row.event_id, row.outcome) for row in rows} >= {
            (parked.id, "duplicate"),
            (equal.id, "applied"),
        }


async def test_one_leader_at_a_time(sync: ZohoSync, sessions: Sessions, clock: Clock) -> None:
    """Its term ends by the database's clock, and then whoever comes first takes over."""
    others = [ZohoSync(sessions, registry=registry(), clock=clock) for _ in range(2)]
    leads: list[Any] = [each._worker._maintenance._lead for each in (sync, *others)]
    assert [await lead() for lead in leads] == [True, False, False]
    clock.now += timedelta(seconds=29)
    assert [await lead() for lead in leads] == [True, False, False]
    clock.now += timedelta(seconds=30)
    assert [await lead() for lead in reversed(leads)] == [True, False, False]


async def test_the_leader_sees_to_deadlines(
    sync: ZohoSync, sessions: Sessions, clock: Clock
) -> None:
    await sync.enqueue([invoice("9", "3", 1)])
    await sync.drain()
    clock.now += timedelta(days=2)
    leader = ZohoSync(sessions, registry=registry(), clock=clock)
    await leader._worker._maintenance.run_if_leader()
    assert len(await sync.dead_letters.list()) == 1
    await sync._worker._maintenance.run_if_leader()
