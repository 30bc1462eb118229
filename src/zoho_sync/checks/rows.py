"""Checks that a mapping fits its tables: keys, columns, lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    Column,
    Computed,
    DateTime,
    DefaultClause,
    Dialect,
    FetchedValue,
    Identity,
    Table,
)
from sqlalchemy.types import TypeDecorator

from zoho_sync.checks.entity import EntityCheck
from zoho_sync.checks.report import TableCheck
from zoho_sync.checks.sources import Model, SourceCheck, family, line_model, nearest
from zoho_sync.database.reflection import RealColumn, stored_type
from zoho_sync.database.types import MARIADB
from zoho_sync.mapping.binding import BoundChild, BoundEntity, BoundRows
from zoho_sync.mapping.declaration import DOCUMENT, CustomField
from zoho_sync.mapping.foreign_keys import referring, same_row
from zoho_sync.mapping.keys import KEY_TYPES, python_type

__all__ = ["RowsCheck", "same_values"]

_MISMATCH_IS_FINE = {("integer", "number"), ("float", "number"), ("enum", "text")}
# MariaDB has other types that stand in for these, and no time zones.
_FINE_ON_MARIADB = {("boolean", "integer"), ("json", "text"), ("uuid", "text")}


class _Use(NamedTuple):
    """A column that a mapping names, the attribute that names it, and the source that fills it."""

    where: str
    column: Column[Any]
    source: Any = None


def same_values(column: Column[Any], key: Column[Any], dialect: Dialect) -> bool:
    """Return whether a column can hold another table's key, as far as their types tell."""
    mine, other = family(column.type, dialect), family(key.type, dialect)
    # Integers are turned into text on the way; text is not always an integer.
    return mine is None or other is None or mine == other or (mine, other) == ("text", "integer")


