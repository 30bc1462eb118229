"""What `ZohoSync` offers about the host's rows: direct calls, links, changed mappings, origins."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from zoho_sync._hand_made import EventRules
from zoho_sync._runtime import Runtime
from zoho_sync.adoption import AdoptionCount, count_adoptable
from zoho_sync.events import DEFAULT_ORGANIZATION
from zoho_sync.handlers.base import BaseEntityHandler
from zoho_sync.linking import Linker, LinkReport
from zoho_sync.provenance import Histories, HistoryEntry, Provenance
from zoho_sync.reapplication import Reapplication, ReapplyReport

__all__ = ["HostRows"]


class HostRows:
    """One half of `ZohoSync`: everything about single entities and their rows.

    Args:
        runtime: What to work with.
        events: Which organizations there are.
        notify_worker: Called when something was queued.
    """

    def __init__(
        self, runtime: Runtime, events: EventRules, notify_worker: Callable[[], None]
    ) -> None:
        self._runtime = runtime
        self._events = events
        self._notify_worker = notify_worker
        self._linker = Linker(runtime.sessions, runtime.context)
        self._reapplication = Reapplication(runtime.sessions, runtime.context, runtime.queue)
        self._histories = Histories(runtime.sessions, runtime.context)

    def handler(
        self, entity_type: str, session: AsyncSession, *, organization_id: str | None = None
    ) -> BaseEntityHandler[Any]:
        """Return a handler of this registry for a direct call of its `BaseEntityHandler.sync`.

        It knows what a handler that is made by hand does not: where the other entity types are
        mapped, the host's own types, the time zone, and the schema of the library's tables.

        Raises:
            UnknownEntityType: No handler has that type.
        """
        named = self._runtime.registry[entity_type]
        organization = self._events.organization(organization_id or DEFAULT_ORGANIZATION)
        made = named(session, organization_id=organization)
        made.context = self._runtime.context
        return made

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
        organization = self._events.organization(organization_id or DEFAULT_ORGANIZATION)
        return await self._linker.link(
            entity_type, pairs, organization_id=organization, dry_run=dry_run
        )

    async def adoption_report(self) -> list[AdoptionCount]:
        """Return, for each mapping with natural keys, how many of the host's rows would match."""
        return await count_adoptable(self._runtime.sessions, self._runtime.context)

    async def forget(
        self, entity_type: str, zoho_id: str, *, organization_id: str | None = None
    ) -> bool:
        """Forget an entity, so that a hard-deleted one can be synced again.

        Its next event is fresh, whatever its version. Its row, and the link to it, stay. Return
        whether anything was known of it.
        """
        organization = self._events.organization(organization_id or DEFAULT_ORGANIZATION)
        return await self._linker.forget(entity_type, zoho_id, organization_id=organization)

    async def reapply(self, entity_type: str) -> ReapplyReport:
        """Apply a changed mapping to all entities of a type: queue their kept documents again.

        Raises:
            ConfigurationError: The type has no mapping, or its documents are kept nowhere.
        """
        report = await self._reapplication.queue(entity_type)
        self._notify_worker()
        return report

    async def history(
        self, entity_type: str, zoho_id: str, *, organization_id: str | None = None
    ) -> list[HistoryEntry]:
        """Return every event that was received of an entity, and what became of it."""
        organization = self._events.organization(organization_id or DEFAULT_ORGANIZATION)
        return await self._histories.history(entity_type, zoho_id, organization)

    async def provenance(self, model: Any, primary_key: Any) -> Provenance | None:
        """Return which event wrote each column of a row; None for a row that is the host's own.

        Args:
            model: ORM class or `Table` of the host.
            primary_key: Its value, or a tuple of them.
        """
        return await self._histories.provenance(model, primary_key)
