"""Looks after parked events: deadlines, and entities that the host made itself."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Final
from uuid import uuid4

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from zoho_sync.abc import Job
from zoho_sync.apply.debts import pay_debts
from zoho_sync.apply.resolving import find_entity
from zoho_sync.database.dialects import database_time, database_time_and
from zoho_sync.database.insertion import insert_absent
from zoho_sync.database.transactions import transaction
from zoho_sync.database.unit_of_work import UnitOfWork
from zoho_sync.exceptions import ReferenceFailed
from zoho_sync.store.dead_letter_rows import DeadLetterRows
from zoho_sync.store.debts import Debts
from zoho_sync.store.ledger import LedgerKey
from zoho_sync.store.parked_rows import Parked
from zoho_sync.store.pauses import Pause, paused_at
from zoho_sync.store.worker_rows import WorkerRows
from zoho_sync.worker.runtime import Runtime
from zoho_sync.worker.settlement import log_failure

__all__ = ["Maintenance"]

_BATCH: Final = 200
_ROLE: Final = "maintenance"
_TERM: Final = timedelta(seconds=30)


class Maintenance:
    """What is done now and then, by whichever worker holds the leader row.

    While the queue is paused nothing is: what a parked event waits for may be in the queue.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._holder = uuid4().hex

    async def run_if_leader(self) -> None:
        """Run, unless another worker has the leader row."""
        if await self._lead():
            await self.expire_parked()
            await self.sweep()
            await self._forget_workers()

    async def paused(self) -> bool:
        """Return whether the host has paused the queue."""
        async with self._transaction() as work:
            return await Pause(work.connection, self._runtime.context.tables).since() is not None

    async def expire_parked(self) -> int:
        """Make dead letters of events that waited too long; return how many."""
        context, expired = self._runtime.context, 0
        while True:
            failed: list[tuple[Job, ReferenceFailed]] = []
            async with self._transaction() as work:
                now = await self._now_unless_paused(work.connection)
                if now is None:
                    return expired
                jobs = await Parked(work.connection, context.tables).expired(now, _BATCH)
                dead = DeadLetterRows(work.connection, context.tables)
                for job, waiting in jobs:
                    problem = f"was waited for too long: {waiting.reason}"
                    error = ReferenceFailed(waiting.entity_type, waiting.key.entity_id, problem)
                    await dead.keep_job(job, error, now)
                    failed.append((job, error))
            for job, error in failed:
                log_failure(job, error, "is a dead letter")
            expired += len(jobs)
            if len(jobs) < _BATCH:
                return expired

    async def sweep(self, *, deletes: bool = True) -> int:
        """Wake events whose entity is there after all; return how many.

        A delete that rows of the host stand against can only be tried again, which is left out
        where the sweep comes often.

        Hosts insert rows themselves, and nothing tells us. The look-up is the one that handlers
        use, so that an event which is woken here does not park again for the same entity.
        """
        woken, after = 0, None
        while True:
            async with self._transaction() as work:
                now = await self._now_unless_paused(work.connection)
                if now is None:
                    return woken
                parked = Parked(work.connection, self._runtime.context.tables)
                targets = await parked.targets(after, _BATCH, deletes=deletes)
                found = await self._there(work, [(t.key, t.entity_type) for t in targets])
                woken += await parked.wake(found, now) if found else 0
            if len(targets) < _BATCH:
                break
            after = targets[-1].key
        await self._pay()
        return woken

    async def _forget_workers(self) -> None:
        async with self._transaction() as work:
            now = await database_time(work.connection, self._runtime.context.clock)
            await WorkerRows(work.connection, self._runtime.context.tables).forget(now)

    async def _pay(self) -> None:
        """Pay what is owed for entities that are there after all."""
        after, context = None, self._runtime.context
        while True:
            async with self._transaction() as work:
                debts = Debts(work.connection, context.tables.debts)
                targets = await debts.targets(after, _BATCH)
                await pay_debts(work.connection, context, await self._there(work, targets))
            if len(targets) < _BATCH:
                return
            after = targets[-1][0]

    async def _there(
        self, work: UnitOfWork, targets: Iterable[tuple[LedgerKey, str]]
    ) -> set[LedgerKey]:
        """Return the entities that are there."""
        there = set[LedgerKey]()
        for key, entity_type in targets:
            found, _ = await find_entity(work.connection, self._runtime.context, key, entity_type)
            if found is not None:
                there.add(key)
        return there

    async def _now_unless_paused(self, connection: AsyncConnection) -> datetime | None:
        context = self._runtime.context
        pause = paused_at(context.tables)
        now, since = await database_time_and(connection, context.clock, pause)
        return now if since is None else None

    def _transaction(self) -> AbstractAsyncContextManager[UnitOfWork]:
        return transaction(self._runtime.sessions, self._runtime.lease)

    async def _lead(self) -> bool:
        table = self._runtime.context.tables.leaders
        async with self._transaction() as work:
            now = await database_time(work.connection, self._runtime.context.clock)
            row = {"role": _ROLE, "holder": self._holder, "expires_at": now + _TERM}
            await insert_absent(work.connection, table, [row], ["role"])
            is_free = (table.c.holder == self._holder) | (table.c.expires_at <= now)
            statement = update(table).where(table.c.role == _ROLE, is_free)
            taken = await work.connection.execute(
                statement.values(holder=self._holder, expires_at=now + _TERM)
            )
            return taken.rowcount == 1
