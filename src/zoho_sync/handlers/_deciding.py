"""Decides what one event writes, by what the ledger and the journal know of its entity."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from zoho_sync._binding import BoundEntity
from zoho_sync._journal import Journal, JournalEntry
from zoho_sync._ledger import LedgerEntry
from zoho_sync._row_values import Key
from zoho_sync.decisions import Decision, LedgerState, Proposal, decide, writers
from zoho_sync.events import SyncEvent
from zoho_sync.mapping import ABSENT, read_source
from zoho_sync.outcomes import Outcome
from zoho_sync.payloads import Payload

__all__ = ["Known", "decide_event", "is_hard", "proposal_of"]

WHOLE_DOCUMENT = frozenset({"*"})
"""What every event of a handler without a mapping carries: its document is versioned as one."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of an entity when one of its events is decided.

    Attributes:
        bound: Where it is mapped; None for a handler without a mapping.
        entry: What the ledger holds of it.
        located: Its row's primary key; None while it has no row.
        moved: Whether it had a row under another type.
        own_code: Whether the handler writes by its own code. That sees whole documents, and knows
            no column's version: late events are not given to it.
    """

    bound: BoundEntity | None
    entry: LedgerEntry
    located: Key | None
    moved: bool
    own_code: bool

    @property
    def state(self) -> LedgerState:
        """What the ledger knows, as far as it holds for the row that is there."""
        state = self.entry.state
        if self.bound is None or (self.located is None and self.own_code):
            # Whether there is a row, only the handler's own code knows.
            return state
        if self.located is None or self.moved:
            return replace(state, carried=frozenset(), older={})
        return state


async def decide_event(
    known: Known,
    event: SyncEvent,
    proposal: Proposal,
    journal: Journal,
    settled: Iterable[JournalEntry],
) -> Decision:
    """Decide what an event does; what its equals have written before is not written again.

    Args:
        known: What is known of its entity.
        event: The event.
        proposal: The event, as `decide` sees it.
        journal: Knows the equals.
        settled: What was settled in this transaction, and is not in the journal yet.
    """
    decision = decide(known.state, proposal)
    late = decision.state.version != proposal.version
    # Code of the handler's own may write more than what is mapped; late events do not get there.
    if late or not known.own_code:
        arrivals = writers(known.state, proposal, decision)
        if arrivals:
            equals = await journal.equals_among(arrivals, event, proposal.fingerprint, settled)
            decision = decide(known.state, replace(proposal, equals=equals))
            late = decision.state.version != proposal.version
    if late and (known.moved or (known.located is None and known.own_code)):
        return Decision(Outcome.STALE, known.entry.state, reason="overtaken by a newer event")
    return decision


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
