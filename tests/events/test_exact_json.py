"""What is written as JSON is read back with every digit, or refused with its place."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoho_sync.events import exact_json
from zoho_sync.events.exact_json import InexactError, canonical_hash, dumps, loads

TEXTS = st.text() | st.text('\x00"\\ud834{}[],:0.\ud834\udd1e')
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS | DECIMALS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    max_leaves=20,
)


def same(value: Any) -> Any:
    """Return a value as it is compared: a decimal by its digits, halves of pairs put together."""
    if isinstance(value, dict):
        return {same(key): same(item) for key, item in value.items()}
    if isinstance(value, list):
        return [same(item) for item in value]
    if isinstance(value, Decimal):
        # A decimal without a fraction is a whole number in JSON.
        return str(int(value)) if str(value).lstrip("-").isdigit() else str(value)
    if isinstance(value, str):
        return "text " + value.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    return str(value) if type(value) is int else value


@given(VALUES)
def test_what_is_written_is_read_with_every_digit(value: Any) -> None:
    text = dumps(value)
    assert exact_json.is_encodable(text)
    assert same(loads(text)) == same(value)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_without_decimals_it_is_what_the_standard_library_writes(value: Any) -> None:
    assert dumps(value) == json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class Word(StrEnum):
    A = "a"


class Number(IntEnum):
    ONE = 1


def test_hosts_may_give_their_own_kinds_of_values() -> None:
    moment = datetime(2026, 3, 1, 8, 30, tzinfo=UTC)
    value = MappingProxyType(
        {
            "a": Word.A,
            "n": Number.ONE,
            "d": moment.date(),
            "t": moment,
            "l": (1, Decimal("2.50")),
        }
    )
    written = '{"a":"a","n":1,"d":"2026-03-01","t":"2026-03-01T08:30:00+00:00","l":[1,2.50]}'
    assert dumps(value) == written


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": [1, {"b": 1.5}]}, "a[1].b"),
        ({"a": {1: "x"}}, "a"),
        ({None: "x"}, ""),
        ([Decimal("NaN")], "[0]"),
        ({"a": b"x"}, "a"),
        ({"a": 10**5000}, "a"),
    ],
)
def test_what_has_no_exact_form_is_refused_with_its_place(value: Any, path: str) -> None:
    with pytest.raises(InexactError) as refused:
        dumps(value)
    assert refused.value.path == path
    with pytest.raises(InexactError):
        canonical_hash("upsert", {"document": value})


@given(st.dictionaries(TEXTS, VALUES))
def test_a_hash_regards_neither_order_nor_formatted_twins(document: dict[str, Any]) -> None:
    backwards = dict(reversed(list(document.items())))
    twins = backwards | {"total_formatted": "1,00", "lines": [{"rate_formatted": "2"}]}
    others = document | {"total_formatted": "1.00", "lines": [{}]}
    assert canonical_hash("upsert", twins) == canonical_hash("upsert", others)
    assert canonical_hash("delete", document) != canonical_hash("upsert", document)
