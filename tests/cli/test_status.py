"""``zoho-sync status``, the common options, and the exit codes that all commands share."""

from __future__ import annotations

import asyncio
import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from tests.cli.conftest import Call, in_database
from zoho_sync import ZohoSync
from zoho_sync.cli import main

# The commands make the tables, and say what is missing.
pytestmark = pytest.mark.without_tables


def test_status_accounts_for_every_event(call: Call, filled_url: str) -> None:
    answer = call("status", "--database-url", filled_url, "--json")
    assert answer.code == 1
    report = answer.json
    assert report["accepted"] == 3
    assert report["dead_letters"] == 2
    assert report["settled"]["applied"] == 1
    assert report["entities"]["product"]["applied"] == 1
    assert report["window_seconds"] == 24 * 3600
    assert report["healthy"] is False
    assert report["problems"] == ["2 of the last 3 events became dead letters"]


def test_status_says_what_is_wrong(call: Call, filled_url: str) -> None:
    answer = call("status", "--database-url", filled_url)
    assert answer.code == 1
    assert "! 2 of the last 3 events became dead letters" in answer.out
    assert "\x1b" not in answer.out


def test_a_healthy_database_exits_with_0(call: Call, sqlite_url: str) -> None:
    assert call("tables", "create", "--database-url", sqlite_url).code == 0
    answer = call("status", "--database-url", sqlite_url)
    assert (answer.code, "nothing was ever received" in answer.out) == (1, True)
    asyncio.run(receive_one(sqlite_url))
    assert call("status", "--database-url", sqlite_url).code == 0


async def receive_one(url: str) -> None:
    engine = create_async_engine(url)
    async with ZohoSync(async_sessionmaker(engine)) as sync:
        await sync.ingest({"item": {"item_id": "1"}})
        await sync.drain()
    await engine.dispose()


@pytest.mark.parametrize("before", [True, False])
def test_options_stand_before_and_after_the_command(
    call: Call, filled_url: str, *, before: bool
) -> None:
    options = ("--database-url", filled_url, "--json")
    command = ("dead-letters", "list")
    answer = call(*options, *command) if before else call(*command, *options)
    assert len(answer.json) == 2


def test_the_environment_names_the_database(
    call: Call, filled_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOHO_SYNC_DATABASE_URL", filled_url)
    assert len(call("dead-letters", "list", "--json").json) == 2


def test_the_command_line_goes_before_the_environment(
    call: Call, filled_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOHO_SYNC_DATABASE_URL", "sqlite:///elsewhere.db")
    assert call("--database-url", filled_url, "dead-letters", "list").code == 0


def test_without_a_target_it_is_a_usage_error(call: Call) -> None:
    answer = call("status")
    assert answer.code == 2
    assert "--app" in answer.err
    assert "--database-url" in answer.err


def test_a_window_that_is_none_is_a_usage_error(call: Call, filled_url: str) -> None:
    answer = call("status", "--database-url", filled_url, "--window", "soon")
    assert answer.code == 2
    assert "24h" in answer.err


@pytest.mark.parametrize("command", [("status",), ("dead-letters", "list"), ("worker", "--once")])
def test_missing_tables_are_named_with_the_remedy(
    call: Call, sqlite_url: str, tmp_path: Path, command: tuple[str, ...]
) -> None:
    (tmp_path / "test.db").touch()
    answer = call(*command, "--database-url", sqlite_url, "--json")
    assert answer.code == 1
    assert answer.out == ""
    assert "zoho_sync_jobs" in answer.err
    assert "zoho-sync tables create" in answer.err


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+asyncpg://someone:hush-hush@127.0.0.1:1/shop?password=hush-hush",
        "postgresql+psycopg://someone:hush-hush@127.0.0.1:1/shop",
        "sqlite+aiosqlite:////nowhere/at/all.db",
    ],
)
def test_an_unreachable_database_exits_with_4_and_tells_no_password(call: Call, url: str) -> None:
    answer = call("status", "--database-url", url, "--json")
    assert answer.code == 4
    assert answer.out == ""
    assert answer.err.startswith("Error: ")
    assert "hush-hush" not in answer.err
    assert "Traceback" not in answer.err


