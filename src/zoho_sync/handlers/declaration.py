"""Finds what a handler class declares under a name that nobody reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from zoho_sync.exceptions import Finding
from zoho_sync.exceptions.wording import meant
from zoho_sync.mapping.declaration import ChildMap, EntityMap, Reference

__all__ = ["misplaced"]


def misplaced(handler: type[Any]) -> Iterator[Finding]:
    """Give the parts of a mapping that stand beside it: a misspelt name, or a forgotten argument.

    What the mapping in force is made of may have a name of its own.
    """
    line = handler.__mro__
    own = next(place for place, each in enumerate(line) if "mapping" in vars(each))
    # Beside the mapping, in the same class, an EntityMap may be what the mapping is made of.
    for declaring in line[:own]:
        for name, value in vars(declaring).items():
            if isinstance(value, EntityMap):
                near = meant(name, ["mapping"]) or "Call it `mapping`."
                problem = "it holds an EntityMap, and is not read."
                yield Finding(f"{handler.__name__}.{name}", problem, near.replace("'", "`"))
    for declaring in line[: own + 1]:
        for name, value in vars(declaring).items():
            yield from _parts(handler, name, value)


def _parts(handler: type[Any], name: str, value: Any) -> Iterator[Finding]:
    used = {id(part) for part in _used(getattr(handler, "mapping", None))}
    for part in value if isinstance(value, (list, tuple)) else (value,):
        if isinstance(part, (ChildMap, Reference)) and id(part) not in used:
            kind = type(part).__name__
            place = "children" if isinstance(part, ChildMap) else "references"
            problem = f"it holds a {kind}, and is not read."
            remedy = f"Put it into the mapping: EntityMap({place}=[{kind}(…)], …)."
            yield Finding(f"{handler.__name__}.{name}", problem, remedy)
            return


def _used(mapping: Any) -> Iterable[Any]:
    if not isinstance(mapping, EntityMap):
        return
    lists: tuple[Any, Any] = mapping.children, mapping.references
    for listed in lists:
        # What is no list is refused where the mapping is bound.
        for part in listed if isinstance(listed, Sequence) else (listed,):
            yield part
            yield from getattr(part, "references", ())
