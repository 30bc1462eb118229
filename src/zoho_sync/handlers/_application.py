"""Applies one event through a handler: understand, decide, write; the ledger comes last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from zoho_sync._binding import BoundEntity
from zoho_sync._dialects import (
    Fault,
    breaks_reference,
    classify,
    database_time,
    hide_values,
    primary_message,
)
from zoho_sync._host_keys import encode_key, plain_key
from zoho_sync._journal import Journal, JournalEntry
from zoho_sync._ledger import Ledger, LedgerEntry, LedgerKey
from zoho_sync._row_values import Key
from zoho_sync._unit_of_work import UnitOfWork
from zoho_sync._upsert import Change, RowWriter, carried_columns
from zoho_sync.decisions import Decision, LedgerState, Proposal, decide
from zoho_sync.events import Arrival, Operation, SyncEvent, effective_time, refuse_future
from zoho_sync.exceptions import PayloadError, ReferencePending, RowRejected, ZohoSyncError
from zoho_sync.handlers._writing import Writing
from zoho_sync.outcomes import Outcome, SyncResult
from zoho_sync.payloads import Payload, parse
from zoho_sync.versions import Version, from_microseconds, to_microseconds

if TYPE_CHECKING:
    from zoho_sync.handlers.base import BaseEntityHandler

__all__ = [
    "WHOLE_DOCUMENT",
    "Applied",
    "apply_directly",
    "apply_event",
    "arrived_under_lock",
    "journalled",
    "ledger_key",
]

WHOLE_DOCUMENT = frozenset({"*"})
"""What every event of a handler without a mapping carries: its document is versioned as one."""


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


async def apply_directly(
    handler: BaseEntityHandler[Any],
    work: UnitOfWork,
    payload: Payload | Mapping[str, Any],
    operation: Operation,
) -> SyncResult:
    """Apply a change that came from no queue: lock, take an arrival, apply, journal."""
    event = _understand(handler, payload, operation)
    ledger = Ledger(work.connection, handler.context.tables.ledger)
    key = ledger_key(handler, event)
    await ledger.prepare([key])
    entry = (await ledger.lock([key]))[key]
    now = await database_time(work.connection, handler.context.clock)
    event = arrived_under_lock(event, entry, now)
    applied = await apply_event(handler, work, event, entry)
    if applied.entry is not None:
        await ledger.write(key, applied.entry)
    journal = Journal(work.connection, handler.context.tables.journal)
    await journal.append([journalled(event, applied, now)])
    return applied.result


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


def _understand(
    handler: BaseEntityHandler[Any], payload: Payload | Mapping[str, Any], operation: Operation
) -> SyncEvent:
    context, kind = handler.context, handler.kind()
    document = payload.model_dump(exclude_unset=True) if isinstance(payload, Payload) else payload
    entity_id = kind.entity_id(document)
    if not entity_id:
        raise PayloadError(f"{kind.entity_type}.{kind.id_fields[0]}", "missing or empty")
    moment = effective_time(
        document, path=kind.entity_type, time_zone=context.time_zone, formats=context.date_formats
    )
    try:
        return SyncEvent(
            entity_type=kind.entity_type,
            entity_id=entity_id,
            payload=document,
            operation=operation,
            organization_id=handler.organization_id,
            effective_time=moment,
        )
    except TypeError as error:
        raise PayloadError(kind.entity_type, str(error)) from None


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
    handler: BaseEntityHandler[Any], work: UnitOfWork, event: SyncEvent, entry: LedgerEntry
) -> Applied:
    """Apply an event whose ledger row is locked, and say what the ledger is to hold then.

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
    located = await _locate(handler, work, bound, event, entry)
    # Where the row is gone, or was never made, no column was written.
    state = entry.state if bound is None or located else _without_columns(entry.state)
    decision = decide(state, _proposal(handler, bound, event, payload))
    fingerprint = bound.fingerprint if bound else ""
    if decision.outcome is not Outcome.APPLIED:
        result = _result(event, handler, decision, located)
        return Applied(result, replace(entry, state=decision.state), fingerprint)
    writing = Writing(
        connection=work.connection,
        joined=work.joined,
        bound=bound,
        links=handler.context.tables.child_links,
        resolve=handler.resolve,
        owner=ledger_key(handler, event),
        located=located,
        deleted_at=decision.state.deleted_at if payload is None else None,
        change=None if payload is None else _change(event, payload, state, decision),
    )
    result = await _write(handler, event, writing, decision)
    return Applied(result, _entry(entry, event, bound, decision, result), fingerprint)


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
    when = bound.mapping.when
    return "" if when is None or when(payload) else "the mapping's condition does not hold"


