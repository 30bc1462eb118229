"""Price lists: ``GET /pricebooks/{pricebook_id}``, wrapper ``pricebook``.

No OpenAPI document covers them: the fields are those of live documents.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field

from zoho_sync.payloads.base import Line, Payload
from zoho_sync.payloads.fields import (
    Amount,
    EntityId,
    Flag,
    Integer,
    JsonList,
    ListOf,
    Moment,
    Percent,
    Text,
    ZohoId,
    is_blank,
)

__all__ = ["PriceBracket", "PriceListItem", "PriceListPayload"]


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


class PriceListPayload(Payload):
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
    status: Text = None
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
    created_time: Moment = None
    last_modified_time: Moment = None
    updated_time: Moment = None
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
