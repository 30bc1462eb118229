"""Reads Zoho's dates and times exactly, or refuses them with the reason; it never guesses."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, date, datetime, tzinfo
from typing import Final

__all__ = ["NO_OFFSET", "parse_date", "parse_time"]

NO_OFFSET: Final = "a time without an offset; say which zone it is in with time_zone=…"
"""Why a time is refused that could be read if its zone were known."""

_TIME: Final = re.compile(
    r"(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}(?::\d{2})?)(\.\d{1,9})?"
    r"\s?(Z|[+-]\d{2}:?\d{2})?",
    re.ASCII,
)
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def parse_time(
    text: str, *, time_zone: tzinfo | None = None, formats: Iterable[str] = ()
) -> datetime:
    """Read a time and return it as an aware UTC datetime, microseconds kept.

    Args:
        text: ISO 8601 with either offset style, ``Z``, or fractions; or one of ``formats``.
        time_zone: Of a text that has no offset.
        formats: `datetime.strptime` formats that are accepted besides.

    Raises:
        ValueError: Not a time, or without an offset while ``time_zone`` is not set.
    """
    moment = _parse(text.strip(), formats)
    if moment.tzinfo is None:
        if time_zone is None:
            raise ValueError(NO_OFFSET)
        moment = moment.replace(tzinfo=time_zone)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        message = "a time outside the calendar"
        raise ValueError(message) from None


def parse_date(text: str, *, formats: Iterable[str] = ()) -> date:
    """Read a date: ``YYYY-MM-DD``, the date part of an ISO time, or one of ``formats``.

    The date part is taken as written: an invoice's day is a day of its organization's calendar,
    and moving it to another zone would change it.

    Raises:
        ValueError: Not a date.
    """
    text = text.strip()
    if _DATE.fullmatch(text):
        text += " 00:00"
    return _parse(text, formats).date()


def _parse(text: str, formats: Iterable[str]) -> datetime:
    if match := _TIME.fullmatch(text):
        day, clock, fraction, zone = match.groups()
        try:
            return datetime.fromisoformat("".join((day, "T", clock, fraction or "", zone or "")))
        except ValueError:
            message = "no such day or time of day in the calendar"
            raise ValueError(message) from None
    for layout in formats:
        with suppress(ValueError):
            return datetime.strptime(text, layout)  # noqa: DTZ007  # the caller adds the zone
    message = "not a date or time in a known format; list other formats in date_formats=…"
    raise ValueError(message)
