"""A change that came from no queue: understood, locked, applied and journalled at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from zoho_sync._dialects import database_time
from zoho_sync._journal import Journal
from zoho_sync._ledger import Ledger, LedgerEntry, LedgerKey
from zoho_sync._parked import Parked
from zoho_sync._unit_of_work import UnitOfWork, savepoint
from zoho_sync.abc import Job
from zoho_sync.events import Operation, SyncEvent, effective_time
from zoho_sync.exceptions import PayloadError
from zoho_sync.handlers._application import (
    Applied,
    apply_event,
    arrived_under_lock,
    journalled,
    ledger_key,
)
from zoho_sync.handlers._contest import Contest
from zoho_sync.handlers._payment import pay_debts
from zoho_sync.handlers._siblings import sibling
from zoho_sync.outcomes import Outcome, SyncResult
from zoho_sync.payloads import Payload

if TYPE_CHECKING:
    from zoho_sync.handlers.base import BaseEntityHandler

__all__ = ["apply_directly"]


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
    _refuse_sibling(handler, event, entry)
    now = await database_time(work.connection, handler.context.clock)
    event = arrived_under_lock(event, entry, now)

    async def apply(job: Job, entries: dict[LedgerKey, LedgerEntry]) -> Applied:
        async with savepoint(work.connection):
            return await apply_event(handler, work, job.event, entries[key])

    contest = Contest(work.connection, handler.context.tables.ledger, apply)
    applied = await contest.apply(Job(None, event, ""), key, {key: entry})
    if applied.entry is not None:
        await ledger.write(key, applied.entry)
    journal = Journal(work.connection, handler.context.tables.journal)
    await journal.append([journalled(event, applied, now)])
    if applied.result.outcome is Outcome.APPLIED:
        await Parked(work.connection, handler.context.tables).wake([key], now)
        await pay_debts(work.connection, handler.context, [key])
    return applied.result


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
    return SyncEvent(
        entity_type=kind.entity_type,
        entity_id=entity_id,
        payload=document,
        operation=operation,
        organization_id=handler.organization_id,
        effective_time=moment,
    )


def _refuse_sibling(handler: BaseEntityHandler[Any], event: SyncEvent, entry: LedgerEntry) -> None:
    """Refuse the delete of a contact by the handler of the other type.

    Raises:
        PayloadError: The row is the other handler's to delete.
    """
    other = sibling(handler.context.bindings, handler.binding(), entry)
    if other is not None and event.operation is Operation.DELETE:
        problem = f"it is a {entry.entity_type} by now; call that type's handler"
        raise PayloadError(f"{event.entity_type}.{handler.kind().id_fields[0]}", problem)
