"""Looks after parked events: deadlines, and entities that the host made itself."""

from __future__ import annotations

from datetime import timedelta
from typing import Final
from uuid import uuid4

from sqlalchemy import update

from zoho_sync._dead_letter_rows import DeadLetterRows
from zoho_sync._dialects import database_time, insert_if_absent
from zoho_sync._ledger import Ledger
from zoho_sync._parked import Parked, Waiting
from zoho_sync._runtime import Runtime
from zoho_sync._unit_of_work import UnitOfWork, unit_of_work
from zoho_sync.exceptions import ReferenceFailed
from zoho_sync.handlers._resolution import find_key

__all__ = ["Maintenance"]

_BATCH: Final = 200
_ROLE: Final = "maintenance"
_TERM: Final = timedelta(seconds=30)


class Maintenance:
    """What is done now and then, by whichever worker holds the leader row."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._holder = uuid4().hex

    async def run_if_leader(self) -> None:
        """Run, unless another worker has the leader row."""
        if await self._lead():
            await self.expire_parked()
            await self.sweep()

    async def expire_parked(self) -> int:
        """Make dead letters of events that waited too long; return how many."""
        context, expired = self._runtime.context, 0
        while True:
            async with self._runtime.sessions() as session, unit_of_work(session) as work:
                now = await database_time(work.connection, context.clock)
                jobs = await Parked(work.connection, context.tables).expired(now, _BATCH)
                dead = DeadLetterRows(work.connection, context.tables)
                for job, waiting in jobs:
                    error = ReferenceFailed(
                        waiting.entity_type,
                        waiting.key.entity_id,
                        f"was waited for too long: {waiting.reason}",
                    )
                    await dead.keep_job(job, error, now)
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
            async with self._runtime.sessions() as session, unit_of_work(session) as work:
                parked = Parked(work.connection, self._runtime.context.tables)
                targets = await parked.targets(after, _BATCH, deletes=deletes)
                found = {t.key for t in targets if await self._is_there(work, t)}
                if found:
                    now = await database_time(work.connection, self._runtime.context.clock)
                    woken += await parked.wake(found, now)
            if len(targets) < _BATCH:
                return woken
            after = targets[-1].key

    async def _is_there(self, work: UnitOfWork, target: Waiting) -> bool:
        context = self._runtime.context
        ledger = Ledger(work.connection, context.tables.ledger)
        entry = (await ledger.read([target.key])).get(target.key)
        bound = context.bindings.get(target.entity_type)
        return await find_key(work.connection, bound, target.key, entry) is not None

    async def _lead(self) -> bool:
        table = self._runtime.context.tables.leaders
        async with self._runtime.sessions() as session, unit_of_work(session) as work:
            now = await database_time(work.connection, self._runtime.context.clock)
            row = {"role": _ROLE, "holder": self._holder, "expires_at": now + _TERM}
            dialect = work.connection.dialect.name
            await work.connection.execute(insert_if_absent(dialect, table, [row], ["role"]))
            taken = await work.connection.execute(
                update(table)
                .where(
                    table.c.role == _ROLE,
                    (table.c.holder == self._holder) | (table.c.expires_at <= now),
                )
                .values(holder=self._holder, expires_at=now + _TERM)
            )
            return taken.rowcount == 1
