"""`ZohoSync` puts the parts together; it is the only module that knows them all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta, tzinfo
from typing import Final, Self

from sqlalchemy import Pool, StaticPool
from sqlalchemy.ext.asyncio import AsyncSession

from zoho_sync import mirror
from zoho_sync._dialects import Clock
from zoho_sync._executor import Executor
from zoho_sync._hand_made import EventRules
from zoho_sync._host_rows import HostRows
from zoho_sync._intake import Intake
from zoho_sync._mapping_check import MappingCheck
from zoho_sync._pause import PauseSwitch
from zoho_sync._runtime import Runtime
from zoho_sync._schema import create_all
from zoho_sync._session_factory import checked_session_factory
from zoho_sync._tables import library_tables
from zoho_sync._wiring import check_numbers, check_parts, organizations, registry_from
from zoho_sync.abc import DEFAULT_PRIORITY, Enqueued, QueueBackend
from zoho_sync.dead_letters import DeadLetters
from zoho_sync.decoding import DecodingRules, hints
from zoho_sync.events import SyncEvent
from zoho_sync.exceptions import ConfigurationError
from zoho_sync.handlers._context import HandlerContext
from zoho_sync.hooks import SettledHook
from zoho_sync.outcomes import Outcome, Receipt, ReceiptStatus, SyncResult
from zoho_sync.parked import ParkedEvents
from zoho_sync.queues import Outbox, queue_from
from zoho_sync.receiver import Body, Headers, Query, Receiver, as_bytes
from zoho_sync.registry import HandlerRegistry
from zoho_sync.retry import RetryPolicy
from zoho_sync.signature import Verifier
from zoho_sync.status import StatusReport, read_status
from zoho_sync.web.asgi import ASGIApp, receiver_app
from zoho_sync.worker import Worker

__all__ = ["ZohoSync"]

_MAX_BODY: Final = 5 * 1024 * 1024
_BATCH_SIZE: Final = 50
_WINDOW: Final = timedelta(hours=24)


class ZohoSync(HostRows):
    """Keeps the host's tables in step with Zoho Books and Zoho Inventory.

    ::

        sync = ZohoSync(session_factory, verifier=SignedRequest(secret))
        await sync.create_tables()
        receipt = await sync.receive(body, headers=headers, query=query)
        await sync.drain()

    Args:
        session_factory: Gives a new `AsyncSession` on the host's database.
        queue: Where events wait: an engine of the host's choice, or the host's database.
        registry: The handlers; the eleven that keep the mirror if it is not given.
        verifier: Decides which deliveries are let in; without one all are refused.
        organization_id: Zoho's organization, or several; without it there is one constant one.
        time_zone: Of times without an offset; without it they are refused.
        date_formats: `datetime.strptime` formats that are accepted besides ISO 8601.
        retry: When to try again, and how long to wait.
        batch_size: Events of one transaction, 1,000 at most.
        concurrency: Transactions that `run` has open at once.
        max_body: The largest body that is accepted, in bytes.
        lease: How long a worker owns what it has claimed, unless it lengthens the lease.
        hooks: Told about settled events, after the commit.
        schema: Of the library's tables; the database's default schema if it is not given.
        clock: Replaces the database's clock; for tests and simulations.

    Raises:
        ConfigurationError: Something was wired wrongly; the message says what, and the remedy.
    """

    def __init__(  # noqa: PLR0913  # what can be configured
        self,
        session_factory: Callable[[], AsyncSession],
        *,
        queue: QueueBackend | Outbox | str | None = None,
        registry: HandlerRegistry | None = None,
        verifier: Verifier | None = None,
        organization_id: str | Sequence[str] | None = None,
        time_zone: tzinfo | None = None,
        date_formats: Sequence[str] = (),
        retry: RetryPolicy | None = None,
        batch_size: int = _BATCH_SIZE,
        concurrency: int = 1,
        max_body: int = _MAX_BODY,
        lease: timedelta = timedelta(seconds=60),
        hooks: Sequence[SettledHook] = (),
        schema: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        check_numbers(batch_size=batch_size, concurrency=concurrency, max_body=max_body)
        check_parts(verifier, retry, time_zone, date_formats, hooks)
        self._sessions = checked_session_factory(session_factory)
        self._tables = library_tables(schema)
        self.registry = registry_from(registry)
        catalog = self.registry.catalog()
        named = organizations(organization_id)
        rules = DecodingRules(catalog, named, time_zone, tuple(date_formats))
        context = HandlerContext(
            tables=self._tables,
            catalog=catalog,
            bindings=self.registry.bindings(),
            time_zone=time_zone,
            date_formats=tuple(date_formats),
            clock=clock,
        )
        self._runtime = Runtime(
            sessions=self._sessions,
            queue=queue_from(queue, self._sessions, self._tables, clock),
            registry=self.registry,
            context=context,
            retry=retry or RetryPolicy(),
            hooks=tuple(hooks),
            batch_size=batch_size,
            concurrency=concurrency,
            lease=lease,
        )
        super().__init__(self._runtime, EventRules(context, named), self._notify)
        self._max_body = max_body
        self._worker = Worker(self._runtime)
        self._mappings = MappingCheck(self._sessions, self.registry, self._tables)
        self._intake = Intake(self._runtime, self._worker.notify)
        self._switch = PauseSwitch(self._sessions, self._tables, clock)
        self._receiver = Receiver(verifier, rules, max_body, self._intake, clock)
        self.dead_letters = DeadLetters(self._sessions, self._tables, self._receiver.again, clock)
        """What could not be applied: list, get, replay, resolve, purge."""
        self.parked = ParkedEvents(self._sessions, self._tables)
        """What waits for another entity."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Release what the queue holds open; the sessions are the host's."""
        await self._runtime.queue.close()

    async def create_tables(self) -> None:
        """Create the library's tables and the mirror, as far as they are not there.

        Safe in several processes at once. Handlers never create tables.
        """
        await create_all(self._sessions, [self._tables.metadata, mirror.metadata])
        await self._runtime.queue.setup()

    async def check(self) -> list[str]:
        """Check every mapping against the database; return warnings about what may not be meant.

        `drain` and `run` do so once; there the mirror's tables need only exist.

        Raises:
            MappingError: With everything that is wrong, where, and the remedy.
        """
        return await self._mappings.check()

    async def receive(  # noqa: PLR0913  # one argument for each part of a request
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
        """Take in one delivery: authenticate, decode, enqueue durably.

        Args:
            body: The bytes as received.
            headers: Of the request.
            query: The query string, or its pairs.
            entity: The entity type, for example from the route.
            operation: What happened, in any of the usual words.
            entity_id: Zoho's id, for example from the route.
            method: The HTTP method; a DELETE deletes.

        Returns:
            What was done, and which HTTP status to answer.

        Raises:
            QueueUnavailable: Nothing was stored; answer 503, and the sender will come again.
        """
        return await self._receiver.receive(
            body,
            headers=headers,
            query=query,
            entity=entity,
            operation=operation,
            entity_id=entity_id,
            method=method,
        )

    async def ingest(
        self,
        body: Body,
        *,
        entity: str | None = None,
        operation: str | None = None,
        organization_id: str | None = None,
        entity_id: str | None = None,
    ) -> Receipt:
        """Take in a body from a trusted source: no authentication, no limit on its size.

        The body is bytes or text, or a document as a mapping. Whatever is wrong with what it says
        makes a dead letter.

        Raises:
            TypeError: It is none of these.
            PayloadError: A mapping with a binary float, or with what else is not JSON.
            QueueUnavailable: Nothing was stored.
        """
        told = hints(
            entity=entity,
            operation=operation,
            entity_id=entity_id,
            organization_id=organization_id,
        )
        return await self._receiver.take(as_bytes(body), "application/json", told)

    async def enqueue(
        self,
        events: Sequence[SyncEvent],
        session: AsyncSession | None = None,
        *,
        priority: int = DEFAULT_PRIORITY,
    ) -> list[Receipt]:
        """Queue events that the host made itself; return a receipt for each, in the same order.

        Args:
            events: What to queue.
            session: The host's session: the events then become visible with its commit, and
                vanish with its rollback.
            priority: The smaller, the sooner: -1 goes before deliveries, 1 after them.

        Raises:
            PayloadError: An event cannot be understood; none is queued.
            ConfigurationError: The priority is none; or a session is given, and the queue is not
                in the host's database.
            QueueUnavailable: Nothing was stored.
        """
        understood = [self._events.completed(event) for event in events]
        stored = await self._runtime.queue.enqueue(
            understood,
            session=session,
            fingerprints=self._intake.fingerprints,
            priority=priority,
        )
        self._worker.notify()
        return [_receipt(each) for each in stored]

    async def apply(self, event: SyncEvent) -> SyncResult:
        """Apply an event now, without the queue, in a transaction of its own.

        Returns:
            What was done; PARKED if it waits for another entity now. An event that is in some
            place already changes nothing: PARKED there, else DUPLICATE, and the reason.

        Raises:
            PayloadError: The document cannot be understood.
            ReferenceFailed: An entity that it refers to does not exist.
            RowRejected: The host's schema refuses the values.
        """
        return await Executor(self._runtime).apply_now(self._events.completed(event))

    async def drain(self) -> dict[Outcome, int]:
        """Work until no job is claimable now; return how many events had which outcome.

        While the queue is paused it returns at once.

        Raises:
            MappingError: A mapping does not fit the database; see `check`.
        """
        await self._mappings.once()
        return await self._worker.drain()

    async def run(self) -> None:
        """Work until cancelled; installs no signal handler.

        Raises:
            ConfigurationError: A mapping is wrong, or all sessions share one connection.
        """
        if isinstance(self._pool(), StaticPool):
            message = (
                "every session shares one connection (StaticPool, as of an in-memory SQLite); "
                "use a database in a file, or call drain()"
            )
            raise ConfigurationError(message)
        await self._mappings.when_reachable()
        await self._worker.run()

    async def pause(self) -> bool:
        """Pause the queue; return False if it was paused already.

        No worker on any machine claims anything until `resume`, nor does one that is started
        later: the pause is a row of the database. What is being applied now is finished.
        Deliveries are accepted as before. `apply`, and handlers that the host calls itself, work
        as before. The deadlines of parked events stand still.
        """
        return await self._switch.pause()

    async def resume(self) -> bool:
        """End a pause, so that the workers go on; return whether the queue was paused."""
        resumed = await self._switch.resume()
        self._worker.notify()
        return resumed

    async def status(self, window: timedelta = _WINDOW) -> StatusReport:
        """Return a report: where every event is, and what is wrong."""
        queue, clock = self._runtime.queue, self._runtime.context.clock
        return await read_status(self._sessions, queue, self._tables, clock, window)

    def asgi(self) -> ASGIApp:
        """Return the front door as an ASGI application, to be mounted in any framework.

        It answers ``/``, ``/{entity}`` and ``/{entity}/{id}`` to POST, PUT and DELETE.
        """
        catalog = self._runtime.context.catalog
        return receiver_app(
            self.receive,
            max_body=self._max_body,
            knows=lambda name: catalog.resolve(name) is not None,
            names=catalog.names,
        )

    def _notify(self) -> None:
        self._worker.notify()

    def _pool(self) -> Pool | None:
        bind = self._sessions().get_bind()
        return getattr(bind, "pool", None)


def _receipt(stored: Enqueued) -> Receipt:
    status = ReceiptStatus.DUPLICATE if stored.duplicate else ReceiptStatus.ACCEPTED
    return Receipt(status, event_ids=(stored.event_id,))
