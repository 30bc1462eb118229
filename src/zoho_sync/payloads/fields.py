"""Reads the fields of a document, each by its type: lenient about habits, strict about meaning.

Zoho's documents hold no null: ``""`` stands for what is absent, whatever the field's type. One
field is a number or text by turns. So every type here takes each spelling that has one certain
meaning, turns a blank into None (lists: into ``[]``), and refuses the rest. Display twins
(``*_formatted``) follow the locale of the organization; no model declares them, and they are kept
as they came.

Messages never quote the value: bodies reach no log.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Final, TypeAlias, TypeVar

from pydantic import BeforeValidator, PlainValidator, ValidationInfo
from pydantic_core import PydanticCustomError

from zoho_sync.events.times import NO_OFFSET, parse_date, parse_time

__all__ = [
    "NO_ID",
    "REFUSED",
    "Amount",
    "Day",
    "EntityId",
    "FieldKind",
    "Flag",
    "Integer",
    "JsonList",
    "JsonObject",
    "JsonValue",
    "ListOf",
    "Moment",
    "Percent",
    "Text",
    "ZohoId",
    "is_blank",
    "read_amount",
    "unreadable",
]

REFUSED: Final = "zoho_value"
"""The pydantic error type of whatever is refused here; its messages quote no value."""

NO_ID: Final = "missing or empty"
"""The problem of a document without its id."""

_NUMBER: Final = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)
_MAX_PLACES: Final = 100
_MAX_BITS: Final = 63
_MAX_DIGITS_64_BIT: Final = 19
_FLAGS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}

T = TypeVar("T")


class FieldKind(enum.Enum):
    """What a field holds; the mirror chooses its columns by it."""

    TEXT = "text"
    ID = "id"
    NUMBER = "number"
    INTEGER = "integer"
    FLAG = "flag"
    DAY = "day"
    MOMENT = "moment"
    JSON = "json"


def unreadable(problem: str) -> PydanticCustomError:
    """Return the error of a value that cannot be understood; ``problem`` must not quote it."""
    return PydanticCustomError(REFUSED, problem)


def is_blank(value: object) -> bool:
    """Whether a value is one of Zoho's spellings of nothing: null, ``""``, or white space."""
    return value is None or (isinstance(value, str) and not value.strip())


def _unexpected(expected: str, value: object) -> PydanticCustomError:
    return unreadable(f"expected {expected}, not {_name_of(value)}")


def _name_of(value: object) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, float):
        return "a binary float, which has lost digits; give a Decimal, a str or an int"
    if isinstance(value, Mapping):
        return "an object"
    names = {str: "text", int: "a number", Decimal: "a number", list: "a list", tuple: "a list"}
    return names.get(type(value), type(value).__name__)


def _read_text(value: Any) -> str | None:
    if is_blank(value):
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return str(value)
    raise _unexpected("text", value)


def _read_id(value: Any) -> str | None:
    if is_blank(value):
        return None
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return str(value).strip()
    raise _unexpected("an id, as text or an integer", value)


def _read_entity_id(value: Any) -> str:
    found = _read_id(value)
    if found is None:
        raise unreadable(NO_ID)
    return found


def read_amount(value: Any) -> Decimal | None:
    """Read a number exactly; None for a blank.

    Raises:
        PydanticCustomError: Not a number, a binary float, NaN or infinite, or a number with a digit
            more than 100 places from the decimal point.
    """
    if is_blank(value):
        return None
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value.strip()):
            message = "not a number: digits and one decimal point, without thousands separators"
            raise unreadable(message)
        return _within_bounds(Decimal(value.strip()))
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return _within_bounds(Decimal(value))
    raise _unexpected("a number", value)


def _within_bounds(number: Decimal) -> Decimal:
    # An exponent of nine digits is short to send and takes gigabytes to calculate with.
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int):
        message = "not a finite number"
        raise unreadable(message)
    if exponent < -_MAX_PLACES or number.adjusted() > _MAX_PLACES:
        message = f"a number with more than {_MAX_PLACES} places before or after the point"
        raise unreadable(message)
    return number


def _read_percent(value: Any) -> Decimal | None:
    if isinstance(value, str) and value.rstrip().endswith("%"):
        value = value.rstrip()[:-1] or "%"
    return read_amount(value)


def _read_integer(value: Any) -> int | None:
    number = read_amount(value)
    if number is None:
        return None
    if number.adjusted() >= _MAX_DIGITS_64_BIT or int(number).bit_length() > _MAX_BITS:
        message = f"an integer of more than {_MAX_BITS} bits"
        raise unreadable(message)
    if int(number) != number:
        message = "not an integer: it has a fraction"
        raise unreadable(message)
    return int(number)


