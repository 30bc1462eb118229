"""Makes the parts that a `ZohoSync` works with, and joins them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from functools import partial

from zoho_sync import mirror
from zoho_sync.apply.context import HandlerContext
from zoho_sync.apply.directly import DirectApplication
from zoho_sync.checks.check import MappingCheck
from zoho_sync.database.creation import create_all
from zoho_sync.database.dialects import Clock
from zoho_sync.handlers.dispatch import HandlerDispatch
from zoho_sync.handlers.registry import HandlerRegistry
from zoho_sync.intake.decoding import DecodingRules
from zoho_sync.intake.receiver import Receiver
from zoho_sync.intake.refusals import Refusals
from zoho_sync.intake.storing import Intake
from zoho_sync.intake.verdict import Verifier
from zoho_sync.operate.adoption_report import count_adoptable
from zoho_sync.operate.dead_letters import DeadLetters
from zoho_sync.operate.linking import Linker
from zoho_sync.operate.parked import ParkedEvents
from zoho_sync.operate.provenance import Histories
from zoho_sync.operate.queued import QueuedEvents
from zoho_sync.operate.reapplying import Reapplication
from zoho_sync.operate.status import read_status
from zoho_sync.store.pauses import PauseSwitch
from zoho_sync.store.schema_version import write_version
from zoho_sync.store.tables import library_tables
from zoho_sync.worker.loop import Worker
from zoho_sync.worker.runtime import Runtime

__all__ = ["Parts", "context_of"]


def context_of(
    handlers: HandlerRegistry,
    schema: str | None,
    time_zone: tzinfo | None,
    date_formats: Sequence[str],
    clock: Clock | None,
) -> HandlerContext:
    """Return what these handlers know besides their session.

    Raises:
        MappingError: A mapping does not fit its tables.
    """
    return HandlerContext(
        tables=library_tables(schema),
        catalog=handlers.catalog(),
        bindings=handlers.bindings(),
        time_zone=time_zone,
        date_formats=tuple(date_formats),
        clock=clock,
    )


class Parts:
    """What does the work of a `ZohoSync`, beside its `Runtime`."""

    def __init__(
        self,
        runtime: Runtime,
        verifier: Verifier | None,
        organization_id: str | Sequence[str] | None,
        max_body: int,
    ) -> None:
        sessions, queue, context = runtime.sessions, runtime.queue, runtime.context
        tables, clock = context.tables, context.clock
        self.worker = Worker(runtime)
        self.switch = PauseSwitch(sessions, tables, clock)
        named = (organization_id,) if isinstance(organization_id, str) else organization_id or ()
        self.rules = DecodingRules(
            context.catalog, tuple(named), context.time_zone, context.date_formats
        )
        self.mappings = MappingCheck(
            sessions, runtime.registry, tables, self.rules.organization_ids
        )
        prints = {name: bound.fingerprint for name, bound in context.bindings.items()}
        self.intake = Intake(sessions, queue, tables, clock, prints, self.worker.notify)
        self.refusals = Refusals(sessions, tables, clock)
        self.receiver = Receiver(verifier, self.rules, max_body, self.intake, self.refusals, clock)
        self.dispatch = HandlerDispatch(runtime.registry, context)
        self.direct = DirectApplication(
            sessions,
            context,
            self.dispatch,
            runtime.retry.parked_for,
            runtime.lease,
            runtime.hooks,
        )
        made = [tables.metadata, mirror.metadata]
        written = partial(write_version, tables=tables)
        self.create_tables = partial(create_all, sessions, made, first=written)
        # What operators look after rows and events with.
        self.linker = Linker(sessions, context, self.rules.organization)
        self.histories = Histories(sessions, context, self.rules.organization)
        self.reapplication = Reapplication(sessions, context, queue, self.worker.notify)
        self.count_adoptable = partial(count_adoptable, sessions, context)
        self.dead_letters = DeadLetters(sessions, tables, self.receiver.decode_again, clock)
        self.parked = ParkedEvents(sessions, tables)
        self.queued = QueuedEvents(sessions, tables)
        self.read_status = partial(read_status, sessions, queue, context, runtime.lease)
