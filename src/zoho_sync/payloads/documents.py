"""What invoices, orders, bills and credit notes have in common.

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

__all__ = ["DocumentLine", "DocumentPayload", "SalesPayload"]


class DocumentLine(Line):
    """A line with an item, a quantity and a rate, in the currency of its document.

    ``item_id`` is None on a line that was typed in by hand. ``discount`` is text: ``"10%"`` or
    ``"5"``.
    """

    id_field = "line_item_id"

    line_item_id: ZohoId = None
    item_id: ZohoId = None
    sku: Text = None
    name: Text = None
    description: Text = None
    item_order: Integer = None
    item_type: Text = None
    product_type: Text = None
    quantity: Amount = None
    unit: Text = None
    rate: Amount = None
    bcy_rate: Amount = None
    discount: Text = None
    discount_amount: Amount = None
    tax_id: ZohoId = None
    tax_name: Text = None
    tax_type: Text = None
    tax_percentage: Percent = None
    tax_treatment_code: Text = None
    item_total: Amount = None
    account_id: ZohoId = None
    account_name: Text = None
    project_id: ZohoId = None
    project_name: Text = None
    location_id: ZohoId = None
    location_name: Text = None
    warehouse_id: ZohoId = None
    warehouse_name: Text = None
    line_item_taxes: JsonList = Field(default_factory=list)
    tags: JsonList = Field(default_factory=list)
    item_custom_fields: JsonList = Field(default_factory=list)


class DocumentPayload(Payload):
    """The head of a document; amounts are in its currency, ``bcy_*`` in the organization's.

    ``status`` is an open set: values exist that no documentation lists.
    """

    status: Text = None
    date: Day = None
    reference_number: Text = None
    currency_id: ZohoId = None
    currency_code: Text = None
    currency_symbol: Text = None
    exchange_rate: Amount = None
    price_precision: Integer = None
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
    location_id: ZohoId = None
    location_name: Text = None
    branch_id: ZohoId = None
    branch_name: Text = None
    billing_address: JsonObject = None
    notes: Text = None
    terms: Text = None
    has_attachment: Flag = None
    documents: JsonList = Field(default_factory=list)
    tags: JsonList = Field(default_factory=list)
    created_by_id: ZohoId = None
    created_time: Moment = None
    last_modified_by_id: ZohoId = None
    last_modified_time: Moment = None
    updated_time: Moment = None


class SalesPayload(DocumentPayload):
    """The head of a document for a customer; ``discount`` is text: ``"10%"`` or ``"5"``."""

    customer_id: ZohoId = None
    customer_name: Text = None
    company_name: Text = None
    email: Text = None
    contact_persons: JsonList = Field(default_factory=list)
    contact_persons_associated: JsonList = Field(default_factory=list)
    salesperson_id: ZohoId = None
    salesperson_name: Text = None
    merchant_id: ZohoId = None
    merchant_name: Text = None
    estimate_id: ZohoId = None
    zcrm_potential_id: ZohoId = None
    zcrm_potential_name: Text = None
    sales_channel: Text = None
    discount: Text = None
    discount_type: Text = None
    discount_amount: Amount = None
    discount_total: Amount = None
    is_discount_before_tax: Flag = None
    shipping_charge: Amount = None
    bcy_total: Amount = None
    is_emailed: Flag = None
    color_code: Text = None
    current_sub_status: Text = None
    current_sub_status_id: ZohoId = None
    sub_statuses: JsonList = Field(default_factory=list)
    shipping_address: JsonObject = None
    template_id: ZohoId = None
    template_name: Text = None
