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
import sys
from collections.abc import Iterator, Sequence
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
    workers = _Workers([sys.executable, "-m", "zoho_sync.cli", *arguments])
    with workers.told_to_stop():
        codes = await asyncio.gather(*(workers.keep_one(number) for number in range(count)))
    return workers.stopped_by or "done", max(codes)


class _Workers:
    """The processes, and what was said to them."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._running: set[asyncio.subprocess.Process] = set()
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
        # In a group of its own: a terminal's Ctrl-C comes here alone, and is handed on once.
        process = await asyncio.create_subprocess_exec(
            *self._command, stdin=asyncio.subprocess.DEVNULL, start_new_session=True
        )
        self._running.add(process)
        _log.info("worker %d is process %d", number, process.pid)
        try:
            if self._stopping.is_set():
                process.terminate()
            return await process.wait()
        finally:
            self._running.discard(process)

    def _stop(self, number: signal.Signals) -> None:
        self._stopping.set()
        self._tell(number)

    def _tell(self, number: signal.Signals) -> None:
        for process in self._running:
            # One that has ended of itself just now is not waited for yet.
            with suppress(ProcessLookupError):
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
            yield
