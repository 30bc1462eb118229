"""Parks events until the entity that each waits for arrives, and puts them back then."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any

from sqlalchemy import ColumnElement, delete, insert, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from zoho_sync.abc import Job
from zoho_sync.database.dialects import chunks, indexed, is_mariadb
from zoho_sync.events.event import Operation, SyncEvent
from zoho_sync.store.awaited import awaited_columns, awaited_entities, awaited_key
from zoho_sync.store.event_rows import dedupe_key, event_from_row, job_from_row, job_row
from zoho_sync.store.jobs import requeue
from zoho_sync.store.ledger import LedgerKey, key_columns
from zoho_sync.store.tables import Rows, Tables

__all__ = ["Parked", "ParkedEvent", "Waiting", "parked_from_row"]

_BATCH = 200


@dataclass(frozen=True, slots=True)
class Waiting:
    """The entity that a parked event waits for, its type as the reference names it, and why."""

    key: LedgerKey
    entity_type: str
    reason: str


@dataclass(frozen=True, slots=True)
class ParkedEvent:
    """An event that waits for an entity.

    Attributes:
        event: The event.
        waiting_type: Type of the entity that it waits for.
        waiting_id: Zoho's id of that entity.
        reason: In words.
        parked_at: Since when.
        expires_at: When it becomes a dead letter.
    """

    event: SyncEvent
    waiting_type: str
    waiting_id: str
    reason: str
    parked_at: datetime
    expires_at: datetime

    @property
    def entity_type(self) -> str:
        """The event's, as a dead letter has it."""
        return self.event.entity_type

    @property
    def entity_id(self) -> str:
        """The event's, as a dead letter has it."""
        return self.event.entity_id


class Parked(Rows):
    """The rows of the parked table, on one connection, inside one transaction."""

    def __init__(self, connection: AsyncConnection, tables: Tables) -> None:
        super().__init__(connection, tables.parked)
        self._tables = tables

    async def park(
        self, job: Job, namespace: str, waiting: Waiting, now: datetime, expires: datetime
    ) -> None:
        """Park an event; the entity that it waits for is held, so that it cannot arrive unseen."""
        row = {
            **job_row(job),
            "dedupe_key": dedupe_key(job.event),
            "first_parked_at": job.first_parked_at or now,
            "namespace": namespace,
            "waiting_namespace": waiting.key.namespace,
            "waiting_type": waiting.entity_type,
            "waiting_id": waiting.key.entity_id,
            "reason": waiting.reason,
            "parked_at": now,
            "expires_at": expires,
        }
        await self._connection.execute(insert(self._table).values(row))

    async def wake(self, keys: Iterable[LedgerKey], now: datetime) -> int:
        """Put back every event that waits for these entities, or is one of theirs.

        An event of the entity itself may have been overtaken by the one that was just applied.
        Returns how many went back into the queue.
        """
        woken, table = 0, self._table
        waits, is_one = tuple_(*awaited_columns(table)), tuple_(*key_columns(table))
        for chunk in chunks(sorted(set(keys)), _BATCH):
            entities = [tuple(key) for key in chunk]
            rows = await self._take(or_(waits.in_(entities), is_one.in_(entities)))
            due = [(job_from_row(row), now) for row in rows]
            woken += len(await requeue(self._connection, self._tables, due, now))
        return woken

    async def expired(self, now: datetime, limit: int) -> list[tuple[Job, Waiting]]:
        """Take out events that have waited too long, and return them with what for."""
        table = self._table
        due = (
            select(table.c.id)
            .where(table.c.expires_at <= now)
            .order_by(table.c.expires_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        due = indexed(due, table, f"ix_{table.name}_expires_at")
        ids = list(await self._connection.scalars(due))
        rows = await self._take(table.c.id.in_(ids)) if ids else []
        return [(job_from_row(row), _waiting(row)) for row in rows]

    async def targets(
        self, after: LedgerKey | None, limit: int, *, deletes: bool = True
    ) -> list[Waiting]:
        """Return entities that events wait for, in key order, from behind ``after``.

        Deletes that wait for rows of the host to let go of their own entity can be left out.
        """
        table, meant = self._table, list[ColumnElement[bool]]()
        if not deletes:
            own = (table.c.waiting_id == table.c.entity_id) & (
                table.c.waiting_namespace == table.c.namespace
            )
            meant = [~(own & (table.c.operation == Operation.DELETE.value))]
        found = await awaited_entities(self._connection, table, after, limit, *meant)
        return [Waiting(key, entity_type, "") for key, entity_type in found]

    async def _take(self, condition: ColumnElement[bool]) -> Sequence[Mapping[Any, Any]]:
        table, rows = self._table, list[Mapping[Any, Any]]()
        conditions = [condition]
        if is_mariadb(self._connection):
            # It would look at every row to find these, and wait for those that others are parking.
            ids = await self._connection.scalars(select(table.c.id).where(condition))
            conditions = [(table.c.id == row_id) & condition for row_id in ids]
        for each in conditions:
            statement = delete(table).where(each).returning(table)
            rows += (await self._connection.execute(statement)).mappings()
        return sorted(rows, key=itemgetter("arrival_time", "arrival_sequence"))


def parked_from_row(row: Mapping[Any, Any]) -> ParkedEvent:
    """Return what operators see of a row."""
    names = ("waiting_type", "waiting_id", "reason", "parked_at", "expires_at")
    return ParkedEvent(event_from_row(row), **{name: row[name] for name in names})


def _waiting(row: Mapping[Any, Any]) -> Waiting:
    return Waiting(awaited_key(row), row["waiting_type"], row["reason"])
