"""Applies a batch of events onto the host's rows, inside one open transaction.

Each event has a savepoint of its own, so that one that fails takes nothing with it. What each came
to is returned: recording it, and the transaction itself, are the caller's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from zoho_sync.abc import Job
from zoho_sync.apply.contest import Contest, Entries, Refused
from zoho_sync.apply.context import HandlerContext
from zoho_sync.apply.handler import Handler
from zoho_sync.apply.one_event import Applied, OneEvent
from zoho_sync.apply.patience import Patience
from zoho_sync.apply.recording import BatchResult, CameTo
from zoho_sync.database.cancellation import errors_alone
from zoho_sync.database.dialects import database_time
from zoho_sync.database.faults import ends_transaction
from zoho_sync.database.unit_of_work import UnitOfWork
from zoho_sync.events.entities import CONTACT
from zoho_sync.events.event import Arrival, SyncEvent, refuse_future
from zoho_sync.events.outcome import Outcome, SyncResult
from zoho_sync.events.version import Version, from_microseconds, to_microseconds
from zoho_sync.exceptions import HostTransactionLost, ReferencePending, RowGone, ValueTaken
from zoho_sync.store.ledger import Ledger, LedgerEntry, LedgerKey
from zoho_sync.store.parked_rows import Waiting
from zoho_sync.store.places import Place, find_places

__all__ = ["Batch", "Called", "Dispatch", "apply_batch", "find_known", "prepare_ledger"]


@dataclass(frozen=True, slots=True)
class Batch:
    """Events that are applied in one transaction.

    Attributes:
        jobs: An event without an arrival came from no queue, and arrives once its entity is locked.
        targets: Entities that the events wait for, to be held while that is looked at again.
        is_call: Whether the one event was made of a handler's call: nobody can know it already,
            its ledger row is made in the same transaction, and an entity that it misses makes it
            fail.
    """

    jobs: Sequence[Job]
    targets: frozenset[LedgerKey] = frozenset()
    is_call: bool = False

    def keys(self, context: HandlerContext) -> set[LedgerKey]:
        """Return the entities of the events."""
        return {LedgerKey.of(job.event, context.catalog) for job in self.jobs}


class Dispatch(Protocol):
    """Chooses who applies an event."""

    def __call__(
        self, session: AsyncSession, event: SyncEvent, entry: LedgerEntry, /, *, hold: bool
    ) -> tuple[Handler, SyncEvent] | Applied:
        """Return a handler, and the event as of its type; or what it comes to without one.

        With ``hold``, what the event refers to is held until the transaction ends.
        """
        ...


@dataclass(frozen=True, slots=True)
class Called:
    """Chooses the handler that was called."""

    handler: Handler

    def __call__(
        self, session: AsyncSession, event: SyncEvent, entry: LedgerEntry, /, *, hold: bool
    ) -> tuple[Handler, SyncEvent]:
        """Return the handler, and the event as it is; see `Dispatch`."""
        del session, entry
        self.handler.holds_targets = hold
        return self.handler, event


async def prepare_ledger(
    connection: AsyncConnection, batch: Batch, context: HandlerContext
) -> None:
    """Make the ledger rows that a batch locks.

    Best in a transaction of its own: nobody waits for an uncommitted insert while the batch is
    applied.
    """
    keys = batch.keys(context) | batch.targets
    await Ledger(connection, context.tables.ledger).prepare(keys)


async def apply_batch(
    batch: Batch,
    work: UnitOfWork,
    context: HandlerContext,
    dispatch: Dispatch,
    patience: Patience | None = None,
) -> BatchResult:
    """Apply the events of a batch, parents first; return what each came to.

    Their ledger rows are there, but for a call's. Without patience each takes as long as it likes.

    Raises:
        Exception: Whatever ended the transaction.
    """
    ledger, keys = Ledger(work.connection, context.tables.ledger), batch.keys(context)
    if batch.is_call:
        await ledger.prepare(keys)
    entries = await ledger.lock(keys)
    held = entries.keys() | await ledger.hold(batch.targets - entries.keys())
    result = BatchResult(await database_time(work.connection, context.clock))
    jobs = [
        _arrived(job, entries[LedgerKey.of(job.event, context.catalog)], result.now)
        for job in batch.jobs
    ]
    if not batch.is_call:
        result.known |= await find_known(work.connection, context, jobs)
    application = _Application(work, context, dispatch, batch, held, result, patience)
    unknown = [job for job in jobs if job.event.id not in result.known]
    await application.apply_all(_ordered(unknown, context), entries)
    return result


@dataclass(frozen=True, slots=True)
class _Application:
    """The application of one batch, whose ledger rows are locked.

    Attributes:
        held: The targets that are held, and the batch's own entities.
        result: Where it notes what events come to.
        patience: How long each event may take; None for as long as it likes.
    """

    work: UnitOfWork
    context: HandlerContext
    dispatch: Dispatch
    batch: Batch
    held: set[LedgerKey]
    result: BatchResult
    patience: Patience | None

    async def apply_all(self, jobs: Iterable[Job], entries: Entries) -> None:
        """Apply events one by one, and those together that unique constraints refused."""
        refused: list[Refused] = []
        for job in jobs:
            try:
                async with self._watched(job):
                    applied = await self._apply(job, entries)
            except ValueTaken as taken:
                key = LedgerKey.of(job.event, self.context.catalog)
                refused.append(Refused(job, key, taken))
            except Exception as error:  # noqa: BLE001  # whatever it is, the batch goes on
                self._note_failure(job, error)
            else:
                self.result.came_to.append(CameTo(job, applied))
        if not refused:
            return
        contest = Contest(self.work.connection, self.context.tables.ledger, self._apply)
        won, lost = await contest.decide(refused, entries)
        self.result.came_to += [CameTo(winner.job, applied) for winner, applied in won]
        for loser in lost:
            self._note_failure(loser.job, loser.error or loser.taken)

    def _watched(self, job: Job) -> AbstractAsyncContextManager[None]:
        return self.patience.with_event(job) if self.patience else nullcontext()

    def _bounded(self, job: Job) -> AbstractAsyncContextManager[None]:
        connection = self.work.connection
        return self.patience.bounded(job, connection) if self.patience else nullcontext()

    async def _apply(self, job: Job, entries: Entries, *, hold: bool = False) -> Applied:
        """Apply an event with its ledger row, in a savepoint.

        Where the host has deleted a row that was just looked up, once more, and this time what is
        referred to is held. Inside the host's own transaction that is the host's to do.
        """
        event, work = job.event, self.work
        key = LedgerKey.of(event, self.context.catalog)
        ledger = Ledger(work.connection, self.context.tables.ledger)
        if self.context.makes_placeholders and len(entries) > 1:
            # An event before it may have made the row that stands for this one's entity.
            entries |= await ledger.read([key])
        try:
            async with work.savepoint(), self._bounded(job):
                with errors_alone():
                    chosen = self.dispatch(work.session, event, entries[key], hold=hold)
                    if isinstance(chosen, Applied):
                        applied = chosen
                    else:
                        handler, typed = chosen
                        settled = self.result.journal()
                        one = OneEvent(handler, work, typed, key, entries[key], settled)
                        applied = await one.apply()
                if applied.entry is not None:
                    await ledger.write(key, applied.entry)
        except RowGone:
            if hold or work.joined:
                raise
            return await self._apply(job, entries, hold=True)
        entries[key] = applied.entry or entries[key]
        # A resend of an undecided contact is looked for before anybody knows its mapping.
        return replace(applied, fingerprint="") if event.entity_type == CONTACT else applied

    def _note_failure(self, job: Job, error: Exception) -> None:
        """Note an event that misses an entity, or fails by itself.

        Raises:
            Exception: It ended the whole transaction.
        """
        if isinstance(error, ReferencePending) and not self.batch.is_call:
            self._miss(job, error)
        elif isinstance(error, HostTransactionLost):
            raise error.__cause__ or error
        elif self.work.connection.invalidated:
            # An event that took too long: nothing can follow on its connection.
            raise error
        elif ends_transaction(error):
            raise error
        elif isinstance(error, ValueTaken) and job.early:
            self.result.early.append(job)
        else:
            self.result.came_to.append(CameTo(job, error))

    def _miss(self, job: Job, pending: ReferencePending) -> None:
        kind = self.context.catalog.require(pending.entity_type)
        target = LedgerKey(job.event.organization_id, kind.namespace, pending.zoho_id)
        if target in self.held:
            waiting = Waiting(target, kind.entity_type, str(pending))
            self.result.came_to.append(CameTo(job, waiting))
        elif target in self.batch.targets:
            self.result.blocked.append(job)
        else:
            self.result.waiting[job.event.id] = target


def _arrived(job: Job, entry: LedgerEntry, now: datetime) -> Job:
    """Return a job whose event has an arrival: what came from no queue arrives now.

    It counts as later than everything that the locked ledger row has seen, so that two calls
    within one tick of the clock keep their order.

    Raises:
        PayloadError: Its time is more than a day ahead.
    """
    event = job.event
    if event.arrival is not None:
        return job
    moment, newest = to_microseconds(now), entry.state.version
    if newest is not None:
        moment = max(moment, newest.arrival + 1)
    arrival = Arrival(from_microseconds(moment), 0)
    refuse_future(event.effective_time, arrival.time, path=event.entity_type)
    return replace(job, event=replace(event, arrival=arrival))


async def find_known(
    connection: AsyncConnection, context: HandlerContext, jobs: Sequence[Job]
) -> dict[str, SyncResult]:
    """Return the events that are in some place already: nothing is written for them.

    The entity's ledger row is locked, so that whoever applied the event has committed. A job is
    completed all the same: its event was applied directly while it was queued.
    """
    places = await find_places(connection, context.tables, [job.event.id for job in jobs])
    known = {}
    for job in jobs:
        place = places.get(job.event.id)
        # Its own row is there, unless it came from elsewhere: then it was taken over before.
        is_own = place is Place.QUEUED and not job.outside
        if place is not None and not is_own:
            outcome = Outcome.PARKED if place is Place.PARKED else Outcome.DUPLICATE
            known[job.event.id] = SyncResult(outcome, committed=True, reason=place.value)
    return known


def _ordered(jobs: Sequence[Job], context: HandlerContext) -> list[Job]:
    """Return parents before children, and each entity's events in version order."""

    def place(job: Job) -> tuple[int, Version]:
        rank = context.catalog.rank(job.event.entity_type)
        return rank, Version.of(job.event, grace=context.grace)

    return sorted(jobs, key=place)
