"""Applies an event that came from no queue, as a batch of one, and answers at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from zoho_sync.abc import Job, SettledEvent, SettledHook
from zoho_sync.apply.batch import Batch, Called, Dispatch, apply_batch, prepare_ledger
from zoho_sync.apply.context import HandlerContext
from zoho_sync.apply.handler import Handler
from zoho_sync.apply.recording import BatchResult, is_recorded, record, tell, wake
from zoho_sync.database.transactions import repeat_conflicts, transaction, was_committed
from zoho_sync.database.unit_of_work import UnitOfWork, unit_of_work
from zoho_sync.events.event import SyncEvent
from zoho_sync.events.outcome import SyncResult
from zoho_sync.store.ledger import Ledger

__all__ = ["DirectApplication", "apply_directly"]

_BLOCKED_PAUSE: Final = 0.05


async def apply_directly(handler: Handler, work: UnitOfWork, event: SyncEvent) -> SyncResult:
    """Apply an event that a handler was called with.

    Raises:
        PayloadError: The document cannot be understood, or its time is far ahead.
        ReferencePending: An entity that it refers to has not arrived yet.
        ReferenceFailed: An entity that it refers to does not exist.
        RowRejected: The host's schema refuses the values.
    """
    batch = Batch([Job(None, event, "")], is_call=True)
    _, settled = await _apply_alone(batch, work, handler.context, Called(handler))
    return settled[0].result


@dataclass(frozen=True, slots=True)
class DirectApplication:
    """Applies single events without the queue, each in a transaction of its own.

    Attributes:
        parked_for: How long an event may wait for another entity.
        lease: How long a transaction may idle or wait, roughly.
        hooks: Told about settled events after the commit.
    """

    sessions: Callable[[], AsyncSession]
    context: HandlerContext
    dispatch: Dispatch
    parked_for: timedelta
    lease: timedelta
    hooks: Sequence[SettledHook] = ()

    async def apply(self, event: SyncEvent) -> SyncResult:
        """Apply an event; see `ZohoSync.apply`.

        Raises:
            Exception: What would make a dead letter or a retry of an event from the queue.
        """
        # It arrives when its entity is locked, and no row of a queue holds it.
        batch = Batch([Job(None, replace(event, arrival=None), "", outside=True)])
        while True:
            result, settled = await repeat_conflicts(partial(self._attempt, batch))
            if event.id in result.known:
                return result.known[event.id]
            if settled:
                await tell(self.hooks, settled)
                return settled[0].result
            # It misses an entity: once more, while that is held. One that somebody else holds is
            # about to change.
            batch = replace(batch, targets=batch.targets | frozenset(result.waiting.values()))
            if result.blocked:
                await asyncio.sleep(_BLOCKED_PAUSE)

    async def _attempt(self, batch: Batch) -> tuple[BatchResult, list[SettledEvent]]:
        async with transaction(self.sessions, self.lease) as work:
            await prepare_ledger(work.connection, batch, self.context)
        made = None
        try:
            async with transaction(self.sessions, self.lease) as work:
                made = await _apply_alone(batch, work, self.context, self.dispatch, self.parked_for)
        except Exception as error:
            if made is None or not made[0].came_to:
                raise
            if not await was_committed(error, partial(self._committed, batch, made[0])):
                raise
        return made

    async def _committed(self, batch: Batch, result: BatchResult) -> bool:
        """Find out whether a transaction has committed whose end was not heard of."""
        async with self.sessions() as session, unit_of_work(session) as work:
            tables = self.context.tables
            await Ledger(work.connection, tables.ledger).lock(batch.keys(self.context))
            return await is_recorded(work.connection, tables, result)


async def _apply_alone(
    batch: Batch,
    work: UnitOfWork,
    context: HandlerContext,
    dispatch: Dispatch,
    parked_for: timedelta = timedelta(0),
) -> tuple[BatchResult, list[SettledEvent]]:
    """Apply the event of a batch of one, and record what it came to; say it as hooks are told.

    Raises:
        Exception: What made the event fail; nobody but the caller hears of it.
    """
    result = await apply_batch(batch, work, context, dispatch)
    settled = [each.settled_event() for each in result.came_to]
    await record(work.connection, context, result, parked_for)
    await wake(work.connection, context, result)
    return result, settled
