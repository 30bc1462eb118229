"""Serves hosts without an event loop by `BlockingSync`: Flask, Django under WSGI, scripts, tasks.

::

    def make_sync() -> ZohoSync:
        engine = create_async_engine("postgresql+asyncpg://…")
        return ZohoSync(async_sessionmaker(engine, expire_on_commit=False), verifier=…)


    with BlockingSync(make_sync) as sync:
        sync.create_tables()
        sync.start_worker()
        receipt = sync.receive(body, headers=headers, query=query)

The `ZohoSync` lives in an event loop that runs in a thread of its own. The methods are those of
`ZohoSync`, with its arguments and docstrings: each waits for the answer and raises what the other
one raises, and may be called from several threads at once.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import wraps
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, cast

from sqlalchemy import Insert

from zoho_sync.abc import DEFAULT_PRIORITY
from zoho_sync.app.front_doors import opened
from zoho_sync.app.sync import ZohoSync
from zoho_sync.blocking.statement import enqueue_statement
from zoho_sync.database.faults import is_of_database
from zoho_sync.database.hiding import without_values
from zoho_sync.events.event import SyncEvent
from zoho_sync.events.outcome import Receipt
from zoho_sync.exceptions import ConfigurationError
from zoho_sync.operate.dead_letters import DeadLetterFilter, DeadLetters
from zoho_sync.operate.parked import ParkedEvents
from zoho_sync.operate.queued import QueuedEvents
from zoho_sync.web.door import Door, checked_path
from zoho_sync.web.loop_thread import LoopThread
from zoho_sync.web.wsgi import WSGIApp, WSGIReceiver

__all__ = [
    "BlockingDeadLetters",
    "BlockingParkedEvents",
    "BlockingQueuedEvents",
    "BlockingSync",
]

_log = logging.getLogger(__name__)

_P = ParamSpec("_P")
_T = TypeVar("_T")
_PartT = TypeVar("_PartT")


class _Hosted:
    """A `ZohoSync`, and the worker that runs beside its callers."""

    def __init__(self, sync: ZohoSync) -> None:
        self.sync = sync
        self._worker: asyncio.Task[None] | None = None
        self._changing = asyncio.Lock()

    async def start_worker(self) -> None:
        """Run the worker in a task, unless it runs; what it refuses is raised here."""
        async with self._changing:
            if self._worker is not None and not self._worker.done():
                return
            try:
                await self.sync._parts.mappings.once()  # noqa: SLF001  # in a task, nobody would hear it
            except Exception as error:
                # `run` waits for a database that does not answer.
                if not is_of_database(error):
                    raise
            self._worker = asyncio.create_task(self.sync.run(), name="zoho_sync run")
            # It refuses a pool that is too small before it first waits.
            await asyncio.sleep(0)
            if self._worker.done():
                self._worker.result()
            self._worker.add_done_callback(_report)

    async def stop_worker(self) -> None:
        """Cancel the worker, if it runs, and wait for its end."""
        async with self._changing:
            worker, self._worker = self._worker, None
            if worker is not None:
                worker.cancel()
                await asyncio.wait({worker})


@asynccontextmanager
async def _hosted(factory: Callable[[], ZohoSync]) -> AsyncIterator[_Hosted]:
    """Make a `ZohoSync`; in the end stop its worker, close it, and dispose of its engine.

    Raises:
        ConfigurationError: The factory makes something else.
    """
    sync = factory()
    if not isinstance(sync, ZohoSync):
        message = f"the factory of a BlockingSync gives {type(sync).__name__}, not a ZohoSync"
        raise ConfigurationError(message)
    sessions = sync._runtime.sessions  # noqa: SLF001  # they are the factory's
    async with opened(sync, sessions):
        made = _Hosted(sync)
        try:
            yield made
        finally:
            await made.stop_worker()


def _report(worker: asyncio.Task[None]) -> None:
    if not worker.cancelled() and (error := worker.exception()) is not None:
        _log.error("the worker has ended: %s", without_values(error))  # a traceback quotes values


class _Blocking(Generic[_PartT]):
    """Stands for what lives in the loop: a `ZohoSync`, or a part of it."""

    def __init__(
        self,
        call: Callable[[Callable[[ZohoSync], Awaitable[Any]]], Any],
        part: Callable[[ZohoSync], _PartT],
    ) -> None:
        self._into_loop, self._part = call, part

    def _call(self, work: Callable[[_PartT], Awaitable[_T]]) -> _T:
        answer: _T = self._into_loop(lambda sync: work(self._part(sync)))
        return answer


def _blocking(
    method: Callable[Concatenate[_PartT, _P], Coroutine[Any, Any, _T]],
) -> Callable[Concatenate[_Blocking[_PartT], _P], _T]:
    """Return a method that waits for the answer of that one, with its arguments and docstring."""
    name = method.__name__

    @wraps(method)
    def waiting(self: _Blocking[_PartT], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        def ask(part: _PartT) -> Awaitable[_T]:
            # By name: the factory may make a subclass.
            own: Callable[_P, Awaitable[_T]] = getattr(part, name)
            return own(*args, **kwargs)

        return self._call(ask)

    return waiting


def _reading(argument: str, method: Callable[_P, _T]) -> Callable[_P, _T]:
    """Return the method with an argument that is read in the thread that calls.

    What iterates over rows of the host's belongs to that thread.
    """
    signature, inner = inspect.signature(method), cast("Callable[..., _T]", method)

    @wraps(method)
    def reading(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        given = signature.bind(*args, **kwargs)
        value = given.arguments[argument]
        if not isinstance(value, (str, DeadLetterFilter)):
            given.arguments[argument] = [*value]
        return inner(*given.args, **given.kwargs)

    return reading


class BlockingSync(_Blocking[ZohoSync]):
    """A `ZohoSync` for synchronous code, in an event loop in a thread of its own.

    Start and close it with `with`, or with `start` and `close`. It belongs to the process that
    started it: after a fork, make one in each process.

    Args:
        factory: Makes the `ZohoSync`, and the asynchronous engine that its sessions use. It is
            called in the loop, and everything that it makes belongs to that loop: share no
            asynchronous engine with it.

    Raises:
        ConfigurationError: By each method, where it is not started, closed, of another process, or
            called in its own loop, by a handler for example.
    """

    def __init__(self, factory: Callable[[], ZohoSync]) -> None:
        # Everything goes through `call`, which a host may override, to measure or to try again.
        super().__init__(self.call, lambda sync: sync)
        self._thread = LoopThread(lambda: _hosted(factory))
        self.dead_letters = BlockingDeadLetters(self.call, lambda sync: sync.dead_letters)
        """What could not be applied: list, get, replay, resolve, purge."""
        self.parked = BlockingParkedEvents(self.call, lambda sync: sync.parked)
        """What waits for another entity."""
        self.queued = BlockingQueuedEvents(self.call, lambda sync: sync.queued)
        """What waits to be applied, as far as it is in the host's database."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def start(self) -> None:
        """Start the thread and make the `ZohoSync` in it; at the exit of the process it is closed.

        Raises:
            ConfigurationError: It was started before, or the factory makes something else.
            Exception: What the factory raised; nothing is left behind then.
        """
        self._thread.start()

    def close(self) -> None:
        """Stop the worker, close the `ZohoSync`, dispose of its engine, end the loop and thread.

        Calls of other threads have ten seconds to end. Harmless when it is closed, and in a process
        that was forked.
        """
        self._thread.close()

    def call(self, work: Callable[[ZohoSync], Awaitable[_T]]) -> _T:
        """Await in the loop what `work` returns: for everything that has no method here.

        ::

            history = sync.call(lambda inner: inner.history("invoice", "982000000567114"))

        Args:
            work: Is given the `ZohoSync`, and returns what to await.
        """
        return self._thread.call(lambda running: work(running.sync))

    create_tables = _blocking(ZohoSync.create_tables)
    check = _blocking(ZohoSync.check)
    receive = _blocking(ZohoSync.receive)
    ingest = _blocking(ZohoSync.ingest)
    apply = _blocking(ZohoSync.apply)
    drain = _blocking(ZohoSync.drain)
    pause = _blocking(ZohoSync.pause)
    resume = _blocking(ZohoSync.resume)
    status = _blocking(ZohoSync.status)
    link = _reading("pairs", _blocking(ZohoSync.link))

    # Not `_blocking`: an asynchronous session belongs to the loop, so the host has none to give.
    def enqueue(
        self, events: Sequence[SyncEvent], *, priority: int = DEFAULT_PRIORITY
    ) -> list[Receipt]:
        """Queue events that the host made itself; see `ZohoSync.enqueue`.

        In a transaction of its own; for one of the host's, see `enqueue_statement`.
        """
        return self._call(lambda sync: sync.enqueue(events, priority=priority))

    def enqueue_statement(
        self, events: Sequence[SyncEvent], *, priority: int = DEFAULT_PRIORITY
    ) -> Insert:
        """Return a statement that queues events in the host's own, synchronous transaction.

        See `zoho_sync.blocking.enqueue_statement`.
        """
        return enqueue_statement(self._thread.resource().sync, events, priority=priority)

    def wsgi(self, app: Callable[..., Iterable[bytes]] | None = None, *, path: str = "") -> WSGIApp:
        """Return the front door as a WSGI application; see `ZohoSync.wsgi`.

        It works in the loop of this object, and answers 503 while that is not started.
        """

        def ask(work: Callable[[Door], Awaitable[_T]]) -> _T:
            return self.call(lambda sync: work(sync._door))  # noqa: SLF001  # its other half

        return WSGIReceiver(ask, checked_path(path, app), app)

    def start_worker(self) -> None:
        """Run `ZohoSync.run` in the loop, until `stop_worker` or `close`; harmless while it runs.

        Where the database does not answer, the worker waits for it. One that ends by itself is
        logged as an error.

        Raises:
            ConfigurationError: A mapping is wrong, or all sessions share one connection.
        """
        self._thread.call(lambda running: running.start_worker())

    def stop_worker(self) -> None:
        """Stop the worker: what is being applied is rolled back and given back to the queue."""
        self._thread.call(lambda running: running.stop_worker())


class BlockingDeadLetters(_Blocking[DeadLetters]):
    """The dead letters of a `BlockingSync`; see `zoho_sync.operate.dead_letters.DeadLetters`."""

    list = _blocking(DeadLetters.list)
    get = _blocking(DeadLetters.get)
    replay = _reading("which", _blocking(DeadLetters.replay))
    resolve = _reading("which", _blocking(DeadLetters.resolve))
    purge = _reading("which", _blocking(DeadLetters.purge))


class BlockingParkedEvents(_Blocking[ParkedEvents]):
    """The parked events of a `BlockingSync`; see `zoho_sync.operate.parked.ParkedEvents`."""

    list = _blocking(ParkedEvents.list)


class BlockingQueuedEvents(_Blocking[QueuedEvents]):
    """The queued events of a `BlockingSync`; see `zoho_sync.operate.queued.QueuedEvents`."""

    list = _blocking(QueuedEvents.list)
