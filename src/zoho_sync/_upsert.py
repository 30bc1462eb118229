"""Writes one entity into the host's tables: its row, and what a delete does to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from zoho_sync._adoption import is_unkeyed
from zoho_sync._binding import BoundEntity
from zoho_sync._host_keys import decode_key
from zoho_sync._references import References
from zoho_sync._row_values import (
    Key,
    Values,
    deletion_mark,
    equals,
    identity_values,
    insert_only_values,
    read_values,
    required_columns,
    with_defaults,
)
from zoho_sync._rows import delete_row, find_row, insert_row, update_row
from zoho_sync._unique import WantedValues, wanting
from zoho_sync.exceptions import ReferencePending, RowGone, RowRejected
from zoho_sync.mapping import ABSENT, read_source
from zoho_sync.payloads import Payload

__all__ = ["Change", "RowWriter", "carried_columns"]


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


class RowWriter:
    """Reads and writes the rows of one bound mapping on one connection."""

    def __init__(self, connection: AsyncConnection, bound: BoundEntity) -> None:
        self._connection = connection
        self._bound = bound

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

    async def values(self, change: Change, references: References) -> Values:
        """Return what a change holds for the row.

        Raises:
            ReferencePending: An entity that it refers to is missing.
            ReferenceFailed: As above, and waiting is not wanted or would not help.
        """
        bound = self._bound
        values = read_values(bound, change.payload, change.document, change.write)
        wanted = [reference for reference in bound.references if reference.name in change.write]
        return values | await references.values(wanted, change.payload, change.payload.entity_type)

    async def adopt(self, change: Change, values: Values, located: Key) -> Key | None:
        """Take a row of the host over, with what a change holds; None if another entity has it."""
        bound, connection = self._bound, self._connection
        identity = identity_values(bound, change.entity_id, change.organization_id)
        values = values | self._mark(change) | identity
        if bound.key is not None:
            part = next(each for each in bound.parts if each.table is bound.key.table)
            settled = with_defaults(values, inserting=False)
            # With the key, so that the host's triggers see one update.
            mine = {c.key: value for c, value in settled.items() if c.table is part.table}
            where = equals(part.key, located) & is_unkeyed(bound)
            with wanting(self._wanted(settled, located)):
                keyed = await connection.execute(update(part.table).where(where).values(mine))
            if keyed.rowcount != 1:
                return None
            values = {c: value for c, value in settled.items() if c.table is not part.table}
        await self.update(located, values)
        return located

    def _wanted(self, values: Values, located: Key | None) -> WantedValues:
        bound, existing = self._bound, () if located is None else (located,)
        return WantedValues(
            bound, values, located, existing, bound.entity_type, bound.table.fullname
        )

    async def write(self, change: Change, values: Values, located: Key | None) -> Key:
        """Write a change into the row, or make the row; return its primary key.

        Raises:
            ReferencePending: The row is not there yet and the document alone cannot make it.
            RowRejected: A column that may not be NULL would be.
            RowGone: The host has deleted the row since it was looked up.
        """
        if located is None:
            return await self._insert(change, values)
        await self.update(located, values | self._mark(change))
        return located

    def _mark(self, change: Change) -> Values:
        """Return the mark of a row that is there: the host's own stays, unless the entity says."""
        column = self._bound.deleted
        if column is None or not (change.revives or change.deleted_at is not None):
            return {}
        return {column: deletion_mark(column, change.deleted_at)}

    async def mark_deleted(self, located: Key, deleted_at: datetime) -> None:
        """Mark a row as deleted."""
        column = self._bound.deleted
        if column is not None:
            await self.update(located, {column: deletion_mark(column, deleted_at)})

    async def remove(self, located: Key) -> None:
        """Remove a row for good."""
        await delete_row(self._connection, self._bound, located)

    async def _insert(self, change: Change, values: Values) -> Key:
        bound = self._bound
        everything = values | insert_only_values(bound, change.payload)
        everything |= identity_values(bound, change.entity_id, change.organization_id)
        if bound.deleted is not None and change.deleted_at is not None:
            everything[bound.deleted] = deletion_mark(bound.deleted, change.deleted_at)
        elif bound.deleted is not None and not bound.deleted.nullable:
            everything.setdefault(bound.deleted, deletion_mark(bound.deleted, None))
        self._refuse_incomplete(change, everything)
        with wanting(self._wanted(everything, None)):
            key = await insert_row(self._connection, bound, everything, unique=True)
        if key is None:
            # A host that inserts the same row at the same moment won: the row is there now.
            identity = identity_values(bound, change.entity_id, change.organization_id)
            key = await self._first(identity)
            await self._refuse_other_class(change, key)
            if key is None:
                problem = f"the row of {bound.entity_type} {change.entity_id} comes and goes"
                raise ReferencePending(bound.entity_type, change.entity_id, problem)
            await self.update(key, values)
        return key

    async def update(self, located: Key, values: Values) -> None:
        """Write columns of a row.

        Raises:
            RowRejected: A column that may not be NULL would be.
            RowGone: There is no such row.
        """
        bound, settled = self._bound, with_defaults(values, inserting=False)
        with wanting(self._wanted(settled, located)):
            there = await update_row(self._connection, bound, located, settled)
        if not there:
            problem = f"row {located} of {bound.table.name} has gone"
            raise RowGone(problem, table=bound.table.name)

    async def _refuse_other_class(self, change: Change, key: Key | None) -> None:
        """Refuse an entity whose id is in the row of a class that is not mapped here."""
        bound = self._bound
        if key is not None or len(bound.parts) == 1 or bound.key is None:
            return
        part = next(each for each in bound.parts if each.table is bound.key.table)
        identity = identity_values(bound, change.entity_id, change.organization_id)
        there = select(*part.key).where(equals(tuple(identity), tuple(identity.values())))
        if (await self._connection.execute(there)).first() is not None:
            table, column = part.table.name, bound.key.name
            problem = f"{table}.{column}: a row of another class has this id"
            raise RowRejected(problem, table=table, constraint=column)

    def _refuse_incomplete(self, change: Change, values: Values) -> None:
        missing = [column.name for column in required_columns(self._bound) if column not in values]
        if missing:
            problem = f"the row does not exist yet, and the document lacks {', '.join(missing)}"
            raise ReferencePending(self._bound.entity_type, change.entity_id, problem)

    async def _first(self, where: Values) -> Key | None:
        condition = equals(tuple(where), tuple(where.values()))
        return await find_row(self._connection, self._bound, condition, to_write=True)
