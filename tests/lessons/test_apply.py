"""Applies events to the host's rows: which one wins, and what it writes."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, insert, update

from tests.hosts import tables
from tests.hosts.application import Host, open_host
from tests.hosts.clock import Clock
from tests.hosts.documents import at, customer, event, invoice, item, line, sparse
from tests.hosts.handlers import Clients
from tests.hosts.sql import Sessions, library, make
from zoho_sync import EntityMap, Outcome, ReceiptStatus, mirror
from zoho_sync.handlers import CustomerHandler

pytestmark = pytest.mark.databases("sqlite", "postgresql", "mariadb")


async def test_lesson_06_delete_is_not_an_upsert(erp: Host) -> None:
    """It would be back if a delete left the row alive, or wrote its document into the row."""
    await erp.take(customer())
    body = customer(contact_name="Gone", last_modified_time=at(1))
    assert await erp.take(body, operation="delete") == {Outcome.APPLIED: 1}
    row = await erp.row(tables.clients)
    assert row["deleted_at"] is not None
    assert row["name"] == "Acme"


async def test_lesson_08_absent_fields_leave_their_columns(erp: Host) -> None:
    """It would be back if what a document lacks were written as "", 0, True or NULL."""
    await erp.take(item(sku="B-1", stock_on_hand=4, status="inactive"))
    before = await erp.row(tables.products)
    await erp.take(sparse("item", item_id="41", name="Bolt M8", last_modified_time=at(1)))
    assert await erp.row(tables.products) == before | {"name": "Bolt M8"}
    await erp.take(sparse("item", item_id="41", sku="", last_modified_time=at(2)))
    assert await erp.row(tables.products) == before | {"name": "Bolt M8", "sku": None}


async def test_lesson_10_older_event_does_not_overwrite(erp: Host) -> None:
    """It would be back if what is applied last won: the name would be the old one."""
    await erp.take(customer(contact_name="New", last_modified_time=at(5)))
    counts = await erp.take(customer(contact_name="Old", last_modified_time=at(4)))
    assert counts == {Outcome.STALE: 1}
    assert (await erp.row(tables.clients))["name"] == "New"


async def test_lesson_11_identity_is_the_zoho_id(erp: Host) -> None:
    """It would be back if the number were the identity: renumbering would make a second row."""
    await erp.take(customer(), invoice(), invoice("22"))
    await erp.take(invoice(invoice_number="INV-9", last_modified_time=at(1)))
    numbers = {row["zoho_id"]: row["number"] for row in await erp.rows(tables.invoices)}
    assert numbers == {"21": "INV-9", "22": "INV-1"}


async def test_lesson_11_organizations_do_not_collide(sessions: Sessions) -> None:
    """It would be back if two organizations' documents of one id, or number, were one row."""
    host = await open_host(sessions, None, organization_id=["10", "20"])
    for organization in ("10", "20"):
        name = f"of {organization}"
        await host.take(customer(contact_name=name), organization_id=organization)
    rows = await host.rows(mirror.customers)
    assert {row["organization_id"]: row["contact_name"] for row in rows} == {
        "10": "of 10",
        "20": "of 20",
    }


async def test_lesson_16_update_leaves_what_the_host_owns(erp: Host) -> None:
    """It would be back if an update reset paid, created_by, branch or a line of ours."""
    await erp.take(customer(), invoice(line_items=[line()]))
    owner = (await erp.row(tables.invoices))["id"]
    own_line = {"invoice_id": owner, "name": "ours", "quantity": 1}
    await erp.write(
        update(tables.clients).values(created_by="ann", points=5),
        update(tables.invoices).values(paid=Decimal(4), branch=9),
        insert(tables.invoice_lines).values(own_line),
    )
    later: dict[str, Any] = {"last_modified_time": at(1)}
    await erp.take(customer(email="a@b.c", **later), invoice(total="11", line_items=[], **later))
    client, bill = await erp.row(tables.clients), await erp.row(tables.invoices)
    assert (client["email"], client["created_by"], client["points"]) == ("a@b.c", "ann", 5)
    assert (bill["total"], bill["paid"], bill["branch"]) == (Decimal(11), Decimal(4), 9)
    assert [row["name"] for row in await erp.rows(tables.invoice_lines)] == ["ours"]


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
    direct = await asyncio.gather(*(host.sync.apply(event(customer("12"))) for host in hosts))
    assert {result.outcome for result in direct} == {Outcome.APPLIED, Outcome.DUPLICATE}
    assert await hosts[0].count(table) == 2


