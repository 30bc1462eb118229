"""Gathers what argument, route, query, headers and method say of a delivery."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from zoho_sync.events.entities import EntityCatalog
from zoho_sync.intake.http import first_value, header_value

__all__ = ["ENTITY_HEADER", "OPERATION_HEADER", "Hints", "hints"]

ENTITY_HEADER: Final = "X-Zoho-Sync-Entity"
"""The header that names the entity, where neither route nor query do."""

OPERATION_HEADER: Final = "X-Zoho-Sync-Operation"
"""The header that names the operation, where neither argument nor query do."""


@dataclass(frozen=True, slots=True)
class Hints:
    """What is known of a delivery besides its body; each may be None.

    Attributes:
        entity: The entity type, by any of its names.
        operation: The operation, in any of the words that `Operation` understands.
        entity_id: Zoho's id of the entity.
        organization_id: Zoho's id of the organization.
        method: The HTTP method: a DELETE deletes, where nothing else names the operation.
    """

    entity: str | None = None
    operation: str | None = None
    entity_id: str | None = None
    organization_id: str | None = None
    method: str = "POST"


def hints(  # noqa: PLR0913  # one argument for each place in which a hint can stand
    *,
    entity: str | None = None,
    operation: str | None = None,
    entity_id: str | None = None,
    organization_id: str | None = None,
    query: Sequence[tuple[str, str]] = (),
    headers: Mapping[str, str] | None = None,
    method: str = "POST",
    catalog: EntityCatalog | None = None,
) -> Hints:
    """Gather the hints of one delivery: arguments go before the query, the query before headers.

    The query may hold ``entity``, ``operation`` or ``op``, ``id`` and ``organization_id``; of equal
    keys the first that is not blank counts. Where the entity is told, the field of its own id does
    for ``id``: ``invoice_id``. Words are taken as told: `decode` judges them.

    Args:
        entity: By argument or route.
        operation: By argument.
        entity_id: By argument or route.
        organization_id: By argument.
        query: The query string's pairs, URL-decoded.
        headers: Looked up without regard to case.
        method: The HTTP method.
        catalog: The entity types whose own id fields are looked for in the query.
    """
    sent = headers or {}
    named = _first(entity, first_value(query, "entity"), header_value(sent, ENTITY_HEADER))
    known = catalog.resolve(named) if catalog and named else None
    ids = ("id", *(catalog.kinds[known].id_fields if catalog and known else ()))
    return Hints(
        entity=named,
        operation=_first(
            operation, first_value(query, "operation", "op"), header_value(sent, OPERATION_HEADER)
        ),
        entity_id=_first(entity_id, first_value(query, *ids)),
        organization_id=_first(organization_id, first_value(query, "organization_id")),
        method=method,
    )


def _first(*values: str | None) -> str | None:
    return next((value.strip() for value in values if value and value.strip()), None)
