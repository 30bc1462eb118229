"""``--app module:attribute``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Call

_HOST = """
from sqlalchemy import Column, Integer, MetaData, String, Table
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from zoho_sync import BaseEntityHandler, EntityMap, HandlerRegistry, ZohoSync
from zoho_sync.handlers import ProductHandler

metadata = MetaData()
wares = Table("wares", metadata, Column("id", Integer, primary_key=True),
              Column("title", String(99)), Column("zoho_id", String(40), unique=True))

class Wares(ProductHandler):
    mapping = EntityMap(table=wares, key="zoho_id", columns={{"title": {source!r}}},
                        on_delete="hard")

engine = create_async_engine({url!r})
sessions = async_sessionmaker(engine)
sync = ZohoSync(sessions, registry=HandlerRegistry([Wares]))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("host_"):
            del sys.modules[name]


def write(folder: Path, name: str, text: str) -> None:
    (folder / f"{name}.py").write_text(text, encoding="utf-8")


def test_the_hosts_own_sync_is_used(call: Call, folder: Path, sqlite_url: str) -> None:
    write(folder, "host_good", _HOST.format(url=sqlite_url, source="name"))
    assert call("tables", "create", "--app", "host_good:sync").code == 0
    answer = call("--app", "host_good:sync", "status", "--json")
    assert answer.code == 1  # nothing was ever received
    assert answer.json["accepted"] == 0


def test_check_tells_what_does_not_fit(call: Call, folder: Path, sqlite_url: str) -> None:
    write(folder, "host_bad_map", _HOST.format(url=sqlite_url, source="nmae"))
    call("tables", "create", "--app", "host_bad_map:sync")
    answer = call("tables", "check", "--app", "host_bad_map:sync", "--json")
    assert answer.code == 1
    assert answer.json["findings"]
    assert set(answer.json["findings"][0]) == {"where", "problem", "remedy"}
    assert "problem" in call("tables", "check", "--app", "host_bad_map:sync").out


@pytest.mark.parametrize(
    ("app", "told"),
    [
        ("host_none", "wants a module and an attribute"),
        ("host_none:sync", "no module 'host_none'"),
        ("host_broken:sync", "imports 'surely_not_installed'"),
        ("host_raises:sync", "RuntimeError: no …@db (configured?)"),
        ("host_plain:snyc", "no attribute 'snyc'"),
        ("host_plain:other", "is a int, not a ZohoSync"),
    ],
)
def test_a_bad_app_is_a_usage_error(call: Call, folder: Path, app: str, told: str) -> None:
    write(folder, "host_broken", "import surely_not_installed")
    write(folder, "host_raises", "raise RuntimeError('no postgresql://me:hush@db (configured?)')")
    write(folder, "host_plain", "other = 1")
    answer = call("status", "--app", app)
    assert answer.code == 2
    assert told.replace("no …", "no postgresql://…") in answer.err
    assert "hush" not in answer.err
    assert "Traceback" not in answer.err


def test_the_right_name_is_told(call: Call, folder: Path, sqlite_url: str) -> None:
    write(folder, "host_named", _HOST.format(url=sqlite_url, source="name"))
    assert "called sync" in call("status", "--app", "host_named:snyc").err


@pytest.mark.parametrize(
    "options", [("--batch-size", "5"), ("--database-url", "sqlite:///other.db")]
)
def test_what_the_application_says_itself_is_refused(
    call: Call, folder: Path, sqlite_url: str, options: tuple[str, str]
) -> None:
    write(folder, "host_own", _HOST.format(url=sqlite_url, source="name"))
    answer = call("worker", "--once", "--app", "host_own:sync", *options)
    assert answer.code == 2
    assert options[0] in answer.err


def test_sessions_that_only_route_by_class_are_refused(
    call: Call, folder: Path, sqlite_url: str
) -> None:
    text = _HOST.format(url=sqlite_url, source="name")
    routed = text.replace("async_sessionmaker(engine)", "async_sessionmaker(binds={wares: engine})")
    write(folder, "host_routed", routed)
    answer = call("status", "--app", "host_routed:sync")
    assert answer.code == 2
    assert "give the session factory bind=engine" in answer.err
