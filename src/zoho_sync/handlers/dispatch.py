"""Chooses the handler of an event, or says what the event comes to without one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from zoho_sync.apply.context import HandlerContext
from zoho_sync.apply.one_event import Applied
from zoho_sync.events.decision import Proposal, decide
from zoho_sync.events.entities import CONTACT
from zoho_sync.events.event import Operation, SyncEvent, refuse_future
from zoho_sync.events.outcome import Outcome, SyncResult
from zoho_sync.events.version import Version, arrival_of
from zoho_sync.exceptions import UnknownEntityType
from zoho_sync.handlers.base import BaseEntityHandler
from zoho_sync.handlers.registry import HandlerRegistry
from zoho_sync.store.ledger import LedgerEntry

__all__ = ["HandlerDispatch"]


@dataclass(frozen=True, slots=True)
class HandlerDispatch:
    """Gives each event a new handler of its registry, which knows the context."""

    registry: HandlerRegistry
    context: HandlerContext

    def __call__(
        self, session: AsyncSession, event: SyncEvent, entry: LedgerEntry, *, hold: bool
    ) -> tuple[BaseEntityHandler[Any], SyncEvent] | Applied:
        """Return a handler, and the event as of its type; or what it comes to without one.

        Raises:
            PayloadError: The event's time is more than a day ahead of its arrival.
            UnknownEntityType: No handler has its type.
        """
        entity_type = event.entity_type
        deletes = event.operation is Operation.DELETE
        if (entity_type == CONTACT or deletes) and entry.entity_type is not None:
            # A contact may be another type by now than the sender of a delete believes.
            entity_type = entry.entity_type
        if self.registry.is_ignored(entity_type):
            return Applied(SyncResult(Outcome.IGNORED, reason="the type is ignored"), None)
        # The front door has looked; an event that the host queued had no arrival until then.
        refuse_future(event.effective_time, arrival_of(event).time, path=entity_type)
        if entity_type == CONTACT:
            return self._tombstone(event, entry)
        if entity_type not in self.registry:
            raise UnknownEntityType(entity_type, self.registry)
        handler = self.handler(entity_type, session, event.organization_id)
        handler.holds_targets = hold
        return handler, replace(event, entity_type=entity_type)

    def handler(
        self, entity_type: str, session: AsyncSession, organization_id: str
    ) -> BaseEntityHandler[Any]:
        """Make a handler of a type.

        Raises:
            UnknownEntityType: No handler has it.
        """
        handler = self.registry[entity_type](session, organization_id=organization_id)
        handler.context = self.context
        return handler

    def _tombstone(self, event: SyncEvent, entry: LedgerEntry) -> Applied:
        """Remember a delete of a contact of which nobody knows whether it is customer or vendor."""
        grace = self.context.grace
        decision = decide(entry.state, Proposal.of(event, frozenset(), grace=grace))
        version = Version.of(event, grace=grace)
        result = SyncResult(decision.outcome, version=version, reason=decision.reason)
        return Applied(result, replace(entry, state=decision.state, event_id=event.id))
