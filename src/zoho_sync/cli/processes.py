"""Runs several workers, each a process of its own: ``zoho-sync worker --processes N``.

They share nothing but the database and the queue. One that is killed, by an event perhaps, is
replaced; what it had claimed comes again. One that ends by itself has said why, and the others
would have the same reason: all are stopped.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Final

from zoho_sync.cli.running import FAILED, at_signals

__all__ = ["supervise"]

_log = logging.getLogger(__name__)

_PAUSE: Final = 1.0
"""Seconds before a process that was killed is replaced."""


async def supervise(count: int, arguments: Sequence[str]) -> tuple[str, int]:
    """Run workers until told to stop, or until one of them ends by itself.

    The arguments are those of each, after ``zoho-sync``. What stopped them is returned, with the
    exit code.
    """
    workers = _Workers([sys.executable, "-m", "zoho_sync.cli", *arguments], count)
    with workers.told_to_stop():
        codes = await asyncio.gather(*(workers.keep_one(number) for number in range(count)))
    return workers.stopped_by or "done", max(codes)


class _Workers:
    """The processes, and what was said to them.

    They are subprocess's and not asyncio's. Before a signal, a Popen looks whether its process has
    ended; where asyncio waits for it elsewhere, the exit code is lost then, and 255 is reported.
    """

    def __init__(self, command: Sequence[str], count: int) -> None:
        self._command = command
        # One thread for each: the loop's own executor may have fewer, and an end be seen late.
        self._waiting = ThreadPoolExecutor(count, "zoho-sync-process")
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopping = asyncio.Event()
        self.stopped_by = ""

    async def keep_one(self, number: int) -> int:
        """Keep one worker running; return the exit code of the one that ended."""
        while not self._stopping.is_set():
            code = await self._run(number)
            if code >= 0:
                self._stop(signal.SIGTERM)
                return code
            if not self._stopping.is_set():
                _log.error("worker %d was killed by signal %d; it is replaced", number, -code)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), _PAUSE)
        return 0

    async def _run(self, number: int) -> int:
        process = self._start()
        self._running.add(process)
        _log.info("worker %d is process %d", number, process.pid)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._waiting, process.wait)
        finally:
            self._running.discard(process)

    def _start(self) -> subprocess.Popen[bytes]:
        # In a group of its own: a terminal's Ctrl-C comes here alone, and is handed on once.
        return subprocess.Popen(  # noqa: S603  # this program, with its own arguments
            self._command, stdin=subprocess.DEVNULL, start_new_session=True
        )

    def _stop(self, number: signal.Signals) -> None:
        self._stopping.set()
        self._tell(number)

    def _tell(self, number: signal.Signals) -> None:
        for process in self._running:
            process.send_signal(number)

    @contextmanager
    def told_to_stop(self) -> Iterator[None]:
        """Hand signals on; a second one ends the workers, and this process, at once."""

        def stop(number: signal.Signals) -> None:
            if self.stopped_by:
                self._tell(signal.SIGKILL)
                os._exit(FAILED)  # pragma: no cover  # nothing can be written down any more
            self.stopped_by = number.name
            _log.info("%s: stopping %d worker(s)", number.name, len(self._running))
            self._stop(number)

        with at_signals(stop):
            try:
                yield
            finally:
                self._stop(signal.SIGTERM)
