"""Checks that references lead to something, as the schema says, and can all be waited for."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Column, Dialect

from zoho_sync.checks.report import Report
from zoho_sync.checks.rows import same_values
from zoho_sync.checks.sources import Model, SourceCheck, line_model, nearest, source_kind
from zoho_sync.events.entities import CONTACT
from zoho_sync.handlers.base import BaseEntityHandler
from zoho_sync.handlers.registry import HandlerRegistry
from zoho_sync.mapping.binding import BoundChild, BoundEntity, BoundReference, BoundRows
from zoho_sync.mapping.foreign_keys import same_row, targets_of
from zoho_sync.payloads import FieldKind

__all__ = ["ReferenceCheck"]

Handler = type[BaseEntityHandler[Any]]

_IDS = {None, FieldKind.ID, FieldKind.TEXT}


class ReferenceCheck:
    """Checks the references of all handlers whose mappings are bound.

    The registry knows all entity types, and which of them are ignored.
    """

    def __init__(
        self, report: Report, registry: HandlerRegistry, handlers: list[Handler], dialect: Dialect
    ) -> None:
        self._report, self._dialect = report, dialect
        self._catalog, self._is_ignored = registry.catalog(), registry.is_ignored
        self._handlers = {handler.entity_type: handler for handler in handlers}
        self._waits: dict[str, set[str]] = {}
        self._tables = {
            handler.entity_type: same_row(bound.parts)
            for handler in handlers
            if (bound := handler.binding()) is not None
        }

    def run(self) -> None:
        """Check each reference, and then all of them together."""
        for handler in self._handlers.values():
            bound = handler.binding()
            # What is ignored refers to nothing, whatever its mapping says.
            if bound is not None and not self._is_ignored(handler.entity_type):
                for where, model, rows in _all_rows(handler, bound):
                    self._host_keys(where, model, rows)
                    lines = isinstance(rows, BoundChild)
                    sources = SourceCheck(self._report, model, self._dialect, lines=lines)
                    for reference in rows.references:
                        place = f"{where}.references[{reference.name!r}]"
                        self._reference(handler.entity_type, place, reference, model, sources)
        self._cycles()

    def _reference(
        self,
        owner: str,
        where: str,
        reference: BoundReference,
        model: Model | None,
        sources: SourceCheck,
    ) -> None:
        if sources.exists(where, reference.source):
            self._source(where, reference, model)
        self._choices(where, reference)
        targets = self._targets(where, reference.to)
        fits = self._is_foreign_key(where, reference, targets)
        for target in targets:
            if fits:
                self._target(where, reference, target)
            if reference.missing == "park":
                self._waits.setdefault(owner, set()).add(target.entity_type)
                if owner == target.entity_type:
                    problem = "an entity that refers to itself would wait for itself."
                    self._report.warn(where, problem, 'Give missing="null" where that can happen.')

    def _is_foreign_key(
        self, where: str, reference: BoundReference, targets: Sequence[Handler]
    ) -> bool:
        """Refuse a column that refers to another table than the entity is kept in.

        Returns:
            Whether it is in order, as far as the schema says.
        """
        wanted = targets_of(reference.column)
        own = [each for each in targets if each.resolve is not BaseEntityHandler.resolve]
        kept = [bound for each in targets if (bound := each.binding()) is not None]
        if not wanted or not kept or own or len(kept) < len(targets):
            # Where a handler's own code says what the key is, it may be anything.
            return True
        names = set[str]().union(*(same_row(bound.parts) for bound in kept))
        if not any(target.table.fullname in names for target in wanted):
            self._elsewhere(where, reference, wanted[0], kept)
            return False
        if any(target.primary_key for target in wanted):
            return True
        target = wanted[0]
        written = f"a Reference writes the primary key of {target.table.name!r}"
        problem = f"the column has a ForeignKey to {target}, and {written}."
        remedy = "Refer to the primary key, or fill the column by columns={…}."
        self._report.refuse(where, problem, remedy)
        return False

    def _host_keys(self, where: str, model: Model | None, rows: BoundRows) -> None:
        """Warn of an id that goes into a column which holds another table's primary key."""
        for name, (column, source) in rows.columns.items():
            if source_kind(model, source) is not FieldKind.ID:
                continue
            for target in targets_of(column):
                kept = self._kept_in(target.table.fullname)
                if kept and target.primary_key:
                    key = f"a ForeignKey to {target}, the host's own key"
                    problem = f"{source!r} is Zoho's id, and the column has {key}."
                    remedy = f"references=[Reference({name!r}, to={kept!r}, source={source!r})]"
                    self._report.warn(f"{where}.columns[{name!r}]", problem, f"Give {remedy}.")

    def _elsewhere(
        self,
        where: str,
        reference: BoundReference,
        target: Column[Any],
        kept: Sequence[BoundEntity],
    ) -> None:
        tables = " and ".join(repr(bound.table.name) for bound in kept)
        problem = (
            f"the column has a ForeignKey to {target}, and {reference.to!r} is kept in {tables}."
        )
        meant = self._kept_in(target.table.fullname)
        remedy = f"Give the handler of {reference.to!r} the table {target.table.name!r}."
        if meant:
            remedy = f"Did you mean to={meant!r}, which is kept there? Otherwise g{remedy[1:]}"
        self._report.refuse(where, problem, remedy)

    def _kept_in(self, table: str) -> str:
        return next((name for name, tables in self._tables.items() if table in tables), "")

    def _choices(self, where: str, reference: BoundReference) -> None:
        missing, deleted = reference.missing, reference.deleted
        if not callable(missing):
            also = ", or a callable that makes a placeholder"
            self._report.choice(f"{where}.missing", missing, ("park", "fail", "null"), also)
        self._report.choice(f"{where}.deleted", deleted, ("null", "fail"))
        for name, choice in (("missing", missing), ("deleted", deleted)):
            if isinstance(choice, str) and choice == "null" and not reference.column.nullable:
                problem = f'{name}="null", and the column may not be NULL.'
                remedy = f'Allow NULL, or give {name}="{"park" if name == "missing" else "fail"}".'
                self._report.refuse(where, problem, remedy)

    def _source(self, where: str, reference: BoundReference, model: Model | None) -> None:
        source = reference.source
        is_list = line_model(model, source) is not None
        kind = source_kind(model, source)
        if is_list or kind not in _IDS:
            remedy = f"Give the field with the id of the {reference.to}."
            self._report.refuse(where, f"{source!r} holds no id.", remedy)
        elif kind is FieldKind.TEXT and model is not None:
            stem = str(source).removesuffix("_name").removesuffix("_number")
            if source_kind(model, f"{stem}_id") is FieldKind.ID:
                remedy = f"Did you mean '{stem}_id'?"
                self._report.refuse(where, f"{source!r} is text, and no id.", remedy)
            else:
                problem = f"{source!r} is text, and a reference is found by Zoho's id alone."
                remedy = f"Give the field with the id of the {reference.to}, if there is one."
                self._report.warn(where, problem, remedy)

    def _targets(self, where: str, name: str) -> list[Handler]:
        found = self._catalog.resolve(name)
        if found is None:
            problem = f"{name!r} is no entity type."
            kind = self._meant_by(name)
            remedy = f"It is where {kind!r} is kept: to={kind!r}." if kind else ""
            self._report.refuse(where, problem, remedy or nearest(name, self._catalog.kinds))
            return []
        types = [found]
        if found == CONTACT:
            types = [each for each in self._handlers if self._catalog.namespace(each) == CONTACT]
        kept = [each for each in types if each in self._handlers]
        targets = [self._handlers[each] for each in kept if not self._is_ignored(each)]
        if not kept:
            problem = f"no handler keeps {name!r}, so that nothing can be referred to."
            self._report.refuse(where, problem, "Register a handler of that type, with a mapping.")
        elif not targets:
            problem = f"events of {name!r} are ignored, so that nothing can be referred to."
            remedy = f"Take registry.ignore({kept[0]!r}) back, or the reference out."
            self._report.refuse(where, problem, remedy)
        return targets

    def _meant_by(self, name: str) -> str:
        """Return the entity type whose table, ORM class or handler has that name."""
        for handler in self._handlers.values():
            bound = handler.binding()
            names = {handler.__name__}
            if bound is not None:
                declared = getattr(bound.mapping.table, "__name__", bound.table.name)
                names |= {bound.table.name, declared}
            if name in names:
                return handler.entity_type
        return ""

    def _target(self, where: str, reference: BoundReference, target: Handler) -> None:
        bound = target.binding()
        if bound is None:
            # A handler that writes by its own code says what the key is only when it runs.
            return
        if len(bound.primary_key) > 1:
            names = ", ".join(column.name for column in bound.primary_key)
            problem = f"the primary key of {bound.table.name!r} has several columns: {names}."
            remedy = (
                f"Map {reference.to!r} to a table of your own with one key column, or keep the "
                f"Zoho id as it is: columns={{{reference.name!r}: {reference.source!r}}}."
            )
            self._report.refuse(where, problem, remedy)
            return
        for key in bound.primary_key:
            if not same_values(reference.column, key, self._dialect):
                other = f"the primary key of {bound.table.name!r} is {key.type}"
                problem = f"the column is {reference.column.type}, and {other}."
                self._report.refuse(where, problem, "Give both columns one type.")

    def _cycles(self) -> None:
        seen: set[frozenset[str]] = set()
        for start in sorted(self._waits):
            cycle = self._way_back(start)
            if cycle and frozenset(cycle) not in seen:
                seen.add(frozenset(cycle))
                way = " → ".join([*cycle, start])
                self._report.refuse(
                    f"{self._handlers[start].__name__}.references",
                    f"{way}: each would wait for the next, and none would be written.",
                    'Give one of these references missing="null".',
                )

    def _way_back(self, start: str) -> list[str]:
        """Return the shortest way from a type over others back to it; empty if there is none."""
        ways = deque([[start]])
        reached: set[str] = {start}
        while ways:
            way = ways.popleft()
            for following in sorted(self._waits.get(way[-1], ())):
                if following == start and len(way) > 1:
                    return way
                if following not in reached:
                    reached.add(following)
                    ways.append([*way, following])
        return []


def _all_rows(
    handler: Handler, bound: BoundEntity
) -> Iterator[tuple[str, Model | None, BoundRows]]:
    yield handler.__name__, handler.payload_model, bound
    for position, child in enumerate(bound.children):
        lines = line_model(handler.payload_model, child.source)
        yield f"{handler.__name__}.children[{position}]", lines, child
