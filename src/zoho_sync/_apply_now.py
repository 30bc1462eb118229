"""Applies an event that came from no queue, in a transaction of its own, and answers at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from zoho_sync._batch import (
    Batch,
    BatchResult,
    Dispatch,
    apply_batch,
    entity_key,
    prepare_ledger,
)
from zoho_sync._ledger import Ledger
from zoho_sync._recording import is_recorded, record, tell, wake
from zoho_sync._transactions import repeat_conflicts, transaction, was_committed
from zoho_sync._unit_of_work import UnitOfWork, unit_of_work
from zoho_sync.abc import Job, SettledHook
from zoho_sync.events import SyncEvent
from zoho_sync.handlers._context import HandlerContext
from zoho_sync.outcomes import SyncResult

__all__ = ["DirectApplication"]

_BLOCKED_PAUSE: Final = 0.05


@dataclass(frozen=True, slots=True)
class DirectApplication:
    """Applies single events without the queue.

    Attributes:
        sessions: Gives a new session on the host's database.
        context: The library's tables, and what handlers know.
        dispatch: Chooses the handlers.
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
        job = Job(None, replace(event, arrival=None), "", outside=True)
        batch = Batch([job])
        while True:
            result = await repeat_conflicts(partial(self._attempt, batch))
            if event.id in result.known:
                return result.known[event.id]
            if result.came_to:
                settled = result.came_to[0].settled_event()
                await tell(self.hooks, [settled])
                return settled.result
            # It misses an entity: once more, while that is held. One that somebody else holds is
            # about to change.
            batch = replace(batch, targets=batch.targets | frozenset(result.waiting.values()))
            if result.blocked:
                await asyncio.sleep(_BLOCKED_PAUSE)

    async def _attempt(self, batch: Batch) -> BatchResult:
        async with transaction(self.sessions, self.lease) as work:
            await prepare_ledger(work.connection, batch, self.context)
        result = None
        try:
            async with transaction(self.sessions, self.lease) as work:
                result = await self._apply(batch, work)
                events, now = result.came_to, result.now
                await record(work.connection, self.context, events, now, self.parked_for)
                await wake(work.connection, self.context, events, now)
        except Exception as error:
            if result is None or not result.came_to:
                raise
            if not await was_committed(error, partial(self._committed, batch, result)):
                raise
        return result

    async def _apply(self, batch: Batch, work: UnitOfWork) -> BatchResult:
        result = await apply_batch(batch, work, self.context, self.dispatch)
        for each in result.came_to:
            if isinstance(each.what, Exception):
                raise each.what
        return result

    async def _committed(self, batch: Batch, result: BatchResult) -> bool:
        """Find out whether a transaction has committed whose end was not heard of."""
        async with self.sessions() as session, unit_of_work(session) as work:
            keys = {entity_key(job.event, self.context) for job in batch.jobs}
            await Ledger(work.connection, self.context.tables.ledger).lock(keys)
            return await is_recorded(work.connection, self.context.tables, result.came_to)
