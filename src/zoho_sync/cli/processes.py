"""Runs several workers, each a process of its own: ``zoho-sync worker --processes N``.

They share nothing but the database and the queue. One that ends is replaced, however it ended: an
event may have killed it, or an operator; what it had claimed comes again. Where one ends soon after
its start again and again, the others would have the same reason: all are stopped.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from zoho_sync.cli.running import FAILED, UNREACHABLE, at_signals

__all__ = ["STOPS_WITH_PARENT", "Replacing", "supervise"]

_log = logging.getLogger(__name__)

STOPS_WITH_PARENT: Final = "--stops-with-parent"
"""The option by which a worker watches its standard input, which its supervisor holds."""


@dataclass(frozen=True)
class Replacing:
    """When a worker that has ended is replaced, and when no more.

    Seconds. The pause grows from the first to the longest, twice as long at each end that comes
    sooner than `settled` after the start; after so many such ends in a row it is given up.
    """

    first: float = 1.0
    longest: float = 30.0
    settled: float = 60.0
    ends: int = 5

    def pause(self, ends: int) -> float:
        """Return the seconds to wait after so many early ends in a row."""
        return min(self.longest, self.first * 2.0 ** max(0, ends - 1))


async def supervise(
    count: int, arguments: Sequence[str], replacing: Replacing | None = None
) -> tuple[str, int]:
    """Keep so many workers running until told to stop, or until one of them keeps failing.

    The arguments are those of each, after ``zoho-sync``. What stopped them is returned, with the
    exit code: 0 where a signal did, otherwise that of the worker which kept failing.
    """
    command = [sys.executable, "-m", "zoho_sync.cli", *arguments, STOPS_WITH_PARENT]
    workers = _Workers(command, count, replacing or Replacing())
    with workers.told_to_stop():
        codes = await asyncio.gather(*(workers.keep_one(number) for number in range(count)))
    return workers.stopped_by or "error", max(codes)


class _Workers:
    """The processes, and what was said to them.

    They are subprocess's and not asyncio's. Before a signal, a Popen looks whether its process has
    ended; where asyncio waits for it elsewhere, the exit code is lost then, and 255 is reported.
    """

    def __init__(self, command: Sequence[str], count: int, replacing: Replacing) -> None:
        self._command = command
        self._replacing = replacing
        # One thread for each: the loop's own executor may have fewer, and an end be seen late.
        self._waiting = ThreadPoolExecutor(count, "zoho-sync-process")
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopping = asyncio.Event()
        self.stopped_by = ""

    async def keep_one(self, number: int) -> int:
        """Keep one worker running; return 0, or the exit code with which it kept failing."""
        ends = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            code = await self._run(number)
            if self._stopping.is_set():
                break
            ends = ends + 1 if time.monotonic() - began < self._replacing.settled else 0
            if ends >= self._replacing.ends:
                _log.error("worker %d %s, %d times in a row: giving up", number, _told(code), ends)
                self._stop()
                # What a signal or a success of its own ended, has failed to work all the same.
                return code if FAILED <= code <= UNREACHABLE else FAILED
            pause = self._replacing.pause(ends)
            _log.error("worker %d %s; it is replaced in %g s", number, _told(code), pause)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
        return 0

    async def _run(self, number: int) -> int:
        try:
            process = self._start()
        except OSError as error:  # no memory, or no more processes, for now
            _log.error("worker %d cannot be started: %s", number, error.strerror)
            return FAILED
        self._running.add(process)
        _log.info("worker %d is process %d", number, process.pid)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._waiting, process.wait)
        finally:
            self._running.discard(process)
            _let_go(process)

    def _start(self) -> subprocess.Popen[bytes]:
        # In a group of its own: a terminal's Ctrl-C comes here alone, and is handed on once.
        group = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)  # on Windows
        return subprocess.Popen(  # noqa: S603  # this program, with its own arguments
            self._command, stdin=subprocess.PIPE, start_new_session=True, creationflags=group
        )

    def _stop(self) -> None:
        self._stopping.set()
        for process in self._running:
            _let_go(process)

    @contextmanager
    def told_to_stop(self) -> Iterator[None]:
        """Hand the wish to stop on; a second signal ends the workers, and this process, at once."""

        def stop(number: signal.Signals) -> None:
            if self.stopped_by:
                for process in self._running:
                    process.kill()
                os._exit(FAILED)  # pragma: no cover  # nothing can be written down any more
            self.stopped_by = number.name
            _log.info("%s: stopping %d worker(s)", number.name, len(self._running))
            self._stop()

        with at_signals(stop):
            try:
                yield
            finally:
                self._stop()


def _let_go(process: subprocess.Popen[bytes]) -> None:
    """Ask a worker to stop: it stops at the end of its standard input, on every system."""
    if process.stdin is not None:
        process.stdin.close()


def _told(code: int) -> str:
    if code < 0:
        return f"was killed by signal {-code}"
    return f"ended with exit code {code}"
