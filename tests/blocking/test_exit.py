"""What becomes of the jobs under way where a process ends, in whichever way a server ends it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from zoho_sync import ZohoSync
from zoho_sync.web.loop_thread import _closed_in_the_end

PROGRAM = """
import asyncio, atexit, os, signal, sys, threading
from pathlib import Path
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.pool import NullPool
from zoho_sync import HandlerRegistry, ZohoSync
from zoho_sync.blocking import BlockingSync
from zoho_sync.handlers import ProductHandler

url, pool, ending = sys.argv[1:]

class Slow(ProductHandler):
    mapping = None
    async def upsert(self, payload):
        await asyncio.to_thread(len, ())  # as drivers do that look up a name
        begun.set()
        await asyncio.sleep(600)

def make():
    options = {"poolclass": NullPool} if pool == "NullPool" else {}
    engine = create_async_engine(url, **options)
    return ZohoSync(async_sessionmaker(engine), registry=HandlerRegistry([Slow]))

def refuse(*args, **kwargs):
    raise RuntimeError("can't create new thread at interpreter shutdown")

def forbid():
    # As Python 3.12 and later do, from the end of the main thread on.
    threading.Thread.start = refuse

begun = threading.Event()
sync = BlockingSync(make)
sync.start()
atexit.register(forbid)
sync.ingest({"item": {"item_id": "1"}})
sync.start_worker()
assert begun.wait(50)
if ending == "exit":
    sys.exit(0)
if ending == "error":
    raise LookupError("of the host's own")
if ending == "handled":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
if ending in ("handled", "unhandled"):
    Path("ready").touch()
    threading.Event().wait(50)
"""


async def _depth(url: str) -> tuple[int, int]:
    engine = create_async_engine(url)
    depth = (await ZohoSync(async_sessionmaker(engine)).status()).queue
    await engine.dispose()
    return depth.ready, depth.leased


def ended(
    url: str, folder: Path, pool: str, ending: str, act: Callable[[subprocess.Popen[str]], None]
) -> tuple[int, str]:
    """Run the program to its end; return its exit code, and what it wrote to standard error."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, url, pool, ending],
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
    ) as process:
        try:
            act(process)
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    return process.returncode, err


def terminate(process: subprocess.Popen[str], folder: Path) -> None:
    deadline = time.monotonic() + 50
    while not (folder / "ready").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.terminate()


@pytest.mark.parametrize("pool", ["QueuePool", "NullPool"])
@pytest.mark.parametrize("ending", ["return", "exit", "error"])
def test_a_process_that_exits_gives_back_what_is_under_way(
    sqlite_url: str, tmp_path: Path, pool: str, ending: str
) -> None:
    code, err = ended(sqlite_url, tmp_path, pool, ending, lambda _: None)
    assert code == (ending == "error")
    assert asyncio.run(_depth(sqlite_url)) == (1, 0)
    assert "could not be released" not in err
    assert "interpreter shutdown" not in err
    assert err.count("Traceback") == (ending == "error")


@pytest.mark.skipif(os.name != "posix", reason="SIGTERM is sent")
@pytest.mark.parametrize("pool", ["QueuePool", "NullPool"])
def test_so_does_one_that_turns_a_signal_into_an_exit(
    sqlite_url: str, tmp_path: Path, pool: str
) -> None:
    """As the docs say what a server needs that has no handler of its own."""
    ending = "handled"
    code, err = ended(sqlite_url, tmp_path, pool, ending, lambda it: terminate(it, tmp_path))
    assert (code, err) == (0, "")
    assert asyncio.run(_depth(sqlite_url)) == (1, 0)


@pytest.mark.skipif(os.name != "posix", reason="SIGTERM is sent")
def test_a_signal_that_nobody_handles_leaves_the_lease_to_expire(
    sqlite_url: str, tmp_path: Path
) -> None:
    """As the docs say: nothing of the process runs any more."""
    ending = "unhandled"
    code, _ = ended(sqlite_url, tmp_path, "QueuePool", ending, lambda it: terminate(it, tmp_path))
    assert code < 0
    assert asyncio.run(_depth(sqlite_url)) == (0, 1)


class Unclosable:
    """A runner whose loop cannot end its executor's threads."""

    def close(self) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")


def test_a_loop_that_cannot_be_closed_is_an_error_but_where_the_process_exits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runner: Any = Unclosable()
    with pytest.raises(RuntimeError, match="new thread"), _closed_in_the_end(runner):
        pass
    ended = threading.Thread()  # as the main one is then
    monkeypatch.setattr(threading, "main_thread", lambda: ended)
    with _closed_in_the_end(runner):
        pass
