"""Applies one event through a handler: understand, decide, write; the ledger comes last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from zoho_sync._binding import BoundEntity
from zoho_sync._host_keys import encode_key, plain_key
from zoho_sync._journal import JournalEntry
from zoho_sync._ledger import Ledger, LedgerEntry, LedgerKey
from zoho_sync._references import References
from zoho_sync._row_values import Key
from zoho_sync._unit_of_work import UnitOfWork
from zoho_sync._upsert import Change, RowWriter
from zoho_sync.decisions import Decision, LedgerState
from zoho_sync.events import Arrival, Operation, SyncEvent, refuse_future
from zoho_sync.handlers._calls import call_handler
from zoho_sync.handlers._deciding import (
    decide_event,
    is_hard,
    is_overridden,
    proposal_of,
    state_of,
)
from zoho_sync.handlers._placeholders import make_placeholder
from zoho_sync.handlers._siblings import retire, sibling
from zoho_sync.handlers._writing import Writing
from zoho_sync.outcomes import Outcome, SyncResult
from zoho_sync.payloads import Payload, parse
from zoho_sync.versions import Version, from_microseconds, to_microseconds

if TYPE_CHECKING:
    from zoho_sync.handlers.base import BaseEntityHandler

__all__ = [
    "Applied",
    "apply_event",
    "arrived_under_lock",
    "journalled",
    "ledger_key",
]


@dataclass(frozen=True, slots=True)
class Applied:
    """One event's effect, before the ledger is written.

    Attributes:
        result: What was done.
        entry: What the ledger knows from now on; None where it stays as it is.
        fingerprint: Of the mapping in force.
    """

    result: SyncResult
    entry: LedgerEntry | None
    fingerprint: str = ""


def ledger_key(handler: BaseEntityHandler[Any], event: SyncEvent) -> LedgerKey:
    """Return how the ledger names an event's entity."""
    namespace = handler.context.catalog.namespace(event.entity_type)
    return LedgerKey(event.organization_id, namespace, event.entity_id)


def journalled(event: SyncEvent, applied: Applied, now: datetime) -> JournalEntry:
    """Return the journal's entry of an event that was settled by applying it."""
    return JournalEntry(
        event,
        applied.result.outcome,
        now,
        reason=applied.result.reason,
        changed=applied.result.changed,
        fingerprint=applied.fingerprint,
    )


def arrived_under_lock(event: SyncEvent, entry: LedgerEntry, now: datetime) -> SyncEvent:
    """Return an event that came from no queue, with its arrival.

    It counts as later than everything that the locked ledger row has seen, so that two calls
    within one tick of the clock keep their order.

    Raises:
        PayloadError: Its time is more than a day ahead.
    """
    newest = entry.state.version
    moment = to_microseconds(now)
    if newest is not None:
        moment = max(moment, newest.arrival + 1)
    arrival = Arrival(from_microseconds(moment), 0)
    refuse_future(event.effective_time, arrival.time, path=event.entity_type)
    return replace(event, arrival=arrival)


async def apply_event(
    handler: BaseEntityHandler[Any],
    work: UnitOfWork,
    event: SyncEvent,
    entry: LedgerEntry,
    settled: Iterable[JournalEntry] = (),
) -> Applied:
    """Apply an event whose ledger row is locked, and say what the ledger is to hold then.

    Args:
        handler: Of its type.
        work: The transaction.
        event: The event.
        entry: The ledger's row.
        settled: What was settled in this transaction, and is not in the journal yet.

    Raises:
        PayloadError: The document cannot be understood.
        ReferencePending: An entity that it refers to has not arrived yet.
        ReferenceFailed: An entity that it refers to does not exist.
        RowRejected: The host's schema refuses the values.
    """
    bound = handler.binding()
    payload = None if event.operation is Operation.DELETE else _parse(handler, event)
    if reason := _unwanted(bound, payload):
        return Applied(SyncResult(Outcome.IGNORED, reason=reason), None)
    located = await _locate(work, bound, event, entry)
    if _is_left(bound, entry, payload) and located is None:
        return Applied(SyncResult(Outcome.IGNORED, reason="the host has deleted the row"), None)
    other = sibling(handler.context.bindings, bound, entry)
    state = state_of(handler, bound, entry, located, moved=other is not None)
    proposal = proposal_of(handler, bound, event, payload)
    decision = await decide_event(handler, work, event, state, proposal, settled)
    late = decision.state.version != proposal.version
    if late and (other is not None or (located is None and is_overridden(handler))):
        decision = Decision(Outcome.STALE, entry.state, reason="overtaken by a newer event")
    if decision.outcome is not Outcome.APPLIED:
        return _unwritten(handler, event, entry, decision, located)
    writing = Writing(
        connection=work.connection,
        joined=work.joined,
        bound=bound,
        tables=handler.context.tables,
        references=_references(handler, work, event),
        owner=ledger_key(handler, event),
        located=located,
        may_adopt=not _was_linked(bound, entry),
        deleted_at=decision.state.deleted_at if payload is None else None,
        change=None
        if payload is None
        else _change(event, payload, state, decision, moved=other is not None),
    )
    if other is not None:
        await retire(writing, other, entry, event, Version.of(event).effective_time)
    result = await _write(handler, event, writing, decision, late=late)
    known = _entry(entry, event, bound, decision, result)
    if bound is not None and bound.key is not None and known.row != entry.row:
        # What the host's key column says goes before a link that was made for another row.
        ledger = Ledger(work.connection, handler.context.tables.ledger)
        await ledger.unlink(known, writing.owner)
    return Applied(result, known, proposal.fingerprint)


