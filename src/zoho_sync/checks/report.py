"""What a check of mappings has found, said once for what several attributes have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from zoho_sync.exceptions import Finding
from zoho_sync.exceptions.wording import meant

__all__ = ["Report"]


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

        Args:
            where: The handler and the attribute, whose last part is the argument.
            given: What the host gave.
            known: The words.
            also: What else may be given.
        """
        if isinstance(given, str) and given in known:
            return True
        name = where.rpartition(".")[2]
        near = meant(given, known) if isinstance(given, str) else ""
        *others, last = (f'"{word}"' for word in known)
        plain = given is None or isinstance(given, (str, int))
        told = repr(given) if plain else f"… of type {type(given).__name__}"
        said = f"{near} " if near else ""
        remedy = f"{said}It is {', '.join(others)} or {last}{also}."
        self.refuse(where, f"{name}={told} is unknown.", remedy)
        return False

    def warned(self) -> list[str]:
        """Return the warnings: one line for what several attributes have in common."""
        alike: dict[tuple[str, str, str], list[_Warning]] = {}
        for each in self._warnings:
            alike.setdefault((each.owner, each.problem, each.remedy), []).append(each)
        return [
            str(Finding(_places(group), f"{_subjects(group)}{problem}", remedy))
            for (_, problem, remedy), group in alike.items()
        ]


def _places(group: Sequence[_Warning]) -> str:
    """Return the attributes, each handler named before the first of its own."""
    places, last = list[str](), ""
    for each in group:
        owner, _, attribute = each.where.partition(".")
        places.append(attribute if owner == last else each.where)
        last = owner
    return ", ".join(places)


def _subjects(group: Sequence[_Warning]) -> str:
    named = dict.fromkeys(each.subject for each in group if each.subject)
    return f"{', '.join(named)} " if named else ""
