"""Checks and completes events that the host makes itself, like those that Zoho sends."""

from __future__ import annotations

from dataclasses import dataclass, replace

from zoho_sync.events.event import DEFAULT_ORGANIZATION, SyncEvent, refuse_future, with_own_time
from zoho_sync.exceptions import PayloadError
from zoho_sync.intake.decoding import DecodingRules

__all__ = ["EventRules"]


@dataclass(frozen=True, slots=True)
class EventRules:
    """What an event must fit: the rules by which those of Zoho are read."""

    rules: DecodingRules

    def completed(self, event: SyncEvent) -> SyncEvent:
        """Return an event with its type, time and organization decided.

        Raises:
            PayloadError: It cannot be understood.
        """
        rules = self.rules
        kind = rules.catalog.decide(event.entity_type, event.payload, event.operation)
        typed = replace(event, entity_type=kind.entity_type)
        timed = with_own_time(typed, time_zone=rules.time_zone, formats=rules.date_formats)
        if timed.arrival is not None:
            refuse_future(timed.effective_time, timed.arrival.time, path=timed.entity_type)
        return replace(timed, organization_id=self.organization(timed.organization_id))

    def organization(self, named: str | None) -> str:
        """Return the organization that is meant.

        Raises:
            PayloadError: It is not one that is configured.
        """
        named, configured = named or DEFAULT_ORGANIZATION, self.rules.organization_ids
        if len(configured) == 1 and named == DEFAULT_ORGANIZATION:
            return configured[0]
        if configured and named not in configured:
            raise PayloadError("organization_id", "an organization that is not configured")
        return named
