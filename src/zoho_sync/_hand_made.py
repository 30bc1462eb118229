"""Events that the host makes itself: checked and completed like those that Zoho sends."""

from __future__ import annotations

from dataclasses import dataclass, replace

from zoho_sync.events import DEFAULT_ORGANIZATION, SyncEvent, effective_time, refuse_future
from zoho_sync.exceptions import PayloadError
from zoho_sync.handlers._context import HandlerContext

__all__ = ["EventRules"]


@dataclass(frozen=True)
class EventRules:
    """What an event must fit.

    Attributes:
        context: The entity types, and how times are read.
        organizations: Zoho's organizations; none for one constant key.
    """

    context: HandlerContext
    organizations: tuple[str, ...]

    def completed(self, event: SyncEvent) -> SyncEvent:
        """Return an event with its type, time and organization decided.

        Raises:
            PayloadError: It cannot be understood.
        """
        context = self.context
        kind = context.catalog.decide(event.entity_type, event.payload, event.operation)
        moment = event.effective_time or effective_time(
            event.payload,
            path=kind.entity_type,
            time_zone=context.time_zone,
            formats=context.date_formats,
        )
        if event.arrival is not None:
            refuse_future(moment, event.arrival.time, path=kind.entity_type)
        return replace(
            event,
            entity_type=kind.entity_type,
            effective_time=moment.replace(microsecond=0) if moment else None,
            organization_id=self.organization(event.organization_id),
        )

    def organization(self, named: str) -> str:
        """Return the organization that is meant.

        Raises:
            PayloadError: It is not one that is configured.
        """
        if len(self.organizations) == 1 and named == DEFAULT_ORGANIZATION:
            return self.organizations[0]
        if self.organizations and named not in self.organizations:
            raise PayloadError("organization_id", "an organization that is not configured")
        return named
