"""Applies one body in a transaction that is rolled back, and says what would change."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final, NoReturn

from sqlalchemy import Connection, event, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from zoho_sync.apply.one_event import Applied
from zoho_sync.apply.resolving import locate
from zoho_sync.cli.opening import Opened
from zoho_sync.cli.running import reason
from zoho_sync.database.dialects import begin_immediately, database_time
from zoho_sync.database.faults import Fault, classify
from zoho_sync.events.event import Arrival, Operation, SyncEvent
from zoho_sync.events.outcome import Outcome, SyncResult
from zoho_sync.exceptions import (
    ConfigurationError,
    ReferencePending,
    UnknownEntityType,
    ZohoSyncError,
)
from zoho_sync.handlers.base import BaseEntityHandler
from zoho_sync.mapping.binding import BoundEntity, BoundRows
from zoho_sync.mapping.values import Key, equals
from zoho_sync.store.ledger import Ledger, LedgerKey

__all__ = ["RowChange", "Trial", "failed", "try_event"]

Row = Mapping[str, Any]
Snapshot = dict[str, dict[Key, Row]]

_UNKNOWN_CONTACT: Final = "nobody knows this contact; its delete is remembered"
_NO_ROW: Final = "there is no such row; the delete is remembered, so that no older edit makes one"


@dataclass(frozen=True, slots=True)
class RowChange:
    """One row that would be ``added``, ``changed`` or ``removed``.

    Attributes:
        table: Its table.
        key: Its primary key.
        kind: One of these words.
        columns: Those that change, with their values before and after.
    """

    table: str
    key: Key
    kind: str
    columns: Mapping[str, tuple[Any, Any]]


@dataclass(frozen=True, slots=True)
class Trial:
    """What would become of an event.

    Attributes:
        outcome: As of `Outcome`, or ``ping``.
        reason: Why, in words.
        error_type: Of the error, if there was one.
        path: The field that is wrong.
        waits_for: Type and id of the entity that a parked event would wait for.
        rows: The entity's row, and its lines.
        mapped: Whether a mapping says where the rows are; without one they cannot be shown.
    """

    outcome: str
    reason: str = ""
    error_type: str | None = None
    path: str = ""
    waits_for: tuple[str, str] | None = None
    rows: Sequence[RowChange] = field(default_factory=tuple)
    mapped: bool = True


async def try_event(chosen: Opened, received: SyncEvent) -> Trial:
    """Apply an event, look at what it did, and roll everything back.

    Sequences that number rows do not go back; everything else is as before. What a handler does
    outside the session's transaction, a trial cannot undo.
    """
    async with _rolled_back(chosen) as session:
        connection = await session.connection()
        context = chosen.runtime.context
        key = LedgerKey.of(received, context.catalog)
        ledger = Ledger(connection, context.tables.ledger)
        await ledger.prepare([key])
        entry = (await ledger.lock([key]))[key]
        arrival = Arrival(await database_time(connection, context.clock), 0)
        try:
            found = chosen.dispatch(session, replace(received, arrival=arrival), entry, hold=False)
        except ZohoSyncError as error:
            return failed(error)
        if isinstance(found, Applied):
            return Trial(found.result.outcome.value, found.result.reason or _UNKNOWN_CONTACT)
        handler, tried = found
        bound = handler.binding()
        located = None if bound is None else await locate(connection, bound, key, entry)
        before = await _snapshot(connection, bound, located)
        try:
            result = await handler.sync(_document(handler, tried), tried.operation)
            await session.flush()
        except Exception as error:  # noqa: BLE001  # a handler's own code may raise anything
            return replace(failed(error), mapped=bound is not None)
        after = await _snapshot(connection, bound, _key(result) or located)
        rows = tuple(_changes(before, after))
        deletes = tried.operation is Operation.DELETE and result.outcome is Outcome.APPLIED
        no_row = deletes and bound is not None and located is None
        why = result.reason or (_NO_ROW if no_row else "")
        return Trial(result.outcome.value, why, rows=rows, mapped=bound is not None)


class _OwnCommit(ConfigurationError):
    """A handler commits, and would take the trial with it."""


@asynccontextmanager
async def _rolled_back(chosen: Opened) -> AsyncIterator[AsyncSession]:
    async with chosen.runtime.sessions() as session:
        await session.begin()
        connection = await session.connection()
        await begin_immediately(connection)
        event.listen(connection.sync_connection, "commit", _refuse_commit)
        try:
            yield session
        finally:
            await session.rollback()


def _refuse_commit(_connection: Connection) -> NoReturn:
    raise _OwnCommit(
        "the handler commits by itself; leave that to the library: an event is one transaction"
    )


async def _snapshot(
    connection: AsyncConnection, bound: BoundEntity | None, key: Key | None
) -> Snapshot:
    if bound is None or key is None:
        return {}
    found = await _rows(connection, bound, bound.primary_key, key)
    for child in bound.children:
        found |= await _rows(connection, child, child.parent, key)
    return found


async def _rows(
    connection: AsyncConnection, rows: BoundRows, columns: Sequence[Any], key: Key
) -> Snapshot:
    """Return rows by their primary keys, for each of the tables that they are spread over."""
    found: Snapshot = {}
    for part in rows.parts:
        statement = select(part.table, *rows.primary_key).select_from(rows.selectable)
        listed = await connection.execute(statement.where(equals(columns, key)))
        width, names = len(rows.primary_key), part.table.columns.keys()
        found[part.table.fullname] = {
            tuple(row[-width:]): dict(zip(names, row, strict=False)) for row in listed
        }
    return found


def _changes(before: Snapshot, after: Snapshot) -> list[RowChange]:
    changes = []
    for table in {**before, **after}:
        old, new = before.get(table, {}), after.get(table, {})
        for key in {**old, **new}:
            columns = _columns(old.get(key, {}), new.get(key, {}))
            kind = "added" if key not in old else "changed" if key in new else "removed"
            if columns or kind != "changed":
                changes.append(RowChange(table, key, kind, columns))
    return changes


def _columns(old: Row, new: Row) -> dict[str, tuple[Any, Any]]:
    pairs = {name: (old.get(name), new.get(name)) for name in {**old, **new}}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _key(result: SyncResult) -> Key | None:
    key = result.primary_key
    return key if isinstance(key, tuple) or key is None else (key,)


def _document(handler: BaseEntityHandler[Any], tried: SyncEvent) -> Mapping[str, Any]:
    # A delete may have come without a document, or with one that lacks the id: it was told then.
    kind = handler.kind()
    if tried.operation is not Operation.DELETE or kind.entity_id(tried.payload):
        return tried.payload
    return {**tried.payload, kind.id_fields[0]: tried.entity_id}


def failed(raised: Exception) -> Trial:
    """Return what becomes of an event that fails."""
    error = _first_cause(raised)
    kind = type(error).__name__
    if isinstance(error, ReferencePending):
        target = (error.entity_type, error.zoho_id)
        return Trial(Outcome.PARKED.value, str(error), error_type=kind, waits_for=target)
    if isinstance(error, ZohoSyncError):
        # Another release of the application may know the type; this one never will.
        is_dead, why = error.permanent or isinstance(error, UnknownEntityType), str(error)
        path = getattr(error, "path", "") or getattr(error, "table", "")
    else:
        is_dead, why, path = classify(error) is Fault.REJECTED, reason(error), ""
    outcome = Outcome.DEAD_LETTER if is_dead else Outcome.RETRY
    return Trial(outcome.value, why, error_type=kind, path=path)


def _first_cause(error: Exception) -> Exception:
    """Return the refused commit, if there is one: what comes after it is its consequence."""
    link: BaseException | None = error
    while link is not None and not isinstance(link, _OwnCommit):
        link = link.__cause__ or link.__context__
    return link or error
