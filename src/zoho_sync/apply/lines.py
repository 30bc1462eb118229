"""Replaces an entity's lines by the list in its document: removed, changed in place, added."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, String, Table, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from zoho_sync.apply.references import References
from zoho_sync.apply.statements import delete_row, insert_row, update_row
from zoho_sync.apply.unique_values import WantedValues, wanting
from zoho_sync.database.dialects import sees_commits
from zoho_sync.exceptions import PayloadError
from zoho_sync.mapping.binding import BoundChild
from zoho_sync.mapping.declaration import read_source
from zoho_sync.mapping.keys import decode_key, encode_key
from zoho_sync.mapping.values import (
    Key,
    Values,
    coerce,
    equals,
    identity_values,
    insert_only_values,
    read_values,
    refusals_at,
    with_defaults,
)
from zoho_sync.payloads import Line, Payload, line_key
from zoho_sync.store.ledger import LedgerKey

__all__ = ["ChildWriter", "line_rows"]


class ChildWriter:
    """Reads and writes the lines of one entity in one table.

    Only lines that came from Zoho are ever changed or removed: those whose key column is filled,
    or, without a key column, those that the library keeps a link to. Lines that the host added
    itself stay.
    """

    def __init__(
        self,
        connection: AsyncConnection,
        child: BoundChild,
        links: Table,
        references: References,
        *,
        owners: str,
    ) -> None:
        self._connection = connection
        self._child = child
        self._links = links
        self._references = references
        self._owners = owners

    async def replace(self, owner: LedgerKey, parent: Key, payload: Payload) -> None:
        """Make the rows what the document's list says.

        Raises:
            ReferencePending: An entity that a line refers to is missing.
            PayloadError: Two lines have one id.
        """
        lines = self._lines(payload)
        # References first: an event that parks must not have touched anything.
        root = f"{payload.entity_type}.{self._child.listed}"
        wanted = {
            key: await self._values(key, line, parent, f"{root}[{position}]")
            for position, (key, line) in enumerate(lines.items())
        }
        existing = await self._existing(owner, parent)
        for key in existing.keys() - wanted.keys():
            await self._remove(owner, key, existing[key])
        positions = {key: position for position, key in enumerate(wanted)}
        # Added last: a unique position may be free only once the others have moved.
        kept = [row for key, row in existing.items() if key in wanted]
        for key in sorted(wanted, key=lambda key: key not in existing):
            path, row = f"{root}[{positions[key]}]", existing.get(key)
            values = WantedValues(self._child, wanted[key], row, kept, path, self._owners)
            with refusals_at(self._child, path), wanting(values):
                await self._write(owner, key, wanted[key], row, lines[key])

    async def remove_all(self, owner: LedgerKey, parent: Key) -> None:
        """Remove every line that came from Zoho."""
        for key, row in (await self._existing(owner, parent)).items():
            await self._remove(owner, key, row)

    def _lines(self, payload: Payload) -> dict[str, Line]:
        lines: dict[str, Line] = {}
        for position, line in enumerate(read_source(self._child.source, payload) or ()):
            key = line_key(line, position)
            if key in lines:
                path = f"{payload.entity_type}.{self._child.listed}[{position}]"
                raise PayloadError(path, "has the id of another line of the same list")
            lines[key] = line
        return lines

    async def _values(self, key: str, line: Line, parent: Key, path: str) -> Values:
        child = self._child
        place = (child.name, key)
        with refusals_at(child, path):
            values = read_values(child, line)
            values |= await self._references.values(child.references, line, path, line=place)
        pairs = zip(child.parent, parent, strict=True)
        return values | {column: coerce(column, value) for column, value in pairs}

    async def _existing(self, owner: LedgerKey, parent: Key) -> dict[str, Key]:
        return await line_rows(self._connection, self._child, self._links, owner, parent)

    def _mine(self, owner: LedgerKey, line_id: str) -> ColumnElement[bool]:
        return _linked(self._child, self._links, owner) & (self._links.c.line_id == line_id)

    async def _remove(self, owner: LedgerKey, line_id: str, row: Key) -> None:
        child = self._child
        await delete_row(self._connection, child, row)
        if child.key is None:
            await self._connection.execute(delete(self._links).where(self._mine(owner, line_id)))

    async def _write(
        self, owner: LedgerKey, line_id: str, values: Values, row: Key | None, line: Line
    ) -> None:
        if row is not None:
            settled = with_defaults(values, inserting=False)
            if await update_row(self._connection, self._child, row, settled):
                return
            if self._child.key is None:
                mine = self._mine(owner, line_id)
                await self._connection.execute(delete(self._links).where(mine))
        await self._insert(owner, line_id, values, line)

    async def _insert(self, owner: LedgerKey, line_id: str, values: Values, line: Line) -> None:
        child = self._child
        everything = values | insert_only_values(child, line)
        everything |= identity_values(child, line_id, owner.organization_id)
        # Nobody else adds lines of an entity whose ledger row is locked: no conflict to expect.
        row = await insert_row(self._connection, child, everything, unique=False)
        if child.key is None and row is not None:
            link: Mapping[str, Any] = {
                **owner._asdict(),
                "child": child.name,
                "line_id": line_id,
                "table_name": child.table.fullname,
                "primary_key": encode_key(row),
            }
            await self._connection.execute(insert(self._links).values(dict(link)))


async def line_rows(
    connection: AsyncConnection, child: BoundChild, links: Table, owner: LedgerKey, parent: Key
) -> dict[str, Key]:
    """Return the primary keys of the lines that came from Zoho, by the key of the line.

    In a transaction that shows an earlier state of the database they are locked, as in `find_row`.
    """
    lock = not sees_commits(connection)
    if child.key is None:
        linked = select(links.c.line_id, links.c.primary_key).where(_linked(child, links, owner))
        found = await connection.execute(linked.with_for_update() if lock else linked)
        return {row[0]: decode_key(row[1], child.primary_key) for row in found}
    condition = equals(child.parent, parent) & child.key.is_not(None)
    if isinstance(child.key.type, String):
        # A host whose column may not be NULL leaves it empty in the lines that it adds.
        condition &= child.key != ""
    statement = select(child.key, *child.primary_key).select_from(child.selectable)
    statement = statement.where(condition)
    rows = await connection.execute(statement.with_for_update() if lock else statement)
    return {str(row[0]): tuple(row[1:]) for row in rows}


def _linked(child: BoundChild, links: Table, owner: LedgerKey) -> ColumnElement[bool]:
    columns = [links.c[name] for name in LedgerKey._fields]
    return equals([*columns, links.c.child], [*owner, child.name])
