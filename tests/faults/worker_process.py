"""A worker in a process of its own, which dies, stalls and blocks as it is told to.

What a document is stamped with says what becomes of the process, or the event, that meets it.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import event as sa_event
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from tests.faults.clocks import shift_clocks
from tests.faults.routes import Route
from tests.hosts.shop import Script, registry
from zoho_sync import RetryPolicy, SyncEvent, ZohoSync
from zoho_sync.abc import Job, QueueBackend
from zoho_sync.cli.parent import Parent
from zoho_sync.cli.worker import _told_to_stop
from zoho_sync.queues import SQLQueue

__all__ = ["CRASHED", "Conduct", "work"]

CRASHED = 70
"""The exit code of a worker that ended by an error of its own."""

_LONGEST_STEP = 0.004
_GREEDY = 2.0
_HUGE = 5 * 1024 * 1024


@dataclass(frozen=True)
class Conduct:
    """How a worker is wired, and what is wrong with it.

    Attributes:
        lease: In seconds.
        batch_size: Events of one transaction.
        concurrency: Transactions at once.
        max_deaths: Workers that an event may take down. Tests that kill as well may by chance meet
            the same innocent alone several times.
        max_attempts: Attempts of an event that fails.
        dies: Where a process is killed that meets a document stamped ``die``: after the ``claim``,
            in the ``handler``, at the ``commit``, or before the ``ack``.
        pool: Connections that the engine may have; 0 for as many as usual.
        hogs: Tasks of the host that take connections out of that pool, for two seconds.
        clock_off: By how many seconds the process's clock is wrong.
        connect_args: What the driver of the database is told.
    """

    lease: float = 1.0
    batch_size: int = 10
    concurrency: int = 2
    max_deaths: int = 30
    max_attempts: int = 8
    dies: str = ""
    pool: int = 0
    hogs: int = 0
    clock_off: float = 0.0
    connect_args: Mapping[str, Any] = field(default_factory=dict)


class Moves:
    """What the process says, and does once for each document.

    Args:
        said: The file that is written to.
        folder: Of the trial; what was done once is noted there, for all its processes.
    """

    def __init__(self, said: Path, folder: Path) -> None:
        self._said = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._folder = folder

    def say(self, words: str) -> None:
        """Tell the test."""
        os.write(self._said, f"{words}\n".encode())

    def is_first(self, stamp: str) -> bool:
        """Return whether no process has met this document before, and note that one has."""
        try:
            (self._folder / f"met {stamp}").touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def die(self, where: str, stamp: str) -> None:
        """End the process at once."""
        self.say(f"dies {where} {stamp}")
        os.kill(os.getpid(), signal.SIGKILL)


def stamp_of(event: SyncEvent) -> str:
    """Return what a document is stamped with."""
    return str(event.payload.get("notes", ""))


def watched(engine: Any, conduct: Conduct, moves: Moves) -> QueueBackend:
    """Let an engine tell of its claims, and the process die in its calls."""
    claim, ack = engine.claim, engine.ack

    def may_die(where: str, jobs: Sequence[Job]) -> None:
        for stamp in (stamp_of(job.event) for job in jobs):
            if conduct.dies == where and stamp.startswith("die") and moves.is_first(stamp):
                moves.die(where, stamp)

    async def claim_and_tell(limit: int, *, lease: timedelta) -> list[Job]:
        moves.say("works")
        jobs: list[Job] = await claim(limit, lease=lease)
        may_die("claim", jobs)
        return jobs

    async def ack_or_die(jobs: Sequence[Job], *, connection: Any = None) -> None:
        may_die("ack", jobs)
        await ack(jobs, connection=connection)

    engine.claim, engine.ack = claim_and_tell, ack_or_die
    found: QueueBackend = engine
    return found


class Handlers:
    """What the handlers do besides writing."""

    def __init__(self, conduct: Conduct, moves: Moves) -> None:
        self._conduct, self._moves = conduct, moves
        self.dying: list[str] = []
        """The documents at whose commit the process dies; one batch may hold several."""

    async def step(self, event: SyncEvent, session: AsyncSession) -> None:
        """Do what the document is stamped with, or take a moment so that faults meet it."""
        del session
        stamp, dies = stamp_of(event), self._conduct.dies
        mark = stamp.partition(".")[0]
        if mark == "poison":
            self._moves.die("of", stamp)
        if mark == "fail":
            # Its kind is unknown, so that it is tried again.
            raise RuntimeError("\x00" + "x" * _HUGE)
        here = mark in {"stall", "block"} or (mark == "die" and dies in {"handler", "commit"})
        if here and self._moves.is_first(stamp):
            await self._once(mark, stamp)
        await asyncio.sleep(random.uniform(0, _LONGEST_STEP))  # noqa: S311  # no secret

    async def _once(self, mark: str, stamp: str) -> None:
        if mark == "stall":
            self._moves.say("stalled")
            try:
                await asyncio.sleep(1)
            finally:
                # One that was stopped for longer than an event may take is cancelled as it wakes.
                self._moves.say("went on")
        elif mark == "block":
            self._moves.say("blocks")
            time.sleep(self._conduct.lease * 1.3)  # noqa: ASYNC251  # that is the fault
        elif self._conduct.dies == "handler":
            self._moves.die("handler", stamp)
        elif self._conduct.dies == "commit":
            self.dying.append(stamp)

    def at_commit(self, _: Any) -> None:
        """Die within a moment: before the commit, during it, or after."""
        if self.dying:
            soon = random.uniform(0, 0.002)  # noqa: S311  # no secret
            threading.Timer(soon, self._die).start()

    def _die(self) -> None:
        self._moves.die("commit", " ".join(self.dying))


def work(route: Route, conduct: Conduct, said: Path, log: Path) -> None:
    """Work until killed, or told to stop."""
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    if conduct.clock_off:
        shift_clocks(conduct.clock_off)
    try:
        asyncio.run(_work(route, conduct, Moves(said, said.parent)))
    except BaseException:  # noqa: BLE001  # whatever it is, the test is to see it
        os.write(2, traceback.format_exc().encode())
        os._exit(CRASHED)


async def _work(route: Route, conduct: Conduct, moves: Moves) -> None:
    pool = (
        {"pool_size": conduct.pool, "max_overflow": 0, "pool_timeout": 0.4} if conduct.pool else {}
    )
    told = dict(conduct.connect_args)
    engine = create_async_engine(route.database, connect_args=told, **pool)
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    lease = timedelta(seconds=conduct.lease)
    handlers = Handlers(conduct, moves)
    sa_event.listen(engine.sync_engine, "commit", handlers.at_commit)
    sync = ZohoSync(
        sessions,
        queue=route.queue_of(watched(route.engine(lease) or SQLQueue(sessions), conduct, moves)),
        registry=registry(Script(after=handlers.step)),
        lease=lease,
        batch_size=conduct.batch_size,
        concurrency=conduct.concurrency,
        retry=RetryPolicy(
            max_deaths=conduct.max_deaths,
            max_attempts=conduct.max_attempts,
            base_delay=timedelta(milliseconds=200),
        ),
    )
    hogs = [asyncio.create_task(_hog(engine)) for _ in range(conduct.hogs)]
    running = asyncio.ensure_future(sync.run())
    with _told_to_stop(running, Parent()) as received, suppress(asyncio.CancelledError):
        await running
    moves.say(f"stopped by {' '.join(received)}")
    for hog in hogs:
        hog.cancel()


async def _hog(engine: AsyncEngine) -> None:
    """Be a host that takes connections, and holds some for longer than others wait."""
    end = time.monotonic() + _GREEDY
    while time.monotonic() < end:
        with suppress(Exception):
            async with engine.connect():
                await asyncio.sleep(random.uniform(0.1, 0.5))  # noqa: S311  # no secret
        await asyncio.sleep(0.01)
