"""Whether a mapping's arguments are of the right kind, before their names are looked up.

Nothing makes Python check them: a `ChildMap` that is not in a list, or an attribute in place of its
name, would end in an error from somewhere inside the library.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from zoho_sync._callable_shape import callable_fault
from zoho_sync.entities import BUILTIN_KINDS, EntityCatalog
from zoho_sync.exceptions import Finding
from zoho_sync.mapping import ChildMap, CustomField, EntityMap, Reference, custom_field

__all__ = ["misshapen"]

_FIELD: Final = "Give the field's API name or label, for example custom_field('cf_note')."
_PAYLOAD: Final = "lambda payload: …"
_LINE: Final = "lambda line: …"


def misshapen(mapping: Any, owner: str) -> list[Finding]:  # whatever the host gave
    """Return what is wrong with the arguments of a mapping.

    Args:
        mapping: What a handler has under that name.
        owner: The handler, for the findings.
    """
    if not isinstance(mapping, EntityMap):
        problem = f"it is {_kind(mapping)}, not an EntityMap."
        return [Finding(f"{owner}.mapping", problem, "Give mapping = EntityMap(table=…, …).")]
    found = [
        *_rows(mapping, owner, _PAYLOAD),
        *_adopt(mapping.adopt, f"{owner}.adopt"),
        *_members(mapping.children, f"{owner}.children", ChildMap),
        *_name(mapping.deleted_column, f"{owner}.deleted_column"),
        *_name(mapping.organization_column, f"{owner}.organization_column"),
    ]
    if mapping.when is not None and not callable(mapping.when):
        problem = f"it is {_kind(mapping.when)}, which cannot be called."
        remedy = "Give a callable, for example lambda payload: payload.status != 'draft'."
        found.append(Finding(f"{owner}.when", problem, remedy))
    found += callable_fault(mapping.when, f"{owner}.when", "lambda payload: payload.is_active")
    if isinstance(mapping.children, Sequence):
        for position, child in enumerate(mapping.children):
            if isinstance(child, ChildMap):
                found += _child(child, f"{owner}.children[{position}]")
    return found


def _child(child: ChildMap, owner: str) -> Iterator[Finding]:
    yield from _rows(child, owner, _LINE)
    yield from _source(child.source, f"{owner}.source", _PAYLOAD)
    parent: Any = child.parent
    listed = isinstance(parent, Sequence) and not isinstance(parent, str)
    for name in parent if listed else (parent,):
        yield from _name(name, f"{owner}.parent", optional=False)


def _rows(rows: EntityMap | ChildMap, owner: str, example: str) -> Iterator[Finding]:
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
                yield from _source(source, f"{where}[{name!r}]", example)
            else:
                yield from _value(source, f"{where}[{name!r}]", example)
    yield from _members(rows.references, f"{owner}.references", Reference)
    if isinstance(rows.references, Sequence):
        for position, reference in enumerate(rows.references):
            if isinstance(reference, Reference):
                yield from _reference(reference, owner, position, example)


def _reference(reference: Reference, owner: str, position: int, example: str) -> Iterator[Finding]:
    named = isinstance(reference.column, str)
    where = f"{owner}.references[{reference.column!r}]" if named else f"{owner}.references"
    yield from _name(reference.column, f"{owner}.references[{position}].column", optional=False)
    yield from _source(reference.source, where, example)
    yield from callable_fault(
        reference.missing, f"{where}.missing", 'lambda zoho_id: {"name": zoho_id}'
    )
    if not isinstance(reference.to, str):
        problem = f"it is {_kind(reference.to)}, not the name of an entity type."
        yield Finding(f"{where}.to", problem, f"Give it as text: to={_type_of(reference)!r}.")


def _type_of(reference: Reference) -> str:
    """Guess the entity type: a handler and a payload model say it, an id's name tells it."""
    said = getattr(reference.to, "entity_type", "")
    source = reference.source if isinstance(reference.source, str) else ""
    guessed = EntityCatalog(BUILTIN_KINDS).resolve(source.removesuffix("_id")) if source else None
    return said if isinstance(said, str) and said else guessed or "customer"


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


