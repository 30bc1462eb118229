"""Puts an event as the version rule sees it: which columns it carries, and whether it is final."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from zoho_sync._binding import BoundEntity
from zoho_sync.decisions import Proposal
from zoho_sync.events import SyncEvent
from zoho_sync.mapping import ABSENT, read_source
from zoho_sync.payloads import Payload

__all__ = ["is_hard", "proposal_of"]

WHOLE_DOCUMENT = frozenset({"*"})
"""What every event of a handler without a mapping carries: its document is versioned as one."""


def proposal_of(
    bound: BoundEntity | None, event: SyncEvent, payload: Payload | None, grace: timedelta
) -> Proposal:
    """Return an event as `decide` sees it.

    Args:
        bound: Where its entity is mapped; None for a handler without a mapping.
        event: The event.
        payload: Its document; None for a delete.
        grace: How much later than it arrived a delete without a time counts.
    """
    columns = WHOLE_DOCUMENT
    if bound is not None and payload is not None:
        columns = _carried(bound, payload, event.payload)
    fingerprint = bound.fingerprint if bound is not None else ""
    return Proposal.of(event, columns, fingerprint=fingerprint, hard=is_hard(bound), grace=grace)


def is_hard(bound: BoundEntity | None) -> bool:
    """Return whether deletes of an entity are final."""
    return bound is not None and bound.mapping.on_delete == "hard"


def _carried(bound: BoundEntity, payload: Payload, document: Mapping[str, Any]) -> frozenset[str]:
    """Return the names of the columns, and of the lists of lines, that a document carries."""
    sources = {name: source for name, (_, source) in bound.columns.items()}
    sources |= {reference.name: reference.source for reference in bound.references}
    sources |= {child.name: child.source for child in bound.children}
    return frozenset(
        name
        for name, source in sources.items()
        if read_source(source, payload, document) is not ABSENT
    )
