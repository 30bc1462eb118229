"""``zoho-sync link``, ``adopt`` and ``reapply``, on an application of its own."""

from __future__ import annotations

import asyncio
import importlib
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Call
from zoho_sync import ZohoSync

pytestmark = pytest.mark.depends_on_sqlalchemy  # as the application below

APP = """
from sqlalchemy import Text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from zoho_sync import DOCUMENT, EntityMap, ZohoSync, default_registry, mirror
from zoho_sync.handlers import CustomerHandler
from zoho_sync.mapping.declaration import folded


class Base(DeclarativeBase):
    pass


class Client(Base):
    __tablename__ = "clients"
    __table_args__ = ({"sqlite_autoincrement": True},)
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None] = mapped_column(Text)
    city: Mapped[str | None] = mapped_column(Text)
    document: Mapped[dict | None] = mapped_column(mirror.ExactJSON)
    gone: Mapped[bool] = mapped_column(default=False, server_default="0")


class Clients(CustomerHandler):
    mapping = EntityMap(
        table=Client, adopt=(("name", folded),), columns={COLUMNS}, deleted_column="gone"
    )


registry = default_registry()
registry.override(Clients)
engine = create_async_engine("sqlite+aiosqlite:///app.db")
sync = ZohoSync(async_sessionmaker(engine), registry=registry)
"""
NAME = '"name": "contact_name"'


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call) -> Iterator[Path]:
    """An application with four clients, in the current folder."""
    for name in ("first", "kept", "second"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    written(tmp_path, "first", NAME)
    with sqlite3.connect("app.db") as database:
        database.execute(
            "CREATE TABLE clients (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, city TEXT,"
            " document TEXT, gone BOOLEAN NOT NULL DEFAULT 0)"
        )
        names = [("Acme",), ("Globex",), ("globex ",), ("Initech",)]
        database.executemany("INSERT INTO clients (name) VALUES (?)", names)
    assert call("tables", "create", "--app", "first:sync").code == 0
    yield tmp_path
    asyncio.set_event_loop(None)


def written(folder: Path, name: str, columns: str) -> str:
    """Write the application's module, and return how --app names it."""
    text = APP.replace("{COLUMNS}", "{" + columns + "}")
    (folder / f"{name}.py").write_text(text)
    return f"{name}:sync"


def linked() -> list[tuple[str, str]]:
    with sqlite3.connect("app.db") as database:
        statement = (
            "SELECT entity_id, primary_key FROM zoho_sync_ledger WHERE primary_key IS NOT NULL"
        )
        return sorted(database.execute(statement))


@pytest.mark.usefixtures("app")
def test_the_report_before_the_first_event(call: Call) -> None:
    answer = call("adopt", "--report", "--app", "first:sync", "--json")
    assert answer.code == 0
    assert answer.json == [
        {
            "entity_type": "customer",
            "table": "clients",
            "rows": 4,
            "linked": 0,
            "adoptable": 2,
            "ambiguous": 2,
            "keyless": 0,
        }
    ]
    assert "ambiguous" in call("adopt", "--report", "--app", "first:sync").out


def test_pairs_of_a_file_are_linked(call: Call, app: Path) -> None:
    (app / "pairs.csv").write_text("contact_id,id\n900,1\n901,4\n902,77\n")
    dry = call("link", "customer", "pairs.csv", "--dry-run", "--app", "first:sync", "--json")
    assert (dry.code, dry.json["linked"], len(dry.json["refused"]), linked()) == (1, 2, 1, [])
    done = call("link", "customer", "pairs.csv", "--app", "first:sync")
    assert done.code == 1
    assert "2 linked" in done.out
    assert "clients has no such row" in done.out
    assert linked() == [("900", "[1]"), ("901", "[4]")]
    again = call("link", "customer", "pairs.csv", "--app", "first:sync", "--json")
    assert (again.json["linked"], again.json["unchanged"]) == (0, 2)


def test_natural_keys_of_a_file_are_looked_up(call: Call, app: Path) -> None:
    (app / "export.csv").write_text("contact_id,contact_name\n900,ACME\n901,Globex\n902,New\n")
    dry = call("link", "customers", "export.csv", "--dry-run", "--app", "first:sync", "--json")
    assert dry.json["linked"] == dry.json["inserted"] == 1
    assert dry.json["ambiguous"] == [{"zoho_id": "901", "rows": [2, 3]}]
    answer = call("link", "customer", "export.csv", "--app", "first:sync")
    assert "901: rows 2, 3" in answer.out
    assert linked() == [("900", "[1]")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name\nAcme\n", "it needs zoho_id or contact_id"),
        ("zoho_id\n1\n", "(id) or (name)"),
        ("zoho_id,id\n,1\n", "line 2"),
        ("zoho_id,id\n1\n", "line 2"),
    ],
)
def test_a_file_that_says_too_little_is_refused(
    call: Call, app: Path, text: str, said: str
) -> None:
    (app / "wrong.csv").write_text(text)
    answer = call("link", "customer", "wrong.csv", "--app", "first:sync")
    assert answer.code == 3
    assert said in answer.err
    assert linked() == []


def test_a_column_new_to_the_mapping_is_filled(call: Call, app: Path) -> None:
    """From the column that keeps the document, under the version that it had."""
    kept = written(app, "kept", NAME + ', "document": DOCUMENT')
    document = {
        "contact_id": "900",
        "contact_type": "customer",
        "contact_name": "Acme",
        "company_name": "Pune",
        "last_modified_time": "2026-01-01T00:00:00+00:00",
    }
    module = importlib.import_module("kept")
    asyncio.run(ingested(module.sync, document))
    assert "1 written by this mapping already" in call("reapply", "customer", "--app", kept).out
    second = written(app, "second", NAME + ', "document": DOCUMENT, "city": "company_name"')
    answer = call("reapply", "customer", "--app", second, "--json")
    assert answer.json == {
        "queued": 1,
        "unchanged": 0,
        "without_document": 0,
        "outcomes": {"applied": 1},
    }
    with sqlite3.connect("app.db") as database:
        statement = "SELECT id, name, city FROM clients WHERE document IS NOT NULL"
        assert list(database.execute(statement)) == [(1, "Acme", "Pune")]
    again = call("reapply", "customer", "--app", second, "--json").json
    assert (again["queued"], again["unchanged"]) == (0, 1)
    back = call("reapply", "customer", "--app", kept, "--json").json
    assert (back["queued"], back["outcomes"]) == (1, {"applied": 1})


@pytest.mark.usefixtures("app")
def test_without_documents_there_is_nothing_to_reapply(call: Call) -> None:
    answer = call("reapply", "customer", "--app", "first:sync", "--json")
    assert (answer.code, answer.json["queued"]) == (0, 0)
    assert call("reapply", "custmer", "--app", "first:sync").code == 2


@pytest.mark.usefixtures("app")
def test_what_nobody_knows_cannot_be_forgotten(call: Call) -> None:
    answer = call("forget", "customer", "900", "--app", "first:sync")
    assert (answer.code, answer.out) == (1, "customer 900 was not known\n")


async def ingested(sync: ZohoSync, document: dict[str, str]) -> None:
    await sync.ingest({"contact": document})
    assert await sync.drain() == {"applied": 1}
