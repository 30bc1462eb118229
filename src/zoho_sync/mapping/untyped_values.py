"""Reads values that no payload model declares: custom fields, and what nested objects hold.

As far as anybody knows they are text, or a number. What they mean is said by the column that they
go into, and they are read as a field of that kind would be.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Boolean, Column, Date, DateTime, Enum, Float, Integer, Numeric, String
from sqlalchemy.types import TypeEngine

from zoho_sync.database.types import ExactDecimal, UtcDateTime
from zoho_sync.exceptions import PayloadError
from zoho_sync.mapping.declaration import CustomField, Source
from zoho_sync.payloads import Amount, Day, Flag, Line, Moment, Payload, Text
from zoho_sync.payloads import Integer as WholeNumber

__all__ = ["is_untyped", "read_untyped"]

_READERS: Final[tuple[tuple[type[TypeEngine[Any]], TypeAdapter[Any] | None], ...]] = (
    (ExactDecimal, TypeAdapter(Amount)),
    (UtcDateTime, TypeAdapter(Moment)),
    # Float stands before Numeric, whose subclass it is in one line of SQLAlchemy.
    (Float, None),
    (Numeric, TypeAdapter(Amount)),
    (Boolean, TypeAdapter(Flag)),
    (Integer, TypeAdapter(WholeNumber)),
    (DateTime, TypeAdapter(Moment)),
    (Date, TypeAdapter(Day)),
    (Enum, None),
    (String, TypeAdapter(Text)),
)


def is_untyped(source: Any) -> bool:  # any source
    """Return whether no model says what a source gives."""
    return isinstance(source, CustomField) or (isinstance(source, str) and "." in source)


def read_untyped(
    column: Column[Any], source: Source, node: Payload | Line, value: Any
) -> Any:  # whatever the column takes
    """Return a value as the kind of its column reads it; other columns take it as it is.

    Raises:
        PayloadError: It is nothing of that kind; the error names the field.
    """
    reader = next((read for kind, read in _READERS if isinstance(column.type, kind)), None)
    if value is None or reader is None:
        return value
    context = {"time_zone": node._time_zone, "date_formats": node._date_formats}  # noqa: SLF001  # of the library's own models
    try:
        return reader.validate_python(value, context=context)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False, include_input=False)
    # Raised here and not above: what pydantic says quotes values, so it must not be its context.
    name = source.name if isinstance(source, CustomField) else str(source)
    path = f"{node.entity_type}.{name}" if isinstance(node, Payload) else name
    raise PayloadError(path, problem[0]["msg"])
