"""Offers everything that a host does with the library in one class, `ZohoSync`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta, tzinfo
from typing import Any, Self

from sqlalchemy.ext.asyncio import AsyncSession

from zoho_sync.abc import DEFAULT_PRIORITY, QueueBackend, SettledHook
from zoho_sync.app.front_doors import FrontDoors, opened
from zoho_sync.app.parts import Parts, context_of
from zoho_sync.app.wiring import check_arguments
from zoho_sync.database.dialects import Clock
from zoho_sync.database.sessions import checked_session_factory, refuse_shared_connection
from zoho_sync.events.event import SyncEvent
from zoho_sync.events.outcome import Outcome, Receipt, SyncResult
from zoho_sync.events.retry import RetryPolicy
from zoho_sync.handlers.base import BaseEntityHandler
from zoho_sync.handlers.registry import HandlerRegistry, default_registry
from zoho_sync.intake.receiver import Body, Headers, Query, Request, receipt_of
from zoho_sync.intake.verdict import Verifier
from zoho_sync.operate.adoption_report import AdoptionCount
from zoho_sync.operate.linking import LinkReport
from zoho_sync.operate.provenance import HistoryEntry, Provenance
from zoho_sync.operate.reapplying import ReapplyReport
from zoho_sync.operate.status import StatusReport
from zoho_sync.queues.choice import queue_from
from zoho_sync.queues.outbox import Outbox
from zoho_sync.worker.runtime import Runtime

__all__ = ["ZohoSync"]


class ZohoSync(FrontDoors):
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
        handler_timeout: How long one event may take in a worker; four leases if it is not given.
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
        batch_size: int = 50,
        concurrency: int = 1,
        max_body: int = 5 * 1024 * 1024,
        lease: timedelta = timedelta(seconds=60),
        handler_timeout: timedelta | None = None,
        hooks: Sequence[SettledHook] = (),
        schema: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        check_arguments(locals())  # before there are others
        sessions = checked_session_factory(session_factory)
        registry = default_registry() if registry is None else registry
        context = context_of(registry, schema, time_zone, date_formats, clock)
        self._runtime = Runtime(
            sessions=sessions,
            queue=queue_from(queue, sessions, context.tables, clock),
            registry=registry,
            context=context,
            retry=retry or RetryPolicy(),
            hooks=tuple(hooks),
            batch_size=batch_size,
            concurrency=concurrency,
            lease=lease,
            handler_timeout=handler_timeout,
        )
        self._parts = Parts(self._runtime, verifier, organization_id, max_body)
        self._worker, self._receiver = self._parts.worker, self._parts.receiver
        super().__init__(
            self.receive, self._receiver, context.catalog, lambda: opened(self, sessions)
        )
        self.registry = registry
        self.dead_letters = self._parts.dead_letters
        """What could not be applied: list, get, replay, resolve, purge."""
        self.parked = self._parts.parked
        """What waits for another entity."""
        self.queued = self._parts.queued
        """What waits to be applied, as far as it is in the host's database."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Release what the queue holds open; the sessions are the host's."""
        await self._parts.refusals.flush()
        await self._runtime.queue.close()

    async def create_tables(self) -> None:
        """Create the library's tables and the mirror, as far as they are not there.

        Safe in several processes at once. Tables of another version are a `ConfigurationError`.
        """
        await self._parts.create_tables()
        await self._runtime.queue.setup()

    async def check(self) -> list[str]:
        """Check every mapping against the database; return warnings about what may not be meant.

        `drain` and `run` do so once; there the mirror's tables need only exist.

        Raises:
            MappingError: With everything that is wrong, where, and the remedy.
        """
        return await self._parts.mappings.check()

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

        What the last four arguments say decides only where the verifier covers the route.

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
        request = Request(body, headers, query, method)
        return await self._receiver.receive(request, entity, operation, entity_id)

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
        return await self._receiver.ingest(body, entity, operation, entity_id, organization_id)

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
        understood = [self._parts.rules.completed(event) for event in events]
        stored = await self._parts.intake.enqueue(understood, session=session, priority=priority)
        return [receipt_of(each) for each in stored]

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
        return await self._parts.direct.apply(self._parts.rules.completed(event))

    def handler(
        self, entity_type: str, session: AsyncSession, *, organization_id: str | None = None
    ) -> BaseEntityHandler[Any]:
        """Return a handler of this registry for a direct call of its `BaseEntityHandler.sync`.

        It knows what a handler that is made by hand does not: where the other entity types are
        mapped, the host's own types, the time zone, and the schema of the library's tables.

        Raises:
            UnknownEntityType: No handler has that type.
        """
        organization = self._parts.rules.organization(organization_id)
        return self._parts.dispatch.handler(entity_type, session, organization)

    async def link(
        self,
        entity_type: str,
        pairs: Iterable[tuple[str, Any]],
        *,
        organization_id: str | None = None,
        dry_run: bool = False,
    ) -> LinkReport:
        """Link Zoho's entities to rows that the host has already.

        Args:
            entity_type: The type, by any of its names.
            pairs: Zoho's id, and the host's primary key: its value, or a tuple of them.
            organization_id: Zoho's organization, where several are configured.
            dry_run: Say what would become of them, and change nothing.

        Raises:
            ConfigurationError: The type has no mapping, or a key does not fit its table.
        """
        return await self._parts.linker.link(entity_type, pairs, organization_id, dry_run=dry_run)

    async def adoption_report(self) -> list[AdoptionCount]:
        """Return, for each mapping with natural keys, how many of the host's rows would match."""
        return await self._parts.count_adoptable()

    async def forget(
        self, entity_type: str, zoho_id: str, *, organization_id: str | None = None
    ) -> bool:
        """Forget an entity, so that a hard-deleted one can be synced again.

        Its next event is fresh, whatever its version. Row and link stay. Return if it was known.
        """
        return await self._parts.linker.forget(entity_type, zoho_id, organization_id)

    async def reapply(self, entity_type: str) -> ReapplyReport:
        """Apply a changed mapping to all entities of a type: queue their kept documents again.

        Raises:
            ConfigurationError: The type has no mapping, or its documents are kept nowhere.
        """
        return await self._parts.reapplication.reapply(entity_type)

    async def history(
        self, entity_type: str, zoho_id: str, *, organization_id: str | None = None
    ) -> list[HistoryEntry]:
        """Return every event that was received of an entity, and what became of it."""
        return await self._parts.histories.history(entity_type, zoho_id, organization_id)

    async def provenance(self, model: Any, primary_key: Any) -> Provenance | None:
        """Return which event wrote each column of a row; None for a row that is the host's own.

        Args:
            model: ORM class or `Table` of the host.
            primary_key: Its value, or a tuple of them.
        """
        return await self._parts.histories.provenance(model, primary_key)

    async def drain(self) -> dict[Outcome, int]:
        """Work until no job is claimable now; return how many events had which outcome.

        While the queue is paused it returns at once.

        Raises:
            MappingError: A mapping does not fit the database; see `check`.
        """
        await self._parts.mappings.once()
        return await self._worker.drain()

    async def run(self) -> None:
        """Work until cancelled; installs no signal handler.

        Raises:
            ConfigurationError: A mapping is wrong, or all sessions share one connection.
        """
        refuse_shared_connection(self._runtime.sessions)
        await self._parts.mappings.when_reachable()
        await self._worker.run()

    async def pause(self) -> bool:
        """Pause the queue; return False if it was paused already.

        No worker on any machine claims anything until `resume`, also none that is started later:
        the pause is a row of the database. What is being applied is finished. Deliveries, `apply`
        and handlers that the host calls work as before. Deadlines of parked events stand still.
        """
        return await self._parts.switch.pause()

    async def resume(self) -> bool:
        """End a pause, so that the workers go on; return whether the queue was paused."""
        resumed = await self._parts.switch.resume()
        self._worker.notify()
        return resumed

    async def status(self, window: timedelta = timedelta(hours=24)) -> StatusReport:
        """Return a report: where every event is, and what is wrong."""
        await self._parts.refusals.flush()
        return await self._parts.read_status(window)
