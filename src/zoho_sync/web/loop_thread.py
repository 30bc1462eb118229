"""Runs an event loop in a thread of its own, for callers that have none.

Everything that belongs to a loop (engines, connections, locks, the worker) is made, used and closed
in that thread; callers hand it coroutines and wait.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from typing import Any, Final, Generic, TypeVar, cast

from zoho_sync.exceptions import ConfigurationError

__all__ = ["LoopThread"]

_T = TypeVar("_T")
_ResourceT = TypeVar("_ResourceT")

_GRACE: Final = 10.0

_CLOSED: Final = "it is closed, and does not open again; make another"
_NOT_STARTED: Final = "it is not started; use `with`, or call start() and in the end close()"
_FORKED: Final = (
    "it was started in another process: this one has inherited neither its thread nor its"
    " connections. Make and start one in each process, after the fork (gunicorn: without"
    " preload_app, or in the hook post_fork)"
)
_OWN_THREAD: Final = (
    "it was called in the thread of its own event loop, which would wait for itself; there, await"
    " the methods of the ZohoSync"
)


class LoopThread(Generic[_ResourceT]):
    """Runs an event loop, with one resource open in it; starts once and closes once.

    Args:
        opening: Makes the context manager that opens the resource and closes it, in the loop.
    """

    def __init__(self, opening: Callable[[], AbstractAsyncContextManager[_ResourceT]]) -> None:
        self._opening = opening
        self._pid: int | None = None
        self._lock = threading.Lock()
        self._closing = self._closed = False
        self._stop = asyncio.Event()
        self._calls = set[asyncio.Task[Any]]()
        self._opened = Future[_ResourceT]()
        self._ended = Future[None]()

    def start(self) -> None:
        """Start the thread, and return when the resource is open.

        Raises:
            ConfigurationError: It was started before.
            Exception: What opening the resource raised; nothing is left behind then.
        """
        self._refuse_fork()
        with self._lock:
            if self._closing or self._pid is not None:
                raise ConfigurationError(_CLOSED if self._closing else "it was started before")
            # A loop factory: without one, the runner would set the calling thread's own loop.
            self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
            self._loop = self._runner.get_loop()
            # A daemon, or a host that forgets to close would never exit.
            self._thread = threading.Thread(target=self._run, name="zoho_sync", daemon=True)
            self._thread.start()
            self._pid = os.getpid()
        atexit.register(self.close)
        try:
            self._opened.result()
        except BaseException:
            self.close()
            raise

    def call(self, work: Callable[[_ResourceT], Awaitable[_T]]) -> _T:
        """Run a coroutine in the loop, and return what it returns or raise what it raises.

        Raises:
            ConfigurationError: Not started, closed, of another process, or in the loop's own
                thread.
        """
        resource = self.resource()
        with self._lock:
            # Under the lock: what is handed over before the loop is told to stop is still run.
            self._refuse_closed()
            future = asyncio.run_coroutine_threadsafe(self._perform(work, resource), self._loop)
        try:
            return future.result()
        except CancelledError:
            message = "it was closed while the call was under way; the call was cancelled"
            raise ConfigurationError(message) from None
        finally:
            # Where the waiting was interrupted, by the keyboard for example, nobody waits any more.
            future.cancel()
            # An error holds this frame, and through it itself, and the rows that it was about.
            del future

    def resource(self) -> _ResourceT:
        """Return the resource, for what may be done with it in any thread.

        Raises:
            ConfigurationError: As of `call`.
        """
        self._refuse_fork()
        with self._lock:
            self._refuse_closed()
        return self._opened.result()

    def close(self) -> None:
        """Close the resource, and end the loop and the thread; harmless when that was done.

        Calls of other threads have ten seconds to end. In a process that was forked there is
        nothing to close.

        Raises:
            ConfigurationError: Called in the loop's own thread.
            Exception: What closing the resource raised; the thread has ended all the same.
        """
        if self._pid not in {None, os.getpid()}:
            return
        with self._lock:
            if self._pid is None:
                self._closing = True
                return
            self._refuse_own_thread()
            first, self._closing, self._closed = not self._closed, True, True
            with suppress(RuntimeError):  # the loop has ended by itself
                self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        atexit.unregister(self.close)
        if first:
            self._ended.result()

    def _refuse_fork(self) -> None:
        # Before any lock is taken: another thread may have held it at the moment of the fork.
        if self._pid not in {None, os.getpid()}:
            raise ConfigurationError(_FORKED)

    def _refuse_closed(self) -> None:
        if self._closing:
            raise ConfigurationError(_CLOSED)
        if self._pid is None:
            raise ConfigurationError(_NOT_STARTED)
        self._refuse_own_thread()

    def _refuse_own_thread(self) -> None:
        if threading.current_thread() is self._thread:
            raise ConfigurationError(_OWN_THREAD)

    def _run(self) -> None:
        try:
            with _closed_in_the_end(self._runner) as runner:
                try:
                    runner.run(self._live())
                finally:
                    with self._lock:
                        self._closing = True
                    # What was handed over until then becomes a task, which the runner cancels.
                    runner.run(asyncio.sleep(0))
        except BaseException as error:  # noqa: BLE001  # it is raised where it is waited for
            (self._ended if self._opened.done() else self._opened).set_exception(error)
        if not self._ended.done():
            self._ended.set_result(None)

    async def _live(self) -> None:
        async with self._opening() as resource:
            self._opened.set_result(resource)
            await self._stop.wait()
            await self._end_calls()

    async def _perform(
        self, work: Callable[[_ResourceT], Awaitable[_T]], resource: _ResourceT
    ) -> _T:
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        self._calls.add(task)
        try:
            return await work(resource)
        finally:
            self._calls.discard(task)

    async def _end_calls(self) -> None:
        if self._calls:
            _, late = await asyncio.wait(self._calls, timeout=_GRACE)
            for call in late:
                call.cancel()
            if late:
                await asyncio.wait(late)


@contextmanager
def _closed_in_the_end(runner: asyncio.Runner) -> Iterator[asyncio.Runner]:
    try:
        yield runner
    finally:
        try:
            runner.close()
        except RuntimeError:
            # While the process exits no thread can be started, by which a loop ends those of its
            # executor. They end with the process; the loop is closed all the same.
            if threading.main_thread().is_alive():
                raise
