"""Walks the whole path, from a body to the host's tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from tests.hosts.application import Host
from zoho_sync import Outcome, mirror

REAL: Mapping[str, Mapping[str, Any]] = {
    # Real documents hold no null, print one amount in three ways, and carry display twins.
    "contact": {
        "contact_id": "460000000026049",
        "contact_type": "customer",
        "contact_name": "Gujarat Traders ",
        "payment_terms": -2,
        "outstanding_receivable_amount": 0.00,
        "last_modified_time": "2024-05-17T12:00:01-0800",
        "custom_fields": [{"api_name": "cf_region", "label": "Region", "value": "West"}],
        "cf_region": "West",
    },
    "item": {
        "item_id": 460000000027001,
        "name": "Bolt",
        "sku": "",
        "status": "active",
        "rate": "10820.0",
        "last_modified_time": "2024-05-17T12:00:02-0800",
    },
    "invoice": {
        "invoice_id": "460000000028001",
        "invoice_number": "INV-000017",
        "customer_id": "460000000026049",
        "date": "2024-05-17",
        "due_date": "",
        "exchange_rate": "",
        "total": 10820,
        "total_formatted": "Rs.10,820.00",
        "documents": "",
        "last_modified_time": "2024-05-17T12:00:03-0800",
        "contact": {"customer_balance": 10820},
        "line_items": [
            {"line_item_id": "460000000028005", "item_id": "460000000027001", "quantity": 1.000000}
        ],
    },
}


async def test_lesson_05_whole_path_on_documents_as_they_come(mirrored: Host) -> None:
    """It would be back if the path were never run: nothing would arrive in the tables."""
    bodies = [
        f'{{"{wrapper}":{json.dumps(document)}}}'.encode() for wrapper, document in REAL.items()
    ]
    receipts = await mirrored.receive(*reversed(bodies))
    assert [receipt.http_status for receipt in receipts] == [200, 200, 200]
    assert await mirrored.sync.drain() == {Outcome.APPLIED: 3}
    product = await mirrored.row(mirror.products)
    assert (product["item_id"], product["rate"]) == ("460000000027001", Decimal("10820.0"))
    assert (await mirrored.row(mirror.customers))["contact_name"] == "Gujarat Traders "
    assert (await mirrored.row(mirror.invoices))["total"] == Decimal(10820)
    assert (await mirrored.row(mirror.invoice_lines))["quantity"] == Decimal(1)
    assert (await mirrored.sync.status()).healthy
