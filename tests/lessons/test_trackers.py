"""What the users of others' libraries reported, seen in the host's tables."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from itertools import permutations
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, insert, inspect, text, update
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from tests.hosts import tables
from tests.hosts.application import Host, open_host
from tests.hosts.documents import at, customer, event, invoice, item, line, payment, sparse
from tests.hosts.handlers import HANDLERS, Clients
from tests.hosts.sql import Sessions, library, make
from zoho_sync import (
    EntityMap,
    Outcome,
    Receipt,
    ReceiptStatus,
    RetryPolicy,
    SyncEvent,
    SyncResult,
    ZohoSync,
    mirror,
)
from zoho_sync.events.outcome import DeadLetterKind
from zoho_sync.handlers import CustomerHandler
from zoho_sync.operate.dead_letters import DeadLetterFilter

pytestmark = pytest.mark.databases("sqlite", "postgresql", "mariadb")


class _Points(Clients):
    """Gives points to other clients, one after the other as the document names them."""

    waiting: set[str]
    together: asyncio.Event

    async def after_apply(self, event: SyncEvent, result: SyncResult) -> None:
        await super().after_apply(event, result)
        for name in str(event.payload["notes"]).split():
            table = tables.clients
            statement = update(table).where(table.c.zoho_id == name)
            points = table.c.points + 1
            await self.execute_with_context(statement.values(points=points))
            # Each of the two holds a row by now that the other one wants.
            self.waiting.add(event.entity_id)
            if len(self.waiting) == 2:
                self.together.set()
            with suppress(TimeoutError):
                await asyncio.wait_for(self.together.wait(), 5)


# SQLite has one writer: nobody holds one row and wants another.
@pytest.mark.databases("postgresql", "mariadb")
async def test_lesson_48_deadlock_of_two_deliveries(sessions: Sessions) -> None:
    """It would be back if two that lock the same rows in other orders lost one of them."""
    _Points.waiting, _Points.together = set(), asyncio.Event()
    host = await open_host(sessions, [_Points], batch_size=1)
    for name in ("a", "b"):
        row = {"zoho_id": name, "name": name, "created_by": "x"}
        await host.write(insert(tables.clients).values(row))
    await host.receive(customer("c1", notes="a b"), customer("c2", notes="b a"))
    # Of workers that share nothing but the database.
    twin = await open_host(sessions, [_Points], batch_size=1)
    counts = await asyncio.gather(host.sync.drain(), twin.sync.drain())
    assert sum((Counter(each) for each in counts), Counter()) == {Outcome.APPLIED: 2}
    rows = await host.rows(tables.clients)
    assert {row["zoho_id"]: row["points"] for row in rows} == {
        "a": 2,
        "b": 2,
        "c1": 0,
        "c2": 0,
    }
    assert {row["attempts"] for row in await host.rows(library.journal)} == {0}


async def test_lesson_49_same_delivery_twice(erp: Host) -> None:
    """It would be back if a resend raised a unique violation, before or after it is applied."""
    first, second = await erp.receive(customer(), customer())
    assert (first.status, second.status) == (ReceiptStatus.ACCEPTED, ReceiptStatus.DUPLICATE)
    assert await erp.sync.drain() == {Outcome.APPLIED: 1}
    (third,) = await erp.receive(customer())
    assert (third.status, third.http_status, third.event_ids) == (
        ReceiptStatus.DUPLICATE,
        200,
        first.event_ids,
    )
    assert await erp.count(library.journal) == 1


async def test_lesson_49_same_delivery_at_the_same_moment(erp: Host) -> None:
    """It would be back if parallel resends raised, or made two events."""
    receipts: Sequence[Receipt] = await asyncio.gather(
        *(erp.sync.ingest(customer()) for _ in range(6))
    )
    statuses = sorted(receipt.status for receipt in receipts)
    assert statuses == [ReceiptStatus.ACCEPTED, *[ReceiptStatus.DUPLICATE] * 5]
    assert await erp.sync.drain() == {Outcome.APPLIED: 1}


@pytest.mark.parametrize("batch_size", [1, 50])
async def test_lesson_50_paid_within_the_same_second(sessions: Sessions, batch_size: int) -> None:
    """It would be back if an equal time were skipped as old: the invoice would stay open."""
    host = await open_host(sessions, batch_size=batch_size)
    await host.take(customer())
    await host.receive(invoice(status="sent"), invoice(status="paid", balance="0"))
    assert (await host.sync.drain())[Outcome.APPLIED] == 2
    row = await host.row(tables.invoices)
    assert (row["status"], row["balance"]) == ("paid", 0)


linked_metadata = MetaData()
contacts = Table(
    "erp_contacts",
    linked_metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(50)),
    sqlite_autoincrement=True,
)


class _Linked(CustomerHandler):
    """Its table knows nothing of Zoho: no unique constraint can help."""

    mapping = EntityMap(table=contacts, columns={"name": "contact_name"}, on_delete="ignore")


@pytest.mark.parametrize("linked", [False, True])
async def test_lesson_51_parallel_first_events_make_one_row(
    sessions: Sessions, *, linked: bool
) -> None:
    """It would be back if workers that see no row each made one."""
    handlers = [_Linked] if linked else [Clients]
    await make(sessions, linked_metadata)
    hosts = [await open_host(sessions, handlers, batch_size=1) for _ in range(3)]
    for number in range(3):
        body = customer(contact_name=f"name {number}", last_modified_time=at(number))
        await hosts[0].sync.ingest(body)
    counts = await asyncio.gather(*(host.sync.drain() for host in hosts))
    assert sum(sum(each.values()) for each in counts) == 3
    table = contacts if linked else tables.clients
    assert (await hosts[0].row(table))["name"] == "name 2"
    direct = await asyncio.gather(*(host.sync.apply(event(customer("c2"))) for host in hosts))
    assert {result.outcome for result in direct} == {Outcome.APPLIED, Outcome.DUPLICATE}
    assert await hosts[0].count(table) == 2


def _story(number: int) -> list[dict[str, Any]]:
    """One invoice's life: its customer, created, paid by a sparse document, viewed."""
    ids = {"invoice_id": f"i{number}", "last_modified_time": at(2)}
    created = invoice(f"i{number}", customer_id=f"c{number}", last_modified_time=at(1))
    paid = sparse("invoice", **ids, status="paid", balance=0)
    viewed = sparse("invoice", **ids | {"last_modified_time": at(3)}, status="viewed", notes="n")
    return [customer(f"c{number}"), created, paid, viewed]


