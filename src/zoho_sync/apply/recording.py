"""Records what events came to: writes the journal, parks, wakes what waited, pays what was owed."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from zoho_sync.abc import Job, SettledEvent, SettledHook
from zoho_sync.apply.context import HandlerContext
from zoho_sync.apply.debts import pay_debts
from zoho_sync.apply.one_event import Applied
from zoho_sync.database.cancellation import errors_alone
from zoho_sync.database.hiding import without_values
from zoho_sync.events.outcome import Outcome, SyncResult
from zoho_sync.store.journal import Journal, JournalEntry
from zoho_sync.store.ledger import LedgerKey
from zoho_sync.store.parked_rows import Parked, Waiting
from zoho_sync.store.places import find_places
from zoho_sync.store.tables import Tables

__all__ = ["BatchResult", "CameTo", "is_recorded", "record", "tell", "wake"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CameTo:
    """One event, and what it came to in a transaction.

    It is settled, or waits for an entity, whose ledger row is held; or something made it fail.
    """

    job: Job
    what: Applied | Waiting | Exception

    def settled_event(self) -> SettledEvent:
        """Return what hooks are told of an event that did not fail, once that is committed.

        Raises:
            Exception: What made it fail.
        """
        match self.what:
            case Applied(result=result):
                return SettledEvent(self.job.event, replace(result, committed=True))
            case Waiting(reason=reason):
                result = SyncResult(Outcome.PARKED, reason=reason, committed=True)
                return SettledEvent(self.job.event, result)
            case error:
                raise error


@dataclass(slots=True)
class BatchResult:
    """What the events of a batch came to.

    Attributes:
        now: When their entities had been locked.
        known: Events that are settled, parked or dead already, and what to answer for them.
        came_to: What became of the others, in the order of their application.
        waiting: Events that miss an entity which was not held: to be tried again with it.
        blocked: Events that miss an entity which another transaction holds.
        early: Events whose unique value another row has, and that were claimed before their time.
    """

    now: datetime
    known: dict[str, SyncResult] = field(default_factory=dict)
    came_to: list[CameTo] = field(default_factory=list)
    waiting: dict[str, LedgerKey] = field(default_factory=dict)
    blocked: list[Job] = field(default_factory=list)
    early: list[Job] = field(default_factory=list)

    def journal(self) -> Iterator[JournalEntry]:
        """Give what is settled, as the journal is to have it."""
        for each in self.came_to:
            if isinstance(each.what, Applied):
                result = each.what.result
                yield JournalEntry(
                    each.job.event,
                    result.outcome,
                    self.now,
                    reason=result.reason,
                    changed=result.changed,
                    fingerprint=each.what.fingerprint,
                    attempts=each.job.attempts,
                    lease_token=each.job.lease_token or None,
                )


async def record(
    connection: AsyncConnection, context: HandlerContext, result: BatchResult, parked_for: timedelta
) -> None:
    """Journal the events that are settled, and park those that wait; failures are the caller's."""
    await Journal(connection, context.tables.journal).append(result.journal())
    parked = Parked(connection, context.tables)
    for each in result.came_to:
        if isinstance(each.what, Waiting):
            expires = (each.job.first_parked_at or result.now) + parked_for
            namespace = context.catalog.namespace(each.job.event.entity_type)
            await parked.park(each.job, namespace, each.what, result.now, expires)


async def wake(connection: AsyncConnection, context: HandlerContext, result: BatchResult) -> None:
    """Put back what waited for the entities that have arrived, and pay what was owed for them.

    Once the jobs are completed: an event that comes back must not meet its equal in the queue.
    """
    arrived = {
        LedgerKey.of(each.job.event, context.catalog)
        for each in result.came_to
        if isinstance(each.what, Applied) and each.what.result.outcome is Outcome.APPLIED
    }
    await Parked(connection, context.tables).wake(arrived, result.now)
    await pay_debts(connection, context, arrived)


async def is_recorded(connection: AsyncConnection, tables: Tables, result: BatchResult) -> bool:
    """Return whether what events came to is committed; True where nothing would tell."""
    entry = next(result.journal(), None)
    if entry is not None:
        # The jobs may as well have been completed by a peer, once the leases had expired.
        journal = Journal(connection, tables.journal)
        return bool(await journal.recorded([entry.event.id], entry.lease_token))
    # What came from outside the database has no row there that would be gone.
    outside = [each.job.event.id for each in result.came_to if each.job.outside]
    return not outside or bool(await find_places(connection, tables, outside[:1]))


async def tell(hooks: Sequence[SettledHook], settled_events: Iterable[SettledEvent]) -> None:
    """Call the hooks for events that are committed; what a hook raises is logged and dropped."""
    for event in settled_events:
        for hook in hooks:
            try:
                with errors_alone():
                    answer = hook(event)
                    if inspect.isawaitable(answer):
                        await answer
            except Exception as error:  # noqa: BLE001  # the event is settled, whatever it does
                problem = without_values(error)
                _log.error(
                    "a hook failed for event %s: %s", event.event.id, problem
                )  # a traceback quotes values
