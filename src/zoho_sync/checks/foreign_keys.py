"""Checks that the columns which a mapping fills with ids refer to what the schema says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column

from zoho_sync.checks.report import Report
from zoho_sync.checks.sources import Model, source_kind
from zoho_sync.handlers.base import BaseEntityHandler
from zoho_sync.mapping.binding import BoundEntity, BoundReference, BoundRows
from zoho_sync.mapping.foreign_keys import same_row, targets_of
from zoho_sync.payloads import FieldKind

__all__ = ["ForeignKeyCheck"]

Handler = type[BaseEntityHandler[Any]]


class ForeignKeyCheck:
    """Compares bound mappings with the foreign keys of the host's tables, as they are declared."""

    def __init__(self, report: Report, handlers: Sequence[Handler]) -> None:
        self._report = report
        self._tables = {
            handler.entity_type: same_row(bound.parts)
            for handler in handlers
            if (bound := handler.binding()) is not None
        }

    def reference(self, where: str, reference: BoundReference, targets: Sequence[Handler]) -> bool:
        """Refuse a reference whose column refers to another table than the entity is kept in.

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

    def columns(self, where: str, model: Model | None, rows: BoundRows) -> None:
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
