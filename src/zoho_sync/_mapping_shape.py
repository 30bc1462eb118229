"""Whether a mapping's arguments are of the right kind, before their names are looked up.

Nothing makes Python check them: a `ChildMap` that is not in a list, or an attribute in place of its
name, would end in an error from somewhere inside the library.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from zoho_sync.exceptions import Finding
from zoho_sync.mapping import ChildMap, CustomField, EntityMap, Reference

__all__ = ["misshapen"]


def misshapen(mapping: Any, owner: str) -> list[Finding]:  # whatever the host gave
    """Return what is wrong with the arguments of a mapping.

    Args:
        mapping: What a handler has under that name.
        owner: The handler, for the findings.
    """
    if not isinstance(mapping, EntityMap):
        problem = f"it is {_kind(mapping)}, not an EntityMap."
        return [Finding(f"{owner}.mapping", problem, "Give mapping = EntityMap(table=…, …).")]
    found = [*_rows(mapping, owner), *_members(mapping.children, f"{owner}.children", ChildMap)]
    found += [
        *_name(mapping.deleted_column, f"{owner}.deleted_column"),
        *_name(mapping.organization_column, f"{owner}.organization_column"),
    ]
    if mapping.when is not None and not callable(mapping.when):
        problem = f"it is {_kind(mapping.when)}, which cannot be called."
        remedy = "Give a callable, for example lambda payload: payload.status != 'draft'."
        found.append(Finding(f"{owner}.when", problem, remedy))
    if isinstance(mapping.children, Sequence):
        for position, child in enumerate(mapping.children):
            if isinstance(child, ChildMap):
                found += _child(child, f"{owner}.children[{position}]")
    return found


def _child(child: ChildMap, owner: str) -> Iterator[Finding]:
    yield from _rows(child, owner)
    yield from _source(child.source, f"{owner}.source")
    parent: Any = child.parent
    listed = isinstance(parent, Sequence) and not isinstance(parent, str)
    for name in parent if listed else (parent,):
        yield from _name(name, f"{owner}.parent", optional=False)


def _rows(rows: EntityMap | ChildMap, owner: str) -> Iterator[Finding]:
    yield from _name(rows.key, f"{owner}.key")
    for attribute in ("columns", "insert_only"):
        given, where = getattr(rows, attribute), f"{owner}.{attribute}"
        if not isinstance(given, Mapping):
            problem = f"it is {_kind(given)}, not a mapping."
            yield Finding(where, problem, f'Give {attribute}={{"column": …}}.')
            continue
        for name, source in given.items():
            yield from _name(name, where, optional=False)
            if attribute == "columns":
                yield from _source(source, f"{where}[{name!r}]")
    yield from _members(rows.references, f"{owner}.references", Reference)
    if isinstance(rows.references, Sequence):
        for reference in rows.references:
            if isinstance(reference, Reference):
                where = f"{owner}.references[{reference.column!r}]"
                yield from _name(reference.column, f"{owner}.references", optional=False)
                yield from _name(reference.to, f"{where}.to", optional=False)
                yield from _source(reference.source, where)


def _members(given: Any, where: str, kind: type) -> Iterator[Finding]:
    example = f"{where.rpartition('.')[2]}=[{kind.__name__}(…)]"
    if isinstance(given, kind):
        yield Finding(where, f"it is one {kind.__name__}, not a list.", f"In a list: {example}.")
    elif not isinstance(given, Sequence) or isinstance(given, str):
        problem = f"it is {_kind(given)}, not a list of {kind.__name__}."
        yield Finding(where, problem, f"Give {example}.")
    else:
        for position, each in enumerate(given):
            if not isinstance(each, kind):
                problem = f"it is {_kind(each)}, not a {kind.__name__}."
                yield Finding(f"{where}[{position}]", problem, f"Give {example}.")


def _name(name: Any, where: str, *, optional: bool = True) -> Iterator[Finding]:
    if not isinstance(name, str) and not (optional and name is None):
        remedy = "Give the name as text."
        # An attribute of an ORM class, or a Column, has the name that was meant.
        key = getattr(name, "key", None)
        if isinstance(key, str):
            remedy = f"Give its name as text: {key!r}."
        yield Finding(where, f"it is {_kind(name)}, not a name.", remedy)


def _source(source: Any, where: str) -> Iterator[Finding]:
    if not isinstance(source, CustomField):
        return
    name: Any = source.name
    if not isinstance(name, str) or not name.strip():
        problem = "custom_field() is given no name."
        remedy = "Give the field's API name or label, for example custom_field('cf_note')."
        yield Finding(where, problem, remedy)


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"of type {type(value).__name__}"