async def _locate(
    handler: BaseEntityHandler[Any],
    work: UnitOfWork,
    bound: BoundEntity | None,
    event: SyncEvent,
    entry: LedgerEntry,
) -> Key | None:
    if bound is None:
        return None
    rows = RowWriter(work.connection, bound, handler.resolve)
    return await rows.locate(
        event.entity_id, event.organization_id, entry.table_name, entry.primary_key
    )


def _without_columns(state: LedgerState) -> LedgerState:
    return replace(state, carried=frozenset(), older={})


def _proposal(
    handler: BaseEntityHandler[Any],
    bound: BoundEntity | None,
    event: SyncEvent,
    payload: Payload | None,
) -> Proposal:
    columns = WHOLE_DOCUMENT
    if bound is not None and payload is not None:
        columns = carried_columns(bound, payload, event.payload)
    return Proposal.of(
        event,
        columns,
        fingerprint=bound.fingerprint if bound else "",
        hard=bound is not None and bound.mapping.on_delete == "hard",
        grace=handler.context.grace,
    )


async def _write(
    handler: BaseEntityHandler[Any], event: SyncEvent, writing: Writing, decision: Decision
) -> SyncResult:
    payload = writing.change.payload if writing.change is not None else None
    await handler.before_apply(event)
    key = await _call(handler, writing, payload, event.entity_id)
    result = replace(_result(event, handler, decision, None), primary_key=key)
    await handler.after_apply(event, result)
    return result


def _change(event: SyncEvent, payload: Payload, state: LedgerState, decision: Decision) -> Change:
    return Change(
        entity_id=event.entity_id,
        organization_id=event.organization_id,
        payload=payload,
        document=event.payload,
        write=decision.write,
        deleted_at=decision.state.deleted_at,
        revives=state.deleted_at is not None and decision.state.deleted_at is None,
    )


async def _call(
    handler: BaseEntityHandler[Any], writing: Writing, payload: Payload | None, entity_id: str
) -> Any:
    handler._begin(writing)  # noqa: SLF001  # the two halves of one class
    try:
        if payload is None:
            await handler.delete(entity_id)
        key = plain_key(writing.located) if payload is None else await handler.upsert(payload)
        if not writing.joined:
            await _flush(handler)
    except Exception as error:
        if classify(error) is Fault.REJECTED:
            raise _rejected(writing, error, payload) from error
        raise
    finally:
        handler._end()  # noqa: SLF001  # the two halves of one class
    return key


async def _flush(handler: BaseEntityHandler[Any]) -> None:
    """Write what a handler's code added to the session, so that what is refused is its error."""
    session = handler.session
    if session.new or session.dirty or session.deleted:
        await session.flush()


def _rejected(writing: Writing, error: Exception, payload: Payload | None) -> ZohoSyncError:
    problem, constraint = primary_message(error)
    hide_values(error)
    bound, dangling = writing.bound, breaks_reference(error)
    if dangling and payload is None and bound is not None:
        return ReferencePending(
            bound.entity_type,
            writing.owner.entity_id,
            f"rows of the host still refer to the deleted row ({constraint or problem})",
        )
    table = bound.table.name if bound else ""
    return RowRejected(problem, table=table, constraint=constraint, foreign_key=dangling)


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
    return LedgerEntry(
        state=decision.state,
        entity_type=event.entity_type if newest else entry.entity_type or event.entity_type,
        event_id=event.id if newest else entry.event_id or event.id,
        table_name=bound.table.fullname if bound is not None and key is not None else None,
        primary_key=None if key is None else encode_key(key if isinstance(key, tuple) else (key,)),
    )
