"""A document is recognised by what must be there: it has no id that documents of its kind lack."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Column, Integer, MetaData, String, Table

from tests.hosts.sql import Sessions, make, rows
from zoho_sync import (
    BaseEntityHandler,
    EntityMap,
    HandlerRegistry,
    Outcome,
    Reference,
    ZohoSync,
    default_registry,
)
from zoho_sync.exceptions import PayloadError
from zoho_sync.handlers import CustomerHandler, InvoiceHandler, ProductHandler
from zoho_sync.intake.decoding import DecodingRules, decode
from zoho_sync.intake.hints import Hints
from zoho_sync.payloads import EntityId, InvoicePayload, Payload, ZohoId

pytestmark = pytest.mark.databases("sqlite")

CATALOG = default_registry().catalog()
metadata = MetaData()
people = Table(
    "people_with_ids",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("zoho_id", String(100), unique=True),
    Column("name", String(100)),
    sqlite_autoincrement=True,
)
papers = Table(
    "papers_with_ids",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("zoho_id", String(100), unique=True),
    Column("person_id", Integer),
    sqlite_autoincrement=True,
)
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
        ({"payment": {"payment_refund_id": "1", "payment_id": "2"}}, "payment"),
        ({"salesorder": {"package_id": "1", "salesorder_id": "2"}}, "sales_order"),
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


# Ids


JUNK = [
    *("${ITEM.ITEM_ID}", "null", "undefined", "0", "000", "4.6E+18", "None", "NaN", "a1", "-5"),
    *(
        "+5",
        "4600000000000000001.0",
        "4 6",
        "\uff14\uff16",
        "\u0664\u0666",
        "4_6",
        "0x1F",
        "1" * 101,
        46.5,
        True,
        [1],
    ),
]


@pytest.mark.parametrize("junk", JUNK, ids=repr)
async def test_what_is_no_id_of_zohos_is_not_taken_for_one(sessions: Sessions, junk: Any) -> None:
    """Neither as the document's own, nor as one that it refers to; no placeholder is made."""
    made: list[str] = []

    def stand_in(zoho_id: str) -> dict[str, Any]:
        made.append(zoho_id)
        return {"name": zoho_id}

    class Clients(CustomerHandler):
        mapping = EntityMap(
            table=people, key="zoho_id", columns={"name": "contact_name"}, on_delete="ignore"
        )

    class Invoices(InvoiceHandler):
        mapping = EntityMap(
            table=papers,
            key="zoho_id",
            columns={},
            references=[
                Reference("person_id", to="customer", source="customer_id", missing=stand_in)
            ],
            on_delete="ignore",
        )

    await make(sessions, metadata)
    sync = ZohoSync(sessions, registry=HandlerRegistry([Clients, Invoices, ProductHandler]))
    for document, path in (
        ({"item": {"item_id": junk, "name": "x"}}, "product.item_id"),
        ({"invoice": {"invoice_id": "1", "customer_id": junk}}, "invoice.customer_id"),
    ):
        await sync.ingest(json.dumps(document))
        await sync.drain()
        (letter,) = await sync.dead_letters.list()
        assert letter.path == path
        await sync.dead_letters.resolve([letter.id], reason="seen")
    assert made == []
    for table in (people, papers):
        assert await rows(sessions, table) == []


@given(text=st.text(max_size=30))
def test_an_id_is_digits_and_not_only_zeros(text: str) -> None:
    kind, plain = CATALOG.kinds["invoice"], text.strip()
    is_id = plain.isascii() and plain.isdigit() and bool(plain.strip("0"))
    try:
        found = event_of({"invoice": {"invoice_id": text}}).entity_id
    except PayloadError:
        assert not is_id
    else:
        assert (found, is_id) == (plain, True)
    assert kind.numbered


async def test_an_applications_own_type_chooses_its_ids(sessions: Sessions) -> None:
    class Shipment(Payload):
        entity_type = "shipment"
        id_fields = ("shipment_id",)
        shipment_id: EntityId

    class Numbered(Shipment):
        numbered = True

    for model, outcome in ((Shipment, Outcome.APPLIED), (Numbered, Outcome.DEAD_LETTER)):

        class Shipments(BaseEntityHandler[Any]):
            payload_model = model
            entity_type = "shipment"

            async def upsert(self, payload: Any) -> None:
                """Take it."""

        sync = ZohoSync(sessions, registry=HandlerRegistry([Shipments]))
        receipt = await sync.ingest({"shipment": {"shipment_id": f"S-{model.__name__}"}})
        counts = await sync.drain()
        assert outcome in counts or receipt.status == outcome.value


async def test_ones_own_code_resolves_no_junk(sessions: Sessions) -> None:
    async with sessions() as session:
        handler = ZohoSync(sessions).handler("invoice", session)
        with pytest.raises(PayloadError, match="not an id of Zoho's"):
            await handler.resolve("customer", "null")
