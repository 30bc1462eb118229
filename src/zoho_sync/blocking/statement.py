"""Queues events by a statement that the host executes in a synchronous transaction of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Insert

from zoho_sync.abc import DEFAULT_PRIORITY, RelaysOutbox
from zoho_sync.app.sync import ZohoSync
from zoho_sync.events.event import SyncEvent
from zoho_sync.exceptions import ConfigurationError
from zoho_sync.store.new_events import check_priority, enqueueing

__all__ = ["enqueue_statement"]

# Some databases take no more than 32,767 parameters in a statement; an event has 18.
_LONGEST_STATEMENT: Final = 1000


def enqueue_statement(
    sync: ZohoSync, events: Sequence[SyncEvent], *, priority: int = DEFAULT_PRIORITY
) -> Insert:
    """Return a statement that queues events when it is executed, in the host's own transaction.

    ::

        with Session(engine) as session, session.begin():
            session.add(order)
            session.execute(sync.enqueue_statement([event]))

    Any synchronous `Session` or `Connection` on the database of the `ZohoSync` can execute it. The
    jobs become visible with the host's commit, and vanish with its rollback. The events arrive when
    it is executed, by the database's clock; it may be executed again, in a transaction that is
    repeated for example. It needs no event loop.

    An event whose equal is queued already is left out, and so is one whose id is; ``rowcount`` says
    how many went in. `ZohoSync.enqueue` recognises events that are parked or settled as well. Here
    these are queued, and the ledger decides: one whose equal wrote what it would write is a
    duplicate, one that another has overtaken is stale, and neither writes a row. With an `Outbox`
    the events go there, and those that have left it are not looked at either.

    Args:
        sync: Whose queue is meant, and whose entity types, organizations and time zone.
        events: At most 1,000; none make a statement that does nothing.
        priority: The smaller, the sooner; see `ZohoSync.enqueue`.

    Raises:
        PayloadError: An event cannot be understood.
        ConfigurationError: The queue is not in the host's database, nor has an `Outbox` there;
            there are too many events, or the priority is none.
    """
    queue, context = sync._runtime.queue, sync._runtime.context  # noqa: SLF001  # its other half
    if not queue.capabilities.enqueues_in_transaction:
        message = (
            "the queue is not in the host's database; give it an outbox, which is:"
            ' queue=Outbox("redis://…"), or call enqueue() after your commit'
        )
        raise ConfigurationError(message)
    check_priority(priority)
    if len(events) > _LONGEST_STATEMENT:
        message = f"one statement queues at most {_LONGEST_STATEMENT} events; make several"
        raise ConfigurationError(message)
    understood = [sync._parts.rules.completed(event) for event in events]  # noqa: SLF001  # as above
    bind = sync._runtime.sessions().get_bind()  # noqa: SLF001  # as above
    relayed = isinstance(queue, RelaysOutbox) and priority == DEFAULT_PRIORITY
    table = context.tables.outbox if relayed else context.tables.jobs
    return enqueueing(bind.dialect.name, table, understood, context.clock, priority)