class RowsCheck(TableCheck):
    """Checks the tables of one handler."""

    def entity(self, owner: str, model: Model, bound: BoundEntity) -> None:
        """Check an entity's own table, and those of its lines."""
        self._rows(owner, model, bound)
        EntityCheck(self.report, self.dialect, self.facts).run(owner, bound)
        listed: dict[Table, str] = {}
        for position, child in enumerate(bound.children):
            where = f"{owner}.children[{position}]"
            self._lines(where, model, bound, child)
            if child.table in listed:
                problem = f"{listed[child.table]} fills {child.table.name!r} as well."
                remedy = "Make one ChildMap with a callable source that returns the lines of both."
                self.report.refuse(f"{where}.table", problem, remedy)
            listed.setdefault(child.table, where)

    def _rows(
        self, owner: str, model: Model | None, rows: BoundRows, parent: Sequence[Column[Any]] = ()
    ) -> None:
        uses = list(_uses(owner, rows))
        self._primary_key(owner, rows)
        self._repeated(uses)
        self._real_columns(uses)
        self._unfilled(owner, rows, {use.column for use in uses} | {*parent})
        lines = isinstance(rows, BoundChild)
        sources = SourceCheck(self.report, model, self.dialect, lines=lines)
        for use in uses:
            if use.source is not None and sources.exists(use.where, use.source):
                sources.fits(use.where, use.source, use.column, self.real(use.column))
                self._empty(use, model, lines=lines)
        for column, value in rows.insert_only.items():
            sources.constant(f"{owner}.insert_only[{column.key!r}]", column, value)
        for reference in rows.references:
            if not reference.column.nullable and not _has_default(reference.column):
                where = f"{owner}.references[{reference.name!r}]"
                self._warn_of_null(where, reference.source)

    def _primary_key(self, owner: str, rows: BoundRows) -> None:
        where = f"{owner}.table"
        if not rows.primary_key:
            problem = f"{rows.table.name!r} has no primary key."
            self.report.refuse(where, problem, "Declare one: rows are found and changed by it.")
        # The primary key of a line is kept only where the line has no key column.
        is_kept = not isinstance(rows, BoundChild) or rows.key is None
        for column in rows.primary_key if is_kept else ():
            if not isinstance(column.type, TypeDecorator) and python_type(column) not in KEY_TYPES:
                known = ", ".join(each.__name__ for each in KEY_TYPES)
                problem = f"its primary key {column.name!r} is {column.type}."
                remedy = f"Map a table whose key is one of {known} in Python."
                self.report.refuse(where, problem, remedy)
        # What is inherited from gives out the keys.
        root = rows.parts[0].table
        facts = self.facts.get(root)
        if rows.key is None and facts is not None and facts.reuses_rowids:
            problem = (
                f"SQLite gives the primary key of a deleted row of {root.name!r} to the "
                "next one, and the library's link would then overwrite a stranger."
            )
            remedy = "Create the table with sqlite_autoincrement=True, or give a key= column."
            self.report.refuse(where, problem, remedy)

    def _repeated(self, uses: list[_Use]) -> None:
        seen: dict[Column[Any], str] = {}
        for use in uses:
            if use.column in seen:
                problem = f"{seen[use.column]} fills column {use.column.name!r} as well."
                self.report.refuse(use.where, problem, "Keep one of the two.")
            seen.setdefault(use.column, use.where)

    def _real_columns(self, uses: list[_Use]) -> None:
        for use in uses:
            name, table = use.column.name, use.column.table
            facts, real = self.facts.get(table), self.real(use.column)
            if facts is not None and real is None:
                problem = f"the database has no column {name!r} in {table.name!r}."
                names = [column.name for column in facts.columns.values()]
                self.report.refuse(use.where, problem, nearest(name, names))
            elif real is not None and self.dialect.name != "sqlite":
                # SQLite stores any value in any column: there the declared type decides.
                self._declared_as_it_is(use, real)

    def _declared_as_it_is(self, use: _Use, real: RealColumn) -> None:
        declared = stored_type(use.column.type, self.dialect)
        pair = family(declared, self.dialect), family(real.type, self.dialect)
        zones = [t.timezone for t in (declared, real.type) if isinstance(t, DateTime)]
        fine = None in pair or pair[0] == pair[1] or pair in _MISMATCH_IS_FINE
        if self.dialect.name in MARIADB:
            fine, zones = fine or pair in _FINE_ON_MARIADB, []
        if not fine or len(set(zones)) > 1:
            has = f"the database has {_named(real.type)}"
            problem = f"the column is declared as {_named(declared)}, and {has}."
            self.report.refuse(use.where, problem, "Declare the type that the database has.")

    def _unfilled(self, owner: str, rows: BoundRows, uses: set[Column[Any]]) -> None:
        """Refuse columns that may not be NULL, and that neither the database nor ``uses`` fill."""
        for part in rows.parts:
            facts = self.facts.get(part.table)
            used = uses | {column for column, _ in part.inherits}
            if rows.discriminator is not None:
                used.add(rows.discriminator.column)
            filled = [self.real(column) for column in used if column.table is part.table]
            declared = {column.name: column for column in part.table.columns}
            for real in facts.columns.values() if facts is not None else ():
                made = real.generated or _is_generated(declared.get(real.name))
                if not (real.nullable or made or real in filled):
                    problem = (
                        f"column {real.name!r} of {part.table.name!r} may not be NULL and has no "
                        "default, and nothing fills it."
                    )
                    remedy = f"Map it, or give a value: insert_only={{{real.name!r}: …}}."
                    self.report.refuse(f"{owner}.columns", problem, remedy)

    def _empty(self, use: _Use, model: Model | None, *, lines: bool) -> None:
        known = use.source is DOCUMENT or callable(use.source)
        identity = None if lines or model is None else getattr(model, "id_fields", ("",))[0]
        if known or use.source == identity or use.column.nullable or _has_default(use.column):
            return
        self._warn_of_null(use.where, use.source)

    def _warn_of_null(self, where: str, source: Any) -> None:
        name = source.name if isinstance(source, CustomField) else source
        # A list that is present is the whole truth of its lines: what one lacks is empty.
        problem = (
            "can be empty, and the column may not be NULL: an empty one becomes a dead letter, and "
            "so does a line without it; a document without it waits for a fuller one."
        )
        remedy = (
            "Leave it where Zoho always has a value, or give a callable that has one, declare a "
            "default, or allow NULL."
        )
        self.report.warn(where, problem, remedy, subject=repr(name))

    def _lines(self, where: str, model: Model, bound: BoundEntity, child: BoundChild) -> None:
        lines = line_model(model, child.source)
        if lines is None and (isinstance(child.source, str) or not callable(child.source)):
            lists = [name for name in model.model_fields if line_model(model, name)]
            problem = f"{child.source!r} is no list of lines of {model.__name__}."
            remedy = f"Lists are: {', '.join(lists) or 'none'}; or give a callable."
            if isinstance(child.source, str) and lists:
                remedy = nearest(child.source, lists)
            self.report.refuse(f"{where}.source", problem, remedy)
        meant = self._parent(f"{where}.parent", bound, child)
        self._rows(where, lines, child, meant)
        if child.key is not None and family(child.key.type, self.dialect) not in {None, "text"}:
            problem = f"a line without an id is keyed '#0', which {child.key.type} does not hold."
            self.report.refuse(f"{where}.key", problem, "Make the column String.")

    def _parent(self, where: str, bound: BoundEntity, child: BoundChild) -> list[Column[Any]]:
        """Check the columns that hold the parent's key; return those that are meant instead."""
        keys = ", ".join(column.name for column in bound.primary_key)
        refer = referring(child.table, same_row(bound.parts))
        meant = [] if {*refer} & {*child.parent} else refer
        if meant:
            names = " or ".join(repr(column.key) for column in meant)
            problem = f"it has no ForeignKey to {bound.table.name!r}, and {names} has one."
            self.report.refuse(where, problem, f"Did you mean parent={meant[0].key!r}?")
            return meant
        if len(child.parent) != len(bound.primary_key):
            problem = (
                f"it names {len(child.parent)} column(s), and the primary key of "
                f"{bound.table.name!r} has {len(bound.primary_key)}."
            )
            self.report.refuse(where, problem, f"Name a column for each of ({keys}), in order.")
            return meant
        for column, key in zip(child.parent, bound.primary_key, strict=True):
            if not same_values(column, key, self.dialect):
                problem = f"column {column.name!r} is {column.type}, and {key} is {key.type}."
                remedy = f"Name the columns that hold ({keys}), in this order."
                self.report.refuse(where, problem, remedy)
        return meant


