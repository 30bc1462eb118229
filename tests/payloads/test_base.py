"""What every payload model can do: ids, custom fields, presence."""

from __future__ import annotations

import types
from decimal import Decimal
from types import MappingProxyType
from typing import Annotated, Any, ClassVar

import pytest
from pydantic import AfterValidator, Field, ValidationError

from zoho_sync import payloads
from zoho_sync.events.entities import BUILTIN_KINDS
from zoho_sync.exceptions import ConfigurationError, PayloadError
from zoho_sync.payloads import (
    CustomerPayload,
    Day,
    EntityId,
    FieldKind,
    InvoiceLine,
    InvoicePayload,
    Payload,
    PriceListPayload,
    VendorPayload,
    ZohoId,
    line_key,
)
from zoho_sync.payloads.parsing import parse

MODELS = [
    model
    for name in payloads.__all__
    if name.endswith("Payload") and name != "Payload"
    for model in [getattr(payloads, name)]
]


class Shipment(Payload):
    entity_type = "shipment"
    id_fields = ("shipment_id", "package_id")

    shipment_id: EntityId
    shipped_on: Day = None


def test_the_exports_are_exact_and_sorted() -> None:
    assert sorted(payloads.__all__) == payloads.__all__
    assert all(hasattr(payloads, name) for name in payloads.__all__)


def test_every_builtin_type_has_a_model_with_the_same_ids() -> None:
    found = {model.entity_type: model.id_fields for model in MODELS}
    assert found == {kind.entity_type: kind.id_fields for kind in BUILTIN_KINDS}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("value", ["460000000026049", 460000000026049])
def test_an_id_is_all_that_a_document_needs(model: type[Payload], value: object) -> None:
    for name in model.id_fields:
        found = parse(model, {name: value})
        assert found.entity_id == "460000000026049"
        assert getattr(found, model.id_fields[0]) == "460000000026049"
        assert model.id_fields[0] in found.model_fields_set


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("blank", ["", None, " "])
def test_a_missing_id_is_named(model: type[Payload], blank: object) -> None:
    name = model.id_fields[0]
    with pytest.raises(ValidationError):
        model.model_validate({})
    with pytest.raises(ValidationError) as caught:
        model.model_validate({name: blank})
    (error,) = caught.value.errors()
    assert (error["loc"], error["msg"]) == ((name,), "missing or empty")


@pytest.mark.parametrize("model", [*MODELS, Shipment])
def test_the_id_is_required_text(model: type[Payload]) -> None:
    name = model.id_fields[0]
    field = model.model_fields[name]
    assert (field.annotation, field.is_required()) == (str, True)
    assert FieldKind.ID in field.metadata
    assert [other for other, each in model.model_fields.items() if each.is_required()] == [name]
    for value in (460000000026049, " 460000000026049 "):
        assert getattr(parse(model, {name: value}), name) == "460000000026049"


@pytest.mark.parametrize("model", [*MODELS, Shipment])
@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (..., "missing or empty"),
        ("", "missing or empty"),
        (None, "missing or empty"),
        (" ", "missing or empty"),
        (True, "expected an id, as text or an integer, not true or false"),
        ([], "expected an id, as text or an integer, not a list"),
        (Decimal(7), "expected an id, as text or an integer, not a number"),
    ],
)
def test_a_document_without_its_id_is_refused(
    model: type[Payload], value: object, problem: str
) -> None:
    name = model.id_fields[0]
    # What is wrong beside it does not come first.
    document = {"custom_fields": 5} | ({} if value is ... else {name: value})
    if problem.startswith("expected"):
        del document["custom_fields"]
    with pytest.raises(PayloadError) as caught:
        parse(model, document)
    assert str(caught.value) == f"{model.entity_type}.{name}: {problem}"


def test_another_spelling_fills_only_a_blank_id() -> None:
    assert VendorPayload.model_validate({"contact_id": "1", "vendor_id": "2"}).entity_id == "1"
    assert VendorPayload.model_validate({"contact_id": "", "vendor_id": "2"}).entity_id == "2"
    assert PriceListPayload.model_validate({"pricelist_id": 3}).pricebook_id == "3"


def test_a_customer_model_does_not_judge_the_contact_type() -> None:
    body = {"contact_id": "1", "contact_type": "vendor"}
    assert CustomerPayload.model_validate(body).contact_type == "vendor"


def test_an_application_adds_its_own_entity() -> None:
    found = parse(Shipment, {"package_id": 7, "shipped_on": "2026-01-02", "carrier": "DHL"})
    assert found.entity_id == "7"
    assert found.model_extra == {"package_id": 7, "carrier": "DHL"}


def test_an_id_without_a_field_is_a_mistake_of_the_application() -> None:
    with pytest.raises(ConfigurationError, match="declares no field 'parcel_id'"):

        class Parcel(Payload):
            entity_type = "parcel"
            id_fields: ClassVar[tuple[str, ...]] = ("parcel_id",)


def test_id_fields_are_a_tuple() -> None:
    with pytest.raises(ConfigurationError, match=r"must be a tuple: \('parcel_id',\)"):

        class Parcel(Payload):
            entity_type = "parcel"
            id_fields = "parcel_id"  # type: ignore[assignment]  # what is easily written
            parcel_id: EntityId


LOOSE: list[tuple[Any, dict[str, Any]]] = [
    (ZohoId, {"parcel_id": None}),
    (EntityId, {"parcel_id": "0"}),
    (EntityId | None, {}),
    (str | None, {"parcel_id": None}),
    (str, {}),
    (int, {}),
]


