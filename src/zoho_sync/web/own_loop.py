"""Runs one event loop in each process that asks for something, from the first time on."""

from __future__ import annotations

import os
import threading
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Generic, TypeVar

from zoho_sync.web.loop_thread import LoopThread

__all__ = ["OwnLoop"]

_T = TypeVar("_T")
_ResourceT = TypeVar("_ResourceT")


class _Started(Generic[_ResourceT]):
    """A thread with a loop, and whether it was started; nothing of it is known to other processes.

    A lock is never shared with a process that is forked: another thread may hold it then.
    """

    def __init__(self, opening: Callable[[], AbstractAsyncContextManager[_ResourceT]]) -> None:
        self._lock = threading.Lock()
        self._thread = LoopThread(opening)
        self._is_started = False

    def thread(self) -> LoopThread[_ResourceT]:
        """Start it, if it was not yet."""
        with self._lock:
            if not self._is_started:
                self._thread.start()
                self._is_started = True
        return self._thread


class OwnLoop(Generic[_ResourceT]):
    """Opens a resource in a loop and a thread of its own when it is first asked for.

    A process that is forked opens its own. At the exit of a process its resource is closed.

    Args:
        opening: Makes the context manager that opens the resource and closes it, in the loop.
    """

    def __init__(self, opening: Callable[[], AbstractAsyncContextManager[_ResourceT]]) -> None:
        self._opening = opening
        self._by_process: dict[int, _Started[_ResourceT]] = {}

    def call(self, work: Callable[[_ResourceT], Awaitable[_T]]) -> _T:
        """Run a coroutine in the loop, and return what it returns or raise what it raises.

        Raises:
            ConfigurationError: The process is ending.
        """
        # Several threads may get here at once; of what they make, all take the same one.
        pid = os.getpid()
        started = self._by_process.get(pid)
        if started is None:
            started = self._by_process.setdefault(pid, _Started(self._opening))
        return started.thread().call(work)
