"""One attempt at a batch: a transaction in which every event is applied, parked or given up.

Each event has a savepoint of its own, so that one that fails takes nothing with it. What the
events came to (journal, parked events, dead letters, retries, wake-ups) and the completion of
their jobs commit together with the rows.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from sqlalchemy.ext.asyncio import AsyncConnection

from zoho_sync._dialects import bound_waits, database_time
from zoho_sync._faults import ends_transaction
from zoho_sync._jobs import Jobs
from zoho_sync._lease import LeaseKeeper
from zoho_sync._ledger import Ledger, LedgerEntry, LedgerKey
from zoho_sync._parked import Waiting
from zoho_sync._places import Place, find_places
from zoho_sync._runtime import Runtime
from zoho_sync._settlement import Settlement
from zoho_sync._unit_of_work import UnitOfWork, savepoint, unit_of_work
from zoho_sync.abc import Job
from zoho_sync.decisions import Proposal, decide
from zoho_sync.entities import CONTACT
from zoho_sync.events import Operation, refuse_future
from zoho_sync.exceptions import (
    HostTransactionLost,
    ReferencePending,
    RowGone,
    UnknownEntityType,
    ValueTaken,
)
from zoho_sync.handlers._application import Applied, OneEvent
from zoho_sync.handlers._contest import Contest, Refused
from zoho_sync.handlers._direct import arrived_under_lock
from zoho_sync.outcomes import Outcome, SyncResult
from zoho_sync.versions import Version, arrival_of

__all__ = ["Attempt"]


@dataclass
class Attempt:
    """A batch, what it needs locked, and what became of it.

    Attributes:
        runtime: What to work with.
        jobs: The batch.
        targets: Entities that its events wait for, to be held while that is looked at again.
        direct: Whether the events came from no queue: their errors are raised, and their arrival
            is taken once their entities are locked.
        waiting: Events that miss an entity which was not held: to be tried again with it.
        blocked: Events that miss an entity which another transaction holds.
        refused: Events whose unique value another row has.
        early: Those of them that were claimed before their time, and still have to wait for it.
        known: Events that are settled, parked or dead already, and what to answer for them.
        settlement: What became of the others.
    """

    runtime: Runtime
    jobs: Sequence[Job]
    targets: frozenset[LedgerKey] = frozenset()
    direct: bool = False
    waiting: dict[str, LedgerKey] = field(default_factory=dict)
    blocked: list[Job] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    early: list[Job] = field(default_factory=list)
    known: dict[str, SyncResult] = field(default_factory=dict)
    settlement: Settlement = field(init=False)

    def __post_init__(self) -> None:
        self.settlement = Settlement(self.runtime)

    def fresh(self) -> Attempt:
        """Return an attempt at the same batch of which nothing has become anything yet."""
        return Attempt(self.runtime, self.jobs, self.targets, self.direct)

    async def run(self, keeper: LeaseKeeper) -> None:
        """Apply the batch and commit.

        Raises:
            LeaseLost: Another worker owns one of the jobs; nothing was changed.
            Exception: Whatever ended the transaction; nothing was changed, unless it was the
                connection that broke during the commit.
        """
        await self._prepare()
        async with self._transaction(keeper) as work:
            entries, held = await self._lock(work.connection)
            now = await database_time(work.connection, self.runtime.context.clock)
            if self.direct:
                self._arrive(entries, now)
            await self._set_known_aside(work.connection)
            for job in self._ordered():
                await self._apply(work, job, entries, held, now)
            await self._contend(work, entries, held, now)
            await self._conclude(work.connection, now, keeper)

    async def give_up(self, job: Job, error: BaseException, keeper: LeaseKeeper) -> None:
        """Settle an event whose transaction fails as a whole: a dead letter, or a retry."""
        async with self._transaction(keeper) as work:
            now = await database_time(work.connection, self.runtime.context.clock)
            self.settlement.fail(job, error)
            await self._conclude(work.connection, now, keeper)

    async def committed(self) -> bool:
        """Find out whether the transaction has committed although its end was not heard of.

        Whatever it locked is waited for: then it has ended, one way or the other.
        """
        async with self.runtime.sessions() as session, unit_of_work(session) as work:
            tables = self.runtime.context.tables
            rows = [job for job in self.settlement.completed if not job.outside]
            if self.direct or len(rows) < len(self.settlement.completed):
                await Ledger(work.connection, tables.ledger).lock({self._key(j) for j in self.jobs})
            jobs = Jobs(work.connection, tables.jobs)
            if rows and not self.direct and await jobs.present(rows):
                return False
            return await self.settlement.recorded(work.connection)

    @asynccontextmanager
    async def _transaction(self, keeper: LeaseKeeper) -> AsyncIterator[UnitOfWork]:
        with keeper.transaction():
            async with self.runtime.sessions() as session, unit_of_work(session) as work:
                await bound_waits(work.connection, self.runtime.lease)
                yield work

    async def _prepare(self) -> None:
        # In a transaction of its own: nobody waits for an uncommitted insert of ours while the
        # batch is applied.
        async with self.runtime.sessions() as session, unit_of_work(session) as work:
            await bound_waits(work.connection, self.runtime.lease)
            ledger = Ledger(work.connection, self.runtime.context.tables.ledger)
            await ledger.prepare({self._key(job) for job in self.jobs} | self.targets)

    async def _lock(
        self, connection: AsyncConnection
    ) -> tuple[dict[LedgerKey, LedgerEntry], set[LedgerKey]]:
        ledger = Ledger(connection, self.runtime.context.tables.ledger)
        entries = await ledger.lock({self._key(job) for job in self.jobs})
        held = await ledger.hold(self.targets - entries.keys())
        return entries, held | entries.keys()

    def _key(self, job: Job) -> LedgerKey:
        event = job.event
        namespace = self.runtime.context.catalog.namespace(event.entity_type)
        return LedgerKey(event.organization_id, namespace, event.entity_id)

    async def _set_known_aside(self, connection: AsyncConnection) -> None:
        """Leave out events that are in some place already: nothing is written for them.

        The entity's ledger row is locked, so that whoever applied the event has committed. A job
        is completed all the same: its event was applied directly while it was queued.
        """
        ids = [job.event.id for job in self.jobs]
        places = await find_places(connection, self.runtime.context.tables, ids)
        for job in self.jobs:
            place = places.get(job.event.id)
            # Its own row is there, unless it came from elsewhere: then it was taken over before.
            is_own = place is Place.QUEUED and not self.direct and not job.outside
            if place is None or is_own:
                continue
            outcome = Outcome.PARKED if place is Place.PARKED else Outcome.DUPLICATE
            self.known[job.event.id] = SyncResult(outcome, committed=True, reason=place.value)
            if not self.direct:
                self.settlement.completed.append(job)

    def _ordered(self) -> list[Job]:
        """Return parents before children, and each entity's events in version order."""
        context = self.runtime.context

        def place(job: Job) -> tuple[int, Version]:
            return context.catalog.rank(job.event.entity_type), Version.of(
                job.event, grace=context.grace
            )

        return sorted((job for job in self.jobs if job.event.id not in self.known), key=place)

    async def _apply(
        self,
        work: UnitOfWork,
        job: Job,
        entries: dict[LedgerKey, LedgerEntry],
        held: set[LedgerKey],
        now: datetime,
    ) -> None:
        try:
            applied = await self._apply_whole(work, job, entries)
        except ValueTaken as taken:
            self.refused.append(Refused(job, self._key(job), taken))
        except Exception as error:  # noqa: BLE001  # whatever it is, the batch goes on
            self._give_up(job, error, held)
        else:
            self.settlement.settle(job, applied, self._key(job), now)

    async def _contend(
        self,
        work: UnitOfWork,
        entries: dict[LedgerKey, LedgerEntry],
        held: set[LedgerKey],
        now: datetime,
    ) -> None:
        """Apply the events together that unique constraints refused one by one."""
        contest = Contest(
            work.connection,
            self.runtime.context.tables.ledger,
            partial(self._apply_whole, work),
        )
        won, lost = await contest.decide(self.refused, entries)
        for each in won:
            self.settlement.settle(each.job, each.applied, each.key, now)
        for refused in lost:
            self._give_up(refused.job, refused.error or refused.taken, held)

    async def _apply_whole(
        self, work: UnitOfWork, job: Job, entries: dict[LedgerKey, LedgerEntry]
    ) -> Applied:
        """Apply an event with its ledger row, in a savepoint.

        Where the host has deleted a row that was just looked up, once more, and this time what is
        referred to is held.
        """
        key = self._key(job)
        if self.runtime.context.makes_placeholders:
            # An event before it may have made the row that stands for this one's entity.
            ledger = Ledger(work.connection, self.runtime.context.tables.ledger)
            entries |= await ledger.read([key])
        try:
            applied = await self._in_savepoint(work, job, key, entries[key])
        except RowGone:
            applied = await self._in_savepoint(work, job, key, entries[key], hold=True)
        entries[key] = applied.entry or entries[key]
        return applied

    async def _in_savepoint(
        self,
        work: UnitOfWork,
        job: Job,
        key: LedgerKey,
        entry: LedgerEntry,
        *,
        hold: bool = False,
    ) -> Applied:
        try:
            async with savepoint(work.connection):
                applied = await self._attempt(work, job, entry, hold=hold)
                if applied.entry is not None:
                    ledger = Ledger(work.connection, self.runtime.context.tables.ledger)
                    await ledger.write(key, applied.entry)
        except Exception:
            # Objects that a handler added to the worker's session went with its savepoint.
            work.session.expunge_all()
            raise
        return applied

    async def _attempt(
        self, work: UnitOfWork, job: Job, entry: LedgerEntry, *, hold: bool
    ) -> Applied:
        event, registry = job.event, self.runtime.registry
        entity_type = event.entity_type
        deletes = event.operation is Operation.DELETE
        if (entity_type == CONTACT or deletes) and entry.entity_type is not None:
            # A contact may be another type by now than the sender of a delete believes.
            entity_type = entry.entity_type
        if registry.is_ignored(entity_type):
            return Applied(SyncResult(Outcome.IGNORED, reason="the type is ignored"), None)
        # The front door has looked; an event that the host queued had no arrival until then.
        refuse_future(event.effective_time, arrival_of(event).time, path=entity_type)
        if entity_type == CONTACT:
            return _tombstone(self.runtime, job, entry)
        handler_class = registry.get(entity_type)
        if handler_class is None:
            raise UnknownEntityType(entity_type, registry)
        handler = handler_class(work.session, organization_id=event.organization_id)
        handler.context, handler.holds_targets = self.runtime.context, hold
        typed = replace(event, entity_type=entity_type)
        applied = await OneEvent(handler, work, typed, entry, self.settlement.entries).apply()
        if work.session.new or work.session.dirty or work.session.deleted:
            await work.session.flush()
        # A resend of an undecided contact is looked for before anybody knows its mapping.
        return replace(applied, fingerprint="") if event.entity_type == CONTACT else applied

    def _miss(self, job: Job, pending: ReferencePending, held: set[LedgerKey]) -> None:
        context = self.runtime.context
        kind = context.catalog.require(pending.entity_type)
        target = LedgerKey(job.event.organization_id, kind.namespace, pending.zoho_id)
        if target in held:
            waiting = Waiting(target, kind.entity_type, str(pending))
            self.settlement.park(job, self._key(job), waiting)
        elif target in self.targets:
            self.blocked.append(job)
        else:
            self.waiting[job.event.id] = target

    def _give_up(self, job: Job, error: Exception, held: set[LedgerKey]) -> None:
        """Park or fail an event by itself, unless its error ended the whole transaction."""
        if isinstance(error, ReferencePending):
            self._miss(job, error, held)
        elif isinstance(error, HostTransactionLost):
            raise error.__cause__ or error
        elif ends_transaction(error) or self.direct:
            raise error
        elif isinstance(error, ValueTaken) and job.early:
            self.early.append(job)
        else:
            self.settlement.fail(job, error)

    def _arrive(self, entries: Mapping[LedgerKey, LedgerEntry], now: datetime) -> None:
        self.jobs = [
            replace(job, event=arrived_under_lock(job.event, entries[self._key(job)], now))
            for job in self.jobs
        ]

    async def _conclude(
        self, connection: AsyncConnection, now: datetime, keeper: LeaseKeeper
    ) -> None:
        """Record what the events came to, and complete their jobs: the fence."""
        await self.settlement.record(connection, now)
        completed = self.settlement.completed
        keeper.complete(completed)
        if completed and not self.direct:
            await self.runtime.queue.ack(completed, connection=connection)
        await self.settlement.wake(connection, now)


def _tombstone(runtime: Runtime, job: Job, entry: LedgerEntry) -> Applied:
    """Remember a delete of a contact of which nobody knows whether it is customer or vendor."""
    event = job.event
    decision = decide(entry.state, Proposal.of(event, frozenset(), grace=runtime.context.grace))
    version = Version.of(event, grace=runtime.context.grace)
    result = SyncResult(decision.outcome, version=version, reason=decision.reason)
    return Applied(result, replace(entry, state=decision.state, event_id=event.id))
