"""``zoho-sync parked``."""

from __future__ import annotations

import asyncio
import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import SECRET_TEXT, Answer, Call

HOST = """
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from zoho_sync import EntityMap, HandlerRegistry, Reference, ZohoSync
from zoho_sync.handlers import CustomerHandler, InvoiceHandler

class Base(DeclarativeBase):
    pass

class Client(Base):
    __tablename__ = "clients"
    id: Mapped[int] = mapped_column(primary_key=True)
    zoho_id: Mapped[str] = mapped_column(unique=True)

class Bill(Base):
    __tablename__ = "bills"
    id: Mapped[int] = mapped_column(primary_key=True)
    zoho_id: Mapped[str] = mapped_column(unique=True)
    client_id: Mapped[int | None]
    note: Mapped[str | None]

class Clients(CustomerHandler):
    mapping = EntityMap(table=Client, key="zoho_id", columns={{}}, on_delete="hard")

class Bills(InvoiceHandler):
    mapping = EntityMap(
        table=Bill,
        key="zoho_id",
        columns={{"note": "notes"}},
        references=[Reference("client_id", to="customer", source="customer_id")],
        on_delete="hard",
    )

registry = HandlerRegistry()
registry.register(Clients)
registry.register(Bills)
engine = create_async_engine("{url}")
sync = ZohoSync(async_sessionmaker(engine, expire_on_commit=False), registry=registry)

async def fill():
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    await sync.create_tables()
    for number in ("31", "32"):
        document = {{"invoice_id": number, "customer_id": f"9{{number}}", "notes": "{secret}"}}
        await sync.ingest({{"invoice": document}})
    await sync.drain()
    await engine.dispose()
"""


class Parked:
    """``parked list`` on an application that has two parked invoices."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def __call__(self, *options: str) -> Answer:
        return self._call("parked", "list", "--app", "host_parked:sync", *options)

    def ids(self, *options: str) -> list[str]:
        return [each["entity_id"] for each in self(*options, "--json").json]


@pytest.fixture
def parked(call: Call, sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Parked:
    text = HOST.format(url=sqlite_url, secret=SECRET_TEXT)
    (tmp_path / "host_parked.py").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "host_parked", raising=False)
    asyncio.run(importlib.import_module("host_parked").fill())
    return Parked(call)


def test_list_tells_what_waits_for_what(parked: Parked) -> None:
    listed, people = parked("--json"), parked()
    first: dict[str, Any] = listed.json[0]
    assert (listed.code, people.code) == (0, 0)
    assert (first["entity_type"], first["entity_id"]) == ("invoice", "31")
    assert (first["waiting_type"], first["waiting_id"]) == ("customer", "931")
    assert (first["operation"], first["reason"]) == ("upsert", "customer 931 has not arrived yet")
    assert first["arrived_at"] <= first["parked_at"] < first["expires_at"]
    assert first["id"] in people.out
    assert "invoice 31" in people.out
    assert "customer 931 has not arrived yet" in " ".join(people.out.split())
    assert SECRET_TEXT not in listed.out + people.out


def test_list_filters_by_any_name_of_the_types(parked: Parked) -> None:
    assert parked.ids() == ["31", "32"]
    assert parked.ids("--entity", "Invoices") == ["31", "32"]
    assert parked.ids("--entity", "customer") == []
    assert parked.ids("--waiting-for", "customers", "932") == ["32"]
    assert parked.ids("--waiting-for", "customer", "999") == []
    assert "no such" in parked("--entity", "customer").out
    assert parked("--entity", "spaceship").code == 2
    assert parked("--waiting-for", "spaceship", "1").code == 2


def test_list_says_when_there_are_more(parked: Parked) -> None:
    assert "oldest 1" in parked("--limit", "1").out
    assert "oldest" not in parked("--limit", "3").out
