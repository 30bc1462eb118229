"""Worker processes that a test starts, and the only ones that it ends."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.faults.routes import Route
from tests.faults.worker_process import CRASHED, Conduct, work

__all__ = ["Crew", "WorkerProcess", "process"]

# Everything is imported once, in a process that does nothing but fork: a worker that is killed is
# replaced within milliseconds.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["tests.faults.worker_process", "asyncpg", "asyncmy", "aiosqlite", "nats", "redis.asyncio"]
)


def process(target: Callable[..., None], *arguments: Any) -> multiprocessing.process.BaseProcess:
    """Start a process that runs a function."""
    started = _CONTEXT.Process(target=target, args=arguments, daemon=True)
    started.start()
    return started


class WorkerProcess:
    """A worker in a process of its own.

    Args:
        route: Where its database and its queue are.
        conduct: How it is wired.
        folder: For what it says.
    """

    _numbers = itertools.count(1)

    def __init__(self, route: Route, conduct: Conduct, folder: Path) -> None:
        number = next(self._numbers)
        self._said, self._log = folder / f"said {number}", folder / f"log {number}"
        self._process = process(work, route, conduct, self._said, self._log)
        assert self._process.pid is not None
        self._pid = self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.is_alive()

    @property
    def exit_code(self) -> int | None:
        """How it ended; the negative number of a signal."""
        return self._process.exitcode

    @property
    def said(self) -> list[str]:
        """What it has said so far."""
        return _lines(self._said)

    @property
    def complained(self) -> list[str]:
        """What it has logged so far."""
        return _lines(self._log)

    def signal(self, number: int) -> None:
        """Send it a signal, if it is there."""
        # The server that forked it may have heard of its end sooner than this process.
        with suppress(ProcessLookupError):
            if self.alive:
                os.kill(self._pid, number)

    def end(self) -> None:
        """Kill it, if it is still there."""
        self.signal(signal.SIGKILL)
        self._process.join()


class Crew:
    """Keeps so many workers running.

    Args:
        route: Where their database and their queue are.
        conduct: How they are wired; of a wrong clock every second one has the opposite.
        size: How many.
        folder: For what they say.
    """

    def __init__(self, route: Route, conduct: Conduct, size: int, folder: Path) -> None:
        self._route, self._conduct, self._size, self._folder = route, conduct, size, folder
        self.workers: list[WorkerProcess] = []
        self.gone: list[WorkerProcess] = []
        self.kills = 0

    def tend(self) -> None:
        """Replace those that have ended."""
        for worker in [each for each in self.workers if not each.alive]:
            self.workers.remove(worker)
            self.gone.append(worker)
        while len(self.workers) < self._size:
            off = self._conduct.clock_off * (-1 if len(self.workers) % 2 else 1)
            conduct = replace(self._conduct, clock_off=off)
            self.workers.append(WorkerProcess(self._route, conduct, self._folder))

    def working(self) -> list[WorkerProcess]:
        """Return those that have begun: before that there is nothing to lose."""
        return [each for each in self.workers if each.alive and "works" in each.said]

    def kill(self, workers: Sequence[WorkerProcess]) -> None:
        """Kill some."""
        for worker in workers:
            self.kills += 1
            worker.signal(signal.SIGKILL)

    def kill_one(self, dice: random.Random) -> None:
        """Kill one that has begun, if there is one."""
        if found := self.working():
            self.kill([dice.choice(found)])

    def said(self, words: str) -> list[WorkerProcess]:
        """Return those, alive or not, that have said something that begins so."""
        everyone = [*self.workers, *self.gone]
        return [each for each in everyone if any(w.startswith(words) for w in each.said)]

    def died_of(self) -> set[str]:
        """Return the stamps of the documents that they said they die of."""
        lines = (line.split() for each in (*self.workers, *self.gone) for line in each.said)
        return {stamp for line in lines if line[:1] == ["dies"] for stamp in line[2:]}

    def end(self) -> None:
        """Kill all that are left."""
        self._size = 0
        for worker in self.workers:
            worker.end()
        self.tend()

    def crashed(self) -> list[str]:
        """Return what those have logged that ended by an error of their own."""
        return ["\n".join(w.complained[-40:]) for w in self.gone if w.exit_code == CRASHED]

    def complaints(self) -> str:
        """Return the last that each has logged."""
        everyone = [*self.gone[-3:], *self.workers]
        return "\n".join(line for worker in everyone for line in worker.complained[-12:])


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return []