@pytest.mark.databases("sqlite", "postgresql")  # it takes its time
@pytest.mark.parametrize("together", [False, True])
async def test_lesson_52_events_in_any_order(erp: Host, *, together: bool) -> None:
    """It would be back if `paid` before `create` failed, was lost, or was undone by `create`."""
    orders = list(permutations(range(4)))
    stories = [[_story(number)[place] for place in order] for number, order in enumerate(orders)]
    for step in zip(*stories, strict=True):
        await erp.receive(*step)
        if not together:
            await erp.sync.drain()
    await erp.sync.drain()
    rows = await erp.rows(tables.invoices)
    assert len(rows) == len(orders)
    for row in rows:
        assert (row["status"], row["balance"], row["note"]) == ("viewed", 0, "n")
    report = await erp.sync.status()
    assert (report.parked, report.dead_letters) == (0, 0)
    assert report.accepted == 4 * len(orders)


async def test_lesson_53_deleted_parent_keeps_its_history(erp: Host) -> None:
    """It would be back if a deleted customer, invoice or item took other rows along."""
    bill = invoice(line_items=[line(item_id="p1")])
    applied = [{"invoice_payment_id": "a1", "invoice_id": "i1", "amount_applied": "10"}]
    await erp.take(customer(), item(), bill, payment(invoices=applied))
    for body in (customer(), item(), bill):
        assert await erp.take(body, operation="delete") == {Outcome.APPLIED: 1}
    for table in (tables.invoices, tables.invoice_lines, tables.allocations):
        assert await erp.count(table) == 1
    client = await erp.row(tables.clients)
    assert (await erp.row(tables.invoices))["client_id"] == client["id"]


