"""Reads and writes JSON whose numbers keep every digit: 99999999999999.99 goes in and comes out."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from zoho_sync.exceptions.wording import shown_key

__all__ = [
    "InexactError",
    "canonical_hash",
    "dumps",
    "is_encodable",
    "loads",
    "path_text",
    "scalar_problem",
]

_MAX_DEPTH: Final = 100
_MAX_INTEGER_BITS: Final = 14_000
"""Python writes integers of up to 4,300 digits, some 14,284 bits."""

_as_given: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_by_key: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode

# The standard library's encoder is written in C, and knows no decimals. They go through it as texts
# that begin with something which nobody can have written, and lose that and their quotes after it.
_MARK: Final = secrets.token_hex(16)
_MARKED: Final = re.compile(f'"{_MARK}([^"]*)"')
_HALF_A_PAIR: Final = re.compile("[\ud800-\udfff]")
_AS_THEY_ARE: Final = frozenset({str, int, bool, type(None)})


class InexactError(TypeError):
    """A value that JSON has no exact form for.

    Attributes:
        path: Where it stands, for example ``invoice.line_items[2].quantity``; ``""`` for the whole.
        problem: What is wrong with it, without the value.
    """

    def __init__(self, path: str, problem: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"{path}: {problem}" if path else problem)


def loads(text: str | bytes) -> Any:  # any JSON value
    """Read JSON; numbers with a fraction or an exponent become `decimal.Decimal`.

    Line breaks and other control characters may stand in a text as they are.

    Raises:
        ValueError: Not JSON, not UTF-8, nested deeper than 100 levels, or NaN and infinities.
    """
    try:
        value = json.loads(
            text, parse_float=_decimal, parse_constant=_refuse_constant, strict=False
        )
    except RecursionError:
        message = "JSON is nested too deeply"
        raise ValueError(message) from None
    _check_depth(value)
    return value


def dumps(value: Any) -> str:  # any JSON value
    """Write JSON, decimals as numbers with all their digits, keys in the order given.

    Raises:
        InexactError: A value that JSON has no form for; binary floats are among them.
    """
    try:
        return _written(_as_given(_ready(value)))
    except (TypeError, ValueError):
        raise _inexact(value) from None


def canonical_hash(operation: str, document: Mapping[str, Any]) -> str:
    """Hash an operation and its document: SHA-256, hex.

    Keys are sorted, and every ``*_formatted`` key is left out: those twins follow the locale of the
    organization and say nothing that the plain field does not say.

    Raises:
        InexactError: A value that JSON has no form for.
    """
    try:
        text = _written(_by_key([operation, _ready(document, leave="_formatted")]))
    except (TypeError, ValueError):
        raise _inexact(document) from None
    return hashlib.sha256(text.encode()).hexdigest()


def path_text(root: str, steps: Iterable[str | int]) -> str:
    """Return a path as it is written, its keys cut: ``invoice.line_items[2].quantity``."""
    named = (f"[{step}]" if isinstance(step, int) else f".{shown_key(step)}" for step in steps)
    text = root + "".join(named)
    return text.removeprefix(".")


def scalar_problem(value: object) -> str:
    """Return why a value that is no text and no collection is not JSON; ``""`` if it is."""
    if isinstance(value, int):
        long = value.bit_length() > _MAX_INTEGER_BITS
        return "an integer of thousands of digits" if long else ""
    if isinstance(value, Decimal):
        return "" if value.is_finite() else "not a finite number"
    if isinstance(value, float):
        return "a binary float, which has lost digits; give a Decimal, a str or an int"
    known = value is None or isinstance(value, date)
    return "" if known else f"a value that JSON does not have: {type(value).__name__}"


def _inexact(value: Any) -> InexactError:  # any value
    steps, problem = next(_flaws(value))
    return InexactError(path_text("", steps), problem)


def _flaws(value: Any) -> Iterator[tuple[tuple[str | int, ...], str]]:  # any value
    """Yield where and why a value has no form in JSON."""
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    elif not isinstance(value, str) and (problem := scalar_problem(value)):
        yield (), problem
    for step, item in items:
        if isinstance(value, Mapping) and not isinstance(step, str):
            yield (), "a key that is not text"
        yield from (((step, *steps), problem) for steps, problem in _flaws(item))


def _ready(value: Any, leave: str | None = None) -> Any:  # any JSON value
    """Return a value for the standard encoder, without the keys that end in ``leave``.

    Raises:
        TypeError: It has no exact form; the encoder would write floats, and make texts of keys.
    """
    if isinstance(value, Mapping):
        made = {}
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError
            if leave is None or not key.endswith(leave):
                # Most values are plain: what a call for each of them would cost is half of it all.
                made[key] = item if type(item) in _AS_THEY_ARE else _ready(item, leave)
        return made
    if isinstance(value, (list, tuple)):
        return [_ready(item, leave) for item in value]
    return _ready_scalar(value)


def _ready_scalar(value: Any) -> Any:
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, Decimal) and value.is_finite():
        return f"{_MARK}{value}"
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError


def _written(text: str) -> str:
    plain = _MARKED.sub(r"\1", text) if _MARK in text else text
    # Half a surrogate pair has no UTF-8 form; escaped, it is kept.
    return plain if is_encodable(plain) else _HALF_A_PAIR.sub(_escaped, plain)


def _escaped(half: re.Match[str]) -> str:
    return f"\\u{ord(half[0]):04x}"


def _check_depth(value: Any) -> None:  # any JSON value
    level, depth = [value], 0
    while level:
        if depth > _MAX_DEPTH:
            message = "JSON is nested too deeply"
            raise ValueError(message)
        level = [child for parent in level for child in _children(parent)]
        depth += 1


def _children(value: Any) -> Iterator[Any]:  # any JSON value
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _decimal(digits: str) -> Decimal:
    try:
        return Decimal(digits)
    except InvalidOperation:
        message = "a number outside any range"
        raise ValueError(message) from None


def is_encodable(text: str) -> bool:
    """Return whether text has a UTF-8 form, as half of a surrogate pair has not."""
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def _refuse_constant(name: str) -> None:
    message = f"{name} is not JSON"
    raise ValueError(message)
