"""Attempts a claimed batch: one transaction that applies its events and completes their jobs.

What the events came to (journal, parked events, dead letters, retries, wake-ups) and the
completion of their jobs commit together with the rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from sqlalchemy.ext.asyncio import AsyncConnection

from zoho_sync.abc import Job
from zoho_sync.apply.batch import Batch, apply_batch, find_known, prepare_ledger
from zoho_sync.apply.recording import BatchResult, CameTo, is_recorded
from zoho_sync.database.dialects import database_time
from zoho_sync.database.transactions import transaction, was_committed
from zoho_sync.database.unit_of_work import unit_of_work
from zoho_sync.events.outcome import SyncResult
from zoho_sync.handlers.dispatch import HandlerDispatch
from zoho_sync.store.jobs import Jobs
from zoho_sync.store.ledger import Ledger
from zoho_sync.worker.leases import LeaseKeeper
from zoho_sync.worker.runtime import Runtime
from zoho_sync.worker.settlement import Settlement

__all__ = ["Attempt"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """A batch, to be applied and settled in one transaction."""

    runtime: Runtime
    batch: Batch
    keeper: LeaseKeeper

    async def run(self) -> Settlement:
        """Apply the batch and commit; return what is settled then.

        Raises:
            LeaseLost: Another worker owns one of the jobs; nothing was changed.
            QueueUnavailable: Nobody knows whether it has committed.
            Exception: Whatever ended the transaction; nothing was changed.
        """
        runtime, context = self.runtime, self.runtime.context
        async with transaction(runtime.sessions, runtime.lease) as work:
            await prepare_ledger(work.connection, self.batch, context)
        settlement = None
        try:
            with self.keeper.transaction():
                async with transaction(runtime.sessions, runtime.lease) as work:
                    dispatch = HandlerDispatch(runtime.registry, context)
                    result = await apply_batch(
                        self.batch, work, context, dispatch, runtime.patience
                    )
                    settlement = Settlement(runtime, self.batch, result)
                    await self._conclude(settlement, work.connection)
        except Exception as error:
            if settlement is None or not settlement.completed:
                raise
            if not await was_committed(error, partial(self.committed, settlement)):
                raise
            self.keeper.forget(settlement.completed)
        return settlement

    async def give_up(self, job: Job, error: Exception) -> Settlement:
        """Settle an event whose transaction fails as a whole: a dead letter, or a retry."""
        runtime = self.runtime
        with self.keeper.transaction():
            async with transaction(runtime.sessions, runtime.lease) as work:
                now = await database_time(work.connection, runtime.context.clock)
                known = await self._known(work.connection, job)
                failed = [] if known else [CameTo(job, error)]
                settlement = Settlement(runtime, self.batch, BatchResult(now, known, failed))
                await self._conclude(settlement, work.connection)
        return settlement

    async def _known(self, connection: AsyncConnection, job: Job) -> dict[str, SyncResult]:
        """Return what an event of an engine outside has come to in the hands of another worker.

        No lease in the database fences it: who stood still for long is not the only one who had it.
        """
        if not job.outside:
            return {}
        context = self.runtime.context
        await Ledger(connection, context.tables.ledger).lock(self.batch.keys(context))
        return await find_known(connection, context, [job])

    async def committed(self, settlement: Settlement) -> bool:
        """Find out whether the transaction has committed although its end was not heard of.

        Whatever it locked is waited for: then it has ended, one way or the other.
        """
        context = self.runtime.context
        async with self.runtime.sessions() as session, unit_of_work(session) as work:
            rows = [job for job in settlement.completed if not job.outside]
            if len(rows) < len(settlement.completed):
                ledger = Ledger(work.connection, context.tables.ledger)
                await ledger.lock(self.batch.keys(context))
            if rows and await Jobs(work.connection, context.tables.jobs).present(rows):
                return False
            return await is_recorded(work.connection, context.tables, settlement.result)

    async def _conclude(self, settlement: Settlement, connection: AsyncConnection) -> None:
        """Record what the events came to, and complete their jobs: the fence."""
        await settlement.record(connection)
        self.keeper.complete(settlement.completed)
        if settlement.completed:
            await self.runtime.queue.ack(settlement.completed, connection=connection)
        await settlement.wake(connection)
