"""Where the front door puts what it has read: events into the queue, the rest aside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from zoho_sync._dead_letter_rows import DeadLetterRows, Undecoded
from zoho_sync._dialects import database_time
from zoho_sync._faults import hide_values, is_of_database
from zoho_sync._runtime import Runtime
from zoho_sync._schema import needing_tables
from zoho_sync._unit_of_work import unit_of_work
from zoho_sync.abc import Enqueued
from zoho_sync.events import SyncEvent
from zoho_sync.exceptions import PayloadError, QueueUnavailable

__all__ = ["Intake"]


@dataclass(frozen=True)
class Intake:
    """The store of a `Receiver`.

    Attributes:
        runtime: What to work with.
        notify: Called when something was queued.
    """

    runtime: Runtime
    notify: Callable[[], None]

    @property
    def fingerprints(self) -> Mapping[str, str]:
        """The mapping in force, by entity type."""
        bindings = self.runtime.context.bindings
        return {name: bound.fingerprint for name, bound in bindings.items()}

    async def enqueue(self, event: SyncEvent) -> Enqueued:
        """Store an event durably."""
        stored = await self.runtime.queue.enqueue([event], fingerprints=self.fingerprints)
        self.notify()
        return stored[0]

    async def keep(self, received: Undecoded, error: PayloadError) -> str:
        """Keep a body that is not understood, and return the id of its dead letter."""
        context = self.runtime.context
        try:
            with needing_tables():
                async with self.runtime.sessions() as session, unit_of_work(session) as work:
                    now = await database_time(work.connection, context.clock)
                    rows = DeadLetterRows(work.connection, context.tables)
                    return await rows.keep_body(received, error, now)
        except Exception as failure:
            if not is_of_database(failure):
                raise
            hide_values(failure)
            message = "the database does not answer"
            raise QueueUnavailable(message) from failure
