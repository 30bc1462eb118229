"""Recognises resends: finds the events, stored or settled, that arriving ones equal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import ColumnElement, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from zoho_sync.database.dialects import chunks
from zoho_sync.events.event import SyncEvent
from zoho_sync.store.event_rows import dedupe_key
from zoho_sync.store.journal import RECOGNISED
from zoho_sync.store.new_events import NewEvents
from zoho_sync.store.places import find_places
from zoho_sync.store.tables import Tables

__all__ = ["find_equals", "find_known", "resend_key"]


def resend_key(event: SyncEvent) -> str:
    """Return what an event and its resends have in common: its change, or else its id alone.

    A host that did not hear the answer enqueues an event once more.
    """
    return dedupe_key(event) or event.id


async def find_known(
    connection: AsyncConnection,
    tables: Tables,
    queued: Sequence[Table],
    events: Sequence[SyncEvent],
    fingerprints: Mapping[str, str],
) -> dict[str, str]:
    """Return the ids of events that are there, or whose equals are, by `resend_key`.

    ``queued`` are the tables whose events are queued. ``fingerprints`` are those of the mappings in
    force, by entity type: what another mapping settled does not count.
    """
    keys = [key for event in events if (key := dedupe_key(event))]
    ids, journal = {event.id for event in events}, tables.journal
    prints = {fingerprints.get(event.entity_type, "") for event in events}
    settled = (journal.c.outcome.in_(RECOGNISED), journal.c.fingerprint.in_(prints))
    known = await find_equals(connection, journal, keys, *settled)
    known |= await find_equals(connection, tables.parked, keys)
    # What a host enqueues once more may be settled by now.
    present = set(await find_places(connection, tables, ids))
    for table in queued:
        known |= await find_equals(connection, table, keys)
        if table is not tables.jobs:
            present |= await NewEvents(connection, table).known(ids)
    return known | {resend_key(event): event.id for event in events if event.id in present}


async def find_equals(
    connection: AsyncConnection,
    table: Table,
    keys: Iterable[str],
    *conditions: ColumnElement[bool],
) -> dict[str, str]:
    """Return the ids of events in a table, by dedupe key."""
    found: dict[str, str] = {}
    for chunk in chunks(keys):
        equal = (table.c.dedupe_key.in_(chunk), *conditions)
        rows = await connection.execute(select(table.c.dedupe_key, table.c.event_id).where(*equal))
        found |= {row.dedupe_key: row.event_id for row in rows}
    return found
