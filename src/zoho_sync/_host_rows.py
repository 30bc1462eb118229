"""Works on single entities and their rows: direct calls, links, changed mappings, origins."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from zoho_sync._hand_made import EventRules
from zoho_sync.abc import QueueBackend
from zoho_sync.adoption import AdoptionCount, count_adoptable
from zoho_sync.handlers._context import HandlerContext
from zoho_sync.handlers.base import BaseEntityHandler
from zoho_sync.linking import Linker, LinkReport
from zoho_sync.provenance import Histories, HistoryEntry, Provenance
from zoho_sync.reapplication import Reapplication, ReapplyReport
from zoho_sync.registry import HandlerRegistry

__all__ = ["HostRows"]


@dataclass(frozen=True, slots=True)
class HostRows:
    """What `ZohoSync` offers about single entities; its methods of the same names describe these.

    Attributes:
        sessions: Gives a new session on the host's database.
        registry: The handlers.
        context: The library's tables, and where each entity type is mapped.
        queue: Where documents are queued once more.
        events: Which organizations there are.
        notify: Called when something was queued.
    """

    sessions: Callable[[], AsyncSession]
    registry: HandlerRegistry
    context: HandlerContext
    queue: QueueBackend
    events: EventRules
    notify: Callable[[], None]

    @property
    def linker(self) -> Linker:
        """What links entities to rows."""
        return Linker(self.sessions, self.context)

    def handler(
        self, entity_type: str, session: AsyncSession, organization_id: str | None
    ) -> BaseEntityHandler[Any]:
        """Make a handler that knows everything that those of a worker know."""
        named = self.registry[entity_type]
        made = named(session, organization_id=self.events.organization(organization_id))
        made.context = self.context
        return made

    async def link(
        self,
        entity_type: str,
        pairs: Iterable[tuple[str, Any]],
        organization_id: str | None,
        *,
        dry_run: bool,
    ) -> LinkReport:
        """Link Zoho's entities to rows that the host has already."""
        organization = self.events.organization(organization_id)
        return await self.linker.link(
            entity_type, pairs, organization_id=organization, dry_run=dry_run
        )

    async def adoption_report(self) -> list[AdoptionCount]:
        """Count the rows that natural keys would match."""
        return await count_adoptable(self.sessions, self.context)

    async def forget(self, entity_type: str, zoho_id: str, organization_id: str | None) -> bool:
        """Take an entity for one that was never heard of."""
        organization = self.events.organization(organization_id)
        return await self.linker.forget(entity_type, zoho_id, organization_id=organization)

    async def reapply(self, entity_type: str) -> ReapplyReport:
        """Queue the kept documents of the entities that another mapping wrote."""
        report = await Reapplication(self.sessions, self.context, self.queue).queue(entity_type)
        self.notify()
        return report

    async def history(
        self, entity_type: str, zoho_id: str, organization_id: str | None
    ) -> list[HistoryEntry]:
        """Return every event that was received of an entity."""
        organization = self.events.organization(organization_id)
        histories = Histories(self.sessions, self.context)
        return await histories.history(entity_type, zoho_id, organization)

    async def provenance(self, model: Any, primary_key: Any) -> Provenance | None:
        """Return which event wrote each column of a row."""
        return await Histories(self.sessions, self.context).provenance(model, primary_key)
