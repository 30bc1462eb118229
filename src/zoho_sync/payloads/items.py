"""Reads what is about items: the items themselves, their price lists, changes of their stock.

``GET /items/{item_id}``, wrapper ``item``; ``GET /pricebooks/{pricebook_id}``, wrapper
``pricebook``; ``GET /inventoryadjustments/{id}``, wrapper ``inventory_adjustment``. No OpenAPI
document covers the last two: their fields are those of live documents.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import Field

from zoho_sync.payloads.base import Line
from zoho_sync.payloads.documents import ItemLine, RecordPayload, TransactionPayload
from zoho_sync.payloads.fields import (
    Amount,
    EntityId,
    Flag,
    Integer,
    JsonList,
    JsonValue,
    ListOf,
    Percent,
    Text,
    ZohoId,
    is_blank,
    unreadable,
)

__all__ = [
    "PriceBracket",
    "PriceListItem",
    "PriceListPayload",
    "ProductPayload",
    "StockAdjustmentLine",
    "StockAdjustmentPayload",
]


class ProductPayload(RecordPayload):
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
    brand_id: ZohoId = None
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


class PriceBracket(Line):
    """The price of an item from one quantity to another.

    Attributes:
        bracket_id: ``<item key>#<position>``, made by `PriceListPayload`; position counts from 0.
        end_quantity: The last quantity at that price; None where it has no end.
        pricebook_discount: Text, for example ``"5%"``.
    """

    id_field = "bracket_id"

    bracket_id: ZohoId = None
    pricebook_item_id: ZohoId = None
    item_id: ZohoId = None
    start_quantity: Amount = None
    end_quantity: Amount = None
    pricebook_rate: Amount = None
    pricebook_discount: Text = None

    @classmethod
    def _respelled(cls, document: dict[str, Any]) -> dict[str, Any]:
        return _with_rate(document)


class PriceListItem(Line):
    """One of ``pricebook_items[]``: an item's price, or its brackets where volume decides.

    ``pricebook_item_id`` is missing with volume pricing. ``pricebook_discount`` is text.
    """

    id_field = "pricebook_item_id"

    pricebook_item_id: ZohoId = None
    item_id: ZohoId = None
    name: Text = None
    pricebook_rate: Amount = None
    pricebook_discount: Text = None
    can_be_sold: Flag = None
    can_be_purchased: Flag = None
    price_brackets: ListOf[PriceBracket] = Field(default_factory=list)


class PriceListPayload(RecordPayload):
    """A price list; ``percentage`` counts when ``pricebook_type`` is ``fixed_percentage``.

    Older admin templates say ``pricelist_id``, and ``items`` with a ``rate`` for
    ``pricebook_items`` with a ``pricebook_rate``.

    Attributes:
        price_brackets: The brackets of all items in one list; present where the items are. The item
            key in a bracket's id is the item's ``pricebook_item_id``, else its ``item_id``, else
            ``#`` and its position.
    """

    entity_type = "price_list"
    id_fields = ("pricebook_id", "pricelist_id")

    pricebook_id: EntityId
    name: Text = None
    description: Text = None
    currency_id: ZohoId = None
    currency_code: Text = None
    decimal_place: Integer = None
    is_default: Flag = None
    is_increase: Flag = None
    percentage: Percent = None
    pricebook_rate: Amount = None
    pricebook_type: Text = None
    pricing_scheme: Text = None
    rounding_type: Text = None
    sales_or_purchase_type: Text = None
    products: JsonList = Field(default_factory=list)
    pricebook_items: ListOf[PriceListItem] = Field(default_factory=list)
    price_brackets: ListOf[PriceBracket] = Field(default_factory=list)

    @classmethod
    def _respelled(cls, document: dict[str, Any]) -> dict[str, Any]:
        if "pricebook_items" not in document and "items" in document:
            document["pricebook_items"] = _renamed_rates(document["items"])
        document.pop("price_brackets", None)
        if "pricebook_items" in document:
            document["price_brackets"] = list(_flat_brackets(document["pricebook_items"]))
        return document


def _with_rate(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"pricebook_rate": row["rate"], **row} if "rate" in row else dict(row)


def _renamed_rates(rows: Any) -> Any:
    if not isinstance(rows, (list, tuple)):
        return rows
    return [_with_rate(row) if isinstance(row, Mapping) else row for row in rows]


def _flat_brackets(rows: Any) -> Iterator[dict[str, Any]]:
    # What has the wrong shape is left out here: the items, which are read first, name it.
    for position, row in enumerate(_objects(rows)):
        names = ("pricebook_item_id", "item_id")
        ids = (row[name] for name in names if not is_blank(row.get(name)))
        key = str(next(ids, f"#{position}")).strip()
        for place, bracket in enumerate(_objects(row.get("price_brackets"))):
            yield {**bracket, "bracket_id": f"{key}#{place}", "item_id": row.get("item_id")}


def _objects(rows: Any) -> list[Mapping[str, Any]]:
    listed = rows if isinstance(rows, (list, tuple)) else []
    return [row for row in listed if isinstance(row, Mapping)]


_LINE_FIELDS: Final = ("item_id", "quantity_adjusted", "value_adjusted")


class StockAdjustmentLine(ItemLine):
    """One of an adjustment's ``line_items[]``.

    ``quantity_adjusted`` is signed, in the item's unit, and missing when values are adjusted.
    """

    quantity_adjusted: Amount = None
    value_adjusted: Amount = None
    price: Amount = None
    asset_price: Amount = None
    adjustment_account_id: ZohoId = None
    adjustment_account_name: Text = None
    asset_account_id: ZohoId = None
    asset_account_name: Text = None
    serial_numbers: JsonValue = None
    batches: JsonValue = None


class StockAdjustmentPayload(TransactionPayload):
    """An adjustment of quantities or of values, as ``adjustment_type`` says.

    Rows of the API's list are single lines, several with one id; such a row is refused, because it
    would be taken for the whole adjustment.
    """

    entity_type = "stock_adjustment"
    id_fields = ("inventory_adjustment_id",)

    inventory_adjustment_id: EntityId
    reason: Text = None
    reason_id: ZohoId = None
    asset_account_id: ZohoId = None
    description: Text = None
    adjustment_type: Text = None
    adjustment_account_id: ZohoId = None
    adjustment_account_name: Text = None
    total: Amount = None
    warehouse_id: ZohoId = None
    warehouse_name: Text = None
    is_inventory_valuation_pending: Flag = None
    created_by_id: ZohoId = None
    created_by_name: Text = None
    last_modified_by_id: ZohoId = None
    last_modified_by_name: Text = None
    line_items: ListOf[StockAdjustmentLine] = Field(default_factory=list)

    @classmethod
    def _respelled(cls, document: dict[str, Any]) -> dict[str, Any]:
        if "line_items" not in document and any(name in document for name in _LINE_FIELDS):
            message = "one line of a stock adjustment; the whole document with line_items is needed"
            raise unreadable(message)
        return document
