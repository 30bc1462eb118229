"""`BlockingSync` for hosts without an event loop: Flask, Django under WSGI, scripts, task queues.

::

    def make_sync() -> ZohoSync:
        engine = create_async_engine("postgresql+asyncpg://…")
        return ZohoSync(async_sessionmaker(engine, expire_on_commit=False), verifier=…)


    with BlockingSync(make_sync) as sync:
        sync.create_tables()
        sync.start_worker()
        receipt = sync.receive(body, headers=headers, query=query)

The `ZohoSync` lives in an event loop that runs in a thread of its own. The methods are those of
`ZohoSync`: each waits for the answer and raises what the other one raises, and may be called from
several threads at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any, Final, Self, TypeVar

from sqlalchemy import Insert

from zoho_sync._hosted import Hosted, hosted
from zoho_sync._job_rows import check_priority
from zoho_sync._loop_thread import LoopThread
from zoho_sync._new_events import enqueueing
from zoho_sync.abc import DEFAULT_PRIORITY, RelaysOutbox
from zoho_sync.app import ZohoSync
from zoho_sync.dead_letters import DeadLetter, DeadLetterFilter, Replayed
from zoho_sync.events import SyncEvent
from zoho_sync.exceptions import ConfigurationError
from zoho_sync.linking import LinkReport
from zoho_sync.outcomes import Outcome, Receipt, SyncResult
from zoho_sync.parked import ParkedEvent
from zoho_sync.receiver import Body, Headers, Query
from zoho_sync.status import StatusReport

__all__ = ["BlockingDeadLetters", "BlockingParkedEvents", "BlockingSync", "enqueue_statement"]

_T = TypeVar("_T")

_WINDOW: Final = timedelta(hours=24)
# Some databases take no more than 32,767 parameters in a statement; an event has 18.
_LONGEST_STATEMENT: Final = 1000


class BlockingSync:
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
        self._thread: LoopThread[Hosted] = LoopThread(lambda: hosted(factory))
        self.dead_letters = BlockingDeadLetters(self)
        """What could not be applied: list, get, replay, resolve, purge."""
        self.parked = BlockingParkedEvents(self)
        """What waits for another entity."""

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

    def create_tables(self) -> None:
        """Create the tables; see `ZohoSync.create_tables`."""
        self.call(lambda sync: sync.create_tables())

    def check(self) -> list[str]:
        """Check every mapping against the database; see `ZohoSync.check`."""
        return self.call(lambda sync: sync.check())

    def receive(  # noqa: PLR0913  # one argument for each part of a request
        self,
        body: bytes,
        *,
        headers: Headers = (),
        query: Query = (),
        entity: str | None = None,
        operation: str | None = None,
        entity_id: str | None = None,
        method: str = "POST",
    ) -> Receipt:
        """Take in one delivery; see `ZohoSync.receive`."""
        return self.call(
            lambda sync: sync.receive(
                body,
                headers=headers,
                query=query,
                entity=entity,
                operation=operation,
                entity_id=entity_id,
                method=method,
            )
        )

    def ingest(
        self,
        body: Body,
        *,
        entity: str | None = None,
        operation: str | None = None,
        organization_id: str | None = None,
        entity_id: str | None = None,
    ) -> Receipt:
        """Take in a body from a trusted source; see `ZohoSync.ingest`."""
        return self.call(
            lambda sync: sync.ingest(
                body,
                entity=entity,
                operation=operation,
                organization_id=organization_id,
                entity_id=entity_id,
            )
        )

    def enqueue(
        self, events: Sequence[SyncEvent], *, priority: int = DEFAULT_PRIORITY
    ) -> list[Receipt]:
        """Queue events that the host made itself; see `ZohoSync.enqueue`.

        In a transaction of its own; for one of the host's, see `enqueue_statement`.
        """
        return self.call(lambda sync: sync.enqueue(events, priority=priority))

    def enqueue_statement(
        self, events: Sequence[SyncEvent], *, priority: int = DEFAULT_PRIORITY
    ) -> Insert:
        """Return a statement that queues events in the host's own, synchronous transaction.

        See `zoho_sync.blocking.enqueue_statement`.
        """
        return enqueue_statement(self._thread.resource().sync, events, priority=priority)

    def apply(self, event: SyncEvent) -> SyncResult:
        """Apply an event now, without the queue; see `ZohoSync.apply`."""
        return self.call(lambda sync: sync.apply(event))

    def drain(self) -> dict[Outcome, int]:
        """Work until no job is claimable now; see `ZohoSync.drain`."""
        return self.call(lambda sync: sync.drain())

    def pause(self) -> bool:
        """Pause the queue; see `ZohoSync.pause`."""
        return self.call(lambda sync: sync.pause())

    def resume(self) -> bool:
        """End a pause; see `ZohoSync.resume`."""
        return self.call(lambda sync: sync.resume())

    def status(self, window: timedelta = _WINDOW) -> StatusReport:
        """Return a report; see `ZohoSync.status`."""
        return self.call(lambda sync: sync.status(window))

    def link(
        self,
        entity_type: str,
        pairs: Iterable[tuple[str, Any]],
        *,
        organization_id: str | None = None,
        dry_run: bool = False,
    ) -> LinkReport:
        """Link Zoho's entities to rows that the host has already; see `ZohoSync.link`."""
        # Read here: what iterates over rows of the host's belongs to the thread that calls.
        known = list(pairs)
        return self.call(
            lambda sync: sync.link(
                entity_type, known, organization_id=organization_id, dry_run=dry_run
            )
        )

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


