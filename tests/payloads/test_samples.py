"""The public sample documents, where they are at hand: which are read, and which are refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from zoho_sync.events import exact_json
from zoho_sync.events.entities import BUILTIN_KINDS, EntityCatalog
from zoho_sync.exceptions import PayloadError
from zoho_sync.payloads import (
    BillPayload,
    CreditNotePayload,
    CustomerPayload,
    InvoicePayload,
    Payload,
    PaymentPayload,
    PriceListPayload,
    ProductPayload,
    SalesOrderPayload,
    StockAdjustmentPayload,
    UserPayload,
    VendorPayload,
    parse,
)

SAMPLES = Path(__file__).parents[2].parent / "shared" / "payloads"
REFUSED = {
    "inventoryadjustment__4": "stock_adjustment.inventory_adjustment_id",
    "inventoryadjustment__5": "stock_adjustment",
    "pricebook__4": "price_list.pricebook_id",
    "pricebook__5": "price_list.pricebook_id",
    "salesorder__3": "sales_order.salesorder_id",
    "salesorder__6": "sales_order",
}
MODELS: dict[str, type[Payload]] = {
    "bill": BillPayload,
    "contact": CustomerPayload,
    "creditnote": CreditNotePayload,
    "customerpayment": PaymentPayload,
    "inventoryadjustment": StockAdjustmentPayload,
    "invoice": InvoicePayload,
    "item": ProductPayload,
    "pricebook": PriceListPayload,
    "salesorder": SalesOrderPayload,
    "user": UserPayload,
    "vendor": VendorPayload,
}
CATALOG = EntityCatalog(BUILTIN_KINDS)


def unwrapped(body: Mapping[str, Any], model: type[Payload]) -> Any:
    """The entity's document inside one of Zoho's wrappers, or the body itself."""
    inner = body.get("data", body)
    kind = CATALOG.require(model.entity_type)
    wrappers = (*kind.wrappers, "contact") if "contact_id" in kind.id_fields else kind.wrappers
    # An invoice has a small `contact` of its own: an id says that the body is not wrapped.
    if any(name in inner for name in kind.id_fields):
        return inner
    return next((inner[name] for name in wrappers if name in inner), inner)


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the sample documents are not at hand")
@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.json")), ids=lambda path: path.stem)
def test_a_sample_is_read_or_refused(path: Path) -> None:
    entity, number, _ = path.stem.split("__")
    model = MODELS[entity]
    document = unwrapped(exact_json.loads(path.read_bytes()), model)
    refused = REFUSED.get(f"{entity}__{number}")
    if refused is None:
        payload = parse(model, document)
        assert payload.entity_id.isdigit()
        assert set(document) <= payload.model_fields_set
    else:
        with pytest.raises(PayloadError) as caught:
            parse(model, document)
        assert caught.value.path == refused
