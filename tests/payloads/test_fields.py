"""Each field type takes every spelling that has one meaning, and refuses the rest."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from zoho_sync.events.times import parse_time
from zoho_sync.payloads import (
    Amount,
    Day,
    EntityId,
    Flag,
    Integer,
    JsonList,
    JsonObject,
    JsonValue,
    Moment,
    Payload,
    Percent,
    Text,
    ZohoId,
)

DUBAI = timezone(timedelta(hours=4))


class Sample(Payload):
    entity_type = "sample"
    id_fields = ("sample_id",)

    sample_id: EntityId
    text: Text = None
    other_id: ZohoId = None
    amount: Amount = None
    percent: Percent = None
    integer: Integer = None
    flag: Flag = None
    day: Day = None
    moment: Moment = None
    json_object: JsonObject = None
    json_list: JsonList = Field(default_factory=list)
    json_value: JsonValue = None


def read(field: str, value: object, **context: object) -> Any:
    """What a field makes of a value."""
    return getattr(
        Sample.model_validate({"sample_id": "1", field: value}, context=context or None), field
    )


def refused(field: str, value: object, **context: object) -> str:
    """The message with which a field refuses a value."""
    with pytest.raises(ValidationError) as caught:
        read(field, value, **context)
    (error,) = caught.value.errors()
    assert error["loc"] == (field,)
    return error["msg"]


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("text", "Gujarat ", "Gujarat "),
        ("text", " ", None),
        ("text", "\t\u3000\n", None),
        ("text", 80540, "80540"),
        ("text", Decimal("10.00"), "10.00"),
        ("other_id", 982000000567114, "982000000567114"),
        ("other_id", 10**40 + 1, "1" + "0" * 39 + "1"),
        ("other_id", " 460000000026049 ", "460000000026049"),
        ("amount", 587000000, Decimal(587000000)),
        ("amount", "99999999999999.99", Decimal("99999999999999.99")),
        ("amount", " -12.50 ", Decimal("-12.50")),
        ("amount", "1e3", Decimal("1E+3")),
        ("amount", ".5", Decimal("0.5")),
        ("amount", Decimal("1.000000"), Decimal("1.000000")),
        ("percent", "70%", Decimal(70)),
        ("percent", "12.5 % ", Decimal("12.5")),
        ("percent", 12, Decimal(12)),
        ("integer", "12", 12),
        ("integer", Decimal("12.0"), 12),
        ("integer", -1, -1),
        ("integer", 2**63 - 1, 2**63 - 1),
        ("flag", True, True),
        ("flag", 0, False),
        ("flag", Decimal("1.0"), True),
        ("flag", "No", False),
        ("flag", "TRUE", True),
        ("day", "2026-09-04", date(2026, 9, 4)),
        ("day", "2026-09-04T00:00:00.000Z", date(2026, 9, 4)),
        ("day", date(2026, 9, 4), date(2026, 9, 4)),
        ("day", datetime(2026, 9, 4, 23, tzinfo=DUBAI), date(2026, 9, 4)),
        ("moment", "2013-11-18T02:17:40-0800", datetime(2013, 11, 18, 10, 17, 40, tzinfo=UTC)),
        ("moment", datetime(2026, 1, 1, 4, tzinfo=DUBAI), datetime(2026, 1, 1, tzinfo=UTC)),
        ("json_object", {"city": "Dubai"}, {"city": "Dubai"}),
        ("json_object", [], None),
        ("json_object", " {} ", None),
        ("json_list", ({"a": 1},), [{"a": 1}]),
        ("json_value", ["SN-1"], ["SN-1"]),
    ],
)
def test_what_has_one_meaning_is_taken(field: str, value: object, expected: object) -> None:
    found = read(field, value)
    assert found == expected
    assert type(found) is type(expected)
    assert str(found) == str(expected)


@pytest.mark.parametrize("field", sorted(set(Sample.model_fields) - {"sample_id", "json_list"}))
@pytest.mark.parametrize("blank", ["", None])
def test_what_is_blank_is_none(field: str, blank: object) -> None:
    found = Sample.model_validate({"sample_id": "1", field: blank})
    assert getattr(found, field) in (None, [])
    assert field in found.model_fields_set


@pytest.mark.parametrize("blank", ["", None, " "])
def test_a_blank_list_is_empty(blank: object) -> None:
    assert read("json_list", blank) == []


@pytest.mark.parametrize("field", ["other_id", "amount", "integer", "flag", "day", "moment"])
def test_white_space_alone_is_blank_too(field: str) -> None:
    assert read(field, " ") is None


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("text", True, "expected text, not true or false"),
        ("text", {}, "expected text, not an object"),
        ("text", 1.5, "give a Decimal"),
        ("other_id", False, "expected an id, as text or an integer"),
        ("other_id", Decimal("1E+18"), "not a number"),
        ("other_id", 1.0, "binary float"),
        ("amount", 1.1, "give a Decimal, a str or an int"),
        ("amount", True, "expected a number, not true or false"),
        ("amount", [], "expected a number, not a list"),
        ("amount", "1,000.00", "without thousands separators"),
        ("amount", "1_000", "not a number"),
        ("amount", "٣", "not a number"),
        ("amount", "NaN", "not a number"),
        ("amount", "Infinity", "not a number"),
        ("amount", Decimal("NaN"), "not a finite number"),
        ("amount", Decimal("-Infinity"), "not a finite number"),
        ("amount", Decimal("1e999999999"), "more than 100 places"),
        ("amount", Decimal("1e-999999999"), "more than 100 places"),
        ("percent", "%", "not a number"),
        ("percent", "1%%", "not a number"),
        ("integer", "12.7", "it has a fraction"),
        ("integer", 2**63, "63 bits"),
        ("integer", Decimal("1e50"), "63 bits"),
        ("flag", "maybe", "expected true or false, not text"),
        ("flag", 2, "expected true or false, not a number"),
        ("day", "29/09/22", "date_formats="),
        ("day", 20220929, "expected a date as text, not a number"),
        ("day", "2026-02-30", "not a date"),
        ("moment", "2022-10-05 00:00", "time_zone="),
        ("moment", datetime(2026, 1, 1), "time_zone="),  # noqa: DTZ001  # naive is the point
        ("moment", "04 Sep 2026 01:59 PM", "date_formats="),
        ("moment", 1660000000, "expected a time as text, not a number"),
        ("json_object", [{}], "expected an object, not a list"),
        ("json_object", "{", "expected an object, not text"),
        ("json_object", "x", "expected an object, not text"),
        ("json_list", {}, "expected a list, not an object"),
    ],
)
def test_what_is_doubtful_is_refused(field: str, value: object, message: str) -> None:
    assert message in refused(field, value)


def test_an_unknown_kind_of_value_is_named_by_its_type() -> None:
    assert refused("text", {1}) == "expected text, not set"


def test_times_without_an_offset_are_read_in_the_given_zone() -> None:
    found = read("moment", "2022-10-05 00:00", time_zone=DUBAI)
    assert found == datetime(2022, 10, 4, 20, tzinfo=UTC)
    assert found.tzinfo is UTC


def test_listed_formats_are_understood() -> None:
    formats = ("%d/%m/%y", "%d %b %Y %I:%M %p")
    assert read("day", "29/09/22", date_formats=formats) == date(2022, 9, 29)
    moment = read("moment", "04 Sep 2026 01:59 PM", date_formats=formats, time_zone=UTC)
    assert moment == datetime(2026, 9, 4, 13, 59, tzinfo=UTC)


def test_other_entries_of_the_context_do_no_harm() -> None:
    assert read("day", "2026-01-01", date_formats=None, time_zone="UTC") == date(2026, 1, 1)


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20))
def test_amounts_keep_every_digit(number: Decimal) -> None:
    if number.as_tuple().exponent >= -100:  # type: ignore[operator]  # it is finite
        assert str(read("amount", number)) == str(number)
        assert str(read("amount", str(number))) == str(number)


@given(st.integers(min_value=0))
def test_ids_keep_every_digit(number: int) -> None:
    assert read("other_id", number) == str(number)


@given(st.datetimes(timezones=st.just(UTC)))
def test_times_survive(moment: datetime) -> None:
    assert read("moment", moment) == parse_time(moment.isoformat()) == moment


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"])
def test_a_time_that_utc_cannot_say_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="outside the calendar"):
        parse_time(text)
