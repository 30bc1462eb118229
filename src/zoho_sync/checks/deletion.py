"""Checks that a mapping can do what it says about deletes."""

from __future__ import annotations

import re
from typing import Any, Final

from sqlalchemy import Column, DefaultClause
from sqlalchemy.types import TypeDecorator

from zoho_sync.checks.report import TableCheck
from zoho_sync.checks.sources import family
from zoho_sync.database.reflection import stored_type
from zoho_sync.mapping.binding import BoundEntity

__all__ = ["DeletionCheck"]

_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_ALIVE: Final = frozenset(
    ("active", "alive", "available", "current", "enabled", "live", "valid", "visible")
)
_NEGATIONS: Final = frozenset(("no", "non", "not"))
_TRUE: Final = re.compile(r"\(?'?(true|t|1)'?(::bool(ean)?)?\)?", re.IGNORECASE)


class DeletionCheck(TableCheck):
    """Checks what a mapping says about deletes."""

    def run(self, owner: str, bound: BoundEntity) -> None:
        """Check one mapping."""
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
            self._column(f"{owner}.deleted_column", column)

    def _column(self, where: str, column: Column[Any]) -> None:
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
