"""Whether a mapping finds the row of an entity: by Zoho's id, or, at first, by natural keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Dialect, Table

from zoho_sync.checks.report import Report
from zoho_sync.checks.sources import SourceCheck, family
from zoho_sync.database.reflection import TableFacts
from zoho_sync.exceptions import PayloadError
from zoho_sync.mapping.binding import BoundEntity, BoundNaturalKey

__all__ = ["IdentityCheck"]


@dataclass(frozen=True)
class IdentityCheck:
    """Checks how one mapping finds rows.

    Attributes:
        report: Where findings go.
        dialect: Of the database.
        facts: What the database has of each table that could be read.
    """

    report: Report
    dialect: Dialect
    facts: Mapping[Table, TableFacts]

    def run(self, owner: str, bound: BoundEntity) -> None:
        """Check one mapping."""
        self._columns(owner, bound)
        self._unnumbered(f"{owner}.key", bound)
        for position, natural in enumerate(bound.adopt):
            self._natural(f"{owner}.adopt[{position}]", bound, natural)
        if bound.adopt:
            self._kept(owner, bound)

    def _unnumbered(self, where: str, bound: BoundEntity) -> None:
        """Refuse to look for Zoho's id among numbers that the database gives out itself."""
        key = bound.key
        if key is not None and key.table.autoincrement_column is key:
            problem = (
                f"the database numbers {key.table.name}.{key.name} itself: a row of yours that has "
                "an entity's number by chance would be overwritten."
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
            problem = error.problem if isinstance(error, PayloadError) else type(error).__name__
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

    def _columns(self, owner: str, bound: BoundEntity) -> None:
        sources = SourceCheck(self.report, None, self.dialect, lines=False)
        for attribute, column in (("key", bound.key), ("organization_column", bound.organization)):
            where = f"{owner}.{attribute}"
            if column is None:
                continue
            if family(column.type, self.dialect) not in {None, "text", "integer"}:
                problem = f"Zoho's ids are text, and a column of type {column.type} is not."
                self.report.refuse(where, problem, "Make the column String, or BigInteger.")
            sources.warn_of_narrow_ids(where, column)
        names = [column.name for column in bound.identity]
        tables = {column.table for column in bound.identity}
        if len(tables) > 1:
            problem = (
                f"{names[0]!r} and {names[1]!r} are in two tables, and no constraint spans both."
            )
            remedy = "Name columns of one table."
            self.report.refuse(f"{owner}.organization_column", problem, remedy)
            return
        table = next(iter(tables), bound.table)
        facts = self.facts.get(table)
        there = facts is not None and all(map(facts.column, names))
        if facts is not None and names and there and not facts.is_unique(names):
            problem = f"({', '.join(names)}) is not unique in {table.name!r}."
            arguments = ", ".join(repr(name) for name in names)
            remedy = (
                f"Add UniqueConstraint({arguments}) on exactly these columns (a partial index does "
                "not count), or leave key= out: then the library keeps the link itself."
            )
            self.report.refuse(f"{owner}.key", problem, remedy)
