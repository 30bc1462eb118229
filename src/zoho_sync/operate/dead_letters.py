"""Lists what could not be applied, puts it back into the queue, or closes it, for operators."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, true
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from zoho_sync.abc import Job
from zoho_sync.database.creation import needing_tables
from zoho_sync.database.dialects import Clock, chunks, database_time
from zoho_sync.database.unit_of_work import unit_of_work
from zoho_sync.events.event import Arrival, SyncEvent
from zoho_sync.events.outcome import DeadLetterKind, Outcome
from zoho_sync.exceptions import ConfigurationError, PayloadError
from zoho_sync.store.dead_letter_rows import DeadLetter, DeadLetterRows, letter_from_row
from zoho_sync.store.event_rows import dedupe_key, event_from_row
from zoho_sync.store.jobs import requeue
from zoho_sync.store.journal import Journal
from zoho_sync.store.tables import Tables

__all__ = ["DeadLetter", "DeadLetterFilter", "DeadLetters", "Replayed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterFilter:
    """Selects dead letters: those for which everything that is given holds.

    Attributes:
        entity_type: Of the event.
        organization_id: Of the event.
        error_type: Name of the exception, for example ``PayloadError``.
        kind: Whether the data is wrong, or the application failed.
        died_before: Older ones only.
    """

    entity_type: str | None = None
    organization_id: str | None = None
    error_type: str | None = None
    kind: DeadLetterKind | None = None
    died_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of dead letters that were replayed.

    Attributes:
        queued: They are back in the queue, under their id and arrival.
        duplicates: Their equal is queued; they are settled.
        still_dead: Bodies that are not understood yet.
    """

    queued: tuple[str, ...] = ()
    duplicates: tuple[str, ...] = ()
    still_dead: tuple[str, ...] = ()


class DeadLetters:
    """The dead letters of one `ZohoSync`, for operators and their tools.

    Bodies and documents are in what `list` and `get` return: show them only to people who may see
    them.
    """

    def __init__(
        self,
        session_factory: Callable[[], AsyncSession],
        tables: Tables,
        decode_again: Callable[[bytes, str, Mapping[str, Any]], SyncEvent | None],
        clock: Clock | None = None,
    ) -> None:
        self._sessions = session_factory
        self._tables = tables
        self._decode_again = decode_again
        self._clock = clock

    async def list(
        self, which: DeadLetterFilter | None = None, *, limit: int = 100
    ) -> list[DeadLetter]:
        """Return dead letters, oldest first.

        Args:
            which: A filter; without one all are meant.
            limit: The largest number of results.
        """
        async with self._transaction() as connection:
            rows = DeadLetterRows(connection, self._tables)
            condition = self._condition(which) if which is not None else None
            return [letter_from_row(row) for row in await rows.select(condition, limit)]

    async def get(self, letter_id: str) -> DeadLetter | None:
        """Return one dead letter, or None."""
        async with self._transaction() as connection:
            rows = DeadLetterRows(connection, self._tables)
            found = await rows.select(self._tables.dead_letters.c.event_id == letter_id)
            return letter_from_row(found[0]) if found else None

    async def replay(self, which: str | Iterable[str] | DeadLetterFilter) -> Replayed:
        """Put dead letters back into the queue, under their id and arrival.

        Raises:
            ConfigurationError: A filter, or a list of ids, that is empty.
        """
        async with self._transaction() as connection:
            now = await database_time(connection, self._clock)
            rows = DeadLetterRows(connection, self._tables)
            jobs: dict[int, Job] = {}
            dead: list[str] = []
            for row in await self._found(rows, which):
                try:
                    event = self._event(row)
                except PayloadError as error:
                    await rows.update_error(row["id"], error)
                    dead.append(row["event_id"])
                    continue
                history, priority = tuple(row["history"]), row["priority"]
                jobs[row["id"]] = Job(None, event, "", history=history, priority=priority)
            await rows.remove(jobs)
            due = [(job, now) for job in jobs.values()]
            queued = await requeue(connection, self._tables, due, now)
        replayed = [job.event.id for job in jobs.values()]
        return Replayed(
            tuple(event_id for event_id in replayed if event_id in queued),
            tuple(event_id for event_id in replayed if event_id not in queued),
            tuple(dead),
        )

    async def resolve(
        self, which: str | Iterable[str] | DeadLetterFilter, *, reason: str = ""
    ) -> int:
        """Close dead letters without applying them, and return how many; the journal says so."""
        return await self._settle(which, reason or "resolved by an operator")

    async def purge(self, which: str | Iterable[str] | DeadLetterFilter) -> int:
        """Close dead letters for good, and return how many; the journal says so."""
        return await self._settle(which, "purged")

    async def _settle(self, which: str | Iterable[str] | DeadLetterFilter, reason: str) -> int:
        async with self._transaction() as connection:
            now = await database_time(connection, self._clock)
            rows = DeadLetterRows(connection, self._tables)
            found = await self._found(rows, which)
            journal = Journal(connection, self._tables.journal)
            await journal.append_rows([_resolved(row, reason, now) for row in found])
            await rows.remove(row["id"] for row in found)
            return len(found)

    def _event(self, row: Mapping[Any, Any]) -> SyncEvent:
        if row["entity_type"] is not None:
            return event_from_row(row)
        body, content_type = row["body"] or b"", row["content_type"] or ""
        event = self._decode_again(body, content_type, row["hints"] or {})
        if event is None:
            raise PayloadError("", "an empty body")
        return replace(event, id=row["event_id"], arrival=Arrival(row["arrival_time"], 0))

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection]:
        with needing_tables():
            async with self._sessions() as session, unit_of_work(session) as work:
                yield work.connection

    async def _found(
        self, rows: DeadLetterRows, which: str | Iterable[str] | DeadLetterFilter
    ) -> Sequence[Mapping[Any, Any]]:
        """Lock the dead letters that are meant and return them, oldest first."""
        if isinstance(which, DeadLetterFilter):
            if which == DeadLetterFilter():
                message = "an empty filter would mean every dead letter; say which ones"
                raise ConfigurationError(message)
            return await rows.select(self._condition(which), lock=True)
        ids = {which} if isinstance(which, str) else {*which}
        if not ids:
            message = "no dead letter was named"
            raise ConfigurationError(message)
        event_id = self._tables.dead_letters.c.event_id
        found = [
            row
            for chunk in chunks(ids)
            for row in await rows.select(event_id.in_(chunk), lock=True)
        ]
        return sorted(found, key=lambda row: int(row["id"]))

    def _condition(self, which: DeadLetterFilter) -> ColumnElement[bool]:
        table = self._tables.dead_letters
        wanted = {
            table.c.entity_type: which.entity_type,
            table.c.organization_id: which.organization_id,
            table.c.error_type: which.error_type,
            table.c.kind: which.kind,
        }
        conditions = [column == value for column, value in wanted.items() if value is not None]
        if which.died_before is not None:
            conditions.append(table.c.died_at < which.died_before)
        return and_(true(), *conditions)


def _resolved(row: Mapping[Any, Any], reason: str, now: datetime) -> dict[str, Any]:
    known = row["entity_type"] is not None
    copied = ("event_id", "organization_id", "entity_type", "entity_id", "operation")
    times = ("effective_time", "arrival_time", "arrival_sequence", "content_hash", "attempts")
    return {name: row[name] for name in (*copied, *times)} | {
        "dedupe_key": dedupe_key(event_from_row(row)) if known else None,
        "outcome": Outcome.RESOLVED.value,
        "reason": reason,
        "settled_at": now,
        "fingerprint": "",
        "changed": [],
    }