def _story(number: int) -> list[dict[str, Any]]:
    """One invoice's life: its customer, created, paid by a sparse document, viewed."""
    ids = {"invoice_id": f"2{number}", "last_modified_time": at(2)}
    created = invoice(f"2{number}", customer_id=f"1{number}", last_modified_time=at(1))
    paid = sparse("invoice", **ids, status="paid", balance=0)
    viewed = sparse("invoice", **ids | {"last_modified_time": at(3)}, status="viewed", notes="n")
    return [customer(f"1{number}"), created, paid, viewed]


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
    gone = sparse("contact", contact_id="11", last_modified_time=at(5))
    await host.take(gone, operation="delete", entity="customer")
    await host.take(customer(contact_name="Late", last_modified_time=at(4)))
    rows = await host.rows(tables.clients)
    assert [row for row in rows if row["deleted_at"] is None] == []
    assert len(rows) == (0 if handler is _Hard else 1)


async def test_lesson_58_sparse_payload_wipes_nothing(erp: Host, mirrored: Host) -> None:
    """It would be back if a list row, which lacks most keys, emptied the columns or the lines."""
    body = invoice(notes="keep", line_items=[line()])
    await erp.take(customer(), body)
    before = await erp.row(tables.invoices)
    row = sparse("invoice", invoice_id="21", status="paid", last_modified_time=at(1))
    assert await erp.take(row) == {Outcome.APPLIED: 1}
    assert await erp.row(tables.invoices) == before | {"status": "paid"}
    assert await erp.count(tables.invoice_lines) == 1
    await mirrored.take(invoice("29", notes="keep", line_items=[line()]))
    later = sparse("invoice", invoice_id="29", status="paid", last_modified_time=at(1))
    await mirrored.take(later)
    kept = await mirrored.row(mirror.invoices, invoice_id="29")
    assert (kept["notes"], kept["status"], kept["total"]) == ("keep", "paid", 10)
    assert len(await mirrored.rows(mirror.invoice_lines, invoice_id="29")) == 1


@pytest.mark.breaks_connections
@pytest.mark.parametrize(("minute", "lives"), [(9, False), (11, True)])
async def test_ruling_delete_without_time_counts_ten_minutes_later(
    sessions: Sessions, minute: int, *, lives: bool
) -> None:
    """Without the ten minutes, an edit made just before the delete would revive the entity."""
    clock = Clock(datetime(2024, 5, 17, 10, tzinfo=UTC))
    host = await open_host(sessions, clock=clock)
    await host.take(customer())
    await host.take(b"", entity="customer", entity_id="11", operation="delete")
    clock.now += timedelta(hours=1)
    await host.take(customer(contact_name="Edited", last_modified_time=at(0, minute)))
    row = await host.row(tables.clients)
    assert (row["deleted_at"] is None) is lives


@pytest.mark.breaks_connections
async def test_ruling_late_sparse_event_writes_exactly_its_columns(erp: Host) -> None:
    """It is the newest for what the newer events did not carry, and for nothing else."""
    await erp.take(customer(), invoice(notes="old", last_modified_time=at(1)))
    await erp.take(sparse("invoice", invoice_id="21", status="paid", last_modified_time=at(9)))
    late = {"invoice_id": "21", "status": "viewed", "notes": "new", "last_modified_time": at(5)}
    counts = await erp.take({"invoice": late})
    assert counts == {Outcome.APPLIED: 1}
    row = await erp.row(tables.invoices)
    assert (row["status"], row["note"], row["number"]) == ("paid", "new", "INV-1")
    newest = await erp.rows(library.journal, entity_id="21")
    assert newest[-1]["changed"] == ["note"]
    later = {"invoice_id": "21", "notes": "older", "last_modified_time": at(4)}
    assert await erp.take({"invoice": later}) == {Outcome.STALE: 1}


@pytest.mark.breaks_connections
async def test_ruling_delete_with_the_second_of_the_last_edit(erp: Host) -> None:
    """Without rank and operation in the hash it would be a resend of the edit, or stale."""
    await erp.take(customer())
    (receipt,) = await erp.receive(customer(), operation="delete")
    assert receipt.status is ReceiptStatus.ACCEPTED
    assert await erp.sync.drain() == {Outcome.APPLIED: 1}
    same_second = customer(email="late@b.c")
    await erp.take(same_second)
    row = await erp.row(tables.clients)
    assert row["deleted_at"] is not None


@pytest.mark.breaks_connections
async def test_ruling_known_rows_are_updated_not_inserted(erp: Host) -> None:
    """INSERT … ON CONFLICT would burn a sequence value for each update, and want NOT NULLs."""
    await erp.take(customer())
    for second in range(1, 6):
        body = sparse("contact", contact_id="11", email=f"{second}", last_modified_time=at(second))
        assert await erp.take(body, entity="customer") == {Outcome.APPLIED: 1}
    await erp.take(customer("12"))
    assert [row["id"] for row in await erp.rows(tables.clients)] == [1, 2]
