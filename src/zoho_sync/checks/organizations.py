"""Checks that no organization's events reach another's rows, where several are configured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from zoho_sync.checks.report import Report
from zoho_sync.events.entities import CONTACT, EntityCatalog
from zoho_sync.handlers.base import BaseEntityHandler
from zoho_sync.mapping.binding import BoundEntity

__all__ = ["check_organizations"]


def check_organizations(
    report: Report,
    handlers: Iterable[type[BaseEntityHandler[Any]]],
    catalog: EntityCatalog,
    organization_ids: Sequence[str],
) -> None:
    """Refuse mappings that would take one organization's entity for another's.

    Args:
        report: Collects what is wrong.
        handlers: All of the registry.
        catalog: Their types, by every name.
        organization_ids: Those that are configured.
    """
    if len(organization_ids) <= 1:
        return
    bound = {each.entity_type: found for each in handlers if (found := each.binding()) is not None}
    owners = {each.entity_type: each.__name__ for each in handlers}
    for entity_type, mapped in bound.items():
        _check_rows(report, owners[entity_type], mapped, organization_ids)
        for reference in [*mapped.references, *(r for c in mapped.children for r in c.references)]:
            for only in _owners_of(reference.to, bound, catalog) - {mapped.mapping.organization_id}:
                report.refuse(
                    f"{owners[entity_type]}.references[{reference.name!r}]",
                    f"{reference.to!r} is mapped for organization {only!r} alone, and no reference "
                    "crosses organizations.",
                    f"Give this mapping organization_id={only!r} as well, or leave the reference "
                    "out.",
                )


def _owners_of(
    entity_type: str, bound: Mapping[str, BoundEntity], catalog: EntityCatalog
) -> set[str]:
    """Return the organizations that alone use the tables to which a reference may lead."""
    named = catalog.resolve(entity_type)
    targets = [
        mapped.mapping.organization_id
        for name, mapped in bound.items()
        if name == named or (named == CONTACT and catalog.namespace(name) == CONTACT)
    ]
    return {only for only in targets if only is not None}


def _check_rows(
    report: Report, owner: str, bound: BoundEntity, organization_ids: Sequence[str]
) -> None:
    only = bound.mapping.organization_id
    if only is not None and only not in organization_ids:
        problem = f"{only!r} is none of the organizations that are configured."
        known = " or ".join(map(repr, organization_ids))
        report.refuse(f"{owner}.organization_id", problem, f"Give {known}.")
    elif only is None and bound.organization is None:
        report.refuse(
            f"{owner}.organization_column",
            "several organizations are configured, and nothing tells whose row is whose: one could "
            "overwrite or delete another's.",
            f"Name the column that holds the organization; or, where one alone uses "
            f"{bound.table.name!r}, say organization_id={organization_ids[0]!r}.",
        )
