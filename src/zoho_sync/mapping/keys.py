"""Writes primary keys of the host's rows as the text that the ledger keeps, and reads them back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Column

from zoho_sync.events import exact_json

__all__ = ["KEY_TYPES", "decode_key", "encode_key", "plain_key", "python_type"]

_READERS: Final[dict[type, Callable[[Any], Any]]] = {
    int: int,
    str: str,
    UUID: UUID,
    Decimal: Decimal,
    datetime: datetime.fromisoformat,
    date: date.fromisoformat,
}

KEY_TYPES: Final = tuple(_READERS)
"""The Python types that a primary key's columns may have."""


def encode_key(values: Sequence[Any]) -> str:
    """Return a primary key as text: a JSON list."""
    return exact_json.dumps(
        [str(value) if isinstance(value, (UUID, Decimal)) else value for value in values]
    )


def decode_key(text: str, columns: Sequence[Column[Any]]) -> tuple[Any, ...]:
    """Return the values of a primary key that `encode_key` wrote, as its columns type them.

    Without columns the values come back as JSON has them.
    """
    values = exact_json.loads(text)
    if not columns:
        return tuple(values)
    readers = [_READERS.get(python_type(column) or object) for column in columns]
    pairs = zip(readers, values, strict=True)
    # A decorated type takes what it gave.
    return tuple(read(value) if read is not None else value for read, value in pairs)


def python_type(column: Column[Any]) -> type | None:
    """Return the Python type of a column's values; None where its type does not say it."""
    try:
        return column.type.python_type
    except NotImplementedError:
        return None


def plain_key(values: Sequence[Any] | None) -> Any:  # any key, or a tuple of them
    """Return a key as users see it: the value itself, a tuple for a composite key, or None."""
    if values is None:
        return None
    return values[0] if len(values) == 1 else tuple(values)
