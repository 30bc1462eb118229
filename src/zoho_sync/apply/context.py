"""Holds what a handler needs to know besides its session and its mapping."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta, tzinfo
from functools import cached_property

from zoho_sync.database.dialects import Clock
from zoho_sync.events.entities import BUILTIN_CATALOG, EntityCatalog
from zoho_sync.events.version import TIMELESS_DELETE_GRACE
from zoho_sync.mapping.binding import BoundEntity
from zoho_sync.store.tables import Tables, library_tables

__all__ = ["HandlerContext"]


@dataclass(frozen=True, repr=False)  # hundreds of kilobytes, in the repr of whoever holds it
class HandlerContext:
    """The surroundings of a handler; a handler that is made by hand has the defaults.

    Attributes:
        tables: The library's tables.
        catalog: The entity types that are known.
        bindings: Where each entity type is mapped; used to look up references in the host's
            tables. An entity type without one is looked up in the ledger alone.
        time_zone: Of times without an offset; without it they are refused.
        date_formats: Accepted besides ISO 8601.
        clock: Replaces the database's clock.
        grace: How much later than it arrived a delete without a time counts.
        noted: Types and custom fields of which is stored that documents have had them.
    """

    tables: Tables = field(default_factory=library_tables)
    catalog: EntityCatalog = BUILTIN_CATALOG
    bindings: Mapping[str, BoundEntity] = field(default_factory=dict)
    time_zone: tzinfo | None = None
    date_formats: tuple[str, ...] = ()
    clock: Clock | None = None
    grace: timedelta = TIMELESS_DELETE_GRACE
    noted: set[tuple[str, str]] = field(default_factory=set, compare=False)

    @cached_property
    def makes_placeholders(self) -> bool:
        """Whether a reference of any mapping makes rows for entities that are not there."""
        rows = [each for bound in self.bindings.values() for each in (bound, *bound.children)]
        return any(callable(each.missing) for row in rows for each in row.references)
