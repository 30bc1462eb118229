"""Says what applying an event needs of the handler of its type; `BaseEntityHandler` has it all."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

from sqlalchemy.ext.asyncio import AsyncSession

from zoho_sync.apply.context import HandlerContext
from zoho_sync.apply.writing import Writing
from zoho_sync.events.entities import EntityKind
from zoho_sync.events.event import SyncEvent
from zoho_sync.events.outcome import SyncResult
from zoho_sync.mapping.binding import BoundEntity
from zoho_sync.payloads import Payload

__all__ = ["Handler"]


class Handler(Protocol):
    """Knows one entity type: how its documents are read, and where and how they are written."""

    payload_model: ClassVar[type[Payload]]
    """Reads its documents."""

    session: AsyncSession
    """The session that its own code works with, inside the event's transaction."""

    organization_id: str
    """Zoho's organization, of direct calls and of what is resolved."""

    context: HandlerContext
    """The library's tables, the other mappings, and how times are read."""

    holds_targets: bool
    """Whether rows that are referred to are held until the transaction ends."""

    _writing: Writing | None
    """The event that is written just now; what its own code reaches by ``super()``."""

    @classmethod
    def kind(cls) -> EntityKind:
        """Return how the entity type is named and recognised."""
        ...

    @classmethod
    def binding(cls) -> BoundEntity | None:
        """Return the mapping bound to its tables; None for a handler without a mapping."""
        ...

    def overrides(self, method: str) -> bool:
        """Return whether a method is the host's own code.

        What is not need not be called: ``upsert`` and ``delete`` write what the mapping says, and
        ``resolve`` looks where the context says.
        """
        ...

    async def upsert(self, payload: Any) -> Any:
        """Write a document, and return the host's primary key; None where it is not said."""
        ...

    async def delete(self, entity_id: str) -> None:
        """Delete an entity's row, or mark it."""
        ...

    async def resolve(self, entity_type: str, zoho_id: str, *, missing: str = "park") -> Any:
        """Return the host's primary key of another entity."""
        ...

    async def before_apply(self, event: SyncEvent) -> None:
        """Run before a fresh event is written, in the same transaction."""
        ...

    async def after_apply(self, event: SyncEvent, result: SyncResult) -> None:
        """Run after a fresh event was written, in the same transaction."""
        ...
