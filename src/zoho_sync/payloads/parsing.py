"""Reads a document into its model, or refuses it with one error that names the field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import tzinfo
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from zoho_sync.events.exact_json import is_encodable, path_text, scalar_problem
from zoho_sync.exceptions import PayloadError
from zoho_sync.payloads.base import Payload
from zoho_sync.payloads.fields import REFUSED

__all__ = ["parse"]

_MAX_DEPTH: Final = 100

_PROBLEMS: Final = {"missing": "missing", "model_type": "expected an object"}
_Flaw = tuple[tuple[str | int, ...], str]
_TOO_DEEP: Final[_Flaw] = ((), f"nested deeper than {_MAX_DEPTH} levels")
PayloadT = TypeVar("PayloadT", bound=Payload)


def parse(
    model: type[PayloadT],
    document: Mapping[str, Any],
    *,
    time_zone: tzinfo | None = None,
    date_formats: Iterable[str] = (),
) -> PayloadT:
    """Read a document into its model.

    Args:
        model: One of the payload models, or an application's own.
        document: The entity's document, unwrapped; numbers are `int` or `decimal.Decimal`.
        time_zone: Of times that have no offset.
        date_formats: `datetime.strptime` formats that are accepted besides ISO 8601.

    Raises:
        PayloadError: It cannot be understood, or holds what a database cannot store: NUL
            characters, lone surrogates, NaN, binary floats. The error has the path of the first
            problem, ``invoice.line_items[2].quantity``, and never quotes a value.
    """
    root = model.entity_type
    if not isinstance(document, Mapping):
        raise PayloadError(root, "expected an object")
    flaw = _find_flaw(document, 0)
    if flaw is None:
        context = {"time_zone": time_zone, "date_formats": tuple(date_formats)}
        try:
            return model.model_validate(dict(document), context=context)
        except ValidationError as error:
            flaw = _first_problem(error)
    # Raised here and not above: what pydantic says quotes values, so it must not be its context.
    raise PayloadError(path_text(root, flaw[0]), flaw[1])


def _first_problem(error: ValidationError) -> _Flaw:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    if first["type"] == REFUSED:
        return first["loc"], first["msg"]
    return first["loc"], _PROBLEMS.get(first["type"], f"not valid: {first['type']}")


def _find_flaw(value: object, depth: int) -> _Flaw | None:
    """Return where and why a value cannot be stored; None if all of it can."""
    # Nearly all values are text, and a class of abc takes long to ask: concrete classes first.
    if isinstance(value, str):
        problem = _text_problem(value)
        return ((), f"text with {problem}") if problem else None
    if isinstance(value, (dict, Mapping)):
        return _find_flaw_in_object(value, depth + 1)
    if isinstance(value, (list, tuple)):
        return _find_flaw_in_list(value, depth + 1)
    problem = scalar_problem(value)
    return ((), problem) if problem else None


def _find_flaw_in_object(document: Mapping[Any, object], depth: int) -> _Flaw | None:
    if depth > _MAX_DEPTH:
        return _TOO_DEEP
    for key, item in document.items():
        if not isinstance(key, str):
            return (), "a key that is not text"
        # The path must be storable too, so a key that is not is named by its parent.
        if problem := _text_problem(key):
            return (), f"a key with {problem}"
        if flaw := _find_flaw(item, depth):
            return (key, *flaw[0]), flaw[1]
    return None


def _find_flaw_in_list(items: Iterable[object], depth: int) -> _Flaw | None:
    if depth > _MAX_DEPTH:
        return _TOO_DEEP
    for position, item in enumerate(items):
        if flaw := _find_flaw(item, depth):
            return (position, *flaw[0]), flaw[1]
    return None


def _text_problem(text: str) -> str:
    if "\0" in text:
        return "a NUL character, which PostgreSQL cannot store"
    return "" if is_encodable(text) else "half of a surrogate pair, which is no character"
