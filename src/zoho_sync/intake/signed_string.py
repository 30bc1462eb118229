"""Puts together what Zoho signs, and refuses requests that other ones could have been cut from.

The signed string is made of

1. the pairs of the query and of a form body, URL-decoded, in one list;
2. sorted by key, and joined as ``key`` + ``value`` without separators;
3. followed by the body as received, unless the body is a form.

Where Zoho's description says nothing: pairs with equal keys stay in the order received, those of
the query first; a blank value contributes its key alone; ``+`` decodes to a blank.

Without separators, ``op=delete`` signs like ``o=pdelete``, and a query's last pair like the
beginning of a body. So a request is taken only if its string can be cut in no other way that means
something else: keys are plain, known and unique, the document begins with ``{``, and neither a
value nor the name of the field that carries the document hides a pair that bears on the event.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from typing import Final

from zoho_sync.events.event import OPERATION_WORDS
from zoho_sync.exceptions import ConfigurationError
from zoho_sync.intake.body import JSON_FIELD, ReadBody, read_body
from zoho_sync.intake.hints import QUERY_KEYS
from zoho_sync.intake.http import Pairs

__all__ = ["as_bytes", "check_query_keys", "hmac_of", "recut_problem", "sign", "signed_bytes"]

_KEY: Final = re.compile(r"[A-Za-z0-9_.-]+")
_WORDS: Final = "|".join(sorted(OPERATION_WORDS, key=len, reverse=True))
_OTHERS: Final = QUERY_KEYS - {"op", "operation", "entity", JSON_FIELD}
# What a pair looks like whose separator is gone: the key, and a value that it may have.
_PAIRS: Final = {
    "op": re.compile(rf"op({_WORDS})", re.IGNORECASE),
    "operation": re.compile(rf"operation({_WORDS})", re.IGNORECASE),
    "entity": re.compile("entity[A-Za-z]"),
    **{key: re.compile(rf"{key}\d") for key in _OTHERS},
}
_QUOTES: Final = frozenset('{}"')


def sign(
    secret: str,
    body: bytes,
    query: Iterable[tuple[str, str]] = (),
    *,
    content_type: str = "application/json",
) -> str:
    """Return the signature that Zoho would send, for tests and demonstrations.

    Args:
        secret: The webhook's secret.
        body: As it will be sent.
        query: The query string's pairs, not URL-encoded.
        content_type: Of the body; a form contributes its pairs instead of its bytes.

    Raises:
        ValueError: The body is a form that is not UTF-8.
    """
    return hmac_of(secret, signed_bytes(body, query, read_body(body, content_type).form))


def signed_bytes(body: bytes, query: Iterable[tuple[str, str]], form: Pairs | None) -> bytes:
    """Return the signed string of a request."""
    merged = sorted([*query, *(form or ())], key=lambda pair: pair[0])
    joined = as_bytes("".join(key + value for key, value in merged))
    return joined if form is not None else joined + body


def hmac_of(secret: str, content: bytes) -> str:
    """Return an HMAC-SHA256 in lower-case hexadecimal digits."""
    return hmac.new(as_bytes(secret), content, hashlib.sha256).hexdigest()


def as_bytes(text: str) -> bytes:
    """Return a text's bytes; half of a surrogate pair ends in a refusal, not in an exception."""
    return text.encode("utf-8", "surrogatepass")


def check_query_keys(listed: Iterable[str]) -> frozenset[str]:
    """Return the keys that an application adds to those that are known.

    Raises:
        ConfigurationError: One that hides another, or that could be told for a known one.
    """
    names = frozenset([listed] if isinstance(listed, str) else listed)
    for name in names:
        if not _KEY.fullmatch(name):
            raise ConfigurationError("query_keys: a key is made of letters, digits, '_', '-', '.'")
        starts = [key for key in ("op", "entity", JSON_FIELD) if name.startswith(key)]
        starts += [key for key in QUERY_KEYS if key.startswith(name)]
        if starts and name not in QUERY_KEYS:
            raise ConfigurationError(
                f"query_keys: Zoho signs keys and values without separators, so that {name!r} "
                f"could be taken for {starts[0]!r}; choose another name for it"
            )
    return names


def recut_problem(
    read: ReadBody, query: Sequence[tuple[str, str]], listed: frozenset[str], *, flat_forms: bool
) -> str:
    """Return why a request could be another one, cut anew; ``""`` if it could not."""
    form = read.form or ()
    keys = [key for key, _ in (*query, *form)]
    if not all(_KEY.fullmatch(key) for key in keys):
        return "a key of the query or form is not made of letters, digits, '_', '-' and '.' alone"
    if len({*keys}) < len(keys):
        return "a key of the query or form stands there twice"
    if {key for key, _ in query} - QUERY_KEYS - listed:
        return "the query has a key that is not known; name it in SignedRequest(query_keys=…)"
    carrier = _carrier(read)
    if form and carrier is None:
        # Its fields are the document, so that nothing tells which of them hides another.
        problem = "a flat form can be cut anew; see SignedRequest(flat_forms=True)"
        return "" if flat_forms else problem
    if {key for key, _ in form} - {carrier} - listed:
        return "a form has a field beside its JSON; name it in SignedRequest(query_keys=…)"
    return _hiding(sorted([*query, *form]), carrier)


def _carrier(read: ReadBody) -> str | None:
    """Return the form's field that carries the document, or nothing, as a check call's does."""
    fields = read.fields
    return (
        read.carrier
        if any(value.strip() for value in fields.values())
        else next(iter(fields), None)
    )


def _hiding(merged: Sequence[tuple[str, str]], carrier: str | None) -> str:
    """Return what may hide a pair that bears on the event, between its key and the next."""
    before, text = "", ""
    for key, value in merged:
        if key not in QUERY_KEYS and _hides_a_pair(before, text + key):
            return "a parameter, and the name of the next one, could be cut into others"
        is_document = key in (carrier, JSON_FIELD)
        if not is_document and (not _QUOTES.isdisjoint(value) or _hides_a_pair(key, value)):
            return "a parameter has braces or quotes, or could be cut into two"
        before, text = key, "" if is_document else value
    return ""


def _hides_a_pair(key: str, text: str) -> bool:
    # Pairs are sorted: what follows a key is greater.
    return any(name > key and pair.search(text) for name, pair in _PAIRS.items())
