"""``zoho-sync try``: shows what would change, and changes nothing."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect, text
from sqlalchemy.ext.asyncio import create_async_engine

from tests.cli.conftest import Answer, Call, in_database
from zoho_sync import ZohoSync, mirror
from zoho_sync.cli.demo import erp

ORDER = {
    "salesorder_id": "31",
    "salesorder_number": "SO-1",
    "total": "10.50",
    "last_modified_time": "2025-03-01T10:00:00Z",
    "line_items": [
        {"line_item_id": "311", "name": "Beans", "quantity": 2},
        {"line_item_id": "312", "name": "Cups", "quantity": 6},
    ],
}
NEWER = {
    "salesorder_id": "31",
    "total": "12.00",
    "last_modified_time": "2025-03-02T10:00:00Z",
    "line_items": [
        {"line_item_id": "311", "name": "Beans", "quantity": 3},
        {"line_item_id": "313", "name": "Spoons", "quantity": 6},
    ],
}


def everything(url: str) -> dict[str, list[Any]]:
    """Return all rows of all tables."""

    async def read() -> dict[str, list[Any]]:
        engine = create_async_engine(url)
        quoted = engine.dialect.identifier_preparer.quote
        async with engine.connect() as connection:
            names = await connection.run_sync(lambda bound: inspect(bound).get_table_names())
            rows = {
                name: sorted(
                    map(repr, await connection.execute(text(f"SELECT * FROM {quoted(name)}")))  # noqa: S608  # no user's
                )
                for name in names
            }
        await engine.dispose()
        return rows

    return asyncio.run(read())


class Try:
    """``zoho-sync try`` on one database; nothing may be different afterwards."""

    def __init__(self, call: Call, url: str, folder: Path) -> None:
        self._call, self.url, self._folder = call, url, folder

    def __call__(self, body: Any, *options: str) -> Answer:
        file = self._folder / "body.json"
        file.write_text(body if isinstance(body, str) else json.dumps(body), encoding="utf-8")
        before = everything(self.url)
        answer = self._call("try", str(file), "--database-url", self.url, *options)
        assert everything(self.url) == before
        return answer


@pytest.fixture
def attempt(call: Call, database_url: str, tmp_path: Path) -> Try:
    async def prepare(sync: ZohoSync) -> None:
        await sync.create_tables()
        await sync.ingest({"salesorder": ORDER})
        await sync.drain()

    in_database(database_url, prepare)
    return Try(call, database_url, tmp_path)


def test_a_new_row_is_shown_whole(attempt: Try) -> None:
    answer = attempt({"item": {"item_id": "1", "name": "Beans", "rate": 18.5}}, "--json")
    assert answer.code == 0
    assert answer.json["outcome"] == "applied"
    assert answer.json["event"]["entity_type"] == "product"
    (row,) = answer.json["rows"]
    assert row["table"] == mirror.products.name
    assert row["change"] == "added"
    assert row["columns"]["name"] == {"before": None, "after": "Beans"}


def test_an_update_is_shown_column_by_column_with_its_lines(attempt: Try) -> None:
    rows = attempt({"salesorder": NEWER}, "--json").json["rows"]
    head = next(row for row in rows if row["table"] == mirror.sales_orders.name)
    assert set(head["columns"]) == {"total", "last_modified_time", "raw"}
    lines = {row["key"][-1]: row for row in rows if row is not head}
    assert {key: row["change"] for key, row in lines.items()} == {
        "311": "changed",
        "312": "removed",
        "313": "added",
    }
    assert set(lines["311"]["columns"]) == {"quantity"}


def test_it_is_shown_for_people(attempt: Try) -> None:
    answer = attempt({"salesorder": NEWER})
    assert answer.code == 0
    assert "would be applied" in answer.out
    assert "zoho_sales_order_lines (default, 31, 312): removed" in answer.out
    assert "Nothing was changed." in answer.out


def test_a_delete_is_shown(attempt: Try) -> None:
    told = ("--operation", "delete", "--entity", "order", "--id", "31", "--json")
    (row,) = attempt("", *told).json["rows"]
    assert set(row["columns"]) == {"deleted_at"}


def test_a_delete_of_what_is_not_there_says_so(attempt: Try) -> None:
    told = ("--operation", "delete", "--entity", "order", "--id", "99")
    answer = attempt("", *told, "--json").json
    assert (answer["outcome"], answer["rows"]) == ("applied", [])
    assert "there is no such row" in answer["reason"]
    people = attempt("", *told)
    assert "there is no such row" in people.out
    assert "holds that value already" not in people.out


def test_a_delete_of_a_contact_that_nobody_knows_is_remembered(attempt: Try) -> None:
    people = attempt("", "--operation", "delete", "--entity", "contact", "--id", "99")
    assert "nobody knows this contact; its delete is remembered" in people.out
    assert "holds that value already" not in people.out


def test_a_delete_whose_document_lacks_the_id_is_shown(attempt: Try) -> None:
    told = ("--operation", "delete", "--entity", "order", "--id", "31", "--json")
    answer = attempt({"salesorder": {"salesorder_number": "SO-31"}}, *told)
    assert answer.code == 0
    (row,) = answer.json["rows"]
    assert set(row["columns"]) == {"deleted_at"}


def test_a_repeated_document_is_a_duplicate(attempt: Try) -> None:
    answer = attempt({"salesorder": ORDER}, "--json")
    assert answer.code == 0
    assert answer.json["outcome"] == "duplicate"
    assert answer.json["rows"] == []


def test_an_old_document_is_stale(attempt: Try) -> None:
    old = {**ORDER, "last_modified_time": "2025-02-01T10:00:00Z"}
    assert attempt({"salesorder": old}, "--json").json["outcome"] == "stale"


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"salesorder": {**NEWER, "date": "30 Feb"}}, "sales_order.date"),
        ({"salesorder": {**NEWER, "last_modified_time": "yesterday"}}, "last_modified_time"),
        ("{ no json", ""),
        ('{"weather": "fine"}', ""),
    ],
)
def test_what_would_be_a_dead_letter_is_named_so(attempt: Try, body: Any, path: str) -> None:
    answer = attempt(body, "--json")
    assert answer.code == 3
    assert answer.json["outcome"] == "dead_letter"
    assert answer.json["error_type"] == "PayloadError"
    assert answer.json["path"].endswith(path)
    assert answer.json["reason"]


def test_the_organization_can_be_told(attempt: Try) -> None:
    told = attempt({"salesorder": ORDER}, "--organization", "60012", "--json").json
    assert told["event"]["organization_id"] == "60012"
    assert {row["change"] for row in told["rows"]} == {"added"}


def test_a_ping_is_one(attempt: Try) -> None:
    answer = attempt("{}", "--json")
    assert answer.code == 0
    assert answer.json["outcome"] == "ping"
    assert "test ping" in attempt("").out


def test_the_body_comes_from_standard_input(call: Call, filled_url: str) -> None:
    body = '{"user": {"user_id": "7", "name": "Ada"}}'
    answer = call("try", "-", "--database-url", filled_url, "--json", input=body)
    assert answer.json["event"]["entity_id"] == "7"


def test_a_file_that_is_not_there_is_a_usage_error(call: Call, filled_url: str) -> None:
    assert call("try", "nowhere.json", "--database-url", filled_url).code == 2


_HOST = """
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from zoho_sync import HandlerRegistry, ZohoSync
from zoho_sync.cli.demo import erp
from zoho_sync.handlers import ProductHandler, UserHandler, BillHandler, VendorHandler

