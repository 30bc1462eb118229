"""``zoho-sync worker``: applies, logs plainly, and stops when it is told to."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from tests.cli.conftest import SECRET_TEXT, Call, in_database
from zoho_sync import BaseEntityHandler, EntityMap, ZohoSync, default_registry
from zoho_sync.exceptions import WorkerStopped
from zoho_sync.handlers import CustomerHandler
from zoho_sync.payloads import EntityId, Payload, UserPayload

PATIENCE = 50.0

CLIENTS = Table(
    "clients",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("zoho_id", String(40), unique=True),
    Column("name", String(99)),
)


class Clients(CustomerHandler):
    mapping = EntityMap(
        table=CLIENTS, key="zoho_id", columns={"name": "contact_name"}, on_delete="hard"
    )


class Written(BaseEntityHandler[UserPayload]):
    """Writes by its own code, which says what the key is."""

    async def upsert(self, payload: Any) -> Any:
        return f"user-{payload.user_id}"


class Trip(Payload):
    entity_type = "trip"
    id_fields = ("trip_id",)
    trip_id: EntityId


class Trips(BaseEntityHandler[Trip]):
    """Keeps no row."""

    async def upsert(self, payload: Trip) -> None:
        del payload


async def enqueue(sync: ZohoSync) -> None:
    await sync.create_tables()
    await sync.ingest({"item": {"item_id": "1", "name": SECRET_TEXT}})
    await sync.ingest({"bill": {"bill_id": "2", "date": SECRET_TEXT}})


def queued(url: str) -> int:
    async def read(sync: ZohoSync) -> int:
        return (await sync.status()).queue.total

    number: int = in_database(url, read)
    return number


@contextmanager
def running(*arguments: str, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "zoho_sync.cli", "worker", *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_until_idle(url: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while queued(url):
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.databases("sqlite", "postgresql", "mariadb")
def test_a_signal_stops_it_gracefully(database_url: str, tmp_path: Path) -> None:
    is_stopped_gracefully(database_url, tmp_path, signal.SIGTERM)


def test_so_does_a_terminals(sqlite_url: str, tmp_path: Path) -> None:
    is_stopped_gracefully(sqlite_url, tmp_path, signal.SIGINT)


def is_stopped_gracefully(database_url: str, tmp_path: Path, number: signal.Signals) -> None:
    in_database(database_url, enqueue)
    options = ("--database-url", database_url, "--json", "--batch-size", "1", "--concurrency", "2")
    with running(*options, cwd=tmp_path) as process:
        wait_until_idle(database_url)
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert json.loads(out) == {"stopped_by": number.name, "outcomes": None}
    assert "in batches of 1, 2 at once" in err
    assert f"stopped by {number.name}" in err
    assert SECRET_TEXT not in err
    assert "Traceback" not in err


_HOST = """
import asyncio
from pathlib import Path
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from zoho_sync import HandlerRegistry, ZohoSync
from zoho_sync.handlers import ProductHandler

class Slow(ProductHandler):
    mapping = None
    async def upsert(self, payload):
        Path("begun").touch()
        try:
            await asyncio.sleep(60)
        finally:
            {ending}

