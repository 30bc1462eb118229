"""Keeps the rows of the dead-letter table: an event, or a body, and what is wrong with it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, insert, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from zoho_sync.abc import Job
from zoho_sync.database.dialects import chunks
from zoho_sync.database.faults import primary_message, refuses_values
from zoho_sync.database.insertion import insert_or_update
from zoho_sync.events.event import new_event_id
from zoho_sync.events.outcome import DeadLetterKind
from zoho_sync.exceptions import CallableFailed, PayloadError, ReferenceFailed, RowRejected
from zoho_sync.exceptions.wording import raised_in
from zoho_sync.store.event_rows import job_row
from zoho_sync.store.tables import Rows, Tables

__all__ = ["DeadLetter", "DeadLetterRows", "Undecoded", "describe_error", "letter_from_row"]

_LONGEST_ERROR = 2_000
_NAMES_A_FIELD = (CallableFailed, PayloadError, ReferenceFailed, RowRejected)


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
        path: The field that is wrong, or the mapping's attribute whose callable failed; ``""``
            where it is neither.
        attempts: Failed attempts.
        history: One entry for each of them: ``{"at", "error_type", "error"}``, and ``"line"``, the
            file and line of the application's own code, where that is what failed.
        arrived_at: When it was received, first.
        deliveries: How often: a body that is not understood is kept once, however often it comes.
        last_arrived_at: When it was received last.
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
    deliveries: int
    last_arrived_at: datetime
    died_at: datetime


@dataclass(frozen=True, slots=True)
class Undecoded:
    """A body that was not understood.

    Attributes:
        body: As received.
        content_type: As told.
        hints: What was said about it.
        organization_id: Of the letter, if known.
        alike: What tells deliveries of one body apart, besides the hints that are certain.
    """

    body: bytes
    content_type: str
    hints: Mapping[str, Any]
    organization_id: str
    alike: Sequence[str] = ()

    @property
    def told(self) -> dict[str, Any]:
        """What was said about the body, without what was not."""
        return {name: value for name, value in self.hints.items() if value is not None}

    @property
    def hash(self) -> str:
        """What equal deliveries have in common: SHA-256, hex.

        Content type and uncovered claims are not part of it: whoever has seen one signed delivery
        can vary them for ever, and must not fill the table with it.
        """
        certain = sorted((name, value) for name, value in self.told.items() if name != "claims")
        about = [self.organization_id, certain, *self.alike]
        hashed = hashlib.sha256(json.dumps(about).encode())
        hashed.update(self.body)
        return hashed.hexdigest()


def letter_from_row(row: Mapping[Any, Any]) -> DeadLetter:
    """Return what operators see of a row."""
    renamed = {"id": row["event_id"], "arrived_at": row["arrival_time"]}
    renamed["last_arrived_at"] = row["last_arrived_at"] or row["arrival_time"]
    named = renamed | {"kind": DeadLetterKind(row["kind"])}
    same = DeadLetter.__dataclass_fields__.keys() - named.keys()
    return DeadLetter(**named, **{name: row[name] for name in same})


def describe_error(error: BaseException) -> dict[str, str]:
    """Return an error as it is stored: kind, type, text (without statements), field."""
    place = raised_in(error)
    is_data = isinstance(error, (PayloadError, ReferenceFailed)) or refuses_values(error)
    return {
        "kind": (DeadLetterKind.DATA if is_data else DeadLetterKind.FAILURE).value,
        "error_type": _storable(type(error).__name__)[:255],
        "error": _storable(f"{_text(error)} (in {place})" if place else _text(error)),
        # Others' errors may have a path as well, of another meaning and type.
        "path": _storable(error.path) if isinstance(error, _NAMES_A_FIELD) else "",
    }


def _text(error: BaseException) -> str:
    if isinstance(error, SQLAlchemyError):
        # Those without an origin may quote another's text, statement and parameters included.
        return primary_message(error)[0]
    try:
        return str(error) or type(error).__name__
    except Exception:  # noqa: BLE001  # a handler's error that cannot even say what it is
        return type(error).__name__


def _storable(text: str) -> str:
    clean = text[:_LONGEST_ERROR].replace("\x00", "\\0")
    return clean.encode("utf-8", "replace").decode()[:_LONGEST_ERROR]


class DeadLetterRows(Rows):
    """The rows of the dead-letter table, on one connection, inside one transaction."""

    def __init__(self, connection: AsyncConnection, tables: Tables) -> None:
        super().__init__(connection, tables.dead_letters)

    async def keep_job(self, job: Job, error: BaseException, now: datetime) -> None:
        """Keep an event that cannot be applied."""
        row = {**job_row(job), **describe_error(error), "died_at": now}
        await self._connection.execute(insert(self._table).values(row))

    async def keep_body(
        self,
        received: Undecoded,
        error: PayloadError,
        now: datetime,
        *,
        event_id: str | None = None,
    ) -> str:
        """Keep a body that is not understood, and return the id of its dead letter.

        While an equal one is there, that is counted. One that comes with an ``event_id`` has an
        identity already, and a letter of its own.
        """
        row: dict[str, Any] = {
            "event_id": event_id or new_event_id(),
            "body_hash": None if event_id else received.hash,
            "last_arrived_at": now,
            "organization_id": received.organization_id,
            "arrival_time": now,
            "attempts": 0,
            "history": [],
            "body": received.body,
            "content_type": received.content_type[:255].replace("\x00", ""),
            "hints": received.told,
            **describe_error(error),
            "died_at": now,
        }
        if event_id:
            await self._connection.execute(insert(self._table).values(row))
            return event_id
        # One statement, which locks the row at once: of two that looked first, one would end.
        again = {"deliveries": self._table.c.deliveries + 1, "last_arrived_at": now}
        statement = insert_or_update(
            self._connection.dialect.name, self._table, row, "body_hash", again
        ).returning(self._table.c.event_id)
        return str((await self._connection.execute(statement)).scalar_one())

    async def select(
        self, condition: ColumnElement[bool] | None, limit: int | None = None, *, lock: bool = False
    ) -> Sequence[Mapping[Any, Any]]:
        """Return rows, oldest first."""
        statement = select(self._table).order_by(self._table.c.id).limit(limit)
        if condition is not None:
            statement = statement.where(condition)
        if lock:
            statement = statement.with_for_update(skip_locked=True)
        return (await self._connection.execute(statement)).mappings().all()

    async def remove(self, ids: Iterable[int]) -> None:
        """Remove rows: their events are queued or settled."""
        for chunk in chunks(ids):
            await self._connection.execute(delete(self._table).where(self._table.c.id.in_(chunk)))

    async def update_error(self, row_id: int, error: PayloadError) -> None:
        """Note why a body is still not understood."""
        statement = update(self._table).where(self._table.c.id == row_id)
        await self._connection.execute(statement.values(describe_error(error)))
