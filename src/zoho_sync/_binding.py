"""A mapping's names, bound to the host's real tables and columns."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, FromClause, Table

from zoho_sync._callables import NamedCallable, named
from zoho_sync._inheritance import (
    Discriminator,
    Part,
    discriminator_of,
    joined,
    mapper_of,
    parts_of,
)
from zoho_sync._mapping_shape import misshapen
from zoho_sync.exceptions import Finding, MappingError
from zoho_sync.mapping import ChildMap, EntityMap, NaturalKey, Placeholder, Reference, Source

__all__ = [
    "BoundChild",
    "BoundEntity",
    "BoundNaturalKey",
    "BoundReference",
    "BoundRows",
    "bind",
    "table_of",
]


@dataclass(frozen=True)
class BoundReference:
    """A `Reference` whose column is found."""

    name: str
    column: Column[Any]
    to: str
    source: Source
    missing: str | Placeholder
    deleted: str


@dataclass(frozen=True)
class BoundNaturalKey:
    """A column by which rows of the host are adopted.

    Attributes:
        column: The host's column.
        normalise: Makes an expression of it, and of the document's value, alike.
    """

    column: Column[Any]
    normalise: Callable[[Any], Any] | None = None


@dataclass(frozen=True)
class BoundRows:
    """What an entity's table and a table of lines have in common.

    Attributes:
        table: The host's table.
        parts: The tables that a row is spread over, the last of which is `table`.
        discriminator: Says of which class a row is.
        key: Holds Zoho's id; None for link identity.
        organization: Holds the organization.
        primary_key: The host's primary key.
        columns: Name in the mapping → column and source.
        insert_only: Column → value or callable.
        references: Columns that hold keys of other entities.
    """

    table: Table
    parts: tuple[Part, ...]
    discriminator: Discriminator | None
    key: Column[Any] | None
    organization: Column[Any] | None
    primary_key: tuple[Column[Any], ...]
    columns: Mapping[str, tuple[Column[Any], Source]]
    insert_only: Mapping[Column[Any], Any]
    references: tuple[BoundReference, ...]

    @property
    def selectable(self) -> FromClause:
        """What to select a row from."""
        return joined(self.parts)

    @property
    def identity(self) -> tuple[Column[Any], ...]:
        """The columns that together hold the Zoho identity; empty for link identity."""
        if self.key is None:
            return ()
        return (self.key,) if self.organization is None else (self.organization, self.key)


@dataclass(frozen=True)
class BoundChild(BoundRows):
    """A `ChildMap` whose names are found.

    Attributes:
        name: Of the list in the ledger's column versions.
        source: The list in the document.
        parent: The columns that hold the parent's primary key.
    """

    name: str
    source: Source
    parent: tuple[Column[Any], ...]


@dataclass(frozen=True)
class BoundEntity(BoundRows):
    """An `EntityMap` whose names are found."""

    entity_type: str
    mapping: EntityMap
    deleted: Column[Any] | None
    adopt: tuple[BoundNaturalKey, ...]
    children: tuple[BoundChild, ...]
    fingerprint: str
    when: NamedCallable | None = None


def table_of(target: Any) -> Table | None:  # what the host gave
    """Return the table of an ORM class or a `Table`; None for anything else."""
    if isinstance(target, Table):
        return target
    mapper = mapper_of(target)
    table = mapper.local_table if mapper else None
    return table if isinstance(table, Table) else None


def bind(mapping: EntityMap, owner: str, entity_type: str) -> BoundEntity:
    """Find every table and column that a mapping names.

    Raises:
        MappingError: With everything that was not found, and the nearest name that exists.
    """
    if findings := misshapen(mapping, owner):
        raise MappingError(findings)
    rows = _rows(mapping, owner, findings)
    find = _Finder(mapping.table, owner, findings)
    deleted = find.column("deleted_column", mapping.deleted_column)
    adopt = tuple(find.natural_keys(mapping.adopt))
    children = [
        _child(child, f"{owner}.children[{position}]", findings)
        for position, child in enumerate(mapping.children)
    ]
    if findings or rows is None:
        raise MappingError(findings)
    return BoundEntity(
        **rows,
        entity_type=entity_type,
        mapping=mapping,
        deleted=deleted,
        adopt=adopt,
        children=tuple(child for child in children if child is not None),
        fingerprint=mapping.fingerprint,
        when=named(mapping.when, f"{owner}.when"),
    )


def _child(child: ChildMap, owner: str, findings: list[Finding]) -> BoundChild | None:
    rows = _rows(child, owner, findings)
    find = _Finder(child.table, owner, findings)
    names = (child.parent,) if isinstance(child.parent, str) else tuple(child.parent)
    parent = [find.column("parent", name) for name in names]
    if rows is None:
        return None
    return BoundChild(
        **rows,
        name=f"{rows['table'].name}[]",
        source=named(child.source, f"{owner}.source"),
        parent=tuple(column for column in parent if column is not None),
    )


def _rows(rows: EntityMap | ChildMap, owner: str, findings: list[Finding]) -> dict[str, Any] | None:
    table = table_of(rows.table)
    if table is None:
        findings.append(
            Finding(
                f"{owner}.table",
                f"{rows.table!r} is neither an ORM class nor a Table.",
                "Give the mapped class or the sqlalchemy.Table.",
            )
        )
        return None
    parts = parts_of(rows.table, table)
    if any(len(part.key) < len(table.primary_key.columns) for part in parts):
        problem = (
            f"{table.name!r} is joined to what it inherits from by other columns than its key."
        )
        remedy = "Map the Table itself, or override upsert() and write it with the ORM."
        findings.append(Finding(f"{owner}.table", problem, remedy))
        return None
    find = _Finder(rows.table, owner, findings)
    return {
        "table": table,
        "parts": parts,
        "discriminator": discriminator_of(rows.table),
        "key": find.column("key", rows.key),
        "organization": find.column(
            "organization_column", getattr(rows, "organization_column", None)
        ),
        "primary_key": tuple(table.primary_key.columns),
        "columns": dict(find.sources(rows.columns)),
        "insert_only": dict(find.values(rows.insert_only)),
        "references": tuple(find.references(rows.references)),
    }


class _Finder:
    """Finds columns by the name of the ORM attribute, or of the column itself."""

    def __init__(self, target: Any, owner: str, findings: list[Finding]) -> None:
        table = table_of(target)
        self._owner, self._findings = owner, findings
        parts = parts_of(target, table) if table is not None else ()
        self._columns = {c.key: c for part in parts for c in part.table.columns}
        mapper = mapper_of(target)
        if mapper is not None:
            attributes = {a.key: a.columns[0] for a in mapper.column_attrs}
            self._columns |= {k: c for k, c in attributes.items() if isinstance(c, Column)}
        self._table = "" if table is None else table.name

    def column(self, attribute: str, name: str | None) -> Column[Any] | None:
        if name is None or not self._columns:
            return None
        found = self._columns.get(name)
        if found is None:
            near = difflib.get_close_matches(name, self._columns, n=1)
            remedy = f"Did you mean {near[0]!r}?" if near else f"It has {', '.join(self._columns)}."
            where = f"{self._owner}.{attribute}"
            self._findings.append(
                Finding(where, f"table {self._table!r} has no column {name!r}.", remedy)
            )
        return found

    def sources(
        self, columns: Mapping[str, Source]
    ) -> Iterable[tuple[str, tuple[Column[Any], Source]]]:
        for name, source in columns.items():
            column = self.column(f"columns[{name!r}]", name)
            if column is not None:
                yield name, (column, named(source, f"{self._owner}.columns[{name!r}]"))

    def values(self, values: Mapping[str, Any]) -> Iterable[tuple[Column[Any], Any]]:
        for name, value in values.items():
            column = self.column(f"insert_only[{name!r}]", name)
            if column is not None:
                yield column, named(value, f"{self._owner}.insert_only[{name!r}]")

    def references(self, references: Iterable[Reference]) -> Iterable[BoundReference]:
        for reference in references:
            column = self.column("references", reference.column)
            if column is not None:
                where = f"{self._owner}.references[{reference.column!r}]"
                source = named(reference.source, where)
                yield BoundReference(
                    reference.column,
                    column,
                    reference.to,
                    source,
                    reference.missing,
                    reference.deleted or ("null" if column.nullable else "fail"),
                )

    def natural_keys(self, keys: Iterable[NaturalKey]) -> Iterable[BoundNaturalKey]:
        for key in keys:
            name, normalise = (key, None) if isinstance(key, str) else key
            column = self.column("adopt", name)
            if column is not None:
                yield BoundNaturalKey(column, normalise)
