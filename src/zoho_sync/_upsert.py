"""Writes one entity into the host's tables: its row, and what a delete does to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from zoho_sync._binding import BoundEntity, BoundReference
from zoho_sync._host_keys import decode_key
from zoho_sync._row_values import (
    Key,
    Values,
    coerce,
    deletion_mark,
    equals,
    identity_values,
    insert_only_values,
    insert_row,
    read_values,
    required_columns,
    with_defaults,
)
from zoho_sync.exceptions import PayloadError, ReferenceFailed, ReferencePending
from zoho_sync.mapping import ABSENT, read_source
from zoho_sync.payloads import Line, Payload

__all__ = ["Change", "Resolver", "RowWriter", "carried_columns", "resolve_references"]


class Resolver(Protocol):
    """Finds the host's primary key of another entity."""

    async def __call__(self, entity_type: str, zoho_id: str, *, missing: str = "park") -> Any:
        """Return the key.

        Raises:
            ReferencePending: The entity is not there yet.
            ReferenceFailed: It is not there, and waiting is not wanted or would not help.
        """
        ...


@dataclass(frozen=True)
class Change:
    """What one upsert writes.

    Attributes:
        entity_id: Zoho's id.
        organization_id: Zoho's organization.
        payload: The document, validated.
        document: The document as received.
        write: Names of the columns, and of the lists of lines, that it may write.
        deleted_at: When the entity was deleted, if it is: a new row is made marked.
        revives: Whether it takes back a soft delete.
    """

    entity_id: str
    organization_id: str
    payload: Payload
    document: Mapping[str, Any]
    write: frozenset[str]
    deleted_at: datetime | None = None
    revives: bool = False


def carried_columns(
    bound: BoundEntity, payload: Payload, document: Mapping[str, Any]
) -> frozenset[str]:
    """Return the names of the columns, and of the lists of lines, that a document carries."""
    sources = {name: source for name, (_, source) in bound.columns.items()}
    sources |= {reference.name: reference.source for reference in bound.references}
    sources |= {child.name: child.source for child in bound.children}
    return frozenset(
        name
        for name, source in sources.items()
        if read_source(source, payload, document) is not ABSENT
    )


async def resolve_references(
    resolve: Resolver, references: Sequence[BoundReference], node: Payload | Line, path: str
) -> Values:
    """Return the columns that hold other entities' primary keys; an empty id is NULL.

    Args:
        resolve: Finds the keys.
        references: The columns.
        node: The document or line.
        path: Where it stands, for an error: ``invoice.line_items[2]``.

    Raises:
        ReferencePending: An entity is not there yet.
        ReferenceFailed: An entity is not there, and the mapping does not want to wait.
        PayloadError: An id is not text.
    """
    values: Values = {}
    for reference in references:
        zoho_id = read_source(reference.source, node)
        if zoho_id is ABSENT or zoho_id is None:
            values[reference.column] = None
        elif not isinstance(zoho_id, str):
            raise PayloadError(
                _field(path, reference), "the source of a reference must give an id as text"
            )
        else:
            try:
                key = await resolve(reference.to, zoho_id, missing=reference.missing)
            except ReferenceFailed as failed:
                failed.path = failed.path or _field(path, reference)
                raise
            values[reference.column] = coerce(reference.column, key)
    return values


def _field(path: str, reference: BoundReference) -> str:
    source = reference.source
    return f"{path}.{source if isinstance(source, str) else reference.name}"


class RowWriter:
    """Reads and writes the rows of one bound mapping on one connection."""

    def __init__(self, connection: AsyncConnection, bound: BoundEntity, resolve: Resolver) -> None:
        self._connection = connection
        self._bound = bound
        self._resolve = resolve

    async def locate(
        self, entity_id: str, organization_id: str, table: str | None, link: str | None
    ) -> Key | None:
        """Return the primary key of the entity's row; None where there is no such row.

        Args:
            entity_id: Zoho's id.
            organization_id: Zoho's organization.
            table: The table that the ledger's link names.
            link: The primary key that the ledger's link holds.
        """
        bound = self._bound
        if bound.key is not None:
            # Never by the link: SQLite gives the primary key of a deleted row to a stranger.
            return await self._first(identity_values(bound, entity_id, organization_id))
        if link is None or table != bound.table.fullname:
            return None
        key = decode_key(link, bound.primary_key)
        return await self._first(dict(zip(bound.primary_key, key, strict=True)))

    async def upsert(self, change: Change, located: Key | None) -> Key:
        """Write a change into the row, or make the row; return its primary key.

        Raises:
            ReferencePending: An entity it refers to is missing, or the row is not there yet and
                the document alone cannot make it.
            RowRejected: A column that may not be NULL would be.
        """
        bound = self._bound
        values = read_values(bound, change.payload, change.document, change.write)
        wanted = [reference for reference in bound.references if reference.name in change.write]
        path = change.payload.entity_type
        values |= await resolve_references(self._resolve, wanted, change.payload, path)
        if located is None:
            return await self._insert(change, values)
        if change.revives and bound.deleted is not None:
            values[bound.deleted] = deletion_mark(bound.deleted, None)
        await self._update(located, values)
        return located

    async def mark_deleted(self, located: Key, deleted_at: datetime) -> None:
        """Mark a row as deleted."""
        column = self._bound.deleted
        if column is not None:
            await self._update(located, {column: deletion_mark(column, deleted_at)})

    async def remove(self, located: Key) -> None:
        """Remove a row for good."""
        statement = delete(self._bound.table).where(equals(self._bound.primary_key, located))
        await self._connection.execute(statement)

    async def _insert(self, change: Change, values: Values) -> Key:
        bound = self._bound
        everything = values | insert_only_values(bound, change.payload)
        everything |= identity_values(bound, change.entity_id, change.organization_id)
        if bound.deleted is not None and change.deleted_at is not None:
            everything[bound.deleted] = deletion_mark(bound.deleted, change.deleted_at)
        elif bound.deleted is not None and not bound.deleted.nullable:
            everything.setdefault(bound.deleted, deletion_mark(bound.deleted, None))
        self._refuse_incomplete(change, everything)
        key = await insert_row(self._connection, bound, everything, unique=bound.identity)
        if key is None:
            # A host that inserts the same row at the same moment won: the row is there now.
            identity = identity_values(bound, change.entity_id, change.organization_id)
            key = await self._first(identity)
            if key is None:
                problem = f"the row of {bound.entity_type} {change.entity_id} comes and goes"
                raise ReferencePending(bound.entity_type, change.entity_id, problem)
            await self._update(key, values)
        return key

    async def _update(self, located: Key, values: Values) -> None:
        bound = self._bound
        settled = {c.name: v for c, v in with_defaults(values, inserting=False).items()}
        if settled:
            where = equals(bound.primary_key, located)
            await self._connection.execute(update(bound.table).where(where).values(settled))

    def _refuse_incomplete(self, change: Change, values: Values) -> None:
        missing = [column.name for column in required_columns(self._bound) if column not in values]
        if missing:
            problem = f"the row does not exist yet, and the document lacks {', '.join(missing)}"
            raise ReferencePending(self._bound.entity_type, change.entity_id, problem)

    async def _first(self, where: Values) -> Key | None:
        condition = equals(tuple(where), tuple(where.values()))
        row = (
            await self._connection.execute(select(*self._bound.primary_key).where(condition))
        ).first()
        return None if row is None else tuple(row)
