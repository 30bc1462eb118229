"""Gathers what query, headers, route and method say of a delivery, and which of it is covered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any, Final, NamedTuple

from zoho_sync.events.entities import BUILTIN_KINDS, EntityCatalog
from zoho_sync.intake.body import JSON_FIELD
from zoho_sync.intake.http import first_value, header_value
from zoho_sync.intake.verdict import WHOLE_REQUEST, Part, Verdict

__all__ = ["ENTITY_HEADER", "OPERATION_HEADER", "QUERY_KEYS", "Claim", "Hints", "hints"]

ENTITY_HEADER: Final = "X-Zoho-Sync-Entity"
"""The header that names the entity, where neither route nor query do."""

OPERATION_HEADER: Final = "X-Zoho-Sync-Operation"
"""The header that names the operation, where neither argument nor query do."""

QUERY_KEYS: Final = frozenset(
    ("entity", "operation", "op", "id", "organization_id", JSON_FIELD)
) | frozenset(name for kind in BUILTIN_KINDS for name in kind.id_fields)
"""The query parameters that bear on an event."""


class Claim(NamedTuple):
    """What one part of a delivery says.

    Attributes:
        part: Where it stands.
        field: The field of `Hints` that it is about.
        value: What it says, as told.
    """

    part: Part
    field: str
    value: str


@dataclass(frozen=True, slots=True)
class Hints:
    """What is known of a delivery besides its body; each may be None.

    Attributes:
        entity: The entity type, by any of its names.
        operation: The operation, in any of the words that `Operation` understands.
        entity_id: Zoho's id of the entity.
        organization_id: Zoho's id of the organization.
        document: The document as JSON, where the query carries it.
        ids: What the query says in id fields of the catalog, by field: it does for a body.
        method: The HTTP method: a DELETE deletes, where nothing else names the operation.
        secret_of: The organization to which the verifier's secret is bound.
        timed_only: Whether a document must have a time of its own.
        claims: What the parts say that the verifier did not cover: they may agree with the event,
            and decide nothing.
    """

    entity: str | None = None
    operation: str | None = None
    entity_id: str | None = None
    organization_id: str | None = None
    document: str | None = None
    ids: Mapping[str, str] = field(default_factory=dict)
    method: str = "POST"
    secret_of: str | None = None
    timed_only: bool = False
    claims: tuple[Claim, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return what is known, to be kept beside a body."""
        named = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in named.items() if value}

    @classmethod
    def stored(cls, kept: Mapping[str, Any]) -> Hints:
        """Return hints that were kept as JSON beside a body, by this or an older release."""
        claims = tuple(Claim(*each) for each in kept.get("claims", ()))
        return cls(**{"method": "POST", **kept, "claims": claims})


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
    verdict: Verdict | None = None,
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
        verdict: Says which parts are covered, where arguments and method belong to the route; None:
            all are.
    """
    covers = verdict.covers if verdict else WHOLE_REQUEST
    sent, get = headers or {}, partial(first_value, query)
    said = [
        Claim("route", "entity", entity or ""),
        Claim("query", "entity", get("entity") or ""),
        Claim("headers", "entity", header_value(sent, ENTITY_HEADER) or ""),
        Claim("route", "operation", operation or ""),
        Claim("query", "operation", get("operation", "op") or ""),
        Claim("headers", "operation", header_value(sent, OPERATION_HEADER) or ""),
        Claim("route", "organization_id", organization_id or ""),
        Claim("query", "organization_id", get("organization_id") or ""),
        Claim("query", "document", get(JSON_FIELD) or ""),
        Claim("route", "entity_id", entity_id or ""),
    ]
    named = next((each.value for each in _by_weight(said, covers) if each.field == "entity"), None)
    ids = _ids(query, named, catalog)
    own = ids.pop("id", None) or ""
    said.append(Claim("query", "entity_id", own))
    claims = [each for each in _by_weight(said, covers) if each.part not in covers]
    if "route" not in covers and method.upper() == "DELETE":
        claims.append(Claim("route", "operation", "delete"))
    covered = [each for each in _by_weight(said, covers) if each.part in covers]
    return Hints(
        **{each.field: each.value for each in reversed(covered)},
        ids=ids if "query" in covers else {},
        method=method if "route" in covers else "POST",
        secret_of=verdict.organization_id if verdict else None,
        timed_only=verdict is not None and verdict.timed_only,
        claims=tuple(claims),
    )


def _by_weight(said: Iterable[Claim], covers: AbstractSet[Part]) -> list[Claim]:
    """Return what is said, without blanks: what is covered before what is not."""
    told = [each._replace(value=each.value.strip()) for each in said if each.value.strip()]
    return sorted(told, key=lambda each: each.part not in covers)


def _ids(
    query: Sequence[tuple[str, str]], named: str | None, catalog: EntityCatalog | None
) -> dict[str, str]:
    """Return the query's ids by field; under ``id`` that of the entity that is named."""
    kinds = catalog.kinds if catalog else {}
    fields = {name for kind in kinds.values() for name in kind.id_fields}
    ids = {key: value.strip() for key, value in reversed(query) if key in fields and value.strip()}
    kind = kinds.get((catalog.resolve(named) if catalog and named else None) or "")
    own = first_value(query, "id", *(kind.id_fields if kind else ()))
    if own is not None:
        ids |= {"id": own} | ({kind.id_fields[0]: own} if kind else {})
    return ids
