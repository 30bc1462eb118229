"""Decides what one event writes, by what the ledger and the journal know of its entity."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from zoho_sync._binding import BoundEntity
from zoho_sync._journal import Journal, JournalEntry
from zoho_sync._ledger import LedgerEntry
from zoho_sync._row_values import Key
from zoho_sync._unit_of_work import UnitOfWork
from zoho_sync._upsert import carried_columns
from zoho_sync.decisions import Decision, LedgerState, Proposal, decide, writers
from zoho_sync.events import SyncEvent
from zoho_sync.payloads import Payload

if TYPE_CHECKING:
    from zoho_sync.handlers.base import BaseEntityHandler

__all__ = ["decide_event", "is_hard", "is_overridden", "proposal_of", "state_of"]

WHOLE_DOCUMENT = frozenset({"*"})
"""What every event of a handler without a mapping carries: its document is versioned as one."""


async def decide_event(  # noqa: PLR0913, PLR0917  # the event, and all that is known of it
    handler: BaseEntityHandler[Any],
    work: UnitOfWork,
    event: SyncEvent,
    state: LedgerState,
    proposal: Proposal,
    settled: Iterable[JournalEntry],
) -> Decision:
    """Decide what an event does; what its equals have written before is not written again.

    Args:
        handler: Of its type.
        work: The transaction.
        event: The event.
        state: What the ledger knows, as far as it holds.
        proposal: The event, as `decide` sees it.
        settled: What was settled in this transaction, and is not in the journal yet.
    """
    decision = decide(state, proposal)
    late = decision.state.version != proposal.version
    # Code of the handler's own may write more than what is mapped; late events do not get there.
    arrivals = writers(state, proposal, decision) if late or not is_overridden(handler) else ()
    if not arrivals:
        return decision
    journal = Journal(work.connection, handler.context.tables.journal)
    equals = await journal.equals_among(arrivals, event, proposal.fingerprint, settled)
    return decide(state, replace(proposal, equals=equals))


def state_of(
    handler: BaseEntityHandler[Any],
    bound: BoundEntity | None,
    entry: LedgerEntry,
    located: Key | None,
    *,
    moved: bool,
) -> LedgerState:
    """Return what the ledger knows, as far as it holds for the row that is there."""
    if bound is None or (located is None and is_overridden(handler)):
        # Whether there is a row, only the handler's own code knows.
        return entry.state
    return _without_columns(entry.state) if located is None or moved else entry.state


def is_overridden(handler: BaseEntityHandler[Any]) -> bool:
    """Return whether a handler writes by its own code.

    That code sees whole documents, and knows no column's version: late events are not given to it.
    """
    return not getattr(type(handler).upsert, "follows_mapping", False)


def proposal_of(
    handler: BaseEntityHandler[Any],
    bound: BoundEntity | None,
    event: SyncEvent,
    payload: Payload | None,
) -> Proposal:
    """Return an event as `decide` sees it."""
    columns = WHOLE_DOCUMENT
    if bound is not None and payload is not None:
        columns = carried_columns(bound, payload, event.payload)
    return Proposal.of(
        event,
        columns,
        fingerprint=bound.fingerprint if bound else "",
        hard=is_hard(bound),
        grace=handler.context.grace,
    )


def _without_columns(state: LedgerState) -> LedgerState:
    return replace(state, carried=frozenset(), older={})


def is_hard(bound: BoundEntity | None) -> bool:
    """Return whether deletes of an entity are final."""
    return bound is not None and bound.mapping.on_delete == "hard"
