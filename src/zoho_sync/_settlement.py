"""What the events of one transaction came to, and the rows that say so."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from zoho_sync._dead_letter_rows import DeadLetterRows, describe_error
from zoho_sync._faults import Fault, classify, without_values
from zoho_sync._journal import Journal, JournalEntry
from zoho_sync._ledger import LedgerKey
from zoho_sync._parked import Parked, Waiting
from zoho_sync._places import find_places
from zoho_sync._requeueing import requeue
from zoho_sync._runtime import Runtime
from zoho_sync.abc import Job, SettledEvent
from zoho_sync.exceptions import ValueTaken, ZohoSyncError
from zoho_sync.handlers._application import Applied, journalled
from zoho_sync.handlers._payment import pay_debts
from zoho_sync.outcomes import Outcome, SyncResult

__all__ = ["Settlement", "log_failure"]

_log = logging.getLogger(__name__)

_MOST_HOLDERS: Final = 8


@dataclass
class Settlement:
    """The outcomes of a transaction: collected while it applies, recorded before it commits.

    Attributes:
        runtime: What to work with.
        told: What became of the events, in the order of their application.
        completed: The jobs whose outcome is recorded; they leave the queue.
        entries: What the journal is to be given.
    """

    runtime: Runtime
    told: list[SettledEvent] = field(default_factory=list)
    completed: list[Job] = field(default_factory=list)
    entries: list[JournalEntry] = field(default_factory=list)
    _parked: list[tuple[Job, str, Waiting]] = field(default_factory=list)
    _dead: list[tuple[Job, BaseException]] = field(default_factory=list)
    _retried: list[tuple[Job, BaseException]] = field(default_factory=list)
    _arrived: set[LedgerKey] = field(default_factory=set)

    def settle(self, job: Job, applied: Applied, key: LedgerKey, now: datetime) -> None:
        """Note an event that was applied, or is stale, a duplicate or ignored."""
        self.completed.append(job)
        entry = journalled(job.event, applied, now)
        self.entries.append(
            replace(entry, attempts=job.attempts, lease_token=job.lease_token or None)
        )
        result = replace(applied.result, committed=True)
        self.told.append(SettledEvent(job.event, result))
        if result.outcome is Outcome.APPLIED:
            self._arrived.add(key)

    def park(self, job: Job, key: LedgerKey, waiting: Waiting) -> None:
        """Note an event that waits for an entity, whose ledger row is held."""
        self.completed.append(job)
        self._parked.append((job, key.namespace, waiting))
        self._note(job, Outcome.PARKED, waiting.reason)

    def fail(self, job: Job, error: BaseException) -> None:
        """Note an event that failed: it is a dead letter, or comes again."""
        retry = self.runtime.retry
        contested: Sequence[str] = ()
        if isinstance(error, ValueTaken):
            # With those before: a row may want several values, each of another entity.
            found = [error.entity_id] if error.entity_id is not None else []
            contested = [*dict.fromkeys([*found, *job.contested])][:_MOST_HOLDERS]
        failed = replace(job, attempts=job.attempts + 1, contested=contested)
        self.completed.append(job)
        if _is_permanent(error) or retry.exhausted(failed.attempts):
            self._dead.append((failed, error))
            self._note(job, Outcome.DEAD_LETTER, str(describe_error(error)["error"]))
        else:
            self._retried.append((failed, error))
            self._note(job, Outcome.RETRY, str(describe_error(error)["error"]))

    async def record(self, connection: AsyncConnection, now: datetime) -> None:
        """Write the outcomes down."""
        tables, retry = self.runtime.context.tables, self.runtime.retry
        await Journal(connection, tables.journal).append(self.entries)
        parked, dead = Parked(connection, tables), DeadLetterRows(connection, tables)
        for job, namespace, waiting in self._parked:
            expires = (job.first_parked_at or now) + retry.parked_for
            await parked.park(job, namespace, waiting, now, expires)
        for job, error in self._dead:
            await dead.keep_job(_with_failure(job, error, now), error, now)

    async def wake(self, connection: AsyncConnection, now: datetime) -> None:
        """Put back what comes again, and do what waited for an entity that has arrived.

        Once the jobs are completed: an event that comes back must not meet its equal there.
        """
        tables, retry = self.runtime.context.tables, self.runtime.retry
        due = []
        for job, error in self._retried:
            delay = retry.delay(
                job.attempts, jitter=self.runtime.jitter(), retry_after=_asked_for(error)
            )
            due.append((_with_failure(job, error, now), now + delay))
        await requeue(connection, tables, due, now)
        await Parked(connection, tables).wake(self._arrived, now)
        await pay_debts(connection, self.runtime.context, self._arrived)

    def report(self) -> None:
        """Log the events that failed; for whoever knows that what they came to is committed."""
        for job, error in self._dead:
            log_failure(job, error, "is a dead letter")
        for job, error in self._retried:
            log_failure(job, error, f"failed in attempt {job.attempts}, and comes again")

    async def recorded(self, connection: AsyncConnection) -> bool:
        """Return whether the journal has the outcomes; True where none belongs there."""
        if not self.entries:
            # What came from outside the database has no row there that would be gone.
            outside = [job.event.id for job in self.completed if job.outside]
            tables = self.runtime.context.tables
            return not outside or bool(await find_places(connection, tables, outside[:1]))
        # The jobs may as well have been completed by a peer, once the leases had expired.
        entry, table = self.entries[0], self.runtime.context.tables.journal
        journal = Journal(connection, table)
        return bool(await journal.recorded([entry.event.id], entry.lease_token))

    def _note(self, job: Job, outcome: Outcome, reason: str) -> None:
        result = SyncResult(outcome, reason=reason, committed=True)
        self.told.append(SettledEvent(job.event, result))


def log_failure(job: Job, error: BaseException, fate: str) -> None:
    """Log why an event failed, and what became of it; without a traceback: that quotes values."""
    event = job.event
    name = f"{event.entity_type} {event.entity_id}"
    _log.warning("event %s (%s) %s: %s", event.id, name, fate, without_values(error))


def _with_failure(job: Job, error: BaseException, now: datetime) -> Job:
    """Return a job whose history holds one failure more."""
    described = describe_error(error)
    failure: Mapping[str, Any] = {"at": now.isoformat()} | {
        name: described[name] for name in ("error_type", "error")
    }
    return replace(job, history=(*job.history, failure))


def _asked_for(error: BaseException) -> timedelta | None:
    """Return how long whoever was asked wants to be left alone, if the error says so."""
    told = getattr(error, "retry_after", None)
    return told if isinstance(told, timedelta) else None


def _is_permanent(error: BaseException) -> bool:
    if isinstance(error, ZohoSyncError):
        return error.permanent
    return classify(error) is Fault.REJECTED
