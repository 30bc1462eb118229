"""Checks that a mapping finds the row of an entity: by Zoho's id, or at first by natural keys."""

from __future__ import annotations

from zoho_sync.checks.report import TableCheck
from zoho_sync.checks.sources import family, warn_of_narrow_ids
from zoho_sync.exceptions import PayloadError
from zoho_sync.mapping.binding import BoundEntity, BoundNaturalKey

__all__ = ["IdentityCheck"]


class IdentityCheck(TableCheck):
    """Checks how one mapping finds rows."""

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
