"""Which jobs belong together because one wants a unique value that another's entity has."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

__all__ = ["Entity", "Partners"]

Entity = tuple[str, str]
"""An organization, and Zoho's id of an entity in it."""

_Row = Mapping[Any, Any]


class Partners:
    """The jobs that are due, and those of the entities that they wait for.

    Args:
        due: Rows of the jobs table.
    """

    def __init__(self, due: Sequence[_Row]) -> None:
        self._due = due
        self._of: dict[Entity, list[_Row]] = {}
        self._asked: set[Entity] = set()
        self._wanting = [row for row in due if row["contested"]]
        self.ids = {row["id"] for row in due}
        self._file(due)

    def unknown(self) -> set[Entity]:
        """Return the entities that have wanted values, and were not asked for yet."""
        return {name for row in self._wanting for name in _wanted(row)} - self._asked

    def add(self, names: Collection[Entity], rows: Sequence[_Row]) -> None:
        """Add the jobs of entities that were asked for; they may want values themselves."""
        self._asked |= set(names)
        self._wanting += [row for row in rows if row["contested"]]
        self.ids |= {row["id"] for row in rows}
        self._file(rows)

    def first(self, limit: int) -> list[_Row]:
        """Return what is claimed: whole groups as far as they fit, then what else is due."""
        taken: dict[int, _Row] = {}
        for row in self._due:
            group = self._group(row) if row["contested"] else {}
            if not taken or len(taken.keys() | group.keys()) <= limit:
                taken |= group
        rest = {row["id"]: row for row in self._due if not row["contested"]}
        return list((taken | rest).values())[:limit]

    def _group(self, row: _Row) -> dict[int, _Row]:
        group: dict[int, _Row] = {}
        waiting = [row]
        for each in waiting:
            if each["id"] not in group:
                group[each["id"]] = each
                waiting += [other for name in _wanted(each) for other in self._of.get(name, ())]
        return group

    def _file(self, rows: Iterable[_Row]) -> None:
        for row in rows:
            self._of.setdefault((row["organization_id"], row["entity_id"]), []).append(row)


def _wanted(row: _Row) -> list[Entity]:
    return [(row["organization_id"], name) for name in row["contested"] or ()]
