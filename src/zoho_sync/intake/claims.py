"""Holds what uncovered parts of a delivery say against the event: they agree, or it is refused.

Zoho signs neither method nor path nor other headers. Whoever has seen one delivery can send it
again under another path or method; so those decide nothing, and where they ask for more than the
covered parts say, nothing is done that the sender did not ask for, and nothing less in silence.
"""

from __future__ import annotations

from typing import Final

from zoho_sync.events.entities import CONTACT, EntityCatalog
from zoho_sync.events.event import DEFAULT_ORGANIZATION, Operation, SyncEvent, operation_of
from zoho_sync.exceptions import PayloadError
from zoho_sync.intake.hints import Claim, Hints

__all__ = ["UncoveredError", "asked", "refuse_contradiction", "refuse_unheard", "with_remedy"]

_REMEDY: Final = "say it in the query of the webhook's URL: ?entity=invoice&op=delete&id=…"
_BODY_REMEDY: Final = "say it in the body, or verify with SignedRequest, which covers the query"


class UncoveredError(PayloadError):
    """A delivery without a body asks for a change outside of what the verifier covered."""


def asked(hints: Hints) -> list[str]:
    """Return what uncovered parts are about: whether they ask to delete, but never the words."""
    deletes = (each for each in hints.claims if _operation(each) is Operation.DELETE)
    return sorted({each.field for each in hints.claims} | {f"delete by {d.part}" for d in deletes})


def with_remedy(error: PayloadError, hints: Hints) -> PayloadError:
    """Return an error about the covered parts that says why the others did not help."""
    told = next((each for each in hints.claims if each.field in ("entity", "entity_id")), None)
    if told is None:
        return error
    problem = f"{error.problem} ({_place(told)} is not covered by the signature: {_remedy(told)})"
    return PayloadError(error.path, problem)


def refuse_unheard(hints: Hints, catalog: EntityCatalog) -> None:
    """Refuse to take a delivery for a ping that asks, where nothing covers it, for a change.

    Raises:
        UncoveredError: It says in which URL the change can be asked for.
    """
    for each in hints.claims:
        is_delete = _operation(each) is Operation.DELETE
        if is_delete or each.field == "document":
            named = [claim.value for claim in hints.claims if claim.field == "entity"]
            known = next(filter(None, map(catalog.resolve, named)), None) or "invoice"
            wanted = f"?entity={known}&op=delete&id=…" if is_delete else f"?entity={known}&id=…"
            raise UncoveredError(
                each.field,
                f"{_place(each)} asks for a change, and the signature does not cover it; nothing "
                f"was done. Configure the webhook's URL as {wanted}, and verify with SignedRequest",
            )


def refuse_contradiction(
    event: SyncEvent, hints: Hints, catalog: EntityCatalog, *, has_body: bool
) -> None:
    """Refuse an event of which an uncovered part says something else.

    Raises:
        UncoveredError: There is no body that could be kept.
        PayloadError: It names the part, and where to say it instead.
    """
    for each in hints.claims:
        if not _agrees(each, event, catalog):
            problem = (
                f"{_place(each)} says another {each.field} than the parts that the signature "
                f"covers; {_remedy(each)}"
            )
            raise (PayloadError if has_body else UncoveredError)(each.field, problem)


def _agrees(claim: Claim, event: SyncEvent, catalog: EntityCatalog) -> bool:
    if claim.field == "operation":
        return operation_of(claim.value) is event.operation
    if claim.field == "entity":
        named = catalog.resolve(claim.value)
        is_contact = catalog.namespace(event.entity_type) == CONTACT
        return named == event.entity_type or (named == CONTACT and is_contact)
    if claim.field == "entity_id":
        return claim.value == event.entity_id
    # Where the installation names no organization, the word of one is data only.
    is_one = event.organization_id in (DEFAULT_ORGANIZATION, claim.value)
    return claim.field == "organization_id" and is_one


def _operation(claim: Claim) -> Operation | None:
    if claim.field != "operation":
        return None
    try:
        return operation_of(claim.value)
    except PayloadError:
        return None


def _place(claim: Claim) -> str:
    words = {"route": "the method or path", "query": "the query", "headers": "a header"}
    return words.get(claim.part, claim.part)


def _remedy(claim: Claim) -> str:
    return _BODY_REMEDY if claim.part == "query" else _REMEDY
