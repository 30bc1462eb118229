"""``zoho-sync demo``: everything in one run, and nothing touched that is not its own."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from tests.cli.conftest import Call, in_database
from zoho_sync import ZohoSync, default_registry
from zoho_sync.cli.demo import performance, place, story
from zoho_sync.cli.demo.performance import read_state
from zoho_sync.cli.demo.place import DEFAULT_FILE, SCHEMA
from zoho_sync.cli.demo.story import Delivery
from zoho_sync.store.tables import library_tables

# It makes its tables where there are none.
pytestmark = pytest.mark.without_tables


def executed(url: str, *statements: str) -> Any:
    """Execute statements, and return what the last one found."""

    async def run() -> Any:
        engine = create_async_engine(url)
        try:
            async with engine.begin() as connection:
                results = [await connection.execute(text(each)) for each in statements]
                return results[-1].all() if results[-1].returns_rows else None
        finally:
            await engine.dispose()

    return asyncio.run(run())


def test_as_a_program_without_a_terminal(tmp_path: Path) -> None:
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "zoho_sync.cli", "demo"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )
    out = done.stdout.decode()
    assert done.returncode == 0, out
    assert done.stderr == b""
    assert time.monotonic() - begun < 30  # 3 s on an idle machine
    assert "\x1b" not in out
    assert max(map(len, out.splitlines())) <= 100
    assert not any(line != line.rstrip() for line in out.splitlines())
    assert "24 delivered = 16 applied + 2 stale + 1 duplicate + 1 ignored" in out
    assert "+ 1 parked + 1 dead letter + 1 refused + 1 ping" in out
    assert "parked → applied" in out
    assert [path.name for path in tmp_path.iterdir()] == [DEFAULT_FILE]


def test_where_the_terminal_lacks_letters(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "zoho_sync.cli", "demo"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("here")
def test_the_account_adds_up_on_every_database(call: Call, database_url: str) -> None:
    for _ in range(2):
        answer = call("demo", "--database-url", database_url, "--json")
        assert answer.code == 0
        account = answer.json["account"]
        assert account.pop("adds_up") is True
        assert account.pop("delivered") == sum(account.values()) == len(story.STORY)
        assert all(account.values())
        assert all(each["as_expected"] for each in answer.json["deliveries"])
        assert all(row["ok"] for row in answer.json["rows"])


@pytest.mark.usefixtures("here")
def test_all_eleven_entities_are_applied(call: Call) -> None:
    call("demo")
    report = call("status", "--database-url", f"sqlite:///{DEFAULT_FILE}", "--json").json
    applied = {name for name, counts in report["entities"].items() if counts["applied"]}
    assert applied == set(default_registry())


@pytest.mark.usefixtures("here")
def test_the_environment_is_not_meant(
    call: Call, filled_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOHO_SYNC_DATABASE_URL", filled_url)
    assert call("demo", "--json").json["database"] == DEFAULT_FILE


@pytest.mark.parametrize("content", [b"", b"my notes", b"x" * 200])
def test_a_file_that_is_not_its_own_is_left_alone(call: Call, here: Path, content: bytes) -> None:
    file = here / DEFAULT_FILE
    file.write_bytes(content)
    answer = call("demo")
    assert answer.code == 2
    assert "left alone" in answer.err
    assert file.read_bytes() == content


def test_a_database_that_is_not_its_own_is_left_alone(call: Call, here: Path) -> None:
    file = here / "shop.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE orders (id INTEGER)")
    connection.close()
    before = file.read_bytes()
    assert call("demo", "--database-url", f"sqlite:///{file}").code == 2
    assert file.read_bytes() == before


def test_on_postgresql_it_keeps_to_its_schema(call: Call, postgres_url: str) -> None:
    executed(
        postgres_url,
        "CREATE TABLE demo_customers (id integer)",
        "INSERT INTO demo_customers VALUES (1)",
    )
    assert call("demo", "--database-url", postgres_url).code == 0
    assert executed(postgres_url, "SELECT id FROM demo_customers") == [(1,)]
    outside = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    assert executed(postgres_url, outside) == [("demo_customers",)]


@pytest.mark.parametrize(
    ("prepare", "told"),
    [
        ((f"CREATE SCHEMA {SCHEMA}", f"CREATE TABLE {SCHEMA}.mine (id integer)"), "did not make"),
        ((f"CREATE SCHEMA {SCHEMA}",), "did not make"),
    ],
)
def test_a_schema_that_is_not_its_own_is_left_alone(
    call: Call, postgres_url: str, prepare: tuple[str, ...], told: str
) -> None:
    executed(postgres_url, *prepare)
    answer = call("demo", "--database-url", postgres_url)
    assert answer.code == 2
    assert told in answer.err


@pytest.mark.parametrize(
    "addition",
    [
        f"CREATE TABLE {SCHEMA}.mine (id integer)",
        f"CREATE VIEW public.mine AS SELECT name FROM {SCHEMA}.demo_customers",  # noqa: S608  # a constant
        f"CREATE SEQUENCE {SCHEMA}.mine",
    ],
)
def test_what_was_added_to_its_schema_is_left_alone(
    call: Call, postgres_url: str, addition: str
) -> None:
    assert call("demo", "--database-url", postgres_url).code == 0
    executed(postgres_url, addition)
    answer = call("demo", "--database-url", postgres_url)
    assert answer.code == 2
    assert "left alone" in answer.err
    count = f"SELECT count(*) FROM {SCHEMA}.demo_customers"  # noqa: S608  # as above
    assert executed(postgres_url, count) == [(2,)]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("as_json", [True, False])
def test_what_is_not_as_expected_fails(
    call: Call, monkeypatch: pytest.MonkeyPatch, *, as_json: bool
) -> None:
    changed = Delivery("a ping that should be applied", b"", ("applied",))
    monkeypatch.setattr(performance, "STORY", (changed, *story.STORY[2:]))
    answer = call("demo", "--json") if as_json else call("demo")
    assert answer.code == 1
    if as_json:
        assert answer.json["ok"] is False
    else:
        assert "! ping" in answer.out
        assert "Something is not as it should be" in answer.out


@pytest.mark.usefixtures("here")
def test_no_database_no_demo(call: Call) -> None:
    url = "postgresql+asyncpg://me:hush-hush@127.0.0.1:1/shop"
    answer = call("demo", "--database-url", url)
    assert answer.code == 4
    assert "hush-hush" not in answer.err


def test_the_bodies_are_what_zoho_sends() -> None:
    shapes = {each.content_type for each in story.STORY}
    assert len(shapes) == 2
    for each in story.STORY:
        if each.content_type == "application/json" and each.body:
            assert isinstance(json.loads(each.body), dict)


def test_in_memory_it_leaves_nothing(call: Call, here: Path) -> None:
    answer = call("demo", "--database-url", "sqlite://")
    assert answer.code == 0
    assert answer.out.endswith("(in memory)\n")
    assert list(here.iterdir()) == []


def test_an_empty_schema_of_its_own_is_made_anew(call: Call, postgres_url: str) -> None:
    """A run that was ended before it had made its tables."""
    marked = f"COMMENT ON SCHEMA {SCHEMA} IS '{place._MARK}'"
    executed(postgres_url, f"CREATE SCHEMA {SCHEMA}", marked)
    assert call("demo", "--database-url", postgres_url).code == 0


def test_an_event_that_waits_or_is_nowhere_is_told_as_such(sqlite_url: str) -> None:
    """The demonstration counts what is recorded, and what should be and is not."""

    async def read(sync: ZohoSync) -> list[str]:
        await sync.create_tables()
        receipt = await sync.ingest({"item": {"item_id": "1"}})
        async with sync._runtime.sessions() as session:
            connection, tables = await session.connection(), library_tables()
            ids = (*receipt.event_ids, "nobody")
            return [(await read_state(connection, tables, each)).name for each in ids]

    assert in_database(sqlite_url, read) == ["queued", "lost"]
