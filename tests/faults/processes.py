"""Worker processes that a test starts, and the only ones that it ends."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]


class WorkerProcess:
    """A worker in a process of its own."""

    def __init__(
        self,
        url: str,
        lease: float,
        stalled: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        command = [sys.executable, "-m", "tests.faults.worker_process", url, str(lease)]
        self._process = subprocess.Popen(
            command + ([str(stalled)] if stalled else []),
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said: list[str] = []
        self.complained: list[str] = []
        self._listeners = [
            threading.Thread(target=self._listen, args=pair, daemon=True)
            for pair in ((self._process.stdout, self.said), (self._process.stderr, self.complained))
        ]
        for listener in self._listeners:
            listener.start()

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def wait_for(self, words: str, seconds: float = 20) -> None:
        """Wait until it has said something.

        Raises:
            AssertionError: It ended, or took too long.
        """
        deadline = time.monotonic() + seconds
        while words not in self.said:
            if not self.alive or time.monotonic() > deadline:
                raise AssertionError(f"never said {words!r}:\n" + "".join(self.complained[-40:]))
            time.sleep(0.01)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def end(self) -> None:
        """Kill it, if it is still there, and collect what is left of it."""
        self._process.kill()
        self._process.wait()
        for listener in self._listeners:
            listener.join()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    @staticmethod
    def _listen(pipe: Iterator[str], lines: list[str]) -> None:
        for line in pipe:
            lines.append(line.rstrip("\n"))  # noqa: PERF401  # the test reads along


@contextmanager
def worker_process(
    url: str,
    lease: float,
    stalled: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[WorkerProcess]:
    """A worker in a process of its own, ended with the block."""
    process = WorkerProcess(url, lease, stalled, environment)
    try:
        yield process
    finally:
        process.end()
