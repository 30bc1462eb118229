"""Holds the fields that several entities share: of documents, of their lines, of all records.

Sources of all field names and types: Zoho's OpenAPI documents for Books, and the keys of live
documents. Where the two differ, live documents decide.
"""

from __future__ import annotations

from pydantic import Field

from zoho_sync.payloads.base import Line, Payload
from zoho_sync.payloads.fields import (
    Amount,
    Day,
    Flag,
    Integer,
    JsonList,
    JsonObject,
    Moment,
    Percent,
    Text,
    ZohoId,
)

__all__ = [
    "CurrencyPayload",
    "DocumentLine",
    "DocumentPayload",
    "ItemLine",
    "RecordPayload",
    "TransactionPayload",
]


class RecordPayload(Payload):
    """What Zoho keeps of every entity: its state, and when it was made and changed."""

    status: Text = None
    created_time: Moment = None
    last_modified_time: Moment = None
    updated_time: Moment = None


class CurrencyPayload(RecordPayload):
    """An entity with a currency of its own; ``exchange_rate`` leads to the organization's."""

    currency_id: ZohoId = None
    currency_code: Text = None
    currency_symbol: Text = None
    exchange_rate: Amount = None
    price_precision: Integer = None


class TransactionPayload(RecordPayload):
    """Something that happened on a day, at a place."""

    date: Day = None
    reference_number: Text = None
    location_id: ZohoId = None
    location_name: Text = None
    branch_id: ZohoId = None
    branch_name: Text = None


class ItemLine(Line):
    """A line with an item, a warehouse and a total."""

    id_field = "line_item_id"

    line_item_id: ZohoId = None
    item_id: ZohoId = None
    item_order: Integer = None
    sku: Text = None
    name: Text = None
    description: Text = None
    unit: Text = None
    item_total: Amount = None
    location_id: ZohoId = None
    location_name: Text = None
    warehouse_id: ZohoId = None
    warehouse_name: Text = None


class DocumentLine(ItemLine):
    """A line with an item, a quantity and a rate, in the currency of its document.

    ``item_id`` is None on a line that was typed in by hand. ``discount`` is text: ``"10%"`` or
    ``"5"``.
    """

    item_type: Text = None
    product_type: Text = None
    quantity: Amount = None
    rate: Amount = None
    bcy_rate: Amount = None
    discount: Text = None
    discount_amount: Amount = None
    tax_id: ZohoId = None
    tax_name: Text = None
    tax_type: Text = None
    tax_percentage: Percent = None
    tax_treatment_code: Text = None
    account_id: ZohoId = None
    account_name: Text = None
    project_id: ZohoId = None
    project_name: Text = None
    line_item_taxes: JsonList = Field(default_factory=list)
    tags: JsonList = Field(default_factory=list)
    item_custom_fields: JsonList = Field(default_factory=list)


class DocumentPayload(TransactionPayload, CurrencyPayload):
    """The head of a document; amounts are in its currency, ``bcy_*`` in the organization's.

    ``status`` is an open set: values exist that no documentation lists.
    """

    is_inclusive_tax: Flag = None
    is_pre_gst: Flag = None
    is_reverse_charge_applied: Flag = None
    gst_no: Text = None
    gst_treatment: Text = None
    place_of_supply: Text = None
    tax_treatment: Text = None
    vat_reg_no: Text = None
    vat_treatment: Text = None
    sub_total: Amount = None
    tax_total: Amount = None
    total: Amount = None
    balance: Amount = None
    adjustment: Amount = None
    adjustment_description: Text = None
    taxes: JsonList = Field(default_factory=list)
    billing_address: JsonObject = None
    notes: Text = None
    terms: Text = None
    has_attachment: Flag = None
    documents: JsonList = Field(default_factory=list)
    tags: JsonList = Field(default_factory=list)
    created_by_id: ZohoId = None
    last_modified_by_id: ZohoId = None
