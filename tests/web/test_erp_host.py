"""An ERP with tables of its own, as two processes on a real port, looked at with plain SQL."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.web.bodies import CUSTOMER, INVOICE, INVOICE_SAMPLE, PAYMENT, SAMPLES, Sample
from tests.web.processes import ERP, REPOSITORY, running_erp
from zoho_sync import EntityType

pytestmark = pytest.mark.depends_on_sqlalchemy

PAYLOADS = REPOSITORY.parent / "shared" / "payloads"
REFUSED = {
    "inventoryadjustment__4": "no entity is recognised",
    "inventoryadjustment__5": "item_id",
    "pricebook__4": "no entity is recognised",
    "pricebook__5": "pricebook_item_id",
    "salesorder__3": "salesorder_id",
    "salesorder__6": "salesorder",
}
"""Third parties' inventions, and rows and requests that are no documents."""

TABLES = {
    "bill": ("zoho_bills", "bill_id"),
    "contact": ("clients", None),
    "creditnote": ("zoho_credit_notes", "creditnote_id"),
    "customerpayment": ("receipts", None),
    "inventoryadjustment": ("zoho_stock_adjustments", "inventory_adjustment_id"),
    "invoice": ("invoices", "zoho_invoice_id"),
    "item": ("articles", "zoho_item_id"),
    "pricebook": ("zoho_price_lists", "pricebook_id"),
    "salesorder": ("orders", "zoho_salesorder_id"),
    "user": ("zoho_users", "user_id"),
    "vendor": ("zoho_vendors", "contact_id"),
}
"""Where an entity lives, and the column of Zoho's id; None for a table that has none."""

IDS = {
    "bill": "bill_id",
    "contact": "contact_id",
    "creditnote": "creditnote_id",
    "customerpayment": "payment_id",
    "inventoryadjustment": "inventory_adjustment_id",
    "invoice": "invoice_id",
    "item": "item_id",
    "pricebook": "pricebook_id",
    "salesorder": "salesorder_id",
    "user": "user_id",
    "vendor": "contact_id",
}


@pytest.fixture
async def erp(database_url: str, tmp_path: Path) -> AsyncIterator[ERP]:
    """The ERP, its web application and its worker."""
    async with running_erp(database_url, tmp_path) as running:
        yield running


@pytest.fixture
async def erp_in_one(database_url: str, tmp_path: Path) -> AsyncIterator[ERP]:
    """The ERP with its worker inside the web application: one process is there sooner than two."""
    async with running_erp(database_url, tmp_path, worker="inside") as running:
        yield running


def texts(rows: list[tuple[Any, ...]], booleans: int | None = None) -> list[tuple[str, ...]]:
    """Rows as text; SQLite has 0 and 1 where others have booleans."""
    return [
        tuple(str(bool(v)) if n == booleans else str(v) for n, v in enumerate(row)) for row in rows
    ]


async def found(erp: ERP, sample: Sample) -> list[tuple[str, ...]]:
    """What plain SQL finds of a sample."""
    booleans = 8 if sample is INVOICE_SAMPLE else None
    return texts(await erp.rows(sample.statement), booleans)


async def test_all_eleven_entities_reach_their_tables(erp: ERP) -> None:
    for sample in SAMPLES:
        answer = await erp.post(sample.route, sample.body)
        assert (answer.status_code, answer.json()["status"]) == (200, "accepted"), sample.route
        await asyncio.sleep(0.02)  # so that children are claimed before their parents
    report = await erp.settled()
    assert report["settled"] == {"applied": len(SAMPLES)}
    assert report["dead_letters"] == 0
    assert report["healthy"]
    for sample in SAMPLES:
        assert await found(erp, sample) == sample.rows, sample.route

    code, status = await erp.command("status")
    assert (code, status["healthy"], status["accepted"]) == (0, True, len(SAMPLES))
    assert sorted(status["entities"]) == sorted(EntityType)
    for counts in status["entities"].values():
        assert counts["applied"] == sum(counts.values()) == 1

    answer = await erp.client.get(f"{erp.base}/invoices/INV-000031")
    assert answer.json() == {
        "number": "INV-000031",
        "client": "Bowman & Co ",
        "total": "99999999999.990000",
    }


