"""Finds out which rows a column refers to, by the host's foreign keys."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from sqlalchemy import Column, Table
from sqlalchemy.exc import NoReferenceError

from zoho_sync.mapping.inheritance import Part

__all__ = ["referring", "same_row", "targets_of"]


def targets_of(column: Column[Any]) -> list[Column[Any]]:
    """Return the columns that a column refers to, as far as their tables are declared."""
    found = []
    for key in column.foreign_keys:
        with suppress(NoReferenceError):
            found.append(key.column)
    return found


def same_row(parts: Iterable[Part]) -> set[str]:
    """Return the full names of the tables that a row is spread over, declared as such or not.

    A primary key that refers to another table's makes both tables hold parts of one thing.
    """
    names, waiting = set[str](), [part.table for part in parts]
    while waiting:
        table = waiting.pop()
        if table.fullname not in names:
            names.add(table.fullname)
            waiting += [t.table for c in table.primary_key.columns for t in targets_of(c)]
    return names


def referring(table: Table, names: set[str]) -> list[Column[Any]]:
    """Return the columns of a table that refer to one of some tables, by their full names."""
    return [
        column
        for column in table.columns
        if any(target.table.fullname in names for target in targets_of(column))
    ]
