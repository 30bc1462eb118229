"""Stock adjustments: ``GET /inventoryadjustments/{id}``, wrapper ``inventory_adjustment``.

No OpenAPI document covers them: the fields are those of live documents of Zoho Inventory.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic import Field

from zoho_sync.payloads.base import Line, Payload
from zoho_sync.payloads.fields import (
    Amount,
    Day,
    EntityId,
    Flag,
    Integer,
    JsonValue,
    ListOf,
    Moment,
    Text,
    ZohoId,
    refusal,
)

__all__ = ["StockAdjustmentLine", "StockAdjustmentPayload"]

_LINE_FIELDS: Final = ("item_id", "quantity_adjusted", "value_adjusted")


class StockAdjustmentLine(Line):
    """One of an adjustment's ``line_items[]``.

    ``quantity_adjusted`` is signed, in the item's unit, and missing when values are adjusted.
    """

    id_field = "line_item_id"

    line_item_id: ZohoId = None
    item_id: ZohoId = None
    item_order: Integer = None
    name: Text = None
    sku: Text = None
    description: Text = None
    unit: Text = None
    quantity_adjusted: Amount = None
    value_adjusted: Amount = None
    item_total: Amount = None
    price: Amount = None
    asset_price: Amount = None
    adjustment_account_id: ZohoId = None
    adjustment_account_name: Text = None
    asset_account_id: ZohoId = None
    asset_account_name: Text = None
    warehouse_id: ZohoId = None
    warehouse_name: Text = None
    location_id: ZohoId = None
    location_name: Text = None
    serial_numbers: JsonValue = None
    batches: JsonValue = None


class StockAdjustmentPayload(Payload):
    """An adjustment of quantities or of values, as ``adjustment_type`` says.

    Rows of the API's list are single lines, several with one id; such a row is refused, because it
    would be taken for the whole adjustment.
    """

    entity_type = "stock_adjustment"
    id_fields = ("inventory_adjustment_id",)

    inventory_adjustment_id: EntityId
    date: Day = None
    reason: Text = None
    reason_id: ZohoId = None
    description: Text = None
    reference_number: Text = None
    adjustment_type: Text = None
    adjustment_account_id: ZohoId = None
    adjustment_account_name: Text = None
    status: Text = None
    total: Amount = None
    warehouse_id: ZohoId = None
    warehouse_name: Text = None
    location_id: ZohoId = None
    location_name: Text = None
    branch_id: ZohoId = None
    branch_name: Text = None
    is_inventory_valuation_pending: Flag = None
    created_by_id: ZohoId = None
    created_by_name: Text = None
    created_time: Moment = None
    last_modified_by_id: ZohoId = None
    last_modified_by_name: Text = None
    last_modified_time: Moment = None
    updated_time: Moment = None
    line_items: ListOf[StockAdjustmentLine] = Field(default_factory=list)

    @classmethod
    def _respelled(cls, document: dict[str, Any]) -> dict[str, Any]:
        if "line_items" not in document and any(name in document for name in _LINE_FIELDS):
            message = "one line of a stock adjustment; the whole document with line_items is needed"
            raise refusal(message)
        return document