async def test_updates_leave_what_is_the_hosts_and_deletes_do_what_the_mapping_says(
    erp: ERP,
) -> None:
    for sample in SAMPLES:
        await erp.post(sample.route, sample.body)
    await erp.settled()
    await change(erp, "UPDATE clients SET credit_limit = '5000', account_manager = 'Ines'")
    await change(erp, "INSERT INTO branches (id, name) VALUES (2, 'North')")
    await change(erp, "UPDATE invoices SET branch_id = 2")
    await change(
        erp,
        "INSERT INTO invoice_lines (invoice_id, text, quantity, price)"
        " SELECT id, 'added by hand', '1', '0' FROM invoices",
    )

    newer = {"last_modified_time": "2026-03-09T08:00:00-0800"}
    contact = {"contact_id": CUSTOMER, "contact_name": "Bowman Ltd", "contact_type": "customer"}
    await erp.post("customer", {"contact": {**contact, "email": "", **newer}})
    line = {"line_item_id": "12", "name": "Courier", "quantity": 1, "rate": 5}
    await erp.post("invoice", {"invoice_id": INVOICE, "line_items": [line], **newer})
    gone = [("entity", "payment"), ("op", "delete"), ("id", PAYMENT)]
    await erp.post(f"payment/{PAYMENT}", b"", query=gone, method="DELETE")
    await erp.post(
        "sales_order", {}, query=[("op", "delete"), ("salesorder_id", "982000000720001")]
    )
    report = await erp.settled()
    assert report["settled"] == {"applied": len(SAMPLES) + 4}

    clients = await erp.rows("SELECT name, email, city, credit_limit, account_manager FROM clients")
    assert [(*row[:3], int(float(row[3])), row[4]) for row in clients] == [
        ("Bowman Ltd", None, "Pune", 5000, "Ines")
    ]
    lines = await erp.rows("SELECT zoho_line_id, text FROM invoice_lines ORDER BY id")
    assert [tuple(row) for row in lines] == [("12", "Courier"), (None, "added by hand")]
    assert texts(await erp.rows("SELECT number, branch_id FROM invoices")) == [("INV-000031", "2")]
    assert await erp.rows("SELECT id FROM receipts") == []
    assert await erp.rows("SELECT id FROM allocations") == []
    orders = await erp.rows("SELECT number, cancelled_at IS NULL FROM orders")
    assert [(number, bool(alive)) for number, alive in orders] == [("SO-00012", False)]


async def change(erp: ERP, statement: str) -> None:
    """What the ERP's own people do to its tables."""
    assert await erp.rows(statement + " RETURNING id")


async def test_what_the_front_door_answers(erp_in_one: ERP) -> None:
    body = {"item": {"item_id": "1", "name": "Lamp"}}
    forged = await erp_in_one.post("item", body, secret="123456abcdef")
    assert (forged.status_code, forged.json()) == (401, {"status": "refused", "event_ids": []})
    unsigned = await erp_in_one.client.post(f"{erp_in_one.base}/webhooks/zoho/item", json=body)
    assert unsigned.status_code == 401
    large = await erp_in_one.post("item", b" " * (5 * 1024 * 1024 + 1))
    assert (large.status_code, large.json()["status"]) == (413, "refused")
    assert (await erp_in_one.post("spaceship", body)).status_code == 404
    assert (await erp_in_one.post("item/1/2", body)).status_code == 404
    wrong = await erp_in_one.post("item", b"", method="GET")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST, PUT, DELETE")
    for ping in (b"", b'""', b"{}"):
        answer = await erp_in_one.post("", ping)
        assert (answer.status_code, answer.json()["status"]) == (200, "ping")
    report = await erp_in_one.settled()
    assert (report["settled"], report["dead_letters"]) == ({}, 0)

    unreadable = await erp_in_one.post("item", b'{"item": {"item_id": "1", ')
    assert (unreadable.status_code, unreadable.json()["status"]) == (200, "dead_letter")
    first = await erp_in_one.post("item", body, query=[("op", "edit")])
    assert first.json()["status"] == "accepted"
    report = await erp_in_one.settled()
    assert (report["settled"], report["dead_letters"]) == ({"applied": 1}, 1)
    kept = await erp_in_one.rows("SELECT body FROM zoho_sync_dead_letters")
    assert kept == [(b'{"item": {"item_id": "1", ',)]


async def test_the_worker_may_run_inside_the_web_application(
    sqlite_url: str, tmp_path: Path
) -> None:
    async with running_erp(sqlite_url, tmp_path, worker="inside") as erp:
        await erp.post("item", {"item": {"item_id": "1", "name": "Lamp"}})
        assert (await erp.settled())["settled"] == {"applied": 1}
        assert await erp.rows("SELECT name FROM articles") == [("Lamp",)]
    log = (tmp_path / "server.log").read_text()
    assert "Application shutdown complete" in log
    assert "Traceback" not in log


async def test_a_resend_is_recognised(erp_in_one: ERP) -> None:
    stamped = {"item": {"item_id": "1", "last_modified_time": "2026-03-01T08:00:00Z", "name": "x"}}
    first, second = await asyncio.gather(
        erp_in_one.post("item", stamped), erp_in_one.post("item", stamped)
    )
    assert {first.json()["status"], second.json()["status"]} == {"accepted", "duplicate"}
    assert first.json()["event_ids"] == second.json()["event_ids"]
    report = await erp_in_one.settled()
    assert report["settled"] == {"applied": 1}


