"""Finds the columns that a mapping names, and says what was probably meant by what is not there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from sqlalchemy import Column, Table

from zoho_sync.exceptions import Finding
from zoho_sync.exceptions.wording import listed, meant
from zoho_sync.mapping.inheritance import mapper_of, parts_of

__all__ = ["ColumnNames"]

_FEW: Final = 2
"""So many names that are not there are said one by one."""


class _Miss(NamedTuple):
    attribute: str
    name: str
    remedy: str


class ColumnNames:
    """Finds columns by the name of the ORM attribute, or of the column itself.

    Without a table nothing is looked for. The owner is the handler, or its list of lines.
    """

    def __init__(
        self, target: Any, table: Table | None, owner: str, sources: Mapping[str, Any]
    ) -> None:
        parts = parts_of(target, table) if table is not None else ()
        self._table, self._parts, self._owner = table, parts, owner
        self._columns = {c.key: c for part in parts for c in part.table.columns}
        self._mapper = mapper_of(target)
        if self._mapper is not None:
            attributes = {a.key: a.columns[0] for a in self._mapper.column_attrs}
            self._columns |= {k: c for k, c in attributes.items() if isinstance(c, Column)}
        self._filled_by = {s: name for name, s in sources.items() if isinstance(s, str)}
        self._misses: list[_Miss] = []

    def column(self, attribute: str, name: str | None, remedy: str = "") -> Column[Any] | None:
        """Return the column that an attribute of the mapping names.

        None where there is none, which becomes a finding, with the remedy if the caller knows one.
        """
        if name is None or not self._columns:
            return None
        found = self._columns.get(name)
        if found is None:
            remedy = remedy or self._remedy(attribute, name)
            self._misses.append(_Miss(attribute, name, remedy))
        return found

    def filled(self, name: str, source: Any) -> Column[Any] | None:
        """Return the column of that name, which a source fills."""
        # To guess what was meant takes longer than all else that binds a mapping.
        remedy = "" if name in self._columns else meant(name, self._columns)
        if not remedy and isinstance(source, str) and source in self._columns:
            pair = f"columns={{{source!r}: {name!r}}}"
            remedy = f"{source!r} is one, and the host's column goes first: {pair}."
        return self.column(f"columns[{name!r}]", name, remedy)

    def findings(self) -> Iterator[Finding]:
        """Give what was not found: for names that nothing resembles one finding together."""
        if self._table is None:
            return
        strange = [miss for miss in self._misses if not miss.remedy]
        together = len(strange) > _FEW
        for miss in self._misses:
            where, problem = f"{self._owner}.{miss.attribute}", f"no column {miss.name!r}."
            if miss.remedy or not together:
                remedy = miss.remedy or self._all()
                yield Finding(where, f"table {self._table.name!r} has {problem}", remedy)
        if together:
            first, *others = (miss.attribute for miss in strange)
            names = list(dict.fromkeys(miss.name for miss in strange))
            where = ", ".join((f"{self._owner}.{first}", *others))
            problem = f"table {self._table.name!r} has none of {', '.join(map(repr, names))}."
            yield Finding(where, problem, self._elsewhere(names) or self._all())

    def _remedy(self, attribute: str, name: str) -> str:
        if name in self._filled_by and not attribute.startswith("columns["):
            column = self._filled_by[name]
            return f"That is Zoho's name; the column that it fills is {column!r}."
        if near := meant(name, self._columns):
            return near
        if self._mapper is not None and name in self._mapper.relationships:
            return self._relationship(name)
        unique = [key for key, column in self._columns.items() if column.unique]
        if attribute == "key" and len(unique) == 1:
            return f"Did you mean {unique[0]!r}, which is unique?"
        return ""

    def _relationship(self, name: str) -> str:
        relationship = self._mapper.relationships[name]  # type: ignore[union-attr]  # asked before
        if relationship.uselist:
            target = relationship.mapper.class_.__name__
            return (
                f"It is a relationship: map its rows with children=[ChildMap(table={target}, …)]."
            )
        local = ", ".join(repr(column.key) for column in relationship.local_columns)
        return f"It is a relationship: fill its column with references=[Reference({local}, …)]."

    def _all(self) -> str:
        return f"It has {listed(self._columns)}."

    def _elsewhere(self, names: list[str]) -> str:
        """Say which other table of the host has all the names."""
        own = {part.table for part in self._parts}
        known = self._table.metadata.tables.values() if self._table is not None else ()
        for table in known:
            if table not in own and {*names} <= {*table.columns.keys()}:
                return f"Table {table.name!r} has them: did you mean table= that one?"
        return ""
