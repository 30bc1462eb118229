"""JSON whose numbers keep every digit: 99999999999999.99 goes in and comes out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, Final

__all__ = ["canonical_hash", "dumps", "loads"]

_MAX_DEPTH: Final = 100
_plain: Final = json.JSONEncoder(ensure_ascii=False).encode
_escaped: Final = json.JSONEncoder(ensure_ascii=True).encode


def loads(text: str | bytes) -> Any:  # any JSON value
    """Read JSON; numbers with a fraction or an exponent become `decimal.Decimal`.

    Raises:
        ValueError: Not JSON, not UTF-8, nested deeper than 100 levels, or NaN and infinities.
    """
    try:
        value = json.loads(text, parse_float=_decimal, parse_constant=_refuse_constant)
    except RecursionError:
        message = "JSON is nested too deeply"
        raise ValueError(message) from None
    _check_depth(value)
    return value


def dumps(value: Any) -> str:  # any JSON value
    """Write JSON, decimals as numbers with all their digits, keys in the order given.

    Raises:
        TypeError: A value that JSON has no form for; binary floats are among them.
    """
    return "".join(_encode(value, ordered=False))


def canonical_hash(operation: str, document: Mapping[str, Any]) -> str:
    """Hash an operation and its document: SHA-256, hex.

    Keys are sorted, and every ``*_formatted`` key is left out: those twins follow the locale of the
    organization and say nothing that the plain field does not say.
    """
    text = "".join(_encode([operation, _unformatted(document)], ordered=True))
    return hashlib.sha256(text.encode()).hexdigest()


def _unformatted(value: Any) -> Any:  # any JSON value
    if isinstance(value, Mapping):
        return {k: _unformatted(v) for k, v in value.items() if not k.endswith("_formatted")}
    if isinstance(value, (list, tuple)):
        return [_unformatted(item) for item in value]
    return value


def _encode(value: Any, *, ordered: bool) -> Iterator[str]:  # any JSON value
    if isinstance(value, Mapping):
        yield from _encode_object(value, ordered=ordered)
    elif isinstance(value, (list, tuple)):
        yield "["
        for position, item in enumerate(value):
            yield "," if position else ""
            yield from _encode(item, ordered=ordered)
        yield "]"
    else:
        yield _encode_scalar(value)


def _encode_object(value: Mapping[str, Any], *, ordered: bool) -> Iterator[str]:
    yield "{"
    for position, key in enumerate(sorted(value) if ordered else value):
        yield ("," if position else "") + _quote(key) + ":"
        yield from _encode(value[key], ordered=ordered)
    yield "}"


def _encode_scalar(value: Any) -> str:  # any JSON value
    if value is None or isinstance(value, (str, bool, int)):
        return _quote(value)
    if isinstance(value, Decimal) and value.is_finite():
        return str(value)
    if isinstance(value, date):
        return _quote(value.isoformat())
    message = f"{type(value).__name__} has no exact JSON form; give a str, an int or a Decimal"
    raise TypeError(message)


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


def _quote(value: Any) -> str:
    text = _plain(value)
    # Half a surrogate pair has no UTF-8 form; escaped, it is kept.
    return text if text.isascii() or _is_encodable(text) else _escaped(value)


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse_constant(name: str) -> None:
    message = f"{name} is not JSON"
    raise ValueError(message)
