"""Products: ``GET /items/{item_id}``, wrapper ``item``."""

from __future__ import annotations

from pydantic import Field

from zoho_sync.payloads.base import Payload
from zoho_sync.payloads.fields import (
    Amount,
    EntityId,
    Flag,
    JsonList,
    Moment,
    Percent,
    Text,
    ZohoId,
)

__all__ = ["ProductPayload"]


class ProductPayload(Payload):
    """An item that is sold or bought; ``rate`` is its price in the organization's currency.

    ``status`` says active or inactive. The stock fields are there for items that are tracked as
    inventory, in the item's unit, and can be negative.
    """

    entity_type = "product"
    id_fields = ("item_id",)

    item_id: EntityId
    name: Text = None
    item_name: Text = None
    sku: Text = None
    status: Text = None
    description: Text = None
    item_type: Text = None
    product_type: Text = None
    group_id: ZohoId = None
    group_name: Text = None
    category_id: ZohoId = None
    category_name: Text = None
    unit: Text = None
    rate: Amount = None
    purchase_rate: Amount = None
    purchase_description: Text = None
    tax_id: ZohoId = None
    tax_name: Text = None
    tax_percentage: Percent = None
    tax_type: Text = None
    purchase_tax_rule_id: ZohoId = None
    sales_tax_rule_id: ZohoId = None
    item_tax_preferences: JsonList = Field(default_factory=list)
    is_taxable: Flag = None
    hsn_or_sac: Text = None
    sat_item_key_code: Text = None
    unitkey_code: Text = None
    account_id: ZohoId = None
    account_name: Text = None
    purchase_account_id: ZohoId = None
    purchase_account_name: Text = None
    inventory_account_id: ZohoId = None
    vendor_id: ZohoId = None
    vendor_name: Text = None
    can_be_sold: Flag = None
    can_be_purchased: Flag = None
    track_inventory: Flag = None
    is_combo_product: Flag = None
    is_returnable: Flag = None
    is_linked_with_zohocrm: Flag = None
    zcrm_product_id: ZohoId = None
    stock_on_hand: Amount = None
    available_stock: Amount = None
    actual_available_stock: Amount = None
    reorder_level: Amount = None
    locations: JsonList = Field(default_factory=list)
    warehouses: JsonList = Field(default_factory=list)
    brand: Text = None
    manufacturer: Text = None
    upc: Text = None
    ean: Text = None
    isbn: Text = None
    part_number: Text = None
    length: Amount = None
    width: Amount = None
    height: Amount = None
    dimension_unit: Text = None
    weight: Amount = None
    weight_unit: Text = None
    image_document_id: ZohoId = None
    image_name: Text = None
    image_type: Text = None
    source: Text = None
    has_attachment: Flag = None
    tags: JsonList = Field(default_factory=list)
    created_time: Moment = None
    last_modified_time: Moment = None
    updated_time: Moment = None
