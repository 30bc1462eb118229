"""Records what events came to: writes the journal, parks, wakes what waited, pays what was owed."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from zoho_sync.abc import Job, SettledEvent, SettledHook
from zoho_sync.apply.context import HandlerContext
from zoho_sync.apply.debts import pay_debts
from zoho_sync.database.faults import without_values
from zoho_sync.events.outcome import Outcome, SyncResult
from zoho_sync.store.journal import Journal, JournalEntry
from zoho_sync.store.ledger import LedgerKey
from zoho_sync.store.parked_rows import Parked, Waiting
from zoho_sync.store.places import find_places
from zoho_sync.store.tables import Tables

__all__ = ["CameTo", "Settled", "is_recorded", "record", "tell", "wake"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Settled:
    """An event that was applied, or is stale, a duplicate or ignored.

    Attributes:
        result: What was done.
        entry: For the journal.
    """

    result: SyncResult
    entry: JournalEntry


@dataclass(frozen=True, slots=True)
class CameTo:
    """One event, and what it came to in a transaction.

    Attributes:
        job: With the event.
        key: Its entity.
        what: It is settled, or waits for an entity, whose ledger row is held; or what made it fail.
    """

    job: Job
    key: LedgerKey
    what: Settled | Waiting | Exception

    def settled_event(self) -> SettledEvent:
        """Return what hooks are told of an event that did not fail, once that is committed.

        Raises:
            Exception: What made it fail.
        """
        match self.what:
            case Settled(result=result):
                return SettledEvent(self.job.event, replace(result, committed=True))
            case Waiting(reason=reason):
                result = SyncResult(Outcome.PARKED, reason=reason, committed=True)
                return SettledEvent(self.job.event, result)
            case error:
                raise error


async def record(
    connection: AsyncConnection,
    context: HandlerContext,
    events: Sequence[CameTo],
    now: datetime,
    parked_for: timedelta,
) -> None:
    """Journal the events that are settled, and park those that wait.

    Args:
        connection: Inside the transaction that applied them.
        context: With the library's tables.
        events: What each came to; what becomes of failures is the caller's.
        now: The time.
        parked_for: How long an event may wait for another entity.
    """
    tables = context.tables
    journal = Journal(connection, tables.journal)
    await journal.append(each.what.entry for each in events if isinstance(each.what, Settled))
    parked = Parked(connection, tables)
    for each in events:
        if isinstance(each.what, Waiting):
            expires = (each.job.first_parked_at or now) + parked_for
            await parked.park(each.job, each.key.namespace, each.what, now, expires)


async def wake(
    connection: AsyncConnection, context: HandlerContext, events: Iterable[CameTo], now: datetime
) -> None:
    """Put back what waited for the entities that have arrived, and pay what was owed for them.

    Once the jobs are completed: an event that comes back must not meet its equal in the queue.
    """
    arrived = {
        each.key
        for each in events
        if isinstance(each.what, Settled) and each.what.result.outcome is Outcome.APPLIED
    }
    await Parked(connection, context.tables).wake(arrived, now)
    await pay_debts(connection, context, arrived)


async def is_recorded(
    connection: AsyncConnection, tables: Tables, events: Sequence[CameTo]
) -> bool:
    """Return whether what events came to is committed; True where nothing would tell."""
    entries = [each.what.entry for each in events if isinstance(each.what, Settled)]
    if entries:
        # The jobs may as well have been completed by a peer, once the leases had expired.
        journal = Journal(connection, tables.journal)
        return bool(await journal.recorded([entries[0].event.id], entries[0].lease_token))
    # What came from outside the database has no row there that would be gone.
    outside = [each.job.event.id for each in events if each.job.outside]
    return not outside or bool(await find_places(connection, tables, outside[:1]))


async def tell(hooks: Sequence[SettledHook], settled_events: Iterable[SettledEvent]) -> None:
    """Call the hooks for events that are committed; what a hook raises is logged and dropped."""
    for event in settled_events:
        for hook in hooks:
            try:
                answer = hook(event)
                if inspect.isawaitable(answer):
                    await answer
            except Exception as error:  # noqa: BLE001  # the event is settled, whatever it does
                problem = without_values(error)
                _log.error(
                    "a hook failed for event %s: %s", event.event.id, problem
                )  # a traceback quotes values
