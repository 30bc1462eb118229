"""Takes bodies in: what is let in, what is recognised, and what is kept aside."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from sqlalchemy import MetaData, inspect

from tests.hosts import tables
from tests.hosts.application import Host, open_host
from tests.hosts.clock import Clock
from tests.hosts.documents import at, customer, invoice, item
from tests.hosts.handlers import Clients
from tests.hosts.sql import Sessions, library
from zoho_sync import EntityMap, HeaderToken, Outcome, Receipt, ReceiptStatus, Unverified, mirror


async def test_lesson_24_second_update_is_no_duplicate(sessions: Sessions) -> None:
    """It would be back if the key had no version: the second change would be dropped, or fail."""
    clock = Clock(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    host = await open_host(sessions, clock=clock)
    await host.take(customer(contact_name="First"))
    (receipt,) = await host.receive(customer(contact_name="Second", last_modified_time=at(1)))
    assert receipt.status is ReceiptStatus.ACCEPTED
    assert await host.sync.drain() == {Outcome.APPLIED: 1}
    clock.now += timedelta(minutes=11)
    counts = await host.take(customer(contact_name="Third", last_modified_time=at(2)))
    assert counts == {Outcome.APPLIED: 1}
    assert (await host.row(tables.clients))["name"] == "Third"


@pytest.mark.parametrize("timed", [True, False])
async def test_lesson_25_price_returns_to_what_it_was(erp: Host, *, timed: bool) -> None:
    """It would be back if 10 → 20 → 10 ended at 20, the third being taken for the first."""
    for second, rate in enumerate(("10", "20", "10")):
        body = item(rate=rate, last_modified_time=at(second) if timed else "")
        assert await erp.take(body) == {Outcome.APPLIED: 1}
    assert (await erp.row(tables.products))["price"] == 10


async def test_lesson_26_documents_without_an_id_are_kept_aside(erp: Host) -> None:
    """It would be back if strangers without an id became one entity called "unknown"."""
    unknown: list[Any] = ["", None, "  ", [], {}, True]
    receipts = await erp.receive(*({"invoice": {"invoice_id": each}} for each in unknown))
    assert [receipt.status for receipt in receipts] == [ReceiptStatus.DEAD_LETTER] * 6
    assert await erp.sync.drain() == {}
    assert [path for path, _ in await erp.dead()] == ["invoice.invoice_id"] * 6
    assert await erp.count(library.ledger) == 0
    assert (await erp.sync.status()).accepted == 6


async def test_lesson_27_zohos_own_bodies_are_understood(sessions: Sessions) -> None:
    """It would be back if only an invented envelope were taken, and Zoho answered 422."""
    host = await open_host(sessions, None, verifier=Unverified())
    document = invoice()["invoice"]
    form = urlencode({"JSONString": json.dumps({"invoice": document | {"invoice_id": "23"}})})
    bodies: list[tuple[str, str, str]] = [
        (json.dumps({"invoice": document}), "application/json", ""),
        (json.dumps({"invoice": document | {"invoice_id": "22"}, "organization_id": 5}), "", ""),
        (form, "application/x-www-form-urlencoded", ""),
        ("invoice_id=24&total=10.00", "application/x-www-form-urlencoded", "entity=invoices"),
        (
            json.dumps({"event": "invoice.created", "data": {"invoice": {"invoice_id": "25"}}}),
            "",
            "",
        ),
        (json.dumps({"code": 0, "message": "success", "invoice": {"invoice_id": "26"}}), "", ""),
        (json.dumps(document | {"invoice_id": "27", "contact": {"balance": 1}}), "", ""),
    ]
    for body, content_type, query in bodies:
        receipt = await host.sync.receive(
            body.encode(), headers={"Content-Type": content_type}, query=query
        )
        assert (receipt.status, receipt.http_status) == (ReceiptStatus.ACCEPTED, 200), receipt
    ping = await host.sync.receive(b"")
    assert (ping.status, ping.http_status) == (ReceiptStatus.PING, 200)
    assert await host.sync.drain() == {Outcome.APPLIED: 7}
    ids = [row["invoice_id"] for row in await host.rows(mirror.invoices)]
    assert ids == [f"2{n}" for n in range(1, 8)]


async def test_lesson_28_spelling_of_an_entity_type_does_not_matter(mirrored: Host) -> None:
    """It would be back if a name in one case or spelling were refused."""
    names = ["invoice", "INVOICE", "Invoices", "sales_order", "SalesOrder", "sales-orders", "order"]
    for name in names:
        field = "invoice_id" if name.lower().startswith("inv") else "salesorder_id"
        receipt = await mirrored.sync.ingest({field: "1"}, entity=name)
        assert receipt.status is ReceiptStatus.ACCEPTED, name
    # Without a time of their own, those that arrive within one second are equal.
    settled = await mirrored.sync.drain()
    assert settled.keys() <= {Outcome.APPLIED, Outcome.DUPLICATE}
    assert sum(settled.values()) == len(names)
    counts = (await mirrored.count(mirror.invoices), await mirrored.count(mirror.sales_orders))
    assert counts == (1, 1)


async def test_lesson_29_no_verifier_refuses_everything(sessions: Sessions) -> None:
    """It would be back if, with nothing configured, a delivery were stored or called verified."""
    host = await open_host(sessions)
    body = json.dumps(customer()).encode()
    for headers in ({}, {"X-Zoho-Webhook-Signature": "0" * 64}, {"Authorization": "x"}):
        receipt = await host.sync.receive(body, headers=headers)
        assert (receipt.status, receipt.http_status) == (ReceiptStatus.REFUSED, 401)
    assert (await host.sync.status()).accepted == 0


SECRET = "Sesame0pen-Sesame0pen"


async def test_lesson_31_key_is_stored_and_logged_nowhere(
    sessions: Sessions, caplog: pytest.LogCaptureFixture
) -> None:
    """It would be back if headers or the query, which hold the key, came into a row or a log."""
    caplog.set_level(logging.DEBUG, logger="zoho_sync")
    host = await open_host(sessions, verifier=HeaderToken("X-Token", SECRET))
    headers = {"X-Token": SECRET, "X-Zoho-Sync-Entity": "invoice"}
    for body in (
        b'{"invoice_id":"1","customer_id":""}',
        b"{not json",
        b'{"invoice":{"x":1}}',
        b"[]",
    ):
        await host.sync.receive(body, headers=headers, query=f"token={SECRET}&op=update")
    await host.sync.receive(b"{}", headers={"X-Token": SECRET[:-1]})
    await host.sync.drain()
    assert (await host.sync.status()).dead_letters >= 3
    for row in await _everything(host):
        assert SECRET not in repr(row)
    assert SECRET not in caplog.text


async def _everything(host: Host) -> list[dict[str, Any]]:
    """Return all rows of all tables that exist, whoever made them."""
    found = MetaData()
    async with host.sessions() as session:
        connection = await session.connection()
        await connection.run_sync(found.reflect)
        assert len(await connection.run_sync(lambda c: inspect(c).get_table_names())) >= len(
            library.metadata.tables
        )
    return [row for table in found.sorted_tables for row in await host.rows(table)]


@pytest.mark.databases("sqlite", "postgresql", "mariadb")
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


@pytest.mark.databases("sqlite", "postgresql", "mariadb")
async def test_lesson_49_same_delivery_at_the_same_moment(erp: Host) -> None:
    """It would be back if parallel resends raised, or made two events."""
    receipts: Sequence[Receipt] = await asyncio.gather(
        *(erp.sync.ingest(customer()) for _ in range(6))
    )
    statuses = sorted(receipt.status for receipt in receipts)
    assert statuses == [ReceiptStatus.ACCEPTED, *[ReceiptStatus.DUPLICATE] * 5]
    assert await erp.sync.drain() == {Outcome.APPLIED: 1}


NUL: dict[str, dict[str, Any]] = {
    "customer.contact_name": {"contact_name": "a\x00b"},
    "customer.billing_address.city": {"billing_address": {"city": "\x00"}},
    "customer.unknown[0].deep": {"unknown": [{"deep": "x\x00"}]},
}


@pytest.mark.databases("sqlite", "postgresql", "mariadb")
async def test_lesson_62_nul_is_a_dead_letter(mirrored: Host) -> None:
    """It would be back if PostgreSQL's refusal of NUL broke the queue, or the dead letter."""
    counts = await mirrored.take(*(customer(**fields) for fields in NUL.values()), customer("12"))
    assert counts == {Outcome.APPLIED: 1, Outcome.DEAD_LETTER: 3}
    for letter in await mirrored.sync.dead_letters.list():
        assert letter.payload is not None
        assert all(letter.payload[name] == value for name, value in NUL[letter.path].items())