def test_a_mistyped_sqlite_file_is_not_made(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "typo.db"
    answer = call("status", "--database-url", f"sqlite:///{path}")
    assert answer.code == 4
    assert not path.exists()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("not a url with hush-hush", "cannot be read"),
        ("oracle://scott:hush-hush@host/db", "not supported"),
        ("mysql+pymysql://scott:hush-hush@host/db", "not supported"),
        ("postgresql+asyncpg://scott:hush-hush@host/db?plugin=none", "cannot be used"),
        ("postgresql+asyncpg://h/db?prepared_statement_cache_size=hush-hush", "cannot be used"),
    ],
)
def test_a_url_that_means_nothing_is_a_usage_error(call: Call, url: str, told: str) -> None:
    answer = call("status", "--database-url", url)
    assert answer.code == 2
    assert told in answer.err
    assert "hush-hush" not in answer.err


def test_an_unknown_queue_is_a_usage_error(call: Call, filled_url: str) -> None:
    url = "carrier-pigeon://someone:hush-hush@loft"
    answer = call("status", "--database-url", filled_url, "--queue-url", url)
    assert answer.code == 2
    assert "carrier-pigeon" in answer.err
    assert "hush-hush" not in answer.err


@pytest.mark.databases("sqlite", "postgresql", "mariadb")
def test_tables_are_made_once(call: Call, database_url: str) -> None:
    first = call("tables", "create", "--database-url", database_url, "--json")
    second = call("tables", "create", "--database-url", database_url, "--json")
    assert "zoho_sync_ledger" in first.json["created"]
    assert second.json == {"created": []}
    again = call("tables", "create", "--database-url", database_url)
    assert "the library's tables are there already" in " ".join(again.out.split())
    checked = call("tables", "check", "--database-url", database_url, "--json")
    assert checked.json["ok"] is True
    assert checked.code == 0


def test_tables_check_names_what_is_missing(call: Call, sqlite_url: str, tmp_path: Path) -> None:
    (tmp_path / "test.db").touch()
    answer = call("tables", "check", "--database-url", sqlite_url)
    assert answer.code == 1
    assert answer.out.count("zoho_sync_journal") == 1
    assert answer.out.count("zoho_products") == 1
    told = call("tables", "check", "--database-url", sqlite_url, "--json").json
    assert "zoho_sync_journal" in told["missing"]
    assert [finding["where"] for finding in told["findings"]] == ["mirror"]


@pytest.mark.databases("sqlite", "postgresql", "mariadb")
def test_status_works_on_every_database(call: Call, database_url: str) -> None:
    async def prepare(sync: ZohoSync) -> None:
        await sync.create_tables()
        await sync.ingest({"user": {"user_id": "7", "name": "Ada"}})

    in_database(database_url, prepare)
    report = call("status", "--database-url", database_url, "--json").json
    assert report["queue"]["ready"] == 1


def test_without_the_extra_it_says_which_to_install() -> None:
    block = "import sys; sys.modules['click'] = None; from zoho_sync.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", block], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert 'pip install "zoho-sync[cli]"' in done.stderr
    assert "Traceback" not in done.stderr


def test_without_the_driver_it_says_which_extra_brings_it(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoho_sync.cli.database.find_spec", lambda _: None)
    answer = call("status", "--database-url", "postgresql://me:hush-hush@host/shop")
    assert answer.code == 2
    assert 'pip install "zoho-sync[postgres]"' in answer.err
    assert "hush-hush" not in answer.err


def test_a_module_of_its_own_that_is_missing_is_no_missing_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "zoho_sync.cli.commands")
    monkeypatch.setitem(sys.modules, "zoho_sync.cli.try_command", None)
    with pytest.raises(ModuleNotFoundError, match="import of zoho_sync"):
        main()


def test_whoever_imports_the_program_runs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert importlib.import_module("zoho_sync.cli.__main__").main is main
    assert capsys.readouterr().out == ""
