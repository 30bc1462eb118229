"""Every shape that Zoho and its administrators send, and everything that must not pass for one."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoho_sync.events.entities import BUILTIN_KINDS, EntityCatalog, EntityKind
from zoho_sync.events.event import DEFAULT_ORGANIZATION, Operation, SyncEvent
from zoho_sync.exceptions import PayloadError
from zoho_sync.intake.decoding import DecodingRules, decode
from zoho_sync.intake.hints import Hints, hints

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
CATALOG = EntityCatalog(BUILTIN_KINDS)
RULES = DecodingRules(CATALOG)
PAYLOADS = Path(__file__).parents[3] / "shared" / "payloads"


class Sample(NamedTuple):
    """One entity: what it is, what wraps it, and a document with the ids of others in it."""

    entity_type: str
    wrapper: str
    document: dict[str, Any]


SAMPLES = (
    Sample("product", "item", {"item_id": "101", "name": "Lamp", "vendor_id": "7", "group_id": ""}),
    Sample(
        "customer",
        "contact",
        {"contact_id": "201", "contact_type": "customer", "pricebook_id": "801", "owner_id": "9"},
    ),
    Sample(
        "vendor", "contact", {"contact_id": "202", "contact_type": "vendor", "vendor_id": "202"}
    ),
    Sample(
        "invoice",
        "invoice",
        {
            "invoice_id": "301",
            "customer_id": "201",
            "salesorder_id": "401",
            "estimate_id": "5",
            "recurring_invoice_id": "6",
            "contact": {"customer_balance": 10, "unused_credits": 0},
            "line_items": [{"line_item_id": "1", "item_id": "101", "rate": 2.5}],
        },
    ),
    Sample(
        "sales_order",
        "salesorder",
        {"salesorder_id": "401", "customer_id": "201", "estimate_id": "5", "contact": {"b": 1}},
    ),
    Sample("payment", "payment", {"payment_id": "501", "invoice_id": "301", "customer_id": "201"}),
    Sample("user", "user", {"user_id": "601", "role_id": "3", "name": "Ada"}),
    Sample("bill", "bill", {"bill_id": "701", "vendor_id": "202", "pricebook_id": "801"}),
    Sample(
        "credit_note",
        "creditnote",
        {"creditnote_id": "901", "customer_id": "201", "invoice_id": "301"},
    ),
    Sample(
        "stock_adjustment",
        "inventory_adjustment",
        {"inventory_adjustment_id": "111", "line_items": [{"item_id": "101"}]},
    ),
    Sample("price_list", "pricebook", {"pricebook_id": "801", "pricebook_items": []}),
)
EVERY_SAMPLE = pytest.mark.parametrize(
    "sample", SAMPLES, ids=[each.entity_type for each in SAMPLES]
)


def encoded(value: object) -> bytes:
    return json.dumps(value).encode()


def event_of(
    body: object, content_type: str = JSON, rules: DecodingRules = RULES, **told: Any
) -> SyncEvent:
    raw = body if isinstance(body, bytes) else encoded(body)
    event = decode(raw, content_type, hints(**told), rules)
    assert event is not None
    return event


def refusal_of(
    body: object, content_type: str = JSON, rules: DecodingRules = RULES, **told: Any
) -> str:
    raw = body if isinstance(body, bytes) else encoded(body)
    with pytest.raises(PayloadError) as caught:
        decode(raw, content_type, hints(**told), rules)
    return str(caught.value)


def own_id(sample: Sample) -> str:
    return CATALOG.kinds[sample.entity_type].entity_id(sample.document)


# Shapes


@EVERY_SAMPLE
def test_the_default_payload(sample: Sample) -> None:
    event = event_of({sample.wrapper: sample.document})
    assert (event.entity_type, event.entity_id) == (sample.entity_type, own_id(sample))
    assert event.operation is Operation.UPSERT
    assert event.organization_id == DEFAULT_ORGANIZATION
    assert event.arrival is None


@EVERY_SAMPLE
def test_every_shape_of_a_document_makes_the_same_event(sample: Sample) -> None:
    wrapped = {sample.wrapper: sample.document}
    bodies: list[tuple[object, str]] = [
        (wrapped, JSON),
        (wrapped, ""),
        (sample.document, JSON),
        ({"organization_id": 10, **wrapped}, JSON),
        ({**wrapped, "organization_id": "10"}, "text/plain"),
        (urlencode({"JSONString": json.dumps(wrapped)}).encode(), FORM),
        (urlencode({"JSONString": json.dumps(sample.document)}).encode(), ""),
        (urlencode({"JSONString": json.dumps(wrapped), "organization_id": "10"}).encode(), FORM),
        ({"event": f"{sample.wrapper}.created", "organization_id": "10", "data": wrapped}, JSON),
        ({"payload": wrapped}, JSON),
        ({"object": wrapped}, JSON),
        ({"code": 0, "message": "success", **wrapped}, JSON),
        (b"\xef\xbb\xbf \r\n" + encoded(wrapped), JSON),
        (encoded(wrapped), FORM),
    ]
    for told in (None, sample.entity_type, sample.wrapper):
        for body, content_type in bodies:
            event = event_of(body, content_type, entity=told)
            assert (event.entity_type, event.entity_id) == (sample.entity_type, own_id(sample))
            assert event.payload == json.loads(json.dumps(sample.document), parse_float=Decimal)


@EVERY_SAMPLE
def test_a_flat_form_keeps_its_text(sample: Sample) -> None:
    flat = {
        key: str(value) for key, value in sample.document.items() if not isinstance(value, dict)
    }
    event = event_of(urlencode(flat).encode(), f"{FORM};charset=UTF-8")
    assert event.entity_type == sample.entity_type
    assert event.payload == flat
    assert event_of(flat).payload == flat


@EVERY_SAMPLE
def test_lesson_21_ids_may_be_numbers(sample: Sample) -> None:
    field = CATALOG.kinds[sample.entity_type].id_fields[0]
    long = int("9" * 40)
    event = event_of({sample.wrapper: {**sample.document, field: long}})
    assert event.entity_id == "9" * 40
    assert event.payload[field] == long


def test_lesson_27_zohos_own_envelope_is_understood() -> None:
    assert event_of({"invoice": {"invoice_id": "1"}}).entity_type == "invoice"
    invented = {
        "event_type": "create",
        "entity_type": "stock_adjustment",
        "entity_id": "7",
        "data": {"adjustment_id": "7", "item_id": "101", "quantity_adjusted": 1},
    }
    assert "no entity is recognised" in refusal_of(invented)
    assert "stock_adjustment.item_id" in refusal_of(invented, entity="stock_adjustment")


def test_lesson_07_numbers_keep_every_digit() -> None:
    event = event_of(b'{"invoice": {"invoice_id": "1", "total": 99999999999999.99}}')
    assert event.payload["total"] == Decimal("99999999999999.99")


def test_lesson_62_nul_in_text_is_kept_and_in_an_id_is_refused() -> None:
    event = event_of({"item": {"item_id": "1", "name": "a\0b"}})
    assert event.payload["name"] == "a\0b"
    assert "product.item_id: not an id" in refusal_of({"item": {"item_id": "1\0"}})


def test_of_equal_keys_the_last_counts() -> None:
    assert event_of(b'{"item": {"item_id": "1", "item_id": "2"}}').entity_id == "2"
    assert event_of(b"item_id=1&item_id=2", FORM).entity_id == "2"


# Pings


@pytest.mark.parametrize("content_type", [JSON, FORM, ""])
@pytest.mark.parametrize("body", [b"", b'""', b"{}", b" \n", b"\xef\xbb\xbf", b"JSONString="])
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_ping_makes_no_event(body: bytes, content_type: str, method: str) -> None:
    assert decode(body, content_type, Hints(entity="invoice", method=method), RULES) is None


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"payload=", FORM),
        (b"payload=%20", FORM),
        (b"payload=&JSONString=", FORM),
        (b'{"payload": ""}', JSON),
        (b'{"data": null, "invoice": {}, "line_items": []}', JSON),
        (b'" "', JSON),
    ],
)
def test_a_body_of_blanks_is_a_ping(body: bytes, content_type: str) -> None:
    """Zoho makes such a call when a webhook is saved."""
    assert decode(body, content_type, Hints(), RULES) is None


def test_an_empty_upsert_of_an_id_is_a_ping() -> None:
    assert decode(b"", JSON, Hints(entity="invoice", entity_id="5"), RULES) is None


# Hints


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"entity": "bill", "query": [("entity", "item")]}, "bill"),
        ({"query": [("entity", " "), ("entity", "item")], "headers": {}}, "item"),
        ({"query": [("entity", "item")], "headers": {"x-zoho-sync-entity": "user"}}, "item"),
        ({"headers": {"X-ZOHO-SYNC-ENTITY": " user "}}, "user"),
        ({"entity": "", "headers": {"x-zoho-sync-entity": " "}}, None),
    ],
)
def test_where_the_entity_is_told(told: dict[str, Any], expected: str | None) -> None:
    assert hints(**told).entity == expected


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"operation": Operation.DELETE, "query": [("operation", "edit")]}, "delete"),
        ({"query": [("op", "edit"), ("operation", "delete")]}, "delete"),
        ({"query": [("op", "edit")], "headers": {"x-zoho-sync-operation": "delete"}}, "edit"),
        ({"headers": {"x-zoho-sync-operation": "delete"}}, "delete"),
        ({}, None),
    ],
)
def test_where_the_operation_is_told(told: dict[str, Any], expected: str | None) -> None:
    assert hints(**told).operation == expected


def test_where_ids_are_told() -> None:
    query = [("id", "5"), ("organization_id", "10")]
    assert hints(query=query) == Hints(entity_id="5", organization_id="10")
    told = hints(query=query, entity_id="6", organization_id="11")
    assert told == Hints(entity_id="6", organization_id="11")


@pytest.mark.parametrize(
    ("body", "told", "expected"),
    [
        ({"operation": "delete"}, {"operation": "edited"}, "upsert"),
        ({}, {"query": [("op", " Deleted ")]}, "delete"),
        ({"operation": "UPSERT"}, {"headers": {"X-Zoho-Sync-Operation": "DELETE"}}, "delete"),
        ({"event": "bill.deleted"}, {}, "delete"),
        ({"event": "Bill Removed"}, {}, "delete"),
        ({"event": "bill_created", "operation": ""}, {"method": "DELETE"}, "upsert"),
        ({"event": "bill.created", "operation": "delete"}, {}, "delete"),
        ({"event": None}, {"method": "delete"}, "delete"),
        ({"event": " "}, {"method": "delete"}, "delete"),
        ({"event_type": "bill.deleted"}, {}, "delete"),
        ({"event_type": "Bill Deleted"}, {}, "delete"),
        ({"action": "deleted"}, {}, "delete"),
        ({"action": "edited"}, {"method": "DELETE"}, "upsert"),
        ({}, {"method": "PUT"}, "upsert"),
    ],
)
def test_lesson_06_the_operation_counts(
    body: dict[str, Any], told: dict[str, Any], expected: str
) -> None:
    assert event_of({**body, "bill": {"bill_id": "1"}}, **told).operation == expected


def test_lesson_06_a_flat_template_may_name_the_operation() -> None:
    assert event_of(b"invoice_id=1&operation=delete", FORM).operation is Operation.DELETE


@pytest.mark.parametrize(
    ("body", "told", "path"),
    [
        ({"bill": {"bill_id": "1"}}, {"operation": "explode"}, "operation"),
        ({"event": "bill.paid", "bill": {"bill_id": "1"}}, {}, "event"),
        ({"event": "", "operation": "7", "bill": {"bill_id": "1"}}, {}, "operation"),
        ({"event": {"name": "x"}, "bill": {"bill_id": "1"}}, {}, "event"),
        ({"action": "paid", "bill": {"bill_id": "1"}}, {}, "action"),
    ],
)
def test_an_unknown_operation_is_refused(body: object, told: dict[str, Any], path: str) -> None:
    assert refusal_of(body, **told).startswith(f"{path}: ")


def test_a_form_may_name_the_operation_beside_the_document() -> None:
    form = [("JSONString", '{"bill": {"bill_id": "1"}}'), ("event_type", "Bill Deleted")]
    assert event_of(urlencode(form).encode(), FORM).operation is Operation.DELETE


@EVERY_SAMPLE
@pytest.mark.parametrize("name", ["payload", "data", "body", "entity", ...])
def test_the_field_of_a_form_that_carries_the_document_has_any_name(
    sample: Sample, name: object
) -> None:
    """A field that is named like the entity may hold the bare document."""
    inner = sample.document if name is ... else {sample.wrapper: sample.document}
    form = {str(sample.wrapper if name is ... else name): json.dumps(inner)}
    for beside in ({}, {"organization_id": "1", "operation": "edited"}):
        event = event_of(urlencode({**beside, **form}).encode(), FORM)
        assert (event.entity_type, event.payload) == (sample.entity_type, sample.document)


def test_an_object_in_a_flat_form_is_one_of_its_fields() -> None:
    form = {"invoice_id": "1", "custom_field_hash": '{"cf_risk": "Low"}'}
    assert event_of(urlencode(form).encode(), FORM).payload == form


def test_a_raw_line_break_may_stand_in_a_text() -> None:
    body = b'{"invoice": {"invoice_id": "6", "notes": "first\nsecond\ttab\r\n"}}'
    assert event_of(body).payload["notes"] == "first\nsecond\ttab\r\n"


def test_an_object_is_not_called_a_number() -> None:
    refusal = refusal_of({"operation": {"name": "delete"}, "bill": {"bill_id": "1"}})
    assert refusal == "operation: expected text, not an object"


@pytest.mark.parametrize("word", ["INVOICE", "Invoices", "invoice"])
def test_lesson_28_the_case_of_an_entity_does_not_matter(word: str) -> None:
    assert event_of({"invoice_id": "1"}, entity=word).entity_type == "invoice"


def test_an_unknown_entity_is_refused_with_those_that_are_known() -> None:
    refusal = refusal_of({"invoice_id": "1"}, entity="spaceship")
    assert refusal.startswith("entity: no entity type goes by 'spaceship'; known are user, product")
    assert "did you mean" not in refusal
    assert refusal_of(BILL, entity="Invoce").endswith("; did you mean 'invoice'?")


def test_an_unknown_operation_is_refused_with_those_that_are_known() -> None:
    assert refusal_of(BILL, operation="delte") == (
        "operation: 'delte' is not a known word for an upsert or a delete; known are add, added, "
        "create, created, edit, edited, update, updated, upsert, delete, deleted, remove, removed; "
        "did you mean 'delete'?"
    )
    refusal = refusal_of({"event": "bill.creatd", **BILL})
    assert refusal.startswith("event: not a known word for an upsert or a delete; known are add, ")
    assert refusal.endswith("; did you mean 'created'?")
    assert "creatd" not in refusal


@pytest.mark.parametrize("told", ["entity", "operation"])
def test_what_is_named_in_a_refusal_is_short_and_printable(told: str) -> None:
    word: dict[str, Any] = {told: "\x1b[31m\n" + "x" * 500}
    refusal = refusal_of(BILL, **word)
    assert repr("�[31m�" + "x" * 34 + "…") in refusal
    assert refusal.isprintable()


# Deletes


@pytest.mark.parametrize("told", [{"method": "DELETE"}, {"operation": "remove"}])
@pytest.mark.parametrize("body", [b"", b"{}", b'{"reason": "double"}'])
def test_a_delete_takes_its_id_from_the_hints(body: bytes, told: dict[str, Any]) -> None:
    event = event_of(body, entity="invoices", entity_id="5", **told)
    assert (event.entity_type, event.entity_id, event.operation) == ("invoice", "5", "delete")
    event = event_of(body, entity="invoice", query=[("id", "6")], **told)
    assert event.entity_id == "6"


@pytest.mark.parametrize("body", [b"", b'""', b"{}"])
@pytest.mark.parametrize("told", [{"method": "DELETE"}, {"operation": "delete"}])
@pytest.mark.parametrize("entity", [None, "invoice"])
def test_a_delete_without_a_body_must_be_told_its_id(
    body: bytes, told: dict[str, Any], entity: str | None
) -> None:
    expected = "id: a delete without a body needs the id in the route, or as ?id=…"
    assert refusal_of(body, entity=entity, **told) == expected


def test_an_empty_body_with_an_operation_that_nobody_knows_is_no_ping() -> None:
    assert refusal_of(b"", entity="invoice", operation="delte").startswith("operation: ")


@pytest.mark.parametrize(
    ("entity", "query", "expected"),
    [
        ("invoices", [("invoice_id", "8")], "8"),
        ("supplier", [("vendor_id", "8")], "8"),
        ("invoice", [("invoice_id", "9"), ("id", "8")], "8"),
        ("invoice", [("customer_id", "8")], None),
        ("spaceship", [("spaceship_id", "8")], None),
        (None, [("invoice_id", "8")], None),
        (None, [("entity", "bill"), ("bill_id", "8")], "8"),
    ],
)
def test_the_query_may_hold_the_entitys_own_id(
    entity: str | None, query: list[tuple[str, str]], expected: str | None
) -> None:
    assert hints(entity=entity, query=query, catalog=CATALOG).entity_id == expected


def test_a_delete_without_a_body_must_be_told_its_entity() -> None:
    assert refusal_of(b"", operation="delete", entity_id="5").startswith("entity: ")
    assert "entity_id: not an id" in refusal_of(
        b"", operation="delete", entity="bill", entity_id="a b"
    )


def test_a_delete_carries_its_last_document_and_time() -> None:
    document = {"invoice_id": "5", "last_modified_time": "2024-05-01T10:00:00+0200"}
    event = event_of({"invoice": document}, entity="invoice", entity_id="5", method="DELETE")
    assert event.payload == document
    assert event.effective_time == datetime(2024, 5, 1, 8, tzinfo=UTC)


def test_a_delete_of_an_undecided_contact() -> None:
    assert event_of({"contact": {"contact_id": "5"}}, method="DELETE").entity_type == "contact"
    assert event_of(b"", entity="contacts", entity_id="5", method="DELETE").entity_type == "contact"


# Ids


def test_lesson_26_a_missing_id_is_refused() -> None:
    for document in ({}, {"invoice_id": ""}, {"invoice_id": None}, {"invoice_id": [1]}):
        refusal = refusal_of({"invoice": {"total": 1, **document}})
        assert refusal.startswith("invoice.invoice_id: missing")
    # A route names the document; it does not replace its id.
    refusal = refusal_of({"invoice": {"total": 1}}, entity="invoice", entity_id="5")
    assert refusal.startswith("invoice.invoice_id: missing")


@pytest.mark.parametrize("value", [1.5, True, "a b", "x" * 101, "\ud800", "ä"])
def test_what_cannot_be_an_id_is_refused(value: object) -> None:
    refusal_of({"invoice": {"invoice_id": value}})


def test_another_id_than_the_one_told_is_refused() -> None:
    assert event_of({"bill": {"bill_id": 5}}, entity="bill", entity_id="5").entity_id == "5"
    refusal = refusal_of({"bill": {"bill_id": 5}}, entity="bill", entity_id="6")
    assert refusal == "bill.bill_id: another id than the one that was told"


# Recognition


@EVERY_SAMPLE
def test_a_hint_that_contradicts_the_body_is_refused(sample: Sample) -> None:
    contacts = {"customer", "vendor"}
    for other in SAMPLES:
        if other.entity_type == sample.entity_type or {other[0], sample[0]} == contacts:
            continue
        assert f"said to be {other.entity_type}" in refusal_of(
            {sample.wrapper: sample.document}, entity=other.entity_type
        )
        refusal_of(sample.document, entity=other.entity_type)


@pytest.mark.parametrize(
    "body",
    [
        {"package_id": "1", "salesorder_id": "401"},
        {"purchaseorder_id": "1", "salesorder_id": "401", "vendor_id": "202"},
        {"contact_person_id": "1", "contact_id": "201"},
        {"vendor_credit_id": "1", "bill_id": "701", "vendor_id": "202"},
        {"vendor_credit_id": "1", "vendor_id": "202", "vendor_name": "x"},
        {"estimate_id": "1", "customer_id": "201", "contact": {"contact_id": "201"}},
        {"pricebook_item_id": "1", "item_id": "101", "pricebook_rate": 3},
        {"line_item_id": "1", "item_id": "101"},
        {"payment_id": "1", "vendor_id": "202", "bills": []},
        {"inventory_adjustment_id": "1", "item_id": "101", "quantity_adjusted": 1},
        {"pricebook_id": "1", "item_id": "101"},
        {"name": "Retail", "pricebook_items": [{"pricebook_item_id": "1"}]},
        {"vendor_id": "202", "vendor_name": "x"},
        {"customer_id": "201"},
        {"invoices": [{"invoice_id": "1"}]},
        {"data": {"invoice_id": "1"}},
        {"event": "bill.created", "data": {"invoice_id": "1"}},
        {"event": "invoice.created", "data": {"invoice_id": "1"}, "payload": {"invoice_id": "2"}},
        {"user_id": "601", "invoice": {"invoice_id": "1"}},
        {"bill": {"bill_id": "1"}, "invoice": {"invoice_id": "1"}},
        {"invoice_id": "1", "invoice": {"invoice_id": "2"}},
    ],
)
def test_nothing_is_taken_for_what_it_is_not(body: object) -> None:
    refusal_of(body)


@EVERY_SAMPLE
def test_the_document_itself_may_stand_under_data(sample: Sample) -> None:
    for holder, word in itertools.product(("data", "payload", "object"), (".created", " Updated")):
        event = event_of({"event": f"{sample.wrapper}{word}", holder: sample.document})
        assert (event.entity_type, event.entity_id) == (sample.entity_type, own_id(sample))
        assert event.payload == json.loads(json.dumps(sample.document), parse_float=Decimal)
        told = event_of({"organization_id": "10", holder: sample.document}, entity=sample.wrapper)
        assert (told.entity_type, told.payload) == (sample.entity_type, event.payload)
    deleted = {"event_type": f"{sample.wrapper}.deleted", "data": sample.document}
    assert event_of(deleted).operation is Operation.DELETE


def test_a_document_under_data_must_be_named() -> None:
    refusal = refusal_of({"data": {"invoice_id": "1"}})
    assert '"event": "invoice.created"' in refusal
    assert "bill.bill_id: missing" in refusal_of(
        {"event": "bill.created", "data": {"invoice_id": "1"}}
    )


@pytest.mark.parametrize("entity", [None, "sales_order", "invoice"])
@pytest.mark.parametrize("name", ["salesorders", "invoices", "contacts", "items", "Sales-Orders"])
def test_an_answer_with_a_list_is_refused_and_says_what_to_do(
    name: str, entity: str | None
) -> None:
    body = {
        "code": 0,
        "message": "success",
        name: [{"salesorder_id": "1", "invoice_id": "2", "total": 5}],
        "page_context": {"page": 1, "has_more_page": False},
    }
    for each in (body, {**body, name: []}):
        refusal = refusal_of(each, entity=entity)
        assert "a list of" in refusal
        assert "fetch each document by its id, and hand it over by itself" in refusal


@pytest.mark.parametrize(
    ("body", "entity", "entity_id"),
    [
        ({"user_id": "601", "invoice": {"invoice_id": "1"}}, "invoice", "1"),
        ({"user_id": "601", "invoice": {"invoice_id": "1"}}, "user", "601"),
        ({"bill": {"bill_id": "1"}, "invoice": {"invoice_id": "2"}}, "invoice", "2"),
        ({"customer_id": "5", "contact": {"contact_id": "5", "name": "x"}}, "customer", "5"),
        ({"vendor_id": "202", "vendor_name": "x"}, "vendor", "202"),
        ({"pricelist_id": "801", "items": []}, "price_list", "801"),
    ],
)
def test_a_hint_decides_between_several(body: dict[str, Any], entity: str, entity_id: str) -> None:
    event = event_of(body, entity=entity)
    assert (event.entity_type, event.entity_id) == (entity, entity_id)
    assert "invoice" not in event.payload or entity == "user"


def test_a_hint_does_not_make_a_vendor_of_a_vendor_credit() -> None:
    assert "not synced" in refusal_of({"vendor_credit_id": "1", "vendor_id": "2"}, entity="vendor")


PROJECT = EntityKind("project", ("project",), ("project_id",))
TASK = EntityKind("task", ("task",), ("task_id",))
WITH_PROJECTS = DecodingRules(EntityCatalog((*BUILTIN_KINDS, PROJECT, TASK)))


def test_kinds_of_the_applications_own_are_recognised_where_nothing_else_is_meant() -> None:
    for body in ({"project": {"project_id": "1"}}, {"project_id": "1"}):
        assert event_of(body, rules=WITH_PROJECTS).entity_type == "project"
    for body in ({"project_id": "1", "invoice_id": "2"}, {"project_id": "1", "task_id": "2"}):
        assert "several entities" in refusal_of(body, rules=WITH_PROJECTS)
        assert event_of(body, rules=WITH_PROJECTS, entity="project").entity_id == "1"


def test_a_handled_entity_is_recognised_by_an_id_that_others_refuse() -> None:
    package = EntityKind("package", ("package",), ("package_id",))
    rules = DecodingRules(EntityCatalog((*BUILTIN_KINDS, package)))
    event = event_of({"package_id": "1", "salesorder_id": "401"}, rules=rules)
    assert (event.entity_type, event.entity_id) == ("package", "1")


@pytest.mark.parametrize("value", [[{"salesorder_id": "1"}], "text", 5, True])
@pytest.mark.parametrize("entity", [None, "sales_order"])
def test_what_a_wrapper_holds_must_be_an_object(value: object, entity: str | None) -> None:
    for body in ({"salesorder": value}, {"data": {"salesorder": value}}):
        assert refusal_of(body, entity=entity).startswith("salesorder: expected an object")


# Contacts


@pytest.mark.parametrize(
    ("document", "entity", "expected"),
    [
        ({"contact_type": "vendor"}, None, "vendor"),
        ({"contact_type": " Customer "}, None, "customer"),
        ({"contact_type": "vendor"}, "customer", "vendor"),
        ({}, "vendors", "vendor"),
        ({"customer_name": "x"}, "supplier", "vendor"),
        ({"contact_type": ""}, "customer", "customer"),
        ({"vendor_name": "x"}, None, "vendor"),
        ({"vendor_id": "5", "customer_name": ""}, "contact", "vendor"),
        ({"customer_name": "x"}, "contacts", "customer"),
        ({"customer_id": "5"}, None, "customer"),
    ],
)
def test_what_kind_of_contact_it_is(
    document: dict[str, Any], entity: str | None, expected: str
) -> None:
    for body in ({"contact_id": "5", **document}, {"contact": {"contact_id": "5", **document}}):
        assert event_of(body, entity=entity).entity_type == expected


def test_a_wrapper_says_what_kind_of_contact_it_is() -> None:
    assert event_of({"vendor": {"vendor_id": "5"}}).entity_type == "vendor"
    assert event_of({"customer": {"customer_id": "5"}}).entity_type == "customer"
    assert event_of({"vendor": {"contact_id": "5"}}, entity="contact").entity_type == "vendor"


def test_a_contact_may_go_by_its_name_and_the_id_of_its_role() -> None:
    event = event_of({"vendor_id": "5", "contact_name": "x"})
    assert (event.entity_type, event.entity_id) == ("vendor", "5")


@pytest.mark.parametrize(
    "document",
    [{}, {"contact_type": "crm"}, {"contact_type": 1}, {"vendor_id": "5", "customer_id": 5}],
)
def test_an_undecided_contact_is_refused(document: dict[str, Any]) -> None:
    refusal = refusal_of({"contact": {"contact_id": "5", **document}})
    assert refusal.startswith("contact.contact_type: ")


def test_a_contact_of_a_kind_that_is_not_synced_is_refused() -> None:
    kinds = [kind for kind in BUILTIN_KINDS if kind.entity_type != "vendor"]
    refusal = refusal_of(
        {"contact": {"contact_id": "5", "contact_type": "vendor"}},
        rules=DecodingRules(EntityCatalog(kinds)),
    )
    assert refusal.startswith("contact.contact_type: ")


# Organizations

ONE = DecodingRules(CATALOG, organization_ids=("10",))
TWO = DecodingRules(CATALOG, organization_ids=("10", "20"))
BILL = {"bill": {"bill_id": "1"}}


@pytest.mark.parametrize(
    ("rules", "body", "told", "expected"),
    [
        (RULES, {**BILL, "organization_id": "99"}, "98", DEFAULT_ORGANIZATION),
        (RULES, {**BILL, "organization_id": []}, None, DEFAULT_ORGANIZATION),
        (ONE, BILL, None, "10"),
        (ONE, {**BILL, "organization_id": ""}, None, "10"),
        (ONE, {**BILL, "organization_id": 10}, None, "10"),
        (ONE, {"bill": {"bill_id": "1", "organization_id": "10"}}, "10", "10"),
        (TWO, BILL, "20", "20"),
        (TWO, {**BILL, "organization_id": "20"}, None, "20"),
        (TWO, {"bill": {"bill_id": "1", "organization_id": "20"}}, None, "20"),
        (TWO, {"organization_id": "20", "data": BILL}, None, "20"),
        (TWO, {"data": {**BILL, "organization_id": "20"}}, None, "20"),
    ],
)
def test_whose_event_it_is(
    rules: DecodingRules, body: object, told: str | None, expected: str
) -> None:
    assert event_of(body, rules=rules, organization_id=told).organization_id == expected


@pytest.mark.parametrize(
    ("rules", "body", "told"),
    [
        (ONE, {**BILL, "organization_id": "20"}, None),
        (ONE, {"bill": {"bill_id": "1", "organization_id": "20"}}, None),
        (ONE, BILL, "20"),
        (ONE, {**BILL, "organization_id": []}, None),
        (TWO, BILL, None),
        (TWO, {**BILL, "organization_id": "30"}, None),
        (TWO, {**BILL, "organization_id": "10"}, "20"),
        (TWO, {"bill": {"bill_id": "1", "organization_id": "20"}, "organization_id": "10"}, None),
    ],
)
def test_an_event_of_another_or_of_no_organization_is_refused(
    rules: DecodingRules, body: object, told: str | None
) -> None:
    refusal = refusal_of(body, rules=rules, organization_id=told)
    assert refusal.startswith("organization_id: ")


def test_a_delete_without_a_body_belongs_to_an_organization_too() -> None:
    told = {"entity": "bill", "entity_id": "1", "method": "DELETE"}
    query = [("organization_id", "20")]
    assert event_of(b"", rules=TWO, query=query, **told).organization_id == "20"
    assert refusal_of(b"", rules=TWO, **told).startswith("organization_id: ")


# Times


def test_times_are_read_by_the_hosts_rules() -> None:
    zone = timezone(timedelta(hours=2))
    rules = DecodingRules(CATALOG, time_zone=zone, date_formats=("%d.%m.%Y %H:%M",))
    body = {"item": {"item_id": "1", "last_modified_time": "01.05.2024 10:30"}}
    assert event_of(body, rules=rules).effective_time == datetime(2024, 5, 1, 8, 30, tzinfo=UTC)
    assert event_of({"item": {"item_id": "1"}}).effective_time is None


@pytest.mark.parametrize("value", ["yesterday", "2024-05-01 10:00", "2024-13-01T10:00:00Z", 5, []])
def test_lesson_09_a_time_that_cannot_be_read_is_refused_by_name(value: object) -> None:
    refusal = refusal_of({"item": {"item_id": "1", "last_modified_time": value}})
    assert refusal.startswith("product.last_modified_time: ")


# Refusals


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"null",
        b"5",
        b"1.5",
        b"true",
        b'"text"',
        b'{"invoice": {"invoice_id": "1"}',
        b'{"invoice": {"invoice_id": "1", "total": NaN}}',
        b'{"invoice": {"invoice_id": "1", "total": 1e99999999999999999999}}',
        b'{"invoice": {"invoice_id": "1", "total": ' + b"9" * 5000 + b"}}",
        b'{"invoice": {"invoice_id": "1", "notes": "\\ud800"}}',
        b'{"a":' * 200 + b"1" + b"}" * 200,
        b"[" * 100_000,
        b"\xff\xfe{\x00}\x00",
        b'{"invoice": {"invoice_id": "\xe4"}}',
        b"<invoice/>",
    ],
)
@pytest.mark.parametrize("content_type", [JSON, FORM])
def test_what_is_no_document_is_refused(body: bytes, content_type: str) -> None:
    refusal_of(body, content_type)


def test_a_form_must_be_utf_8_once_decoded() -> None:
    assert (
        refusal_of(b"item_id=1&name=%ff", FORM) == "the body is not UTF-8, or has too many fields"
    )


def test_a_pair_of_surrogates_is_one_character() -> None:
    event = event_of(b'{"item": {"item_id": "1", "name": "\\ud83d\\ude00"}}')
    assert event.payload["name"] == "\U0001f600"


@pytest.mark.parametrize("charset", ["utf-8", '"UTF-8"', "utf8", "us-ascii"])
def test_a_charset_of_utf_8_is_accepted(charset: str) -> None:
    assert event_of(BILL, f"{JSON}; charset={charset}").entity_id == "1"


@pytest.mark.parametrize("charset", ["iso-8859-1", "utf-16", "nonsense"])
def test_another_charset_is_refused(charset: str) -> None:
    assert "not UTF-8" in refusal_of(BILL, f"{JSON}; Charset = {charset}")


@pytest.mark.parametrize("code", [1002, "57", None, {}])
def test_an_error_of_the_api_is_refused(code: object) -> None:
    assert refusal_of({"code": code, "message": "gone", **BILL}).startswith("code: ")


def test_lesson_30_a_refusal_quotes_nothing_of_the_body() -> None:
    secret = "hunter2"
    bodies: Sequence[object] = (
        {"contact": {"contact_id": "1", "contact_type": secret}},
        {"item": {"item_id": "1", "last_modified_time": secret}},
        {"event": secret, **BILL},
        {"operation": secret, **BILL},
        {"item": {"item_id": f"{secret} {secret}"}},
        {"organization_id": secret, **BILL},
        {"code": secret, "message": secret},
        {secret: secret},
        secret,
        secret.encode(),
    )
    for body in bodies:
        assert secret not in refusal_of(body, rules=ONE)
    assert secret not in refusal_of(BILL, f"text/plain; charset={secret}")


# Anything at all

KEYS = st.sampled_from(
    [
        *(key for kind in BUILTIN_KINDS for key in (*kind.wrappers, *kind.id_fields)),
        *("contact_type", "code", "message", "event", "operation", "data", "organization_id"),
        *("last_modified_time", "updated_time", "contact_name", "vendor_name", "package_id"),
    ]
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters(exclude_categories=())),
    st.sampled_from(["customer", "bill.deleted", "2024-01-01T00:00:00+0530", "9999-12-31T23:59Z"]),
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4)
)
BODIES = st.one_of(
    st.binary(),
    st.text().map(str.encode),
    st.dictionaries(KEYS, VALUES, max_size=5).map(encoded),
    st.dictionaries(KEYS, st.text(), max_size=5).map(lambda fields: urlencode(fields).encode()),
    VALUES.map(lambda value: urlencode({"JSONString": json.dumps(value)}).encode()),
)
WORDS = st.none() | st.text() | st.sampled_from([kind.entity_type for kind in BUILTIN_KINDS])


@settings(max_examples=500)
@given(
    body=BODIES,
    content_type=st.sampled_from([JSON, FORM, f"{FORM}; charset=utf-8", ""]) | st.text(),
    entity=WORDS,
    operation=st.none() | st.sampled_from(["delete", "edit"]) | st.text(),
    entity_id=st.none() | st.text(),
    rules=st.sampled_from([RULES, ONE, TWO, WITH_PROJECTS]),
    method=st.sampled_from(["POST", "DELETE"]),
)
def test_anything_is_an_event_a_ping_or_a_payload_error(  # noqa: PLR0913  # all that decides
    *,
    body: bytes,
    content_type: str,
    entity: str | None,
    operation: str | None,
    entity_id: str | None,
    rules: DecodingRules,
    method: str,
) -> None:
    told = hints(entity=entity, operation=operation, entity_id=entity_id, method=method)
    try:
        event = decode(body, content_type, told, rules)
    except PayloadError:
        return
    if event is None:
        return
    assert re.fullmatch("[!-~]{1,100}", event.entity_id)
    assert event.entity_type in rules.catalog.kinds
    assert isinstance(event.payload, Mapping)
    assert event.organization_id in (rules.organization_ids or (DEFAULT_ORGANIZATION,))


# Public samples, where they are at hand

NO_DOCUMENTS = (
    "inventoryadjustment__4",
    "inventoryadjustment__5",
    "pricebook__4",
    "pricebook__5",
    "salesorder__3",
    "salesorder__6",
)
FILES = sorted(PAYLOADS.glob("*.json"))


@pytest.mark.skipif(not FILES, reason="no folder of public samples beside the repository")
@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.stem))
@pytest.mark.parametrize("is_told", [False, True])
def test_public_samples(file: Path, *, is_told: bool) -> None:
    entity = file.stem.split("__")[0]
    told = entity if is_told else None
    if file.stem.startswith(NO_DOCUMENTS):
        refusal_of(file.read_bytes(), entity=told)
        return
    expected = "customer" if entity == "contact" else CATALOG.require(entity).entity_type
    assert event_of(file.read_bytes(), entity=told).entity_type == expected