@pytest.mark.databases("sqlite", "postgresql", "mariadb")
@pytest.mark.breaks_connections
async def test_ruling_resends_are_recognised_at_receipt(sessions: Sessions) -> None:
    """Queued, parked or settled: an equal makes no event; display twins do not make it another."""
    host = await open_host(sessions)
    body = invoice()
    twin = invoice(total_formatted="$10.00", date_formatted="17/05/24")
    first, queued = await host.receive(body, twin)
    await host.sync.drain()  # it parks: the customer is missing
    (parked,) = await host.receive(twin)
    await host.take(customer())
    (applied,) = await host.receive(body)
    late = invoice(notes=None, last_modified_time=at(0, 0), total="9.00")
    assert first.status is ReceiptStatus.ACCEPTED
    for receipt in (queued, parked, applied):
        assert receipt.status is ReceiptStatus.DUPLICATE
        assert receipt.event_ids == first.event_ids
    (other,) = await host.receive(late)
    assert other.status is ReceiptStatus.ACCEPTED


class _OtherClients(Clients):
    """A column more than before."""

    mapping = EntityMap(
        table=tables.clients,
        key="zoho_id",
        columns={"name": "contact_name", "email": "email", "points": lambda _: 3},
        insert_only={"created_by": "zoho"},
        deleted_column="deleted_at",
    )


@pytest.mark.databases("sqlite", "postgresql", "mariadb")
@pytest.mark.breaks_connections
async def test_ruling_equal_under_another_mapping_is_applied(sessions: Sessions) -> None:
    """The fingerprint is part of it: a new column is filled by sending the documents again."""
    await (await open_host(sessions, [Clients])).take(customer())
    host = await open_host(sessions, [_OtherClients])
    (receipt,) = await host.receive(customer())
    assert receipt.status is ReceiptStatus.ACCEPTED
    assert await host.sync.drain() == {Outcome.APPLIED: 1}
    assert (await host.row(tables.clients))["points"] == 3
