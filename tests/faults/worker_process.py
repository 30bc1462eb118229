"""A worker in a process of its own, for tests that kill and stop it.

``python -m tests.faults.worker_process URL LEASE [STALLED]``: it prints its moves, a line each. A
document whose notes begin with ``poison`` kills the process; one whose notes begin with ``stall``
makes the handler wait, once for each file named STALLED that is not there yet.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from datetime import timedelta
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from tests.faults.shop import Script, registry
from zoho_sync import RetryPolicy, SyncEvent, ZohoSync
from zoho_sync.abc import Job
from zoho_sync.queues import SQLQueue

LONGEST_STEP = 0.004
OPTIONS = "ZOHO_SYNC_TEST_CONNECT_ARGS"
"""The variable of the environment that holds, as JSON, what the driver is to be told."""
# The tests kill as well, and may by chance meet the same innocent alone several times.
MAX_DEATHS = 8


def say(words: str) -> None:
    """Tell the test."""
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


def script(stalled: Path | None) -> Script:
    """Return what the handlers do: die, wait, or take a moment so that kills meet them."""

    async def step(event: SyncEvent, session: AsyncSession) -> None:
        del session
        stamp = str(event.payload.get("notes"))
        if stamp.startswith("poison"):
            say(f"poisoned by {stamp}")
            os.kill(os.getpid(), signal.SIGKILL)
        if stamp.startswith("stall") and _is_first(stalled):
            say("stalled")
            await asyncio.sleep(1)
            say("went on")
        await asyncio.sleep(random.uniform(0, LONGEST_STEP))  # noqa: S311  # no secret

    return Script(after=step)


def _is_first(stalled: Path | None) -> bool:
    """Return whether no process has stalled before, and note that one has."""
    if stalled is None or stalled.exists():
        return False
    stalled.touch()
    return True


class Announced(SQLQueue):
    """A queue that says when it is claimed from."""

    async def claim(self, limit: int, *, lease: timedelta) -> list[Job]:
        """Say so, and claim."""
        say("works")
        return await super().claim(limit, lease=lease)


async def main(url: str, lease: str, stalled: str = "") -> None:
    """Work until killed."""
    engine = create_async_engine(url, connect_args=json.loads(os.environ.get(OPTIONS, "{}")))
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    sync = ZohoSync(
        sessions,
        queue=Announced(sessions),
        registry=registry(script(Path(stalled) if stalled else None)),
        lease=timedelta(seconds=float(lease)),
        batch_size=10,
        concurrency=2,
        retry=RetryPolicy(max_deaths=MAX_DEATHS),
    )
    await sync.run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
