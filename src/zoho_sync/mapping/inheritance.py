"""Finds the tables that one row of the host is spread over, by the inheritance of its ORM classes.

A class that inherits from another by a joined table has columns in both. Its row is a row in each
of them, and all have one primary key. Elsewhere a row is one row of one table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column, ColumnElement, FromClause, Table, inspect
from sqlalchemy.exc import NoInspectionAvailable
from sqlalchemy.orm import Mapper
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.elements import BinaryExpression

__all__ = ["Discriminator", "Part", "discriminator_of", "joined", "mapper_of", "parts_of"]


@dataclass(frozen=True)
class Part:
    """One of the tables that hold a row.

    Attributes:
        key: Its columns that hold the row's primary key, in that key's order; fewer than the
            key has where the tables are joined by something else.
        inherits: Its columns that hold what a column of a table before it holds.
        on: The condition that joins it to the tables before it; None for the first.
    """

    table: Table
    key: tuple[Column[Any], ...]
    inherits: tuple[tuple[Column[Any], Column[Any]], ...] = ()
    on: ColumnElement[bool] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Discriminator:
    """The column that says of which class a row is.

    Attributes:
        written: What it holds for the class that is mapped.
        classes: What it holds for that class and for those that inherit from it.
    """

    column: Column[Any]
    written: Any
    classes: tuple[Any, ...]


def mapper_of(target: Any) -> Mapper[Any] | None:  # what the host gave
    """Return the mapper of an ORM class; None for anything else."""
    try:
        found = inspect(target)
    except NoInspectionAvailable:
        return None
    return found if isinstance(found, Mapper) else None


def parts_of(target: Any, table: Table) -> tuple[Part, ...]:  # what the host gave
    """Return the tables that hold a row of an ORM class, the one that is inherited from first."""
    levels = [*_levels(target)]
    if len(levels) < 2:  # noqa: PLR2004  # one table, or two
        return (Part(table, tuple(table.primary_key.columns)),)
    inherited = [*_pairs(levels)]
    parts = list[Part]()
    for own, on in levels:
        keys = (_equal_to(key, own, inherited) for key in table.primary_key.columns)
        mine = tuple(pair for pair in inherited if pair[0].table is own)
        key = tuple(column for column in keys if column is not None)
        parts.append(Part(own, key, mine, on))
    return tuple(parts)


def joined(parts: Sequence[Part]) -> FromClause:
    """Return what to select a row from."""
    source: FromClause = parts[0].table
    for part in parts[1:]:
        source = source.join(part.table, part.on)
    return source


def discriminator_of(target: Any) -> Discriminator | None:  # what the host gave
    """Return the column that says of which class a row is; None where no class inherits."""
    mapper = mapper_of(target)
    if mapper is None or not isinstance(mapper.polymorphic_on, Column):
        return None
    if mapper.polymorphic_identity is None:
        return None
    classes = [each.polymorphic_identity for each in mapper.self_and_descendants]
    return Discriminator(mapper.polymorphic_on, mapper.polymorphic_identity, tuple(classes))


def _levels(target: Any) -> Iterator[tuple[Table, ColumnElement[bool] | None]]:
    """Give the tables of a class, the one that is inherited from first, and what joins each."""
    mapper = mapper_of(target)
    if mapper is None:
        return
    line = [mapper]
    while line[-1].inherits is not None and not line[-1].concrete:
        line.append(line[-1].inherits)
    seen = set[Any]()
    for each in reversed(line):
        # A class without a table of its own lives in that of the class it inherits from.
        if isinstance(each.local_table, Table) and each.local_table not in seen:
            yield each.local_table, each.inherit_condition if seen else None
            seen.add(each.local_table)


def _pairs(
    levels: Sequence[tuple[Table, ColumnElement[bool] | None]],
) -> Iterator[tuple[Column[Any], Column[Any]]]:
    """Give each column that joins a table to one before it, with the column there."""
    for table, on in levels:
        for node in visitors.iterate(on) if on is not None else ():
            if isinstance(node, BinaryExpression) and node.operator is operators.eq:
                left, right = node.left, node.right
                if isinstance(left, Column) and isinstance(right, Column):
                    yield (left, right) if left.table is table else (right, left)


def _equal_to(
    key: Column[Any], table: Table, inherited: Sequence[tuple[Column[Any], Column[Any]]]
) -> Column[Any] | None:
    """Return the column of a table that holds what a column of the last table holds."""
    same = {key}
    for mine, other in reversed(inherited):
        if mine in same:
            same.add(other)
    return next((column for column in table.columns if column in same), None)
