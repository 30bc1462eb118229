"""Where a document's fields go is said by declarations, and they are read exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table

from zoho_sync import ABSENT, DOCUMENT, ChildMap, EntityMap, Reference, custom_field
from zoho_sync.mapping.declaration import Source, describe_source, read_source
from zoho_sync.payloads import InvoicePayload, parse

GOODS = Table("goods", MetaData(), Column("id", Integer, primary_key=True))
PARTS = Table("parts", MetaData(), Column("id", Integer, primary_key=True))


def read(source: Source, **document: Any) -> Any:
    """What a source gives for an invoice."""
    whole = {"invoice_id": "1"} | document
    return read_source(source, parse(InvoicePayload, whole), whole)


def first(payload: Any) -> bool:
    return bool(payload.entity_id == "1")


def second(payload: Any) -> bool:
    return bool(payload.entity_id == "2")


@pytest.mark.parametrize(
    ("source", "document", "value"),
    [
        ("total", {}, ABSENT),
        ("total", {"total": ""}, None),
        ("total", {"total": None}, None),
        ("total", {"total": "12.50"}, Decimal("12.50")),
        ("notes", {"notes": ""}, None),
        ("billing_address.city", {}, ABSENT),
        ("billing_address.city", {"billing_address": {}}, ABSENT),
        ("billing_address.city", {"billing_address": {"city": ""}}, None),
        ("billing_address.city", {"billing_address": {"city": "Pune"}}, "Pune"),
        ("billing_address.city", {"billing_address": ""}, None),
        ("billing_address.a.b", {"billing_address": {"a": {"b": 1}}}, 1),
        ("billing_address.a.b", {"billing_address": {"a": "text"}}, None),
        ("taxes", {"taxes": ""}, []),
        (custom_field("cf_note"), {}, ABSENT),
        (custom_field("cf_note"), {"custom_fields": []}, None),
        (custom_field("cf_note"), {"cf_note": "x"}, "x"),
        (custom_field("cf_note"), {"cf_note": ""}, None),
        (custom_field("cf_note"), {"custom_field_hash": {"cf_note": "x"}}, "x"),
        (custom_field("Note"), {"custom_fields": [{"label": "Note", "value": "x"}]}, "x"),
        (custom_field("cf_n"), {"custom_fields": [{"api_name": "cf_n", "value": ""}]}, None),
        (first, {}, True),
        (lambda _: ABSENT, {}, ABSENT),
    ],
)
def test_what_a_source_reads(source: Any, document: Mapping[str, Any], value: Any) -> None:
    assert read(source, **document) == value


def test_the_document_is_as_it_was_received() -> None:
    assert read(DOCUMENT, total="1.50", odd="") == {"invoice_id": "1", "total": "1.50", "odd": ""}


def test_without_a_document_it_is_absent() -> None:
    assert read_source(DOCUMENT, parse(InvoicePayload, {"invoice_id": "1"})) is ABSENT


def test_a_line_has_no_custom_fields() -> None:
    invoice = parse(InvoicePayload, {"invoice_id": "1", "line_items": [{"quantity": 2}]})
    (line,) = invoice.line_items
    assert read_source("quantity", line) == Decimal(2)
    assert read_source("rate", line) is ABSENT
    assert read_source(custom_field("cf_note"), line) is ABSENT


def test_how_sources_are_described() -> None:
    assert describe_source("total") == "'total'"
    assert describe_source(first) == f"{__name__}.first()"
    assert describe_source(custom_field("cf_a")) != describe_source(custom_field("cf_b"))
    assert describe_source(DOCUMENT) != describe_source("document")


PARTS_MAP = ChildMap(
    table=PARTS, source="line_items", parent="a", key="k", columns={"q": "quantity"}
)
MAP = EntityMap(
    table=GOODS,
    key="zoho_id",
    columns={"a": "total", "b": "balance"},
    insert_only={"c": 7},
    references=[Reference("d", to="customer", source="customer_id")],
    children=[PARTS_MAP],
    deleted_column="gone",
    when=first,
)


@pytest.mark.parametrize(
    "changed",
    [
        {"table": PARTS},
        {"key": None},
        {"key": "other"},
        {"columns": {"a": "total"}},
        {"columns": {"a": "balance", "b": "total"}},
        {"columns": {"a": "total", "b": first}},
        {"columns": {"a": "total", "b": custom_field("cf_b")}},
        {"columns": {"a": "total", "b": DOCUMENT}},
        {"insert_only": {}},
        {"insert_only": {"c": 8}},
        {"insert_only": {"c": first}},
        {"references": []},
        {"references": [Reference("d", to="vendor", source="customer_id")]},
        {"references": [Reference("d", to="customer", source="merchant_id")]},
        {"references": [Reference("e", to="customer", source="customer_id")]},
        {"children": []},
        {"children": [replace(PARTS_MAP, key=None)]},
        {"children": [replace(PARTS_MAP, source=first)]},
        {"children": [replace(PARTS_MAP, columns={"q": "rate"})]},
        {"children": [replace(PARTS_MAP, parent="b")]},
        {"on_delete": "hard"},
        {"on_delete": "ignore"},
        {"deleted_column": None},
        {"organization_column": "org"},
        {"when": None},
        {"when": second},
        {"revision": "2"},
    ],
)
def test_the_fingerprint_changes_with_whatever_decides_what_is_written(
    changed: dict[str, Any],
) -> None:
    assert replace(MAP, **changed).fingerprint != MAP.fingerprint


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"columns": {"b": "balance", "a": "total"}},
        {"references": [Reference("d", to="customer", source="customer_id", missing="fail")]},
    ],
)
def test_the_fingerprint_stays(changed: dict[str, Any]) -> None:
    assert replace(MAP, **changed).fingerprint == MAP.fingerprint


def test_values_without_a_name_of_their_own_have_a_steady_description() -> None:
    class Plain:
        def __call__(self, payload: Any) -> Any:
            return payload

    mappings = [replace(MAP, columns={"a": Plain()}) for _ in range(2)]
    assert mappings[0].fingerprint == mappings[1].fingerprint