def _read_flag(value: Any) -> bool | None:
    if is_blank(value):
        return None
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in _FLAGS:
        return _FLAGS[value.strip().lower()]
    if isinstance(value, (int, Decimal)) and value in (0, 1):
        return bool(value)
    raise _unexpected("true or false", value)


def _read_day(value: Any, info: ValidationInfo) -> date | None:
    if is_blank(value):
        return None
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    if not isinstance(value, str):
        raise _unexpected("a date as text", value)
    try:
        return parse_date(value, formats=_formats(info))
    except ValueError:
        message = "not a date in a known format; list other formats in date_formats=…"
        raise unreadable(message) from None


def _read_moment(value: Any, info: ValidationInfo) -> datetime | None:
    if is_blank(value):
        return None
    if isinstance(value, datetime):
        value = value.isoformat()
    if not isinstance(value, str):
        raise _unexpected("a time as text", value)
    try:
        zone = (info.context or {}).get("time_zone")
        return parse_time(value, time_zone=zone, formats=_formats(info))
    except ValueError as error:
        unknown = "not a time in a known format; list other formats in date_formats=…"
        raise unreadable(NO_OFFSET if str(error) == NO_OFFSET else unknown) from None


def _formats(info: ValidationInfo) -> tuple[str, ...]:
    return tuple((info.context or {}).get("date_formats") or ())


def _read_object(value: Any) -> dict[str, Any] | None:
    # Where nothing is in it, an empty list stands for an object, or the text of one.
    if is_blank(value) or value == [] or (isinstance(value, str) and value.split() == ["{}"]):
        return None
    if not isinstance(value, Mapping):
        raise _unexpected("an object", value)
    return dict(value)


def _read_list(value: Any) -> list[Any]:
    if is_blank(value):
        return []
    if not isinstance(value, (list, tuple)):
        raise _unexpected("a list", value)
    return list(value)


def _read_json(value: Any) -> Any:
    return None if is_blank(value) else value


Text: TypeAlias = Annotated[str | None, FieldKind.TEXT, PlainValidator(_read_text)]
"""Text as it came, white space included; numbers become their digits, ``""`` becomes None."""

ZohoId: TypeAlias = Annotated[str | None, FieldKind.ID, PlainValidator(_read_id)]
"""An id as text, from text or an integer, never through a float; a blank is None.

An entity's own id has up to 100 characters.
"""

EntityId: TypeAlias = Annotated[str, FieldKind.ID, PlainValidator(_read_entity_id)]
"""The id of a payload model's own entity: as `ZohoId`, but required, and never blank."""

Amount: TypeAlias = Annotated[Decimal | None, FieldKind.NUMBER, PlainValidator(read_amount)]
"""Money, a quantity or a rate, every digit kept; from a Decimal, an integer or numeric text.

The mirror's columns hold 18 digits before the point and 10 after it, and refuse more.
"""

Percent: TypeAlias = Annotated[Decimal | None, FieldKind.NUMBER, PlainValidator(_read_percent)]
"""A percentage: 12.5 stands for 12.5 %; a ``%`` at the end is understood."""

Integer: TypeAlias = Annotated[int | None, FieldKind.INTEGER, PlainValidator(_read_integer)]
"""An integer of at most 64 bits, from 12, ``"12"`` or 12.0; 12.7 is refused, not cut."""

Flag: TypeAlias = Annotated[bool | None, FieldKind.FLAG, PlainValidator(_read_flag)]
"""True or false; also 0 and 1, and ``true``, ``false``, ``yes``, ``no`` as text in any case."""

Day: TypeAlias = Annotated[date | None, FieldKind.DAY, PlainValidator(_read_day)]
"""A day of the organization's calendar, as written: ``2026-03-02``, or the date of a time."""

Moment: TypeAlias = Annotated[datetime | None, FieldKind.MOMENT, PlainValidator(_read_moment)]
"""A time, aware UTC; the zone of one without an offset comes from the validation context."""

JsonObject: TypeAlias = Annotated[
    dict[str, Any] | None, FieldKind.JSON, PlainValidator(_read_object)
]
"""A nested object, as it came."""

JsonList: TypeAlias = Annotated[list[Any], FieldKind.JSON, PlainValidator(_read_list)]
"""A nested list, as it came; ``""`` and null become ``[]``."""

JsonValue: TypeAlias = Annotated[Any, FieldKind.JSON, PlainValidator(_read_json)]
"""Any JSON, for the few fields that are text in the documentation and a list in real documents."""

ListOf: TypeAlias = Annotated[list[T], BeforeValidator(_read_list)]
"""A list of lines, ``ListOf[InvoiceLine]``; ``""`` and null become ``[]``."""
