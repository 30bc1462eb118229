"""A front door under load by senders without the secret: honest deliveries keep their speed.

Two hundred connections send bodies of 5 MB with well-formed wrong signatures, sixty more send
slowly or nothing. Together they send 24 MB a second, and each pauses for a second between two
connections, since on a machine of two cores the senders alone would keep both busy otherwise.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import quantiles

import pytest

from tests.amounts import amount, is_core
from tests.web.load import Honest

REPOSITORY = Path(__file__).parents[2]
SIZES = (2_000, 20_000, 64 * 1024)
SECONDS = amount(core=1, everything=20)
WARM = 0.5
TRIES = 3
TIMES = 5
"""How many times its idle one the 99th percentile may be, in one of the tries."""
GROWTH = 100 * 1024 * 1024
PAGE = os.sysconf("SC_PAGE_SIZE")


@contextlib.contextmanager
def running(*command: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate()


def memory(process: subprocess.Popen[str]) -> int:
    """How many bytes of a process are in memory."""
    return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * PAGE


async def honest(port: int, seconds: float) -> list[float]:
    """Send deliveries of several sizes at once; return how long each took."""
    until = time.monotonic() + seconds

    async def one(size: int) -> list[float]:
        return [took async for took in Honest(port).seconds(size, until)]

    return [took for each in await asyncio.gather(*map(one, SIZES)) for took in each]


def p99(took: Sequence[float]) -> float:
    return quantiles(took, n=100)[-1]


async def growth(server: subprocess.Popen[str], most: list[int]) -> None:
    """Note the most memory that a process has, until cancelled."""
    while True:
        most.append(max(most.pop(), memory(server)))
        await asyncio.sleep(0.05)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads memory as Linux tells it")
async def test_honest_deliveries_keep_their_speed(sqlite_url: str) -> None:
    with running("tests.web.load_server", sqlite_url) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        await honest(port, WARM)  # the first ones compile statements
        most = [before := memory(server)]
        watching = asyncio.ensure_future(growth(server, most))
        times = []
        for _ in range(TRIES):
            idle = p99(await honest(port, SECONDS / 4))
            with running("tests.web.load", str(port), str(SECONDS)):
                loaded = p99(await honest(port, SECONDS))
            times.append(loaded / idle)
            # The machine has other things to do as well, and not always equally many.
            if times[-1] < TIMES or is_core():
                break
        watching.cancel()
    assert most[0] - before < GROWTH
    assert times[-1] < TIMES or is_core(), times