class _Hard(Clients):
    mapping = EntityMap(
        table=tables.clients,
        key="zoho_id",
        columns={"name": "contact_name"},
        insert_only={"created_by": "zoho"},
        on_delete="hard",
    )


@pytest.mark.parametrize("handler", [Clients, _Hard])
async def test_lesson_54_late_update_does_not_revive(
    sessions: Sessions, handler: type[CustomerHandler]
) -> None:
    """It would be back if an update from before the delete brought the row back to life."""
    host = await open_host(sessions, [handler])
    await host.take(customer())
    gone = sparse("contact", contact_id="c1", last_modified_time=at(5))
    await host.take(gone, operation="delete", entity="customer")
    await host.take(customer(contact_name="Late", last_modified_time=at(4)))
    rows = await host.rows(tables.clients)
    assert [row for row in rows if row["deleted_at"] is None] == []
    assert len(rows) == (0 if handler is _Hard else 1)


async def test_lesson_55_deleted_product_does_not_block_orders(erp: Host) -> None:
    """It would be back if an order with a deleted product could never be synced."""
    await erp.take(customer(), item())
    await erp.take(item(), operation="delete")
    body = invoice(line_items=[line("l1", item_id="p1"), line("l2")])
    assert await erp.take(body) == {Outcome.APPLIED: 1}
    assert await erp.count(tables.invoice_lines) == 2


async def test_lesson_56_stale_event_leaves_the_lines(erp: Host) -> None:
    """It would be back if a late, older document replaced the current lines."""
    now = invoice(line_items=[line("l1"), line("l2")], last_modified_time=at(5))
    old = invoice(line_items=[line("l3")], last_modified_time=at(4))
    await erp.take(customer(), now)
    assert await erp.take(old) == {Outcome.STALE: 1}
    lines = await erp.rows(tables.invoice_lines)
    assert [row["zoho_id"] for row in lines] == ["l1", "l2"]


@pytest.mark.parametrize("empty", [[], ""])
async def test_lesson_57_emptied_list_removes_the_lines(erp: Host, empty: Any) -> None:
    """It would be back if an empty list were taken for an absent one, and the lines stayed."""
    await erp.take(customer(), invoice(line_items=[line("l1"), line("l2")]))
    await erp.take(sparse("invoice", invoice_id="i1", notes="x", last_modified_time=at(1)))
    assert await erp.count(tables.invoice_lines) == 2
    await erp.take(sparse("invoice", invoice_id="i1", line_items=empty, last_modified_time=at(2)))
    assert await erp.count(tables.invoice_lines) == 0


async def test_lesson_58_sparse_payload_wipes_nothing(erp: Host, mirrored: Host) -> None:
    """It would be back if a list row, which lacks most keys, emptied the columns or the lines."""
    body = invoice(notes="keep", line_items=[line()])
    await erp.take(customer(), body)
    before = await erp.row(tables.invoices)
    row = sparse("invoice", invoice_id="i1", status="paid", last_modified_time=at(1))
    assert await erp.take(row) == {Outcome.APPLIED: 1}
    assert await erp.row(tables.invoices) == before | {"status": "paid"}
    assert await erp.count(tables.invoice_lines) == 1
    await mirrored.take(invoice("i9", notes="keep", line_items=[line()]))
    later = sparse("invoice", invoice_id="i9", status="paid", last_modified_time=at(1))
    await mirrored.take(later)
    kept = await mirrored.row(mirror.invoices, invoice_id="i9")
    assert (kept["notes"], kept["status"], kept["total"]) == ("keep", "paid", 10)
    assert len(await mirrored.rows(mirror.invoice_lines, invoice_id="i9")) == 1