def _uses(owner: str, rows: BoundRows) -> Iterator[_Use]:
    if rows.key is not None:
        yield _Use(f"{owner}.key", rows.key)
    if rows.organization is not None:
        yield _Use(f"{owner}.organization_column", rows.organization)
    for column in rows.parent if isinstance(rows, BoundChild) else ():
        yield _Use(f"{owner}.parent", column)
    for name, (column, source) in rows.columns.items():
        yield _Use(f"{owner}.columns[{name!r}]", column, source)
    for column in rows.insert_only:
        yield _Use(f"{owner}.insert_only[{column.key!r}]", column)
    for reference in rows.references:
        yield _Use(f"{owner}.references[{reference.name!r}]", reference.column)
    if isinstance(rows, BoundEntity) and rows.deleted is not None:
        yield _Use(f"{owner}.deleted_column", rows.deleted)


def _has_default(column: Column[Any]) -> bool:
    return column.default is not None or isinstance(column.server_default, DefaultClause)


def _is_generated(column: Column[Any] | None) -> bool:
    """Return whether SQLAlchemy, or a trigger that the host declared, fills a column."""
    if column is None:
        return False
    default = column.server_default
    declared = isinstance(default, (DefaultClause, Computed, Identity))
    # What is declared as the database's doing must be there; what is only fetched may be a trigger.
    return column.default is not None or (isinstance(default, FetchedValue) and not declared)


def _named(kind: Any) -> str:  # any type
    zone = " with" if getattr(kind, "timezone", False) else " without"
    return f"{kind}{zone} time zone" if isinstance(kind, DateTime) else str(kind)
