"""Checks what an entity's mapping says of its one row: how it is found, and how it is deleted.

It is found by Zoho's id, or at first by natural keys.
"""

from __future__ import annotations

import re
from typing import Any, Final

from sqlalchemy import Column, DefaultClause
from sqlalchemy.types import TypeDecorator

from zoho_sync.checks.report import TableCheck
from zoho_sync.checks.sources import family, warn_of_narrow_ids
from zoho_sync.database.reflection import stored_type
from zoho_sync.exceptions import CallableFailed
from zoho_sync.mapping.binding import BoundEntity, BoundNaturalKey

__all__ = ["EntityCheck"]

_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_ALIVE: Final = frozenset(
    ("active", "alive", "available", "current", "enabled", "live", "valid", "visible")
)
_NEGATIONS: Final = frozenset(("no", "non", "not"))
_TRUE: Final = re.compile(r"\(?'?(true|t|1)'?(::bool(ean)?)?\)?", re.IGNORECASE)


class EntityCheck(TableCheck):
    """Checks how one mapping finds and deletes rows."""

    def run(self, owner: str, bound: BoundEntity) -> None:
        """Check one mapping."""
        self._identity(owner, bound)
        self._unnumbered(f"{owner}.key", bound)
        for position, natural in enumerate(bound.adopt):
            self._natural(f"{owner}.adopt[{position}]", bound, natural)
        if bound.adopt:
            self._kept(owner, bound)
        self._deletion(owner, bound)

    def _identity(self, owner: str, bound: BoundEntity) -> None:
        for attribute, column in (("key", bound.key), ("organization_column", bound.organization)):
            where = f"{owner}.{attribute}"
            if column is None:
                continue
            if family(column.type, self.dialect) not in {None, "text", "integer"}:
                problem = f"Zoho's ids are text, and a column of type {column.type} is not."
                self.report.refuse(where, problem, "Make the column String, or BigInteger.")
            warn_of_narrow_ids(self.report, where, column, self.dialect)
        names = [column.name for column in bound.identity]
        tables = {column.table for column in bound.identity}
        if len(tables) > 1:
            places = f"{names[0]!r} and {names[1]!r} are in two tables"
            problem = f"{places}, and no constraint spans both."
            where = f"{owner}.organization_column"
            self.report.refuse(where, problem, "Name columns of one table.")
            return
        facts = self.facts.get(next(iter(tables), bound.table))
        there = names and all(map(self.real, bound.identity))
        if facts is not None and there and not facts.is_unique(names):
            problem = f"({', '.join(names)}) is not unique in {tables.pop().name!r}."
            arguments = ", ".join(map(repr, names))
            remedy = (
                f"Add UniqueConstraint({arguments}) on exactly these columns (a partial index does "
                "not count), or leave key= out: then the library keeps the link itself."
            )
            self.report.refuse(f"{owner}.key", problem, remedy)

    def _unnumbered(self, where: str, bound: BoundEntity) -> None:
        """Refuse to look for Zoho's id among numbers that the database gives out itself."""
        key = bound.key
        if key is not None and key.table.autoincrement_column is key:
            problem = (
                f"the database numbers {key} itself: a row of yours that has an entity's number by "
                "chance would be overwritten."
            )
            remedy = (
                "Leave key= out, and the library keeps the link itself; or, if the column holds "
                "Zoho's ids alone, declare it with autoincrement=False."
            )
            self.report.refuse(where, problem, remedy)

    def _natural(self, where: str, bound: BoundEntity, natural: BoundNaturalKey) -> None:
        name = natural.column.key
        filled = {column for column, _ in bound.columns.values()}
        filled |= {reference.column for reference in bound.references}
        if natural.column not in filled:
            problem = f"nothing fills {name!r}, so that no row would ever be found by it."
            if natural.column in bound.insert_only:
                problem = f"insert_only fills {name!r}, and only when a row is made."
            remedy = f"Fill it: columns={{{name!r}: …}}, or leave it out."
            self.report.refuse(where, problem, remedy)
        try:
            natural.alike(natural.column)
        except Exception as error:  # noqa: BLE001  # whatever the host's callable raises
            problem = error.problem if isinstance(error, CallableFailed) else type(error).__name__
            self.report.refuse(
                where,
                f"it is given a SQL expression of the column, not text: {problem}.",
                f"Give ({name!r}, folded), or a callable such as sqlalchemy.func.lower.",
            )

    def _kept(self, owner: str, bound: BoundEntity) -> None:
        """Refuse to change the primary key of a row that is taken over."""
        for name, (column, _) in bound.columns.items():
            if column in bound.primary_key:
                problem = "it would change the primary key of each row that is adopted."
                remedy = f"Leave it out, or give new rows a value: insert_only={{{name!r}: …}}."
                self.report.refuse(f"{owner}.columns[{name!r}]", problem, remedy)

    def _deletion(self, owner: str, bound: BoundEntity) -> None:
        where, how, column = f"{owner}.on_delete", bound.mapping.on_delete, bound.deleted
        left = bound.mapping.host_deleted
        self.report.choice(f"{owner}.host_deleted", left, ("recreate", "leave"))
        if not self.report.choice(where, how, ("soft", "hard", "ignore")):
            return
        if how != "soft" and column is not None:
            problem = f'deleted_column is not used with on_delete="{how}".'
            self.report.warn(f"{owner}.deleted_column", problem, "Leave one of the two out.")
        elif how == "soft" and column is None:
            self.report.refuse(
                where,
                'on_delete="soft" has no deleted_column to mark the row in.',
                'Give deleted_column=, or on_delete="hard" to remove rows, or "ignore" to leave '
                "them.",
            )
        elif column is not None:
            self._deleted(f"{owner}.deleted_column", column)

    def _deleted(self, where: str, column: Column[Any]) -> None:
        stored = family(stored_type(column.type, self.dialect), self.dialect)
        if isinstance(column.type, TypeDecorator):
            # It may make anything of a time; of a boolean only Boolean itself is told apart.
            fits = stored != "boolean"
        else:
            fits = stored in {"boolean", "time", "date"}
        if not fits:
            problem = f"a column of type {column.type} is neither a boolean nor a time or a date."
            self.report.refuse(where, problem, "Give a Boolean, DateTime or Date column.")
        elif stored == "boolean":
            self._meaning(where, column)
        elif not column.nullable:
            problem = "the column may not be NULL, and NULL says that the entity lives."
            self.report.refuse(where, problem, "Allow NULL, or use a Boolean column.")

    def _meaning(self, where: str, column: Column[Any]) -> None:
        """Warn of a boolean that seems to say that the row lives."""
        if self._is_true_by_default(column):
            why = "its default is true"
        elif _sounds_alive(column.name):
            why = f"it is called {column.name!r}"
        else:
            return
        self.report.warn(
            where,
            f"True would say that it is deleted, and {why}.",
            "Give a boolean that is True when deleted, or a time, of a column of its own; or "
            'on_delete="ignore".',
        )

    def _is_true_by_default(self, column: Column[Any]) -> bool:
        default, server = column.default, column.server_default
        declared = server.arg if isinstance(server, DefaultClause) else ""
        real = self.real(column)
        texts = [str(declared), real.default if real is not None else ""]
        is_true = default is not None and default.is_scalar and default.arg is True  # type: ignore[attr-defined]  # a scalar default has one
        return is_true or any(_TRUE.fullmatch(each.strip()) for each in texts)


def _sounds_alive(name: str) -> bool:
    words = {word.lower() for word in _WORD.findall(name)}
    return bool(words & _ALIVE) and not words & _NEGATIONS