class Committing(ProductHandler):
    mapping = None
    async def upsert(self, payload):
        await self.session.commit()

class Own(UserHandler):
    mapping = None
    async def upsert(self, payload):
        return None

class Failing(BillHandler):
    mapping = None
    async def upsert(self, payload):
        raise ConnectionError("the carrier is away")

registry = HandlerRegistry([erp.DemoCustomers, erp.DemoInvoices, Committing, Own, Failing])
registry.ignore("vendor")
engine = create_async_engine({url!r})
sync = ZohoSync(async_sessionmaker(engine), registry=registry)
"""
INVOICE = {
    "invoice_id": "1",
    "customer_id": "9",
    "invoice_number": "A",
    "total": "1",
    "status": "x",
}


def host(url: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make an application with tables of its own: ``try_host:sync``."""
    (folder / "try_host.py").write_text(_HOST.format(url=url), encoding="utf-8")
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "try_host", raising=False)

    async def prepare(sync: ZohoSync) -> None:
        await sync.create_tables()
        engine = create_async_engine(url)
        async with engine.begin() as connection:
            await connection.run_sync(erp.metadata.create_all)
        await engine.dispose()

    in_database(url, prepare)


@pytest.mark.parametrize(
    ("body", "outcome", "code"),
    [
        ({"invoice": {**INVOICE, "date": "2025-01-01"}}, "parked", 0),
        ({"invoice": {**INVOICE, "status": "draft"}}, "ignored", 0),
        ({"contact": {"contact_id": "5", "contact_type": "vendor"}}, "ignored", 0),
        ({"user": {"user_id": "7"}}, "applied", 0),
        ({"salesorder": ORDER}, "dead_letter", 3),
        ({"item": {"item_id": "1"}}, "dead_letter", 3),
        ({"bill": {"bill_id": "1"}}, "retry", 1),
        ({"contact": {"contact_id": "9", "contact_type": "customer"}}, "parked", 0),
    ],
)
def test_on_the_hosts_own_tables(  # noqa: PLR0913  # fixtures
    call: Call,
    sqlite_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    body: Any,
    outcome: str,
    code: int,
) -> None:
    host(sqlite_url, tmp_path, monkeypatch)
    (tmp_path / "body.json").write_text(json.dumps(body), encoding="utf-8")
    before = everything(sqlite_url)
    answer = call("try", "body.json", "--app", "try_host:sync", "--json")
    assert everything(sqlite_url) == before
    assert (answer.json["outcome"], answer.code) == (outcome, code)
    assert call("try", "body.json", "--app", "try_host:sync").code == code
    if outcome == "parked":
        assert answer.json["waits_for"] == {"entity_type": "customer", "entity_id": "9"}


