"""Replaces an entity's lines by the list in its document: removed, changed in place, added."""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True)
class ChildWriter:
    """Reads and writes the lines of one entity in one table.

    Only lines that came from Zoho are ever changed or removed: those whose key column is filled,
    or, without a key column, those that the library keeps a link to. Lines that the host added
    itself stay.

    Attributes:
        links: The library's table of those links.
        owners: The table of the entity's row.
    """

    connection: AsyncConnection
    child: BoundChild
    links: Table
    references: References
    owner: LedgerKey
    owners: str

    async def replace(self, payload: Payload, parent: Key) -> None:
        """Make the rows what the document's list says, below the row with a primary key.

        Raises:
            ReferencePending: An entity that a line refers to is missing.
            PayloadError: Two lines have one id.
        """
        lines = self._lines(payload)
        # References first: an event that parks must not have touched anything.
        above = {
            column: coerce(column, value)
            for column, value in zip(self.child.parent, parent, strict=True)
        }
        wanted = {
            key: await self._values(key, line, path) | above for key, (line, path) in lines.items()
        }
        existing = await self._existing(parent)
        for key in existing.keys() - wanted.keys():
            await self._remove(key, existing[key])
        # Added last: a unique position may be free only once the others have moved.
        kept = [row for key, row in existing.items() if key in wanted]
        for key in sorted(wanted, key=lambda key: key not in existing):
            (line, path), row = lines[key], existing.get(key)
            values = WantedValues(self.child, wanted[key], row, kept, path, self.owners)
            await self._write(key, line, values)

    async def remove_all(self, parent: Key) -> None:
        """Remove every line that came from Zoho."""
        for key, row in (await self._existing(parent)).items():
            await self._remove(key, row)

    def _lines(self, payload: Payload) -> dict[str, tuple[Line, str]]:
        """Return the lines of the document, each with the place where it stands, by their keys."""
        lines: dict[str, tuple[Line, str]] = {}
        for position, line in enumerate(read_source(self.child.source, payload) or ()):
            key = line_key(line, position)
            path = f"{payload.entity_type}.{self.child.listed}[{position}]"
            if key in lines:
                raise PayloadError(path, "has the id of another line of the same list")
            lines[key] = line, path
        return lines

    async def _values(self, line_id: str, line: Line, path: str) -> Values:
        child, place = self.child, (self.child.name, line_id)
        with refusals_at(child, path):
            values = read_values(child, line)
            return values | await self.references.values(child.references, line, path, line=place)

    async def _existing(self, parent: Key) -> dict[str, Key]:
        return await line_rows(self.connection, self.child, self.links, self.owner, parent)

    async def _remove(self, line_id: str, row: Key) -> None:
        await delete_row(self.connection, self.child, row)
        await self._unlink(line_id)

    async def _unlink(self, line_id: str) -> None:
        if self.child.key is None:
            mine = _linked(self.child, self.links, self.owner) & (self.links.c.line_id == line_id)
            await self.connection.execute(delete(self.links).where(mine))

    async def _write(self, line_id: str, line: Line, wanted: WantedValues) -> None:
        child, owner = self.child, self.owner
        with refusals_at(child, wanted.path), wanting(wanted):
            if wanted.key is not None:
                settled = with_defaults(wanted.values, inserting=False)
                if await update_row(self.connection, child, wanted.key, settled):
                    return
                await self._unlink(line_id)
            everything = wanted.values | insert_only_values(child, line)
            everything |= identity_values(child, line_id, owner.organization_id)
            # Nobody else adds lines of an entity whose ledger row is locked: nothing conflicts.
            made = await insert_row(self.connection, child, everything, unique=False)
        if child.key is None and made is not None:
            link = {
                **owner._asdict(),
                "child": child.name,
                "line_id": line_id,
                "table_name": child.table.fullname,
                "primary_key": encode_key(made),
            }
            await self.connection.execute(insert(self.links).values(link))


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