NUL: dict[str, dict[str, Any]] = {
    "customer.contact_name": {"contact_name": "a\x00b"},
    "customer.billing_address.city": {"billing_address": {"city": "\x00"}},
    "customer.unknown[0].deep": {"unknown": [{"deep": "x\x00"}]},
}


async def test_lesson_62_nul_is_a_dead_letter(mirrored: Host) -> None:
    """It would be back if PostgreSQL's refusal of NUL broke the queue, or the dead letter."""
    counts = await mirrored.take(*(customer(**fields) for fields in NUL.values()), customer("c2"))
    assert counts == {Outcome.APPLIED: 1, Outcome.DEAD_LETTER: 3}
    for letter in await mirrored.sync.dead_letters.list():
        assert letter.payload is not None
        assert all(letter.payload[name] == value for name, value in NUL[letter.path].items())


class _Fragile(Clients):
    """Fails as code does that has a mistake, for one client."""

    async def after_apply(self, event: SyncEvent, result: SyncResult) -> None:
        await super().after_apply(event, result)
        if event.entity_id == "ours":
            raise LookupError("a mistake of ours")


async def test_lesson_60_alarm_is_not_drowned_by_users_errors(sessions: Sessions) -> None:
    """It would be back if what users get wrong could not be told from what we get wrong."""
    host = await open_host(sessions, [_Fragile, *HANDLERS[1:]], retry=RetryPolicy(max_attempts=1))
    good = [customer(f"c{number}") for number in range(9)]
    taken = {**item("p1")["item"], "sku": "S1"}
    await host.take(*good, {"item": taken})
    wrong = [
        customer("u1", email=["x"]),  # cannot be read
        customer("u2", contact_name="x" * 101),  # too long, unless the database does not mind
        {"item": taken | {"item_id": "p2"}},  # another one has the number
        b"{not json",
    ]
    await host.take(*wrong)
    report = await host.sync.status()
    assert report.dead_letters >= 3
    assert (report.failures, report.problems) == (0, ())
    await host.take(customer("ours"))
    report = await host.sync.status()
    assert report.failures == 1
    assert report.problems == (
        "1 event(s) are dead letters since the application failed: LookupError",
    )
    (letter,) = await host.sync.dead_letters.list(DeadLetterFilter(kind=DeadLetterKind.FAILURE))
    assert (letter.entity_id, letter.kind) == ("ours", DeadLetterKind.FAILURE)
    users = await host.sync.dead_letters.list(DeadLetterFilter(kind=DeadLetterKind.DATA))
    assert len(users) == report.dead_letters - 1
    await host.sync.dead_letters.purge(DeadLetterFilter(kind=DeadLetterKind.DATA))
    assert (await host.sync.status()).dead_letters == 1


async def test_lesson_60_a_schema_that_is_ours_is_no_users_error(erp: Host) -> None:
    """It would be back if a column that a deployment forgot looked like a customer's typing."""
    await erp.write(text("ALTER TABLE clients RENAME COLUMN email TO mail"))
    worker = erp.sync._worker  # `drain` would refuse the mapping; a worker is running already
    await erp.receive(customer(email="a@b.c"))
    assert await worker.drain() == {Outcome.DEAD_LETTER: 1}
    (letter,) = await erp.sync.dead_letters.list()
    assert letter.kind is DeadLetterKind.FAILURE


@pytest.mark.without_tables
async def test_lesson_63_tables_are_created_by_many_at_once(database_url: str) -> None:
    """It would be back if "look, then create" raced: "relation already exists"."""
    engines = [create_async_engine(database_url) for _ in range(6)]
    try:
        factories = [async_sessionmaker(engine) for engine in engines]
        await asyncio.gather(*(ZohoSync(factory).create_tables() for factory in factories))
        async with engines[0].connect() as connection:
            names = await connection.run_sync(lambda c: inspect(c).get_table_names())
        expected = {*library.metadata.tables, *mirror.metadata.tables}
        assert set(names) == expected
        await ZohoSync(factories[0]).create_tables()
    finally:
        for engine in engines:
            await engine.dispose()