class BlockingDeadLetters:
    """The dead letters of a `BlockingSync`; see `DeadLetters`."""

    def __init__(self, sync: BlockingSync) -> None:
        self._sync = sync

    def get(self, letter_id: str) -> DeadLetter | None:
        """Return one dead letter, or None; see `DeadLetters.get`."""
        return self._sync.call(lambda sync: sync.dead_letters.get(letter_id))

    def replay(self, which: str | Iterable[str] | DeadLetterFilter) -> Replayed:
        """Put dead letters back into the queue; see `DeadLetters.replay`."""
        meant = _read(which)
        return self._sync.call(lambda sync: sync.dead_letters.replay(meant))

    def resolve(self, which: str | Iterable[str] | DeadLetterFilter, *, reason: str = "") -> int:
        """Close dead letters without applying them; see `DeadLetters.resolve`."""
        meant = _read(which)
        return self._sync.call(lambda sync: sync.dead_letters.resolve(meant, reason=reason))

    def purge(self, which: str | Iterable[str] | DeadLetterFilter) -> int:
        """Close dead letters for good; see `DeadLetters.purge`."""
        meant = _read(which)
        return self._sync.call(lambda sync: sync.dead_letters.purge(meant))

    def list(self, which: DeadLetterFilter | None = None, *, limit: int = 100) -> list[DeadLetter]:
        """Return dead letters, oldest first; see `DeadLetters.list`."""
        return self._sync.call(lambda sync: sync.dead_letters.list(which, limit=limit))


class BlockingParkedEvents:
    """The parked events of a `BlockingSync`; see `ParkedEvents`."""

    def __init__(self, sync: BlockingSync) -> None:
        self._sync = sync

    def list(
        self,
        *,
        entity_type: str | None = None,
        waiting_for: tuple[str, str] | None = None,
        limit: int = 100,
    ) -> list[ParkedEvent]:
        """Return parked events, oldest first; see `ParkedEvents.list`."""
        return self._sync.call(
            lambda sync: sync.parked.list(
                entity_type=entity_type, waiting_for=waiting_for, limit=limit
            )
        )


def _read(
    which: str | Iterable[str] | DeadLetterFilter,
) -> str | Sequence[str] | DeadLetterFilter:
    # As in `BlockingSync.link`.
    return which if isinstance(which, (str, DeadLetterFilter)) else [*which]


def enqueue_statement(
    sync: ZohoSync, events: Sequence[SyncEvent], *, priority: int = DEFAULT_PRIORITY
) -> Insert:
    """Return a statement that queues events when it is executed, in the host's own transaction.

    ::

        with Session(engine) as session, session.begin():
            session.add(order)
            session.execute(sync.enqueue_statement([event]))

    Any synchronous `Session` or `Connection` on the database of the `ZohoSync` can execute it. The
    jobs become visible with the host's commit, and vanish with its rollback. The events arrive when
    it is executed, by the database's clock; it may be executed again, in a transaction that is
    repeated for example. It needs no event loop.

    An event whose equal is queued already is left out, and so is one whose id is; ``rowcount`` says
    how many went in. `ZohoSync.enqueue` recognises events that are parked or settled as well. Here
    these are queued, and the ledger decides: one whose equal wrote what it would write is a
    duplicate, one that another has overtaken is stale, and neither writes a row. With an `Outbox`
    the events go there, and those that have left it are not looked at either.

    Args:
        sync: Whose queue is meant, and whose entity types, organizations and time zone.
        events: At most 1,000; none make a statement that does nothing.
        priority: The smaller, the sooner; see `ZohoSync.enqueue`.

    Raises:
        PayloadError: An event cannot be understood.
        ConfigurationError: The queue is not in the host's database, nor has an `Outbox` there;
            there are too many events, or the priority is none.
    """
    queue, context = sync._runtime.queue, sync._runtime.context  # noqa: SLF001  # its other half
    if not queue.capabilities.enqueues_in_transaction:
        message = (
            "the queue is not in the host's database; give it an outbox, which is:"
            ' queue=Outbox("redis://…"), or call enqueue() after your commit'
        )
        raise ConfigurationError(message)
    check_priority(priority)
    if len(events) > _LONGEST_STATEMENT:
        message = f"one statement queues at most {_LONGEST_STATEMENT} events; make several"
        raise ConfigurationError(message)
    understood = [sync._events.completed(event) for event in events]  # noqa: SLF001  # as above
    bind = sync._runtime.sessions().get_bind()  # noqa: SLF001  # as above
    tables = context.tables
    relayed = isinstance(queue, RelaysOutbox) and priority == DEFAULT_PRIORITY
    table = tables.outbox if relayed else tables.jobs
    return enqueueing(bind.dialect.name, table, understood, context.clock, priority)