def test_what_changes_no_column_says_so(
    call: Call, sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host(sqlite_url, tmp_path, monkeypatch)
    client = {"contact_id": "9", "contact_type": "customer", "contact_name": "Ada", "email": "a@b"}

    async def send(sync: ZohoSync) -> None:
        await sync.ingest({"contact": {**client, "last_modified_time": "2025-03-01T10:00:00Z"}})

    in_database(sqlite_url, send)
    assert call("worker", "--once", "--app", "try_host:sync").out == "1 applied\n"
    newer = {"contact": {**client, "last_modified_time": "2025-03-02T10:00:00Z"}}
    (tmp_path / "body.json").write_text(json.dumps(newer), encoding="utf-8")
    answer = call("try", "body.json", "--app", "try_host:sync")
    assert "would be applied" in answer.out
    assert "Every column holds that value already." in answer.out


def test_a_delete_of_a_contact_goes_to_what_is_known(attempt: Try) -> None:
    """Customers and vendors share their ids: the ledger says which of them it is."""

    async def send(sync: ZohoSync) -> None:
        vendor = {"contact_id": "5", "contact_type": "vendor", "contact_name": "Kaffa"}
        await sync.ingest({"contact": vendor})
        await sync.drain()

    in_database(attempt.url, send)
    told = ("--operation", "delete", "--entity", "contact", "--id", "5", "--json")
    (row,) = attempt("", *told).json["rows"]
    assert (row["table"], set(row["columns"])) == (mirror.vendors.name, {"deleted_at"})


def test_a_delete_by_the_name_of_the_other_type_shows_what_a_worker_would_do(attempt: Try) -> None:
    """Its sender believes that it is a customer; it is a vendor by now."""

    async def send(sync: ZohoSync) -> None:
        vendor = {"contact_id": "5", "contact_type": "vendor", "contact_name": "Kaffa"}
        await sync.ingest({"contact": vendor})
        await sync.drain()

    in_database(attempt.url, send)
    told = ("--operation", "delete", "--entity", "customer", "--id", "5")
    answer = attempt("", *told, "--json").json
    (row,) = answer["rows"]
    assert answer["outcome"] == "applied"
    assert (row["table"], set(row["columns"])) == (mirror.vendors.name, {"deleted_at"})