def stem(path: Path) -> str:
    """``invoice__1`` of ``invoice__1__webhook-firs-ngn.json``."""
    return "__".join(path.stem.split("__")[:2])


def document(path: Path) -> dict[str, Any]:
    """The entity's document inside one of Zoho's wrappers."""
    body = json.loads(path.read_bytes())
    inner: dict[str, Any] = body.get("data", body)
    entity = path.name.split("__")[0]
    if IDS[entity] in inner:
        return inner
    wrapped = (value for value in inner.values() if isinstance(value, dict))
    return next(value for value in wrapped if IDS[entity] in value)


def told(path: Path) -> tuple[str, str]:
    """Entity and id of a document, as `referred` names them."""
    entity = path.name.split("__")[0]
    zoho_id = str(document(path)[IDS[entity]])
    return "customer" if entity == "contact" else entity, zoho_id


def referred(path: Path) -> Iterator[tuple[str, str]]:
    """What the rows of the ERP that a document fills refer to: route and id."""
    if path.name.startswith(("invoice__", "salesorder__", "customerpayment__")):
        content = document(path)
        yield "customer", str(content["customer_id"])
        for line in content.get("line_items", []):
            yield "item", str(line["item_id"])
        for line in content.get("invoices", [content] if "payment_id" in content else []):
            yield "invoice", str(line["invoice_id"])


@pytest.mark.skipif(not PAYLOADS.is_dir(), reason="the public sample documents are not at hand")
async def test_every_public_sample_is_applied_or_a_dead_letter(erp: ERP) -> None:
    files = sorted(PAYLOADS.glob("*.json"))
    good = [path for path in files if stem(path) not in REFUSED]
    for path in files:
        answer = await erp.post(path.name.split("__")[0], path.read_bytes())
        expected = "dead_letter" if stem(path) in REFUSED else "accepted"
        assert (answer.status_code, answer.json()["status"]) == (200, expected), path.name

    present = {told(path) for path in good}
    wanted = {one for path in good for one in referred(path)} - present
    waiting = [path for path in good if set(referred(path)) & wanted]
    report = await erp.settled(parked=len(waiting))
    assert report["dead_letters"] == len(REFUSED)

    for kind, zoho_id in sorted(wanted):
        assert (await erp.post(kind, needed(kind, zoho_id))).json()["status"] == "accepted"
    report = await erp.settled()
    assert sum(report["settled"].values()) == len(good) + len(wanted)
    assert report["settled"].keys() <= {"applied", "stale", "duplicate"}
    _, status = await erp.command("status")
    assert status["accepted"] == len(files) + len(wanted)
    assert status["dead_letters"] == len(REFUSED)
    await every_one_is_there(erp, good)
    errors = await erp.rows("SELECT error, path FROM zoho_sync_dead_letters ORDER BY id")
    refused = [stem(path) for path in files if stem(path) in REFUSED]
    for (error, field), name in zip(errors, refused, strict=True):
        assert REFUSED[name] in f"{field} {error}", name


def needed(kind: str, zoho_id: str) -> dict[str, Any]:
    """The smallest document of an entity that others refer to."""
    if kind == "customer":
        contact = {"contact_id": zoho_id, "contact_name": "Needed", "contact_type": "customer"}
        return {"contact": contact}
    if kind == "item":
        return {"item": {"item_id": zoho_id, "name": "Needed"}}
    # The invoices that payments pay belong to customers that came before them.
    number = {"invoice_number": "Needed", "date": "2026-01-01", "total": 1}
    return {"invoice": {"invoice_id": zoho_id, **number, "customer_id": "460000000026049"}}


async def every_one_is_there(erp: ERP, good: list[Path]) -> None:
    """Each sample has its row: by Zoho's id, or by the link that the ledger keeps."""
    for path in good:
        entity = path.name.split("__")[0]
        table, key = TABLES[entity]
        zoho_id = str(document(path)[IDS[entity]])
        if key is None:
            linked = await erp.rows(
                f"SELECT primary_key FROM zoho_sync_ledger WHERE entity_id = '{zoho_id}'"  # noqa: S608  # ids of the samples
            )
            (row_id,) = json.loads(linked[0][0])
            statement = f"SELECT id FROM {table} WHERE id = {row_id}"  # noqa: S608  # as above
        else:
            statement = f"SELECT {key} FROM {table} WHERE {key} = '{zoho_id}'"  # noqa: S608  # as above
        assert len(await erp.rows(statement)) == 1, path.name
