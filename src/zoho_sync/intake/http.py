"""Reads the little of HTTP that verifying, decoding and receiving must read in the same way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal
from urllib.parse import parse_qsl

__all__ = ["Pairs", "first_value", "header_value", "is_form", "media_type", "pairs"]

Pairs = tuple[tuple[str, str], ...]
"""Decoded ``key=value`` pairs of a query or a form, in the order received."""

_FORM: Final = "application/x-www-form-urlencoded"
_MOST_FIELDS: Final = 1_000


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


def pairs(encoded: bytes, *, errors: Literal["strict", "replace"] = "strict") -> Pairs:
    """Decode a query string or a form body.

    A key keeps all its values, a blank value is kept, ``+`` is a blank and ``%2B`` a plus sign.

    Raises:
        ValueError: Not UTF-8, before or after percent-decoding, and ``errors`` is strict; or more
            than 1,000 pairs.
    """
    return tuple(
        parse_qsl(
            encoded.decode("utf-8", errors),
            keep_blank_values=True,
            encoding="utf-8",
            errors=errors,
            max_num_fields=_MOST_FIELDS,
        )
    )
