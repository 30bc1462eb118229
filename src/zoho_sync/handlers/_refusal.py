"""Where in the host's tables, and in the mapping, the database refused what was written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Column

from zoho_sync._binding import BoundChild, BoundEntity, BoundRows
from zoho_sync._faults import named_column, noted_place
from zoho_sync._row_values import field_of

__all__ = ["RefusedAt"]


@dataclass(frozen=True)
class RefusedAt:
    """What was being written when the database refused it.

    Attributes:
        table: The host's table; ``""`` where nobody says it.
        column: The column; ``""`` where nobody says it.
        rows: What is mapped onto the table, the entity itself or lines of it.
        path: Where the document, or its list of lines, stands.
    """

    table: str
    column: str
    rows: BoundRows | None
    path: str = ""

    @classmethod
    def of(cls, error: Exception, bound: BoundEntity | None) -> RefusedAt:
        """Read it from an error: the database names it, or the writing code has noted it."""
        table, column = named_column(error)
        noted, suspected = noted_place(error)
        if noted and table in {"", noted}:
            table, column = noted, column or suspected
        if bound is None:
            return cls(table, column, None)
        table = table or bound.table.name
        for rows in (bound, *bound.children):
            if table in {part.table.name for part in rows.parts}:
                path = bound.entity_type
                if isinstance(rows, BoundChild):
                    path = f"{path}.{rows.listed}"
                return cls(table, column, rows, path)
        return cls(table, column, None)

    @property
    def field(self) -> str:
        """The field of the document that fills the column; ``""`` where that is not known."""
        return "" if self.rows is None else field_of(self.rows, self.table, self.column, self.path)

    def told(self, problem: str, *, dangling: bool) -> str:
        """Return what the database says, with the place, where it does not name that itself.

        Args:
            problem: What the database says.
            dangling: Whether a row is missing that a foreign key asks for.
        """
        place = f"{self.table}.{self.column}" if self.column else self.table
        if place and place not in problem and self.table not in problem:
            problem = f"{place}: {problem}"
        refer = [*self._referring()] if dangling and not self.column else []
        return f"{problem}; what refers to other tables is {', '.join(refer)}" if refer else problem

    def _referring(self) -> Iterator[str]:
        """Give the attributes of the mapping that fill columns with foreign keys."""
        rows = self.rows
        if rows is None:
            return
        filled: list[tuple[str, Column[object]]] = [
            *((f"columns[{name!r}]", column) for name, (column, _) in rows.columns.items()),
            *((f"references[{each.name!r}]", each.column) for each in rows.references),
            *((f"insert_only[{column.key!r}]", column) for column in rows.insert_only),
        ]
        for attribute, column in filled:
            tables = {key.target_fullname.rpartition(".")[0] for key in column.foreign_keys}
            if tables and column.table.name == self.table:
                yield f"{attribute} (to {' and '.join(sorted(tables))})"
