"""Checks that a mapping's arguments are of the right kind, before their names are looked up."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any, Final

from sqlalchemy import ColumnElement, func

from zoho_sync.exceptions import Finding
from zoho_sync.exceptions.arguments import Kind, kind_of, of
from zoho_sync.mapping.declaration import (
    DOCUMENT,
    ChildMap,
    CustomField,
    EntityMap,
    Reference,
    custom_field,
)

__all__ = ["misshapen"]

_UNCALLED: Final = type(func.now)


def _is_source(given: Any) -> bool:
    read = given is DOCUMENT or isinstance(given, (str, CustomField, ColumnElement))
    return read or (callable(given) and _is_value(given))


def _is_value(given: Any) -> bool:
    unfinished = given is custom_field or given is CustomField
    return not unfinished and not isinstance(given, (CustomField, Reference, ChildMap))


def _is_natural_key(given: Any) -> bool:
    if isinstance(given, str) or not isinstance(given, Sequence):
        return isinstance(given, str)
    pair = len(given) == 2  # noqa: PLR2004  # a pair
    return pair and isinstance(given[0], str) and callable(given[1])


_NAME: Final = Kind(of(str), "a name", "the name as text")
_NAME_OR_NONE: Final = _NAME._replace(fits=of(str, type(None)))
_REFERENCES: Final = "references=[Reference(…)]"
_CHILDREN: Final = "children=[ChildMap(…)]"
_ADOPT: Final = 'adopt=("name",), or adopt=(("name", folded),)'
_SOURCE: Final = Kind(
    _is_source,
    "a source",
    'a path such as "total", custom_field("cf_note") or a callable; what refers to another entity '
    "belongs in references, and a value that is always the same in insert_only",
)
_MAPPING: Final = Kind(of(EntityMap), "an EntityMap", "mapping = EntityMap(table=…, …)")
_KINDS: Final[Mapping[str, Kind]] = {
    "key": _NAME_OR_NONE,
    "deleted_column": _NAME_OR_NONE,
    "organization_column": _NAME_OR_NONE,
    "organization_id": _NAME_OR_NONE._replace(called="Zoho's id of an organization, as text"),
    "column": _NAME,
    "parent": Kind(of(str, Sequence), "a name", "the name as text, or several in a tuple"),
    "to": Kind(of(str), "the name of an entity type", 'it as text: to="customer"'),
    "source": _SOURCE,
    "when": Kind(of(Callable, type(None)), "a callable", "lambda payload: payload.is_active"),
    "columns": Kind(of(Mapping), "a mapping", 'columns={"column": …}'),
    "insert_only": Kind(of(Mapping), "a mapping", 'insert_only={"column": …}'),
    "references": Kind(of(Sequence), "a list of Reference", _REFERENCES),
    "children": Kind(of(Sequence), "a list of ChildMap", _CHILDREN),
    "adopt": Kind(of(Sequence), "a list of columns", _ADOPT),
}
"""The kind of each argument, but for those that are a word of a few."""

_MEMBERS: Final[Mapping[str, Kind]] = {
    "parent": _NAME,
    "columns": _SOURCE,
    "insert_only": Kind(
        _is_value,
        "a value for new rows",
        "a value, or a callable; what reads the document belongs in columns, or in references",
    ),
    "references": Kind(of(Reference), "a Reference", _REFERENCES),
    "children": Kind(of(ChildMap), "a ChildMap", _CHILDREN),
    "adopt": Kind(_is_natural_key, "a column, or one in a pair with a callable", _ADOPT),
}
"""The kind of what an argument holds, where it holds several."""


def misshapen(mapping: Any, owner: str) -> list[Finding]:  # whatever the host gave
    """Return what is wrong with the arguments of a mapping; the owner is its handler."""
    return [*_misfit(_MAPPING, mapping, f"{owner}.mapping")] or [*_arguments(mapping, owner)]


def _arguments(part: EntityMap | ChildMap | Reference, owner: str) -> Iterator[Finding]:
    for name, given in ((each.name, getattr(part, each.name)) for each in fields(part)):
        where = f"{owner}.{name}"
        found = [*_misfit(_KINDS[name], given, where)] if name in _KINDS else []
        yield from found
        if name == "missing" or (name in _KINDS and not found):
            yield from _uncallable(given, where)
        if name in _MEMBERS and not found and not isinstance(given, str):
            yield from _members(name, given, where)


def _members(name: str, given: Any, where: str) -> Iterator[Finding]:
    for key, each in given.items() if isinstance(given, Mapping) else enumerate(given):
        if isinstance(given, Mapping):
            yield from _misfit(_NAME, key, where)
        # A reference goes by its column, as it does wherever else it is found wanting.
        column = getattr(each, "column", None) if name == "references" else None
        place = f"{where}[{column if isinstance(column, str) else key!r}]"
        found = [*_misfit(_MEMBERS[name], each, place)]
        yield from found
        if isinstance(each, (Reference, ChildMap)) and not found:
            yield from _arguments(each, place)
        elif not found:
            pair = name == "adopt" and not isinstance(each, str)
            yield from _uncallable(each[1] if pair else each, place, takes_sql=pair)


def _misfit(kind: Kind, given: Any, where: str) -> Iterator[Finding]:
    if not kind.fits(given):
        problem = f"it is {kind_of(given)}, not {kind.called}."
        yield Finding(where, problem, f"Give {kind.example}.")


def _uncallable(given: Any, where: str, *, takes_sql: bool = False) -> Iterator[Finding]:
    """Give why a callable cannot be called with one argument; nothing for what is none.

    With ``takes_sql`` it is called with a SQL expression, as a SQL function is.
    """
    if not callable(given):
        return
    if isinstance(given, _UNCALLED) and not takes_sql:
        yield Finding(where, "the SQL function is not called.", "Write func.now(), for example.")
    elif inspect.iscoroutinefunction(given):
        yield Finding(
            where, "the callable is async, and nothing awaits it.", "Give one that is not."
        )
    elif problem := _refused(given):
        problem = f"the callable is given one argument, and that does not fit: {problem}."
        yield Finding(where, problem, "Give one that takes it.")


def _refused(given: Callable[..., Any]) -> str:
    try:
        inspect.signature(given).bind(None)
    except TypeError as error:
        return str(error)
    except ValueError:
        # Much of what is written in C has no signature, and is not judged.
        return ""
    return ""