sync = ZohoSync(async_sessionmaker(create_async_engine({url!r})), registry=HandlerRegistry([Slow]))
"""


def slow(url: str, folder: Path, ending: str) -> None:
    (folder / "slow_host.py").write_text(_HOST.format(url=url, ending=ending), encoding="utf-8")


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


async def enqueue_item(sync: ZohoSync) -> None:
    await sync.create_tables()
    await sync.ingest({"item": {"item_id": "1", "name": SECRET_TEXT}})


def test_what_is_under_way_is_given_back(postgres_url: str, tmp_path: Path) -> None:
    in_database(postgres_url, enqueue_item)
    slow(postgres_url, tmp_path, "pass")
    with running("--app", "slow_host:sync", cwd=tmp_path) as process:
        wait_for(tmp_path / "begun")
        process.terminate()
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err

    async def read(sync: ZohoSync) -> tuple[int, int]:
        depth = (await sync.status()).queue
        return depth.ready, depth.leased

    assert in_database(postgres_url, read) == (1, 0)


def test_a_second_signal_ends_it_at_once(postgres_url: str, tmp_path: Path) -> None:
    in_database(postgres_url, enqueue_item)
    slow(postgres_url, tmp_path, 'Path("ending").touch(); await asyncio.sleep(60)')
    with running("--app", "slow_host:sync", cwd=tmp_path) as process:
        wait_for(tmp_path / "begun")
        process.terminate()
        wait_for(tmp_path / "ending")
        process.terminate()
        process.communicate(timeout=PATIENCE)
    assert process.returncode == 1


def test_once_works_off_what_is_there(call: Call, sqlite_url: str) -> None:
    in_database(sqlite_url, enqueue)
    answer = call("worker", "--once", "--database-url", sqlite_url, "--json")
    assert answer.code == 0
    assert answer.json == {"stopped_by": "done", "outcomes": {"applied": 1, "dead_letter": 1}}
    assert SECRET_TEXT not in answer.err
    assert call("worker", "--once", "--database-url", sqlite_url).out == "nothing to do\n"


async def _as_application(url: str, handler: Any, entity_type: str, document: Any) -> None:
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(CLIENTS.metadata.create_all)
    registry = default_registry()
    registry.override(handler)
    async with ZohoSync(async_sessionmaker(engine), registry=registry) as sync:
        await sync.create_tables()
        await sync.ingest({"item": {"item_id": "1"}})
        await sync.ingest(document, entity=entity_type)
        assert await sync.drain() == {"applied": 2}
        await sync.ingest({"item": {"item_id": "2"}})
    await engine.dispose()


@pytest.mark.databases("sqlite", "postgresql", "mariadb")
@pytest.mark.parametrize(
    ("handler", "document"),
    [
        (Clients, {"contact_id": "1", "contact_name": SECRET_TEXT}),
        (Written, {"user_id": "1", "name": SECRET_TEXT}),
        (Trips, {"trip_id": "1"}),
    ],
)
def test_the_database_of_an_application_is_refused_without_it(
    call: Call, database_url: str, tmp_path: Path, handler: Any, document: Any
) -> None:
    asyncio.run(_as_application(database_url, handler, handler.entity_type, document))
    body = tmp_path / "body.json"
    body.write_text('{"item": {"item_id": "2"}}', encoding="utf-8")
    for command in (("worker", "--once"), ("try", str(body))):
        answer = call(*command, "--database-url", database_url)
        assert answer.code == 2
        assert "is kept by an application's own mappings" in answer.err
        assert "--app module:attribute" in answer.err
        assert SECRET_TEXT not in answer.err
    assert queued(database_url) == 1


def test_without_an_application_it_says_that_the_mirror_is_kept(
    call: Call, sqlite_url: str
) -> None:
    in_database(sqlite_url, enqueue)
    answer = call("worker", "--once", "--database-url", sqlite_url)
    assert answer.code == 0
    assert "without --app, events are applied to the mirror's tables only" in answer.err


def test_a_database_in_memory_is_refused(call: Call) -> None:
    answer = call("worker", "--database-url", "sqlite://")
    assert answer.code in {1, 2}
    assert "Traceback" not in answer.err


@pytest.mark.parametrize("option", ["--batch-size", "--concurrency"])
def test_numbers_below_one_are_usage_errors(call: Call, sqlite_url: str, option: str) -> None:
    assert call("worker", option, "0", "--database-url", sqlite_url).code == 2


def test_for_people_it_prints_nothing_when_it_is_stopped(sqlite_url: str, tmp_path: Path) -> None:
    in_database(sqlite_url, enqueue)
    with running("--database-url", sqlite_url, cwd=tmp_path) as process:
        wait_until_idle(sqlite_url)
        process.terminate()
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (0, ""), err


class Ending:
    """Ends the worker's loops as nobody expects them to end."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error

    async def __call__(self) -> None:
        if self.error is not None:
            raise self.error


def test_what_ends_its_loops_is_told_without_documents(
    call: Call, filled_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    statement = IntegrityError(f"INSERT '{SECRET_TEXT}'", {"name": SECRET_TEXT}, Exception("no"))
    stopped = WorkerStopped("the worker's sweep ended")
    stopped.__cause__ = statement
    monkeypatch.setattr(ZohoSync, "run", Ending(stopped))
    answer = call("worker", "--database-url", filled_url, "--json")
    assert (answer.code, answer.json) == (1, {"stopped_by": "error", "outcomes": None})
    assert "stopped: the worker's sweep ended: no" in answer.err
    assert SECRET_TEXT not in answer.err
    assert "Traceback" not in answer.err


def test_loops_that_end_by_themselves_are_done(
    call: Call, filled_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ZohoSync, "run", Ending(None))
    answer = call("worker", "--database-url", filled_url, "--json")
    assert (answer.code, answer.json["stopped_by"]) == (0, "done")
    people = call("worker", "--database-url", filled_url)
    assert (people.code, people.out) == (0, "")


def test_a_cancellation_that_no_signal_asked_for_is_no_success(
    call: Call, filled_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ZohoSync, "run", Ending(asyncio.CancelledError()))
    with pytest.raises(asyncio.CancelledError):
        call("worker", "--database-url", filled_url)


def test_a_traceback_in_the_log_holds_no_document(call: Call, filled_url: str) -> None:
    call("worker", "--once", "--database-url", filled_url)
    (handler,) = logging.getLogger("zoho_sync").handlers
    error = IntegrityError("INSERT", {"name": SECRET_TEXT}, Exception("taken"))
    record = logging.makeLogRecord(
        {"name": "zoho_sync", "msg": "failed", "exc_info": (type(error), error, None)}
    )
    told = handler.format(record)
    assert told.endswith("failed\n  IntegrityError: taken")
    assert SECRET_TEXT not in told


def test_once_is_for_one_process(call: Call, sqlite_url: str) -> None:
    answer = call("worker", "--once", "--processes", "2", "--database-url", sqlite_url)
    assert answer.code == 2
    assert "leave --processes out" in answer.err