def _adopt(given: Any, where: str) -> Iterator[Finding]:
    if isinstance(given, str):
        remedy = f"Give adopt=({given!r},), or adopt=({_pair(given)},)."
        yield Finding(where, "it is text, not a list of columns.", remedy)
    elif isinstance(given, Mapping) or not isinstance(given, Sequence):
        pairs = given.items() if isinstance(given, Mapping) else ()
        name, normalise = next(iter(pairs), ("name", None))
        problem = f"it is {_kind(given)}, not a list of columns."
        yield Finding(where, problem, f"Give adopt=({_pair(name, normalise)},).")
    elif _is_pair(given):
        problem = "it is one pair, not a list of columns."
        yield Finding(where, problem, f"In a tuple: adopt=({_pair(*given)},).")
    else:
        for position, each in enumerate(given):
            if not isinstance(each, str):
                yield from _natural_key(each, f"{where}[{position}]")


def _natural_key(given: Any, where: str) -> Iterator[Finding]:
    if isinstance(given, str) or not isinstance(given, Sequence):
        key = getattr(given, "key", None)
        remedy = f"Give its name as text: {key!r}." if isinstance(key, str) else ""
        problem = f"it is {_kind(given)}, not a column's name."
        yield Finding(where, problem, remedy or f"Give a name, or a pair: {_pair('name')}.")
    elif len(given) != 2:  # noqa: PLR2004  # a pair
        problem = f"it has {len(given)} parts, and a pair is a column's name and a callable."
        yield Finding(where, problem, f"Give {_pair(*given[:2])}.")
    elif not isinstance(given[0], str):
        column = getattr(given[0], "key", given[1])
        problem = f"what it begins with is {_kind(given[0])}, not a column's name."
        yield Finding(where, problem, f"The column goes first: {_pair(column, *given)}.")
    elif not callable(given[1]):
        problem = f"{given[1]!r} cannot be called."
        remedy = f"Give the callable itself: {_pair(given[0])}, of zoho_sync.mapping."
        yield Finding(where, problem, remedy)
    else:
        yield from callable_fault(given[1], where, _pair(given[0]), takes_sql=True)


def _is_pair(given: Sequence[Any]) -> bool:
    if len(given) != 2 or not isinstance(given[0], str):  # noqa: PLR2004  # a pair
        return False
    return callable(given[1])


def _pair(column: Any = "name", *others: Any) -> str:  # whatever the host gave
    """Return how a pair is written, with the callable that was given, if it has a name."""
    named = (getattr(each, "__qualname__", "") for each in others if callable(each))
    normalise = next((name for name in named if name and "<" not in name), "folded")
    return f'("{column if isinstance(column, str) else "name"}", {normalise})'


def _name(name: Any, where: str, *, optional: bool = True) -> Iterator[Finding]:
    if not isinstance(name, str) and not (optional and name is None):
        remedy = "Give the name as text."
        # An attribute of an ORM class, or a Column, has the name that was meant.
        alone = name[0] if isinstance(name, (list, tuple)) and len(name) == 1 else None
        key = getattr(name, "key", alone)
        if isinstance(key, str):
            remedy = f"Give its name as text: {key!r}."
        yield Finding(where, f"it is {_kind(name)}, not a name.", remedy)


def _source(source: Any, where: str, example: str) -> Iterator[Finding]:
    name: Any = getattr(source, "name", None)
    if source is None:
        problem = "it is nothing, and no source."
        yield Finding(where, problem, 'Give a field of the document, for example "notes".')
    elif source is custom_field or source is CustomField:
        yield Finding(where, "custom_field is not called.", _FIELD)
    elif isinstance(source, CustomField) and (not isinstance(name, str) or not name.strip()):
        yield Finding(where, "custom_field() is given no name.", _FIELD)
    elif isinstance(source, Reference):
        remedy = f"Give it in a list of its own: references=[Reference({source.column!r}, …)]."
        yield Finding(where, "a Reference is not a source.", remedy)
    else:
        yield from callable_fault(source, where, example)


def _value(value: Any, where: str, example: str) -> Iterator[Finding]:
    if isinstance(value, (CustomField, Reference)) or value is custom_field:
        kind = "Reference" if isinstance(value, Reference) else "custom_field()"
        place = "references=[…]" if isinstance(value, Reference) else "columns={…}"
        problem = f"{kind} reads the document, and this is a value for new rows."
        yield Finding(where, problem, f"Put it into {place}, or give a callable: {example}.")
    else:
        yield from callable_fault(value, where, example)


def _kind(value: Any) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return "nothing" if value is None else f"of type {type(value).__name__}"