@pytest.mark.parametrize(("annotation", "default"), LOOSE)
def test_an_id_that_is_no_entity_id_is_refused(
    annotation: object, default: dict[str, object]
) -> None:
    body = {
        "__module__": __name__,
        "__annotations__": {"parcel_id": annotation},
        "entity_type": "parcel",
        "id_fields": ("parcel_id",),
        **default,
    }
    with pytest.raises(ConfigurationError) as caught:
        types.new_class("Parcel", (Payload,), exec_body=lambda names: names.update(body))
    assert str(caught.value) == (
        "Parcel.parcel_id holds the entity's id and may not be empty; declare it without a default,"
        " with the type of zoho_sync.payloads: `parcel_id: EntityId`"
    )


def test_an_id_may_have_more_to_check() -> None:
    class Parcel(Payload):
        entity_type = "parcel"
        id_fields = ("parcel_id",)
        parcel_id: Annotated[EntityId, AfterValidator(str.upper)] = Field(description="Ours.")

    class Priority(Parcel):
        entity_type = "priority_parcel"

    assert parse(Priority, {"parcel_id": "a7"}).parcel_id == "A7"


def test_an_id_whose_type_is_not_known_yet_is_no_mistake_yet() -> None:
    class Parcel(Payload):
        entity_type = "parcel"
        id_fields = ("parcel_id",)
        parcel_id: Later  # type: ignore[name-defined]  # noqa: F821  # as under TYPE_CHECKING

    Parcel.model_rebuild(_types_namespace={"Later": EntityId})
    assert parse(Parcel, {"parcel_id": 7}).entity_id == "7"


def test_a_model_may_be_validated_again() -> None:
    invoice = InvoicePayload.model_validate({"invoice_id": "1"})
    assert InvoicePayload.model_validate(invoice) is invoice


def test_a_document_that_is_no_object_is_refused() -> None:
    with pytest.raises(ValidationError):
        InvoicePayload.model_validate([])


def test_presence_is_told_apart_from_emptiness() -> None:
    document = {
        "invoice_id": "1",
        "notes": "",
        "line_items": [MappingProxyType({"line_item_id": "2", "item_id": ""})],
        "color": "red",
    }
    invoice = InvoicePayload.model_validate(MappingProxyType(document))
    assert invoice.model_fields_set == {"invoice_id", "notes", "line_items", "color"}
    assert invoice.line_items[0].model_fields_set == {"line_item_id", "item_id"}
    assert invoice.terms is None
    assert InvoicePayload.model_validate({"invoice_id": "1"}).line_items == []


def test_nothing_changes_a_payload() -> None:
    invoice = InvoicePayload.model_validate({"invoice_id": "1"})
    with pytest.raises(ValidationError):
        invoice.notes = "changed"


def test_a_line_is_known_by_its_id_or_its_position() -> None:
    assert line_key(InvoiceLine(line_item_id="5"), 3) == "5"
    assert InvoiceLine().line_id == ""
    assert line_key(InvoiceLine(), 3) == "#3"


LISTED = {"api_name": "cf_risk", "label": "Credit Risk", "value": "Medium"}


@pytest.mark.parametrize(
    ("document", "name", "value"),
    [
        ({"custom_fields": [LISTED]}, "cf_risk", "Medium"),
        ({"custom_fields": [LISTED]}, "Credit Risk", "Medium"),
        ({"custom_fields": [{**LISTED, "value": ""}]}, "cf_risk", None),
        ({"custom_fields": "", "cf_risk": "Low"}, "cf_risk", "Low"),
        ({"custom_fields": [{"api_name": "cf_risk"}], "cf_risk": "Low"}, "cf_risk", "Low"),
        ({"custom_fields": ["?"], "cf_risk": "Low"}, "cf_risk", "Low"),
        ({"custom_field_hash": {"cf_risk": "High"}, "cf_risk": "Low"}, "cf_risk", "High"),
        ({"custom_fields": [LISTED], "cf_risk": "Low"}, "cf_risk", "Medium"),
        ({"cf_debt": "IRR236,515", "cf_debt_unformatted": 236515}, "cf_debt", 236515),
        ({"custom_fields": [LISTED]}, "cf_other", None),
        ({"custom_fields": [LISTED]}, "Other", None),
        ({"custom_fields": ""}, "Other", None),
        ({"custom_field_hash": {"cf_other": "Low"}}, "cf_risk", None),
        ({"custom_field_hash": []}, "cf_risk", None),
        (
            {"custom_field_hash": {"cf_x": "5026.80", "cf_x_unformatted": "5026.8"}},
            "cf_x",
            "5026.8",
        ),
    ],
)
def test_a_custom_field_is_found_in_every_spelling(
    document: dict[str, object], name: str, value: object
) -> None:
    contact = CustomerPayload.model_validate({"contact_id": "1", **document})
    assert contact.has_custom_field(name)
    assert contact.custom_field(name) == value


@pytest.mark.parametrize("name", ["cf_risk", "Credit Risk", "contact_id", "color"])
def test_a_custom_field_that_is_not_there_is_none(name: str) -> None:
    contact = CustomerPayload.model_validate({"contact_id": "1", "color": "red"})
    assert not contact.has_custom_field(name)
    assert contact.custom_field(name) is None


@pytest.mark.parametrize(
    ("document", "name"),
    [
        ({"custom_fields": [LISTED, {"label": "Shelf", "value": "A4"}]}, "cf_other"),
        ({"custom_fields": [LISTED, {"api_name": "cf_shelf", "value": "A4"}]}, "Other"),
        ({"custom_fields": [LISTED, "?"]}, "Other"),
        ({"custom_field_hash": {"cf_shelf": "A4"}}, "Other"),
    ],
)
def test_a_custom_field_may_be_there_under_a_name_that_nobody_told(
    document: dict[str, object], name: str
) -> None:
    contact = CustomerPayload.model_validate({"contact_id": "1", **document})
    assert not contact.has_custom_field(name)
