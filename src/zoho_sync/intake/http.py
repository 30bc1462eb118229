"""Reads the little of HTTP that verifying, decoding and receiving must read in the same way."""

from __future__ import annotations

import re
from binascii import unhexlify
from collections.abc import Iterable, Mapping
from typing import Final, Literal

__all__ = [
    "MOST_FIELDS",
    "Pairs",
    "first_value",
    "header_value",
    "is_form",
    "is_unicode",
    "media_type",
    "pairs",
]

Pairs = tuple[tuple[str, str], ...]
"""Decoded ``key=value`` pairs of a query or a form, in the order received."""

_FORM: Final = "application/x-www-form-urlencoded"
_CHARSET: Final = re.compile(r";\s*charset\s*=\s*[\"']?([^\"';\s]*)", re.IGNORECASE)
_UNICODE: Final = frozenset({"", "utf-8", "utf8", "us-ascii", "ascii"})
MOST_FIELDS: Final = 1_000
"""Of a query or a form: more than any webhook has."""
_PIECE: Final = 16 * 1024
"""Bytes of a value that are decoded at once."""
_ESCAPES: Final = re.compile(rb"(?:%[0-9A-Fa-f]{2})+")


def header_value(headers: Mapping[str, str], name: str) -> str | None:
    """Return a header by its name in any case; None if it is not there."""
    wanted = name.lower()
    return next((value for key, value in headers.items() if key.lower() == wanted), None)


def first_value(values: Iterable[tuple[str, str]], *names: str) -> str | None:
    """Return the first value that is not blank under one of the names, the first name preferred."""
    given = list(values)
    found = (value for name in names for key, value in given if key == name and value.strip())
    return next(found, None)


def media_type(content_type: str) -> str:
    """Return a content type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def is_form(content_type: str) -> bool:
    """Return whether a content type is that of a URL-encoded form."""
    return media_type(content_type) == _FORM


def is_unicode(content_type: str) -> bool:
    """Return whether the charset of a content type is UTF-8, or not told."""
    charset = _CHARSET.search(content_type)
    return charset is None or charset[1].lower() in _UNICODE


def pairs(encoded: bytes, *, errors: Literal["strict", "replace"] = "strict") -> Pairs:
    """Decode a query string or a form body.

    A key keeps all its values, a blank value is kept, ``+`` is a blank and ``%2B`` a plus sign.

    Raises:
        ValueError: Not UTF-8, before or after percent-decoding, and ``errors`` is strict; or more
            than 1,000 pairs.
    """
    if encoded.count(b"&") >= MOST_FIELDS:
        message = "more fields than any webhook has"
        raise ValueError(message)
    # By now: an escape completes no character that was begun without one.
    known = encoded.decode("utf-8", errors).encode()
    cut = [field.partition(b"=") for field in known.split(b"&") if field]
    return tuple((_decoded(name, errors), _decoded(value, errors)) for name, _, value in cut)


def _decoded(text: bytes, errors: Literal["strict", "replace"]) -> str:
    # In pieces, none of which cuts an escape: there is an object for each run of escapes, which in
    # a body of 5 MB would be hundreds of megabytes, and let no other thread work meanwhile.
    text, decoded, start = text.replace(b"+", b" "), bytearray(), 0
    while start < len(text):
        end = start + _PIECE
        cut = text.rfind(b"%", end - 2, end)
        end = cut if cut >= 0 else end
        decoded += _ESCAPES.sub(_unescaped, text[start:end])
        start = end
    return decoded.decode("utf-8", errors)


def _unescaped(escapes: re.Match[bytes]) -> bytes:
    return unhexlify(escapes[0].replace(b"%", b""))
