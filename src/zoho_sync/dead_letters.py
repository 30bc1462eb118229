"""Dead letters: what could not be applied, kept with the reason until an operator decides."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, true
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from zoho_sync._dead_letter_rows import DeadLetterRows
from zoho_sync._dialects import Clock, chunks, database_time
from zoho_sync._event_rows import dedupe_key, event_from_row
from zoho_sync._job_rows import job_row
from zoho_sync._jobs import Jobs
from zoho_sync._journal import Journal, JournalEntry
from zoho_sync._schema import needing_tables
from zoho_sync._tables import Tables
from zoho_sync._unit_of_work import unit_of_work
from zoho_sync.abc import Job
from zoho_sync.events import Arrival, SyncEvent
from zoho_sync.exceptions import ConfigurationError, PayloadError
from zoho_sync.outcomes import DeadLetterKind, Outcome

__all__ = ["DeadLetter", "DeadLetterFilter", "DeadLetters", "Replayed"]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One event, or one body, that could not be applied.

    Attributes:
        id: Of the event; a body that was not understood has one as well.
        organization_id: Zoho's organization.
        entity_type: None for a body that was not understood.
        entity_id: None for a body that was not understood.
        operation: None for a body that was not understood.
        payload: The document; None for a body that was not understood.
        body: The bytes as received, where they were not understood.
        content_type: Of the body.
        hints: What was said about the body: entity, operation, entity_id, organization_id.
        kind: Whether the data is wrong, or the application failed.
        error_type: Name of the exception.
        error: What is wrong.
        path: The field that is wrong; ``""`` where it is none.
        attempts: Failed attempts.
        history: One entry for each of them: ``{"at", "error_type", "error"}``.
        arrived_at: When it was received.
        died_at: When it became a dead letter.
    """

    id: str
    organization_id: str
    entity_type: str | None
    entity_id: str | None
    operation: str | None
    payload: Mapping[str, Any] | None
    body: bytes | None
    content_type: str | None
    hints: Mapping[str, Any] | None
    kind: DeadLetterKind
    error_type: str
    error: str
    path: str
    attempts: int
    history: Sequence[Mapping[str, Any]]
    arrived_at: datetime
    died_at: datetime


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


Decoder = Callable[[DeadLetter], SyncEvent | None]
"""Understands the body of a dead letter once more; raises `PayloadError`."""


class DeadLetters:
    """The dead letters of one `ZohoSync`, for operators and their tools.

    Bodies and documents are in what `list` and `get` return: show them only to people who may see
    them.
    """

    def __init__(
        self,
        session_factory: Callable[[], AsyncSession],
        tables: Tables,
        decode: Decoder,
        clock: Clock | None = None,
    ) -> None:
        self._sessions = session_factory
        self._tables = tables
        self._decode = decode
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
            return [_letter(row) for row in await rows.select(condition, limit)]

    async def get(self, letter_id: str) -> DeadLetter | None:
        """Return one dead letter, or None."""
        async with self._transaction() as connection:
            rows = DeadLetterRows(connection, self._tables)
            found = await rows.select(self._tables.dead_letters.c.event_id == letter_id)
            return _letter(found[0]) if found else None

    async def replay(self, which: str | Iterable[str] | DeadLetterFilter) -> Replayed:
        """Put dead letters back into the queue, under their id and arrival.

        Raises:
            ConfigurationError: A filter, or a list of ids, that is empty.
        """
        async with self._transaction() as connection:
            now = await database_time(connection, self._clock)
            rows = DeadLetterRows(connection, self._tables)
            found = await self._found(rows, which)
            return await _Replay(connection, self._tables, self._decode, now).run(found)

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

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection]:
        with needing_tables():
            async with self._sessions() as session, unit_of_work(session) as work:
                yield work.connection

    async def _found(
        self, rows: DeadLetterRows, which: str | Iterable[str] | DeadLetterFilter
    ) -> Sequence[Mapping[Any, Any]]:
        """Lock the dead letters that are meant and return them, oldest first."""
        found: list[Mapping[Any, Any]] = []
        for condition in self._meant(which):
            found += await rows.select(condition, lock=True)
        return sorted(found, key=lambda row: int(row["id"]))

    def _meant(
        self, which: str | Iterable[str] | DeadLetterFilter
    ) -> Sequence[ColumnElement[bool]]:
        if isinstance(which, DeadLetterFilter):
            if which == DeadLetterFilter():
                message = "an empty filter would mean every dead letter; say which ones"
                raise ConfigurationError(message)
            return [self._condition(which)]
        ids = [which] if isinstance(which, str) else [*which]
        if not ids:
            message = "no dead letter was named"
            raise ConfigurationError(message)
        return [self._tables.dead_letters.c.event_id.in_(chunk) for chunk in chunks(set(ids))]

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


class _Replay:
    """Puts dead letters back, each under its id and arrival."""

    def __init__(
        self, connection: AsyncConnection, tables: Tables, decode: Decoder, now: datetime
    ) -> None:
        self._rows = DeadLetterRows(connection, tables)
        self._jobs = Jobs(connection, tables.jobs)
        self._journal = Journal(connection, tables.journal)
        self._decode = decode
        self._now = now

    async def run(self, rows: Sequence[Mapping[Any, Any]]) -> Replayed:
        jobs, dead = await self._understand(rows)
        await self._rows.remove(jobs)
        queued = await self._jobs.restore([job_row(job, self._now) for job in jobs.values()])
        duplicates = [job for job in jobs.values() if job.event.id not in queued]
        await self._journal.append(
            JournalEntry(job.event, Outcome.DUPLICATE, self._now, "equal to one that is queued")
            for job in duplicates
        )
        return Replayed(
            tuple(job.event.id for job in jobs.values() if job.event.id in queued),
            tuple(job.event.id for job in duplicates),
            tuple(dead),
        )

    async def _understand(
        self, rows: Sequence[Mapping[Any, Any]]
    ) -> tuple[dict[int, Job], list[str]]:
        jobs: dict[int, Job] = {}
        dead: list[str] = []
        for row in rows:
            try:
                event = _event(row, self._decode)
            except PayloadError as error:
                await self._rows.update_error(row["id"], error)
                dead.append(row["event_id"])
                continue
            history, priority = tuple(row["history"]), row["priority"]
            jobs[row["id"]] = Job(None, event, "", history=history, priority=priority)
        return jobs, dead


def _event(row: Mapping[Any, Any], decode: Decoder) -> SyncEvent:
    if row["entity_type"] is not None:
        return event_from_row(row)
    event = decode(_letter(row))
    if event is None:
        raise PayloadError("", "an empty body")
    return replace(event, id=row["event_id"], arrival=Arrival(row["arrival_time"], 0))


def _letter(row: Mapping[Any, Any]) -> DeadLetter:
    return DeadLetter(
        id=row["event_id"],
        arrived_at=row["arrival_time"],
        kind=DeadLetterKind(row["kind"]),
        **{
            name: row[name]
            for name in DeadLetter.__dataclass_fields__
            if name not in {"id", "arrived_at", "kind"}
        },
    )


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
