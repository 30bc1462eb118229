"""``zoho-sync worker``: applies, logs plainly, and stops when it is told to."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.conftest import SECRET_TEXT, Call, in_database
from zoho_sync import ZohoSync

_PATIENCE = 50.0


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
    deadline = time.monotonic() + _PATIENCE
    while queued(url):
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_gracefully(
    database_url: str, tmp_path: Path, number: signal.Signals
) -> None:
    in_database(database_url, enqueue)
    options = ("--database-url", database_url, "--json", "--batch-size", "1", "--concurrency", "2")
    with running(*options, cwd=tmp_path) as process:
        wait_until_idle(database_url)
        process.send_signal(number)
        out, err = process.communicate(timeout=_PATIENCE)
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


def _slow(url: str, folder: Path, ending: str) -> None:
    (folder / "slow_host.py").write_text(_HOST.format(url=url, ending=ending), encoding="utf-8")


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


async def enqueue_item(sync: ZohoSync) -> None:
    await sync.create_tables()
    await sync.ingest({"item": {"item_id": "1", "name": SECRET_TEXT}})


def test_what_is_under_way_is_given_back(postgres_url: str, tmp_path: Path) -> None:
    in_database(postgres_url, enqueue_item)
    _slow(postgres_url, tmp_path, "pass")
    with running("--app", "slow_host:sync", cwd=tmp_path) as process:
        _wait_for(tmp_path / "begun")
        process.terminate()
        _, err = process.communicate(timeout=_PATIENCE)
    assert process.returncode == 0, err

    async def read(sync: ZohoSync) -> tuple[int, int]:
        depth = (await sync.status()).queue
        return depth.ready, depth.leased

    assert in_database(postgres_url, read) == (1, 0)


def test_a_second_signal_ends_it_at_once(postgres_url: str, tmp_path: Path) -> None:
    in_database(postgres_url, enqueue_item)
    _slow(postgres_url, tmp_path, 'Path("ending").touch(); await asyncio.sleep(60)')
    with running("--app", "slow_host:sync", cwd=tmp_path) as process:
        _wait_for(tmp_path / "begun")
        process.terminate()
        _wait_for(tmp_path / "ending")
        process.terminate()
        process.communicate(timeout=_PATIENCE)
    assert process.returncode == 1


def test_once_works_off_what_is_there(call: Call, sqlite_url: str) -> None:
    in_database(sqlite_url, enqueue)
    answer = call("worker", "--once", "--database-url", sqlite_url, "--json")
    assert answer.code == 0
    assert answer.json == {"stopped_by": "done", "outcomes": {"applied": 1, "dead_letter": 1}}
    assert SECRET_TEXT not in answer.err
    assert call("worker", "--once", "--database-url", sqlite_url).out == "nothing to do\n"


def test_a_database_in_memory_is_refused(call: Call) -> None:
    answer = call("worker", "--database-url", "sqlite://")
    assert answer.code in {1, 2}
    assert "Traceback" not in answer.err


@pytest.mark.parametrize("option", ["--batch-size", "--concurrency"])
def test_numbers_below_one_are_usage_errors(call: Call, sqlite_url: str, option: str) -> None:
    assert call("worker", option, "0", "--database-url", sqlite_url).code == 2
