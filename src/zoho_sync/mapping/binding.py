"""Binds the names of a mapping to the host's real tables and columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, FromClause, Table

from zoho_sync.exceptions import Finding, MappingError
from zoho_sync.exceptions.arguments import kind_of
from zoho_sync.mapping.callables import NamedCallable, named, no_columns, no_expression, no_lines
from zoho_sync.mapping.column_names import ColumnNames
from zoho_sync.mapping.declaration import ChildMap, EntityMap, NaturalKey, Reference, Source
from zoho_sync.mapping.foreign_keys import referring
from zoho_sync.mapping.inheritance import (
    Discriminator,
    Part,
    discriminator_of,
    joined,
    mapper_of,
    parts_of,
)
from zoho_sync.mapping.shape import misshapen

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
    missing: str | NamedCallable
    deleted: str


@dataclass(frozen=True)
class BoundNaturalKey:
    """A column by which rows of the host are adopted, and what makes its spellings alike."""

    column: Column[Any]
    normalise: NamedCallable | None = None

    def alike(self, element: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return what is compared of the column, or of a value.

        Raises:
            CallableFailed: The callable makes no expression of it; names the attribute.
        """
        if self.normalise is None:
            return element
        made: ColumnElement[Any] = self.normalise(element)
        return made


@dataclass(frozen=True)
class BoundRows:
    """What an entity's table and a table of lines have in common.

    Attributes:
        parts: The tables that a row is spread over, the last of which is `table`.
        key: Holds Zoho's id; None for link identity.
        columns: Name in the mapping → column and source.
        insert_only: Column → value or callable.
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
    """A `ChildMap` whose names are found; `name` is that of the list in the column versions."""

    name: str
    source: Source
    parent: tuple[Column[Any], ...]

    @property
    def listed(self) -> str:
        """What the list is called in an error: its field, or, of a callable, the table."""
        return self.source if isinstance(self.source, str) else self.table.name


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
    table = table_of(mapping.table)
    names = ColumnNames(mapping.table, table, owner, mapping.columns)
    rows = _rows(mapping, table, names, owner, findings)
    deleted = names.column("deleted_column", mapping.deleted_column)
    adopt = tuple(_natural_keys(names, owner, mapping.adopt))
    findings += names.findings()
    parts = rows["parts"] if rows is not None else ()
    children = [
        _child(child, parts, f"{owner}.children[{position}]", findings)
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


def _child(
    child: ChildMap, parents: Sequence[Part], owner: str, findings: list[Finding]
) -> BoundChild | None:
    table = table_of(child.table)
    names = ColumnNames(child.table, table, owner, child.columns)
    rows = _rows(child, table, names, owner, findings)
    refer = [] if table is None else referring(table, {part.table.fullname for part in parents})
    # The schema says better than any likeness of names which column holds the parent's key.
    remedy = f"Did you mean {refer[0].key!r}?" if len(refer) == 1 else ""
    given = (child.parent,) if isinstance(child.parent, str) else tuple(child.parent)
    parent = [names.column("parent", name, remedy) for name in given]
    findings += names.findings()
    if rows is None:
        return None
    return BoundChild(
        **rows,
        name=f"{rows['table'].name}[]",
        source=named(child.source, f"{owner}.source", no_lines),
        parent=tuple(column for column in parent if column is not None),
    )


def _rows(
    rows: EntityMap | ChildMap,
    table: Table | None,
    names: ColumnNames,
    owner: str,
    findings: list[Finding],
) -> dict[str, Any] | None:
    if table is None:
        problem = f"it is {kind_of(rows.table)}, neither an ORM class nor a Table."
        remedy = "Give the mapped class or the sqlalchemy.Table."
        findings.append(Finding(f"{owner}.table", problem, remedy))
        return None
    parts = parts_of(rows.table, table)
    if any(len(part.key) < len(table.primary_key.columns) for part in parts):
        problem = (
            f"{table.name!r} is joined to what it inherits from by other columns than its key."
        )
        remedy = "Map the Table itself, or override upsert() and write it with the ORM."
        findings.append(Finding(f"{owner}.table", problem, remedy))
        return None
    organization = getattr(rows, "organization_column", None)
    return {
        "table": table,
        "parts": parts,
        "discriminator": discriminator_of(rows.table),
        "key": names.column("key", rows.key),
        "organization": names.column("organization_column", organization),
        "primary_key": tuple(table.primary_key.columns),
        "columns": {
            name: (column, named(source, f"{owner}.columns[{name!r}]"))
            for name, source in rows.columns.items()
            if (column := names.filled(name, source)) is not None
        },
        "insert_only": {
            column: named(value, f"{owner}.insert_only[{name!r}]")
            for name, value in rows.insert_only.items()
            if (column := names.column(f"insert_only[{name!r}]", name)) is not None
        },
        "references": tuple(_references(names, owner, rows.references)),
    }


def _references(
    names: ColumnNames, owner: str, references: Iterable[Reference]
) -> Iterator[BoundReference]:
    for position, reference in enumerate(references):
        column = names.column(f"references[{position}].column", reference.column)
        if column is not None:
            where = f"{owner}.references[{reference.column!r}]"
            yield BoundReference(
                reference.column,
                column,
                reference.to,
                named(reference.source, where),
                named(reference.missing, f"{where}.missing", no_columns),
                reference.deleted or ("null" if column.nullable else "fail"),
            )


def _natural_keys(
    names: ColumnNames, owner: str, keys: Iterable[NaturalKey]
) -> Iterator[BoundNaturalKey]:
    for position, key in enumerate(keys):
        name, normalise = (key, None) if isinstance(key, str) else key
        where = f"adopt[{position}]"
        column = names.column(where, name)
        if column is not None:
            yield BoundNaturalKey(column, named(normalise, f"{owner}.{where}", no_expression))
