"""Says in the library's words what the database refused, and where in the mapping that is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Column

from zoho_sync.apply.unique_values import value_taken
from zoho_sync.database.faults import (
    Fault,
    breaks_reference,
    breaks_uniqueness,
    classify,
    named_column,
    noted_place,
    primary_message,
)
from zoho_sync.exceptions import ReferencePending, RowGone, RowRejected, ZohoSyncError
from zoho_sync.mapping.binding import BoundChild, BoundEntity, BoundRows
from zoho_sync.mapping.values import field_of

__all__ = ["RefusedAt", "in_our_words"]


@contextmanager
def in_our_words(bound: BoundEntity | None, entity_id: str, *, deletes: bool) -> Iterator[None]:
    """Let what the database refuses be said in our words.

    Args:
        bound: Where the entity is mapped; None for a handler that writes by its own code.
        entity_id: Zoho's id.
        deletes: Whether its row is deleted: what is refused then may only have to wait.

    Raises:
        ReferencePending: Rows of the host still refer to the row that is deleted.
        RowRejected: The host's schema refuses the values.
    """
    try:
        yield
    except Exception as error:
        if classify(error) is Fault.REJECTED:
            raise _refusal(error, bound, entity_id, deletes=deletes) from error
        raise


def _refusal(
    error: Exception, bound: BoundEntity | None, entity_id: str, *, deletes: bool
) -> ZohoSyncError:
    if breaks_uniqueness(error):
        # By the handler's own code: what it was to write is not known here.
        return value_taken(error, bound.table.name if bound is not None else "")
    problem, constraint = primary_message(error)
    dangling = breaks_reference(error)
    if dangling and deletes and bound is not None:
        why = f"rows of the host still refer to the deleted row ({constraint or problem})"
        return ReferencePending(bound.entity_type, entity_id, why)
    place = RefusedAt.of(error, bound)
    kind = RowGone if dangling else RowRejected
    told = place.told(problem, dangling=dangling and not constraint)
    rejected = kind(told, table=place.table, constraint=constraint)
    rejected.path = place.field
    return rejected


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

        What is ``dangling`` misses a row that a foreign key asks for.
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
