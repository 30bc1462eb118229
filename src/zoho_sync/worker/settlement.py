"""Settles the jobs of an applied batch: records outcomes, buries or puts back what has failed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from zoho_sync.abc import Job, SettledEvent
from zoho_sync.apply.batch import Batch
from zoho_sync.apply.recording import BatchResult, record, wake
from zoho_sync.database.faults import Fault, classify
from zoho_sync.database.hiding import without_values
from zoho_sync.events.outcome import DeadLetterKind, Outcome, SyncResult
from zoho_sync.exceptions import UnknownEntityType, ValueTaken, ZohoSyncError
from zoho_sync.exceptions.places import own_line
from zoho_sync.store.dead_letter_rows import DeadLetterRows, describe_error
from zoho_sync.store.jobs import requeue
from zoho_sync.worker.runtime import Runtime

__all__ = ["Settlement", "log_failure"]

_log = logging.getLogger(__name__)

_MOST_HOLDERS: Final = 8


class Settlement:
    """What a worker makes of what the events of one transaction came to.

    Attributes:
        completed: The jobs whose outcome is recorded; they leave the queue.
        settled_events: What became of the events, in the order of their application.
    """

    def __init__(self, runtime: Runtime, batch: Batch, result: BatchResult) -> None:
        self._runtime = runtime
        self._dead: list[tuple[Job, Exception]] = []
        self._retried: list[tuple[Job, Exception]] = []
        self.result = result
        self.completed = [job for job in batch.jobs if job.event.id in result.known]
        self.settled_events: list[SettledEvent] = []
        for each in result.came_to:
            self.completed.append(each.job)
            if isinstance(each.what, Exception):
                self._fail(each.job, each.what)
            else:
                self.settled_events.append(each.settled_event())

    async def record(self, connection: AsyncConnection) -> None:
        """Write the outcomes down."""
        context = self._runtime.context
        await record(connection, context, self.result, self._runtime.retry.parked_for)
        dead = DeadLetterRows(connection, context.tables)
        for job, error in self._dead:
            await dead.keep_job(job, error, self.result.now)

    async def wake(self, connection: AsyncConnection) -> None:
        """Put back what comes again, and do what waited for an entity that has arrived.

        Once the jobs are completed: an event that comes back must not meet its equal there.
        """
        runtime, now = self._runtime, self.result.now
        due = []
        for job, error in self._retried:
            # Whoever was asked may want to be left alone for so long.
            pause = getattr(error, "retry_after", None)
            asked = pause if isinstance(pause, timedelta) else None
            # The worker of a newer release may know the type, once it has been started.
            jitter = 1.0 if isinstance(error, UnknownEntityType) else runtime.jitter()
            delay = runtime.retry.delay(job.attempts, jitter=jitter, retry_after=asked)
            due.append((job, now + delay))
        await requeue(connection, runtime.context.tables, due, now)
        await wake(connection, runtime.context, self.result)

    def report(self) -> None:
        """Log the events that failed; for whoever knows that what they came to is committed."""
        for job, error in self._dead:
            log_failure(job, error, "is a dead letter")
        for job, error in self._retried:
            log_failure(job, error, f"failed in attempt {job.attempts}, and comes again")

    def _fail(self, job: Job, error: Exception) -> None:
        """Make a dead letter of an event that failed, or let it come again."""
        failed = _failed(job, error, self.result.now)
        if isinstance(error, ZohoSyncError):
            is_permanent = error.permanent
        else:
            is_permanent = classify(error) is Fault.REJECTED
        is_dead = is_permanent or self._runtime.retry.exhausted(failed.attempts)
        (self._dead if is_dead else self._retried).append((failed, error))
        outcome = Outcome.DEAD_LETTER if is_dead else Outcome.RETRY
        result = SyncResult(outcome, reason=failed.history[-1]["error"], committed=True)
        self.settled_events.append(SettledEvent(failed.event, result))


def _failed(job: Job, error: Exception, now: datetime) -> Job:
    """Return a job with one failed attempt more, and with the entities whose values it wants."""
    contested: Sequence[str] = ()
    if isinstance(error, ValueTaken):
        # With those before: a row may want several values, each of another entity.
        found = [error.entity_id] if error.entity_id is not None else []
        contested = [*dict.fromkeys([*found, *job.contested])][:_MOST_HOLDERS]
    told = describe_error(error)
    failure = {"at": now.isoformat(), "error_type": told["error_type"], "error": told["error"]}
    if told["kind"] == DeadLetterKind.FAILURE and (line := own_line(error)):
        failure["line"] = line
    history = (*job.history, failure)
    return replace(job, attempts=job.attempts + 1, contested=contested, history=history)


def log_failure(job: Job, error: BaseException, fate: str) -> None:
    """Log why an event failed, and what became of it; without a traceback: that quotes values."""
    event = job.event
    name = f"{event.entity_type} {event.entity_id}"
    _log.warning("event %s (%s) %s: %s", event.id, name, fate, without_values(error))