def _unwritten(
    handler: BaseEntityHandler[Any],
    event: SyncEvent,
    entry: LedgerEntry,
    decision: Decision,
    located: Key | None,
) -> Applied:
    """Return the effect of an event that writes no row."""
    result, bound = _result(event, handler, decision, located), handler.binding()
    known = replace(entry, state=decision.state)
    if decision.outcome is Outcome.DUPLICATE and decision.state.version == result.version:
        known = replace(known, entity_type=event.entity_type)
    return Applied(result, known, bound.fingerprint if bound else "")


def _parse(handler: BaseEntityHandler[Any], event: SyncEvent) -> Payload:
    context = handler.context
    return parse(
        handler.payload_model,
        event.payload,
        time_zone=context.time_zone,
        date_formats=context.date_formats,
    )


def _unwanted(bound: BoundEntity | None, payload: Payload | None) -> str:
    if bound is None:
        return ""
    if payload is None:
        return "deletes are ignored" if bound.mapping.on_delete == "ignore" else ""
    when = bound.when
    return "" if when is None or when(payload) else "the mapping's condition does not hold"


def _was_linked(bound: BoundEntity | None, entry: LedgerEntry) -> bool:
    is_same = bound is not None and entry.table_name == bound.table.fullname
    return is_same and entry.primary_key is not None


def _is_left(bound: BoundEntity | None, entry: LedgerEntry, payload: Payload | None) -> bool:
    """Return whether a row that the host has deleted stays away."""
    if bound is None or payload is None or bound.mapping.host_deleted != "leave":
        return False
    return _was_linked(bound, entry)


def _references(handler: BaseEntityHandler[Any], work: UnitOfWork, event: SyncEvent) -> References:
    context = handler.context

    async def stand_in(entity_type: str, zoho_id: str, values: Mapping[str, Any]) -> Any:
        kind = context.catalog.require(entity_type)
        key = LedgerKey(event.organization_id, kind.namespace, zoho_id)
        return await make_placeholder(work.connection, context, key, kind.entity_type, values)

    owner = ledger_key(handler, event)
    return References(handler.resolve, stand_in, context.catalog, owner, event.entity_type)


async def _locate(
    work: UnitOfWork,
    bound: BoundEntity | None,
    event: SyncEvent,
    entry: LedgerEntry,
) -> Key | None:
    if bound is None:
        return None
    rows = RowWriter(work.connection, bound)
    return await rows.locate(
        event.entity_id, event.organization_id, entry.table_name, entry.primary_key
    )


async def _write(
    handler: BaseEntityHandler[Any],
    event: SyncEvent,
    writing: Writing,
    decision: Decision,
    *,
    late: bool,
) -> SyncResult:
    payload = writing.change.payload if writing.change is not None else None
    await handler.before_apply(event)
    key = await call_handler(handler, writing, payload, event.entity_id, late=late)
    result = replace(_result(event, handler, decision, None), primary_key=key)
    if writing.adopted:
        result = replace(result, reason="took over a row of the host")
    await handler.after_apply(event, result)
    return result


def _change(
    event: SyncEvent, payload: Payload, state: LedgerState, decision: Decision, *, moved: bool
) -> Change:
    # A contact that comes back to a table finds the row there that it was deleted from.
    was_deleted = state.deleted_at is not None or moved
    return Change(
        entity_id=event.entity_id,
        organization_id=event.organization_id,
        payload=payload,
        document=event.payload,
        write=decision.write,
        deleted_at=decision.state.deleted_at,
        revives=was_deleted and decision.state.deleted_at is None,
    )


def _result(
    event: SyncEvent, handler: BaseEntityHandler[Any], decision: Decision, located: Key | None
) -> SyncResult:
    bound = handler.binding()
    changed = decision.write
    if decision.outcome is Outcome.APPLIED and event.operation is Operation.DELETE:
        column = bound.mapping.deleted_column if bound else None
        changed = frozenset({column} if column else ())
    return SyncResult(
        outcome=decision.outcome,
        primary_key=plain_key(located),
        version=Version.of(event, grace=handler.context.grace),
        changed=tuple(sorted(changed)),
        reason=decision.reason,
    )


def _entry(
    entry: LedgerEntry,
    event: SyncEvent,
    bound: BoundEntity | None,
    decision: Decision,
    result: SyncResult,
) -> LedgerEntry:
    key = result.primary_key
    newest = decision.state.version == result.version
    table = bound.table.fullname if bound is not None else None
    link: tuple[str | None, str | None]
    if key is not None:
        link = (table, encode_key(key if isinstance(key, tuple) else (key,)))
    elif table is not None and event.operation is Operation.DELETE and not is_hard(bound):
        # The host has deleted the row: that there was one is to be remembered.
        link = entry.row
    else:
        link = (None, None)
    return LedgerEntry(
        state=decision.state,
        entity_type=event.entity_type if newest else entry.entity_type or event.entity_type,
        event_id=event.id if newest else entry.event_id or event.id,
        table_name=link[0],
        primary_key=link[1],
    )
