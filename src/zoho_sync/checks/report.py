"""Collects what a check of mappings finds, and says once what several attributes share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Column, Dialect, Table

from zoho_sync.database.reflection import RealColumn, TableFacts
from zoho_sync.exceptions import Finding
from zoho_sync.exceptions.wording import meant

__all__ = ["Report", "TableCheck"]


class _Warning(NamedTuple):
    owner: str
    where: str
    subject: str
    problem: str
    remedy: str


@dataclass
class Report:
    """What a check has found: what is wrong, and what may be meant."""

    findings: list[Finding] = field(default_factory=list)
    _warnings: list[_Warning] = field(default_factory=list)

    def refuse(self, where: str, problem: str, remedy: str) -> None:
        """Add something that is wrong."""
        self.findings.append(Finding(where, problem, remedy))

    def warn(
        self,
        where: str,
        problem: str,
        remedy: str,
        *,
        subject: str = "",
        everywhere: bool = False,
    ) -> None:
        """Add something that works, and may not do what is wanted.

        Args:
            where: The handler and the attribute.
            problem: What may not be wanted; it follows the subject, if there is one.
            remedy: What to do about it.
            subject: What the problem is about, where that differs from attribute to attribute.
            everywhere: Whether it is the same for all handlers, and said once for all.
        """
        owner = "" if everywhere else where.partition(".")[0]
        self._warnings.append(_Warning(owner, where, subject, problem, remedy))

    def choice(self, where: str, given: object, known: tuple[str, ...], also: str = "") -> bool:
        """Refuse what is none of a few words; return whether it is one.

        The last part of `where` is the argument, and `also` says what else may be given.
        """
        if isinstance(given, str) and given in known:
            return True
        name = where.rpartition(".")[2]
        near = meant(given, known) if isinstance(given, str) else ""
        *others, last = (f'"{word}"' for word in known)
        plain = given is None or isinstance(given, (str, int))
        value = repr(given) if plain else f"… of type {type(given).__name__}"
        remedy = f"{near} It is {', '.join(others)} or {last}{also}.".lstrip()
        self.refuse(where, f"{name}={value} is unknown.", remedy)
        return False

    def warned(self) -> list[str]:
        """Return the warnings: one line for what several attributes have in common."""
        alike: dict[tuple[str, str, str], list[_Warning]] = {}
        for each in self._warnings:
            alike.setdefault((each.owner, each.problem, each.remedy), []).append(each)
        findings = []
        for (_, problem, remedy), group in alike.items():
            subjects = ", ".join(dict.fromkeys(each.subject for each in group if each.subject))
            findings.append(Finding(_places(group), f"{subjects} {problem}".lstrip(), remedy))
        return [*map(str, findings)]


def _places(group: Sequence[_Warning]) -> str:
    """Return the attributes, each handler named before the first of its own."""
    places, last = list[str](), ""
    for each in group:
        owner, _, attribute = each.where.partition(".")
        places.append(attribute if owner == last else each.where)
        last = owner
    return ", ".join(places)


@dataclass(frozen=True)
class TableCheck:
    """Checks something about one handler's mapping, by the facts of the tables that were read."""

    report: Report
    dialect: Dialect
    facts: Mapping[Table, TableFacts]

    def real(self, column: Column[Any]) -> RealColumn | None:
        """Return a column as the database has it; None where it could not be read."""
        facts = self.facts.get(column.table)
        return facts.column(column.name) if facts is not None else None
