"""Applies an event that came from no queue: locks, applies and journals it at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from zoho_sync._dialects import database_time
from zoho_sync._journal import Journal
from zoho_sync._ledger import Ledger, LedgerEntry, LedgerKey
from zoho_sync._parked import Parked
from zoho_sync._unit_of_work import UnitOfWork, savepoint
from zoho_sync.abc import Job
from zoho_sync.events import Arrival, Operation, SyncEvent, effective_time, refuse_future
from zoho_sync.exceptions import PayloadError, ValueTaken
from zoho_sync.handlers._application import Applied, OneEvent, journalled
from zoho_sync.handlers._contest import Contest, Refused
from zoho_sync.handlers._context import HandlerContext
from zoho_sync.handlers._handler import Handler
from zoho_sync.handlers._payment import pay_debts
from zoho_sync.handlers._siblings import sibling
from zoho_sync.outcomes import Outcome, SyncResult
from zoho_sync.payloads import Payload
from zoho_sync.versions import from_microseconds, to_microseconds

__all__ = ["DirectEvent", "apply_directly", "arrived_under_lock"]


async def apply_directly(
    handler: Handler,
    work: UnitOfWork,
    payload: Payload | Mapping[str, Any],
    operation: Operation,
) -> SyncResult:
    """Apply a change that a handler was called with."""
    event = _understand(handler, payload, operation)
    direct = DirectEvent(work, handler.context, event)
    _refuse_sibling(handler, event, await direct.lock())
    return await direct.apply(handler)


class DirectEvent:
    """An event that came from no queue, inside a transaction: lock it first, then apply it.

    Args:
        work: The transaction.
        context: The library's tables, and where the entity types are mapped.
        event: The event, without an arrival.
    """

    def __init__(self, work: UnitOfWork, context: HandlerContext, event: SyncEvent) -> None:
        self._work = work
        self._context = context
        self._event = event
        self._key = context.ledger_key(event)
        self._ledger = Ledger(work.connection, context.tables.ledger)
        self._entries: dict[LedgerKey, LedgerEntry] = {}

    async def lock(self) -> LedgerEntry:
        """Lock the event's entity, and return what the ledger knows of it."""
        await self._ledger.prepare([self._key])
        self._entries = await self._ledger.lock([self._key])
        return self._entries[self._key]

    async def apply(self, handler: Handler) -> SyncResult:
        """Apply the event, which arrives now, and record what it came to.

        Args:
            handler: Of its type.

        Raises:
            PayloadError: The document cannot be understood, or its time is far ahead.
            ReferencePending: An entity that it refers to has not arrived yet.
            ReferenceFailed: An entity that it refers to does not exist.
            RowRejected: The host's schema refuses the values.
        """
        now = await database_time(self._work.connection, self._context.clock)
        event = arrived_under_lock(self._event, self._entries[self._key], now)
        applied = await self._contend(handler, Job(None, event, ""))
        await self._record(event, applied, now)
        return applied.result

    async def _contend(self, handler: Handler, job: Job) -> Applied:
        """Apply the event, and if a value has to be set aside for it, once more."""

        async def apply(job: Job, entries: dict[LedgerKey, LedgerEntry]) -> Applied:
            async with savepoint(self._work.connection):
                return await OneEvent(handler, self._work, job.event, entries[self._key]).apply()

        try:
            return await apply(job, self._entries)
        except ValueTaken as taken:
            refused = Refused(job, self._key, taken)
        contest = Contest(self._work.connection, self._context.tables.ledger, apply)
        won, lost = await contest.decide([refused], self._entries)
        for each in lost:
            raise each.error or each.taken
        return won[0].applied

    async def _record(self, event: SyncEvent, applied: Applied, now: datetime) -> None:
        connection, tables = self._work.connection, self._context.tables
        if applied.entry is not None:
            await self._ledger.write(self._key, applied.entry)
        await Journal(connection, tables.journal).append([journalled(event, applied, now)])
        if applied.result.outcome is Outcome.APPLIED:
            await Parked(connection, tables).wake([self._key], now)
            await pay_debts(connection, self._context, [self._key])


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


def _understand(
    handler: Handler, payload: Payload | Mapping[str, Any], operation: Operation
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


def _refuse_sibling(handler: Handler, event: SyncEvent, entry: LedgerEntry) -> None:
    """Refuse the delete of a contact by the handler of the other type.

    Raises:
        PayloadError: The row is the other handler's to delete.
    """
    if event.operation is not Operation.DELETE:
        return
    if sibling(handler.context.bindings, handler.binding(), entry) is not None:
        problem = f"it is a {entry.entity_type} by now; call that type's handler"
        raise PayloadError(f"{event.entity_type}.{handler.kind().id_fields[0]}", problem)
