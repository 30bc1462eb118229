"""Reads bills: ``GET /bills/{bill_id}``, wrapper ``bill``."""

from __future__ import annotations

from pydantic import Field

from zoho_sync.payloads.documents import DocumentLine, DocumentPayload
from zoho_sync.payloads.fields import (
    Amount,
    Day,
    EntityId,
    Flag,
    Integer,
    JsonList,
    ListOf,
    Percent,
    Text,
    ZohoId,
)

__all__ = ["BillLine", "BillPayload"]


class BillLine(DocumentLine):
    """One of a bill's ``line_items[]``; ``customer_id`` is whom the line is billed on to."""

    purchaseorder_item_id: ZohoId = None
    item_total_inclusive_of_tax: Amount = None
    hsn_or_sac: Text = None
    image_document_id: ZohoId = None
    tds_tax_id: ZohoId = None
    tax_exemption_id: ZohoId = None
    tax_exemption_code: Text = None
    reverse_charge_tax_id: ZohoId = None
    reverse_charge_tax_name: Text = None
    reverse_charge_tax_percentage: Percent = None
    reverse_charge_tax_amount: Amount = None
    acquisition_vat_id: ZohoId = None
    acquisition_vat_name: Text = None
    acquisition_vat_percentage: Percent = None
    acquisition_vat_amount: Amount = None
    reverse_charge_vat_id: ZohoId = None
    reverse_charge_vat_name: Text = None
    reverse_charge_vat_percentage: Percent = None
    reverse_charge_vat_amount: Amount = None
    is_billable: Flag = None
    customer_id: ZohoId = None
    customer_name: Text = None
    invoice_id: ZohoId = None
    invoice_number: Text = None


class BillPayload(DocumentPayload):
    """A bill; rows of the API's list lack ``line_items``.

    ``due_days`` and ``due_by_days`` are text for display: ``"Overdue by 5 days"``.
    """

    entity_type = "bill"
    id_fields = ("bill_id",)

    bill_id: EntityId
    bill_number: Text = None
    vendor_id: ZohoId = None
    vendor_name: Text = None
    due_date: Day = None
    due_days: Text = None
    due_by_days: Text = None
    due_in_days: Integer = None
    payment_terms: Integer = None
    payment_terms_label: Text = None
    payment_expected_date: Day = None
    payment_made: Amount = None
    vendor_credits_applied: Amount = None
    unused_credits_payable_amount: Amount = None
    source_of_supply: Text = None
    destination_of_supply: Text = None
    permit_number: Text = None
    pricebook_id: ZohoId = None
    pricebook_name: Text = None
    recurring_bill_id: ZohoId = None
    reference_id: ZohoId = None
    is_abn_quoted: Flag = None
    is_item_level_tax_calc: Flag = None
    is_line_item_invoiced: Flag = None
    is_tds_applied: Flag = None
    filed_in_vat_return_id: ZohoId = None
    tds_tax_id: ZohoId = None
    billing_address_id: ZohoId = None
    last_modified_id: ZohoId = None
    template_id: ZohoId = None
    filed_in_vat_return_name: Text = None
    filed_in_vat_return_type: Text = None
    acquisition_vat_summary: JsonList = Field(default_factory=list)
    acquisition_vat_total: Amount = None
    reverse_charge_vat_summary: JsonList = Field(default_factory=list)
    reverse_charge_vat_total: Amount = None
    purchaseorder_ids: JsonList = Field(default_factory=list)
    purchaseorders: JsonList = Field(default_factory=list)
    open_purchaseorders_count: Integer = None
    payments: JsonList = Field(default_factory=list)
    vendor_credits: JsonList = Field(default_factory=list)
    attachment_name: Text = None
    line_items: ListOf[BillLine] = Field(default_factory=list)
