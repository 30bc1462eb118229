"""Makes the parts of a `ZohoSync` of what it is given, and joins them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta, tzinfo
from functools import partial

from sqlalchemy.ext.asyncio import AsyncSession

from zoho_sync.abc import QueueBackend, SettledHook
from zoho_sync.app.wiring import check_numbers, check_parts, organizations, registry_from
from zoho_sync.apply.context import HandlerContext
from zoho_sync.apply.directly import DirectApplication
from zoho_sync.checks.check import MappingCheck
from zoho_sync.database.dialects import Clock
from zoho_sync.database.sessions import checked_session_factory
from zoho_sync.events.retry import RetryPolicy
from zoho_sync.handlers.dispatch import HandlerDispatch
from zoho_sync.handlers.registry import HandlerRegistry
from zoho_sync.intake.decoding import DecodingRules
from zoho_sync.intake.host_events import EventRules
from zoho_sync.intake.receiver import Receiver
from zoho_sync.intake.signature import Verifier
from zoho_sync.intake.storing import Intake
from zoho_sync.operate.adoption_report import count_adoptable
from zoho_sync.operate.dead_letters import DeadLetters
from zoho_sync.operate.linking import Linker
from zoho_sync.operate.parked import ParkedEvents
from zoho_sync.operate.provenance import Histories
from zoho_sync.operate.reapplying import Reapplication
from zoho_sync.operate.status import read_status
from zoho_sync.queues.choice import queue_from
from zoho_sync.queues.outbox import Outbox
from zoho_sync.store.pauses import PauseSwitch
from zoho_sync.store.tables import library_tables
from zoho_sync.worker.loop import Worker
from zoho_sync.worker.runtime import Runtime

__all__ = ["Parts"]


class Parts:
    """What a `ZohoSync` works with; the arguments are its own.

    Raises:
        ConfigurationError: Something was wired wrongly; the message says what, and the remedy.
    """

    def __init__(  # noqa: PLR0913  # what can be configured
        self,
        session_factory: Callable[[], AsyncSession],
        *,
        queue: QueueBackend | Outbox | str | None,
        registry: HandlerRegistry | None,
        verifier: Verifier | None,
        organization_id: str | Sequence[str] | None,
        time_zone: tzinfo | None,
        date_formats: Sequence[str],
        retry: RetryPolicy | None,
        batch_size: int,
        concurrency: int,
        max_body: int,
        lease: timedelta,
        hooks: Sequence[SettledHook],
        schema: str | None,
        clock: Clock | None,
    ) -> None:
        check_numbers(batch_size=batch_size, concurrency=concurrency, max_body=max_body)
        check_parts(verifier, retry, time_zone, date_formats, hooks)
        sessions = checked_session_factory(session_factory)
        handlers, named = registry_from(registry), organizations(organization_id)
        context = HandlerContext(
            tables=library_tables(schema),
            catalog=handlers.catalog(),
            bindings=handlers.bindings(),
            time_zone=time_zone,
            date_formats=tuple(date_formats),
            clock=clock,
        )
        self.runtime = Runtime(
            sessions=sessions,
            queue=queue_from(queue, sessions, context.tables, clock),
            registry=handlers,
            context=context,
            retry=retry or RetryPolicy(),
            hooks=tuple(hooks),
            batch_size=batch_size,
            concurrency=concurrency,
            lease=lease,
        )
        rules = DecodingRules(context.catalog, named, time_zone, context.date_formats)
        self.worker = Worker(self.runtime)
        self._take_in(rules, verifier, max_body)
        self._look_after()

    def _take_in(self, rules: DecodingRules, verifier: Verifier | None, max_body: int) -> None:
        """Make what takes events in: deliveries, and those that the host makes itself."""
        runtime, context = self.runtime, self.runtime.context
        prints = {name: bound.fingerprint for name, bound in context.bindings.items()}
        self.intake = Intake(
            runtime.sessions,
            runtime.queue,
            context.tables,
            context.clock,
            prints,
            self.worker.notify,
        )
        self.receiver = Receiver(verifier, rules, max_body, self.intake, context.clock)
        self.events = EventRules(rules)
        self.dispatch = HandlerDispatch(runtime.registry, context)
        self.direct = DirectApplication(
            runtime.sessions,
            context,
            self.dispatch,
            runtime.retry.parked_for,
            runtime.lease,
            runtime.hooks,
        )

    def _look_after(self) -> None:
        """Make what the host and its operators look after rows, events and mappings with."""
        runtime, context = self.runtime, self.runtime.context
        sessions, tables, clock = runtime.sessions, context.tables, context.clock
        self.linker = Linker(sessions, context, self.events.organization)
        self.histories = Histories(sessions, context, self.events.organization)
        self.reapplication = Reapplication(sessions, context, runtime.queue, self.worker.notify)
        self.count_adoptable = partial(count_adoptable, sessions, context)
        self.mappings = MappingCheck(sessions, runtime.registry, tables)
        self.switch = PauseSwitch(sessions, tables, clock)
        self.dead_letters = DeadLetters(sessions, tables, self.receiver.decode_again, clock)
        self.parked = ParkedEvents(sessions, tables)
        self.read_status = partial(read_status, sessions, runtime.queue, tables, clock)
