"""From a document to its model, or to one error that names the field and quotes nothing."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from pydantic import Field

from zoho_sync.events import exact_json
from zoho_sync.exceptions import PayloadError
from zoho_sync.payloads import (
    CreditNotePayload,
    CustomerPayload,
    EntityId,
    InvoicePayload,
    Payload,
    PaymentPayload,
    PriceListPayload,
    StockAdjustmentPayload,
    parse,
)

MODELS: tuple[type[Payload], ...] = (
    CustomerPayload,
    InvoicePayload,
    PaymentPayload,
    CreditNotePayload,
    StockAdjustmentPayload,
    PriceListPayload,
)


class Rated(Payload):
    entity_type = "rated"
    id_fields = ("rated_id",)

    rated_id: EntityId
    stars: Annotated[int, Field(le=5)] = 0


def failure(model: type[Payload], document: Any, **settings: Any) -> PayloadError:
    """The error with which a document is refused."""
    with pytest.raises(PayloadError) as caught:
        parse(model, document, **settings)
    return caught.value


@pytest.mark.parametrize(
    ("document", "path", "problem"),
    [
        ({"line_items": [{}, {}, {"quantity": "1,0"}]}, "line_items[2].quantity", "not a number"),
        ({"line_items": {}}, "line_items", "expected a list, not an object"),
        ({"line_items": [None]}, "line_items[0]", "expected an object"),
        ({"line_items": [[]]}, "line_items[0]", "expected an object"),
        ({"total": {}}, "total", "expected a number, not an object"),
        ({"billing_address": [1]}, "billing_address", "expected an object, not a list"),
        ({"last_modified_time": "2022-10-05 00:00"}, "last_modified_time", "time_zone="),
        ({"invoice_id": True}, "invoice_id", "expected an id"),
        ({"total": "x", "balance": "x"}, "total", "not a number"),
        ({"notes": "a\0b"}, "notes", "NUL"),
        ({"custom_fields": [{"value": "\0"}]}, "custom_fields[0].value", "NUL"),
        ({"more": {"k\0": 1}}, "more", "a key with a NUL"),
        ({"more": ["\ud800"]}, "more[0]", "surrogate"),
        ({"more": {"\udfff": 1}}, "more", "a key with half of a surrogate pair"),
        ({"more": {"rate": 1.5}}, "more.rate", "give a Decimal, a str or an int"),
        ({"more": float("nan")}, "more", "binary float"),
        ({"more": Decimal("NaN")}, "more", "not a finite number"),
        ({"more": 10**5000}, "more", "thousands of digits"),
        ({"more": {1: 2}}, "more", "a key that is not text"),
        ({"more": b"x"}, "more", "JSON does not have: bytes"),
        ({"more": ({"x": {1}},)}, "more[0].x", "JSON does not have: set"),
    ],
)
def test_the_first_problem_is_named(document: dict[str, Any], path: str, problem: str) -> None:
    error = failure(InvoicePayload, {"invoice_id": "1", **document})
    assert error.path == f"invoice.{path}"
    assert problem in error.problem
    assert error.__context__ is None


@pytest.mark.parametrize("document", [None, [], "", "text", 1, [{"invoice_id": "1"}]])
def test_only_an_object_is_a_document(document: object) -> None:
    error = failure(InvoicePayload, document)
    assert str(error) == "invoice: expected an object"


def test_a_missing_id_is_named() -> None:
    assert str(failure(PriceListPayload, {"name": "Retail"})) == (
        "price_list.pricebook_id: missing or empty"
    )


def test_nesting_has_a_limit() -> None:
    deep: dict[str, Any] = {}
    document: dict[str, Any] = {"invoice_id": "1", "more": deep}
    for _ in range(100):
        deep["more"] = {}
        deep = deep["more"]
    assert "nested deeper than 100 levels" in failure(InvoicePayload, document).problem
    deep["self"] = document
    assert "nested deeper than 100 levels" in failure(InvoicePayload, document).problem
    circle: list[Any] = []
    circle.append(circle)
    document["more"] = circle
    assert "nested deeper than 100 levels" in failure(InvoicePayload, document).problem


def test_zone_and_formats_reach_the_fields() -> None:
    document = {
        "invoice_id": "1",
        "date": "29/09/22",
        "created_time": "2022-10-05 00:00",
        "line_items": [{"quantity": 1}],
    }
    invoice = parse(InvoicePayload, document, time_zone=UTC, date_formats=iter(["%d/%m/%y"]))
    assert invoice.date == date(2022, 9, 29)
    assert invoice.created_time == datetime(2022, 10, 5, tzinfo=UTC)


def test_a_model_of_an_application_may_use_pydantics_own_types() -> None:
    assert parse(Rated, {"rated_id": "1", "stars": 5}).stars == 5
    error = failure(Rated, {"rated_id": "1", "stars": 6})
    assert str(error) == "rated.stars: not valid: less_than_equal"


def test_everything_that_is_not_declared_is_kept_as_it_came() -> None:
    document = {
        "invoice_id": "1",
        "total": Decimal("1.08"),
        "total_formatted": "NGN1.08",
        "entity_id": "not the id",
        "model_config": {"x": None},
    }
    invoice = parse(InvoicePayload, document)
    assert invoice.entity_id == "1"
    assert invoice.model_extra == {
        "total_formatted": "NGN1.08",
        "entity_id": "not the id",
        "model_config": {"x": None},
    }


@pytest.mark.parametrize("secret", ["hunter2", "hunter2,5", "2026-13-99", "99:99 o'clock"])
@pytest.mark.parametrize(
    "field", ["total", "date", "last_modified_time", "is_emailed", "payment_terms", "taxes"]
)
def test_messages_quote_no_value(field: str, secret: str) -> None:
    error = failure(InvoicePayload, {"invoice_id": "1", field: secret})
    assert error.path == f"invoice.{field}"
    assert secret not in str(error)
    assert not set("0123456789") & set(error.problem)


FIELDS = sorted(
    {name for model in MODELS for name in model.model_fields} | {"items", "rate", "cf_"}
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.decimals(),
    st.floats(),
    st.text(st.characters()),
    st.sampled_from(["", " ", "12", "70%", "true", "2026-01-01", "2026-01-01T00:00:00Z"]),
)
KEYS = st.one_of(st.sampled_from(FIELDS), st.text(st.characters()))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
DOCUMENTS = st.one_of(st.dictionaries(KEYS, VALUES, max_size=6), VALUES)


def outcome(model: type[Payload], document: Any) -> Payload | PayloadError:
    """What becomes of a document; any other exception is a failure."""
    try:
        return parse(model, document)
    except PayloadError as error:
        return error


@given(st.sampled_from(MODELS), DOCUMENTS)
@example(PaymentPayload, {"invoice_id": [], "amount": {}})
@example(PriceListPayload, {"items": [{"rate": []}, 3]})
def test_any_json_parses_or_gives_a_payload_error(model: type[Payload], document: Any) -> None:
    identified = {model.id_fields[0]: "1"}
    bodies = (document, identified | document) if isinstance(document, dict) else (document,)
    for body in bodies:
        found = outcome(model, body)
        if isinstance(found, Payload):
            assert found.entity_id
            assert set(body) - {"price_brackets"} <= found.model_fields_set
            assert exact_json.dumps(body)
        else:
            assert found.path.startswith(model.entity_type)
            assert "\0" not in found.path
            assert found.path.encode()


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**17), max_value=10**17))
def test_amounts_keep_every_digit_from_the_first_byte(number: Decimal) -> None:
    text = f"{number:f}"
    assume(len(text.partition(".")[2]) <= 100)
    for spelling in (text, json.dumps(text)):
        body = f'{{"invoice_id": "1", "line_items": [{{"rate": {spelling}}}]}}'
        (line,) = parse(InvoicePayload, exact_json.loads(body)).line_items
        assert f"{line.rate:f}" == text


FORGED = st.text(st.characters(), min_size=1, max_size=3).map(
    lambda text: f"k{text}\x1b[31m\n\u2028WARNING forged\u202e" + "x" * 3_000_000
)


@settings(max_examples=10, deadline=None)
@given(FORGED)
def test_key_forges_no_line_and_is_cut_in_every_error_that_names_it(key: str) -> None:
    """Whoever sends a document chooses its keys, and an error with a path is a line of a log."""
    errors = [PayloadError(key, f"wrong: {key}"), PayloadError(f"contact.{key}", "wrong")]
    for document in ({key: 1.5}, {"custom_fields": [{key: {key: {key: float("nan")}}}]}):
        with pytest.raises(PayloadError) as caught:
            parse(CustomerPayload, {"contact_id": "1", **document})
        errors.append(caught.value)
        with pytest.raises(exact_json.InexactError) as inexact:
            exact_json.dumps(document)
        errors.append(PayloadError(inexact.value.path, inexact.value.problem))
        assert str(inexact.value).isprintable()
    for error in errors:
        assert str(error).isprintable()
        assert error.path.isprintable()
        assert len(str(error)) < 3_000
    assert len(errors[-1].path) < 500


def test_keys_of_everyday_length_are_named_whole() -> None:
    name = "cf_" + "long_name_of_a_custom_field_" * 3
    with pytest.raises(PayloadError) as caught:
        parse(CustomerPayload, {"contact_id": "1", "custom_field_hash": {name: 1.5}})
    assert caught.value.path == f"customer.custom_field_hash.{name}"
