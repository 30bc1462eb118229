"""A document is recognised by what must be there: it has no id that documents of its kind lack."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.hosts.sql import Sessions
from zoho_sync import HandlerRegistry, Outcome, ZohoSync, default_registry
from zoho_sync.exceptions import PayloadError
from zoho_sync.handlers import InvoiceHandler
from zoho_sync.intake.decoding import DecodingRules, decode
from zoho_sync.intake.hints import Hints
from zoho_sync.payloads import InvoicePayload, ZohoId

pytestmark = pytest.mark.databases("sqlite")

CATALOG = default_registry().catalog()
FOREIGN: dict[str, dict[str, Any]] = {
    "a picklist": {"picklist_id": "1", "salesorder_id": "2", "status": "done"},
    "a shipment order": {"shipment_order_id": "1", "salesorder_id": "2"},
    "a put-away": {"putaway_id": "1", "bill_id": "2", "line_items": []},
    "a batch": {"batch_id": "1", "item_id": "2", "batch_number": "B-7"},
    "a serial number": {"serialnumber_id": 1, "item_id": "2"},
    "a transaction": {"transaction_id": "1", "invoice_id": "2", "amount": 5},
    "a comment": {"comment_id": "1", "contact_id": "2", "contact_type": "customer"},
    "a dispatch": {"dispatch_id": "s1", "salesorder_id": "1", "status": "delivered"},
    "an approval": {"approval_id": "1", "creditnote_id": "2"},
}


def event_of(document: dict[str, Any], **hints: Any) -> Any:
    body = json.dumps(document).encode()
    return decode(body, "application/json", Hints(**hints), DecodingRules(CATALOG))


@pytest.mark.parametrize("name", FOREIGN)
def test_a_document_of_another_module_is_not_taken_for_its_parent(name: str) -> None:
    foreign = FOREIGN[name]
    with pytest.raises(PayloadError) as refused:
        event_of(foreign)
    field = next(iter(foreign))
    assert refused.value.path.endswith(f".{field}")
    assert "?entity=" in refused.value.problem
    assert "payload model" in refused.value.problem


@pytest.mark.parametrize("name", FOREIGN)
def test_who_tells_what_it_is_is_believed(name: str) -> None:
    foreign = FOREIGN[name]
    parent = next(key for key in [*foreign][1:] if key.endswith("_id"))
    kind = next(kind for kind in CATALOG.kinds.values() if parent in kind.id_fields)
    told = "customer" if kind.entity_type in {"customer", "vendor", "contact"} else kind.entity_type
    assert event_of(foreign, entity=told).entity_id == str(foreign[parent])
    wrapped = {kind.wrappers[0]: foreign}
    assert event_of(wrapped, entity=told).entity_id == str(foreign[parent])


@pytest.mark.parametrize(
    ("document", "entity"),
    [
        ({"payment_refund_id": "1", "payment_id": "2", "amount": 5}, "payment"),
        ({"package_id": "1", "salesorder_id": "2"}, "sales_order"),
        ({"shipment_id": "1", "salesorder_id": "2"}, "sales_order"),
        ({"creditnote_refund_id": "1", "creditnote_id": "2"}, "credit_note"),
    ],
)
def test_the_own_id_of_a_module_that_is_known_is_refused_even_if_told(
    document: dict[str, Any], entity: str
) -> None:
    with pytest.raises(PayloadError, match=f"it is no {entity}"):
        event_of(document, entity=entity)


@pytest.mark.parametrize(
    "extra",
    [
        {"picklist_id": ""},
        {"picklist_id": None},
        {"cf_route_id": "9"},
        {"organization_id": "60001"},
        {"customer_id": "5", "account_id": "6", "template_id": "7", "salesorder_id": "8"},
    ],
)
def test_what_its_documents_may_have_does_not_count(extra: dict[str, Any]) -> None:
    assert event_of({"invoice_id": "1", **extra}).entity_type == "invoice"


async def test_letters_are_one_group_and_replay_once_the_name_is_added(sessions: Sessions) -> None:
    before = ZohoSync(sessions, organization_id="60001")
    await before.create_tables()
    for number in (1, 2, 3):
        receipt = await before.ingest({"invoice_id": f"{number}", "campaign_id": f"9{number}"})
        assert receipt.status == "dead_letter"
    letters = await before.dead_letters.list()
    assert {(letter.path, letter.error) for letter in letters} == {
        (letters[0].path, letters[0].error)
    }

    class Campaigns(InvoicePayload):
        campaign_id: ZohoId = None

    class Invoices(InvoiceHandler):
        payload_model = Campaigns

    registry = default_registry()
    registry.override(Invoices)
    after = ZohoSync(sessions, registry=registry, organization_id="60001")
    await after.dead_letters.replay([letter.id for letter in letters])
    assert await after.drain() == {Outcome.APPLIED: 3}
    assert HandlerRegistry([Invoices]).catalog().kinds["invoice"].known_ids
