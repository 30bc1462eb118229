"""Reads the documents for a customer: invoices, sales orders and credit notes.

``GET /invoices/{invoice_id}``, wrapper ``invoice``; ``GET /salesorders/{salesorder_id}``, wrapper
``salesorder``; ``GET /creditnotes/{creditnote_id}``, wrapper ``creditnote``.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from zoho_sync.payloads.base import Line
from zoho_sync.payloads.documents import DocumentLine, DocumentPayload
from zoho_sync.payloads.fields import (
    Amount,
    Day,
    EntityId,
    Flag,
    Integer,
    JsonList,
    JsonObject,
    JsonValue,
    ListOf,
    Moment,
    Text,
    ZohoId,
)

__all__ = [
    "CreditNoteAllocation",
    "CreditNoteLine",
    "CreditNotePayload",
    "InvoiceLine",
    "InvoicePayload",
    "SalesOrderLine",
    "SalesOrderPayload",
]


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


class InvoiceLine(DocumentLine):
    """One of an invoice's ``line_items[]``."""

    expense_id: ZohoId = None
    expense_receipt_name: Text = None
    header_id: ZohoId = None
    header_name: Text = None
    salesorder_item_id: ZohoId = None
    time_entry_ids: JsonList = Field(default_factory=list)


class InvoicePayload(SalesPayload):
    """An invoice; rows of the API's list lack ``line_items``.

    ``due_days`` is text for display: ``"Overdue by 5 days"``.
    """

    entity_type = "invoice"
    id_fields = ("invoice_id",)

    invoice_id: EntityId
    account_id: ZohoId = None
    invoice_number: Text = None
    due_date: Day = None
    due_days: Text = None
    payment_terms: Integer = None
    payment_terms_label: Text = None
    payment_expected_date: Day = None
    last_payment_date: Day = None
    payment_made: Amount = None
    credits_applied: Amount = None
    write_off_amount: Amount = None
    tax_amount_withheld: Amount = None
    salesorder_id: ZohoId = None
    salesorder_number: Text = None
    recurring_invoice_id: ZohoId = None
    cfdi_usage: Text = None
    ach_payment_initiated: Flag = None
    allow_partial_payments: Flag = None
    payment_options: JsonObject = None
    payment_reminder_enabled: Flag = None
    reminders_sent: Integer = None
    last_reminder_sent_date: Day = None
    can_send_in_mail: Flag = None
    is_viewed_by_client: Flag = None
    client_viewed_time: Moment = None
    schedule_time: Moment = None
    attachment_name: Text = None
    invoice_url: Text = None
    line_items: ListOf[InvoiceLine] = Field(default_factory=list)


class SalesOrderLine(DocumentLine):
    """One of a sales order's ``line_items[]``; quantities are in the line's unit."""

    item_total_inclusive_of_tax: Amount = None
    quantity_invoiced: Amount = None
    quantity_packed: Amount = None
    quantity_shipped: Amount = None
    quantity_cancelled: Amount = None
    is_invoiced: Flag = None
    is_taxable: Flag = None
    stock_on_hand: Amount = None
    hsn_or_sac: Text = None
    sat_item_key_code: Text = None
    unitkey_code: Text = None
    tds_tax_id: ZohoId = None
    product_exemption_id: ZohoId = None
    product_exemption_code: Text = None
    avatax_use_code_id: ZohoId = None
    avatax_use_code_desc: Text = None
    avatax_tax_code_id: ZohoId = None
    avatax_tax_code_desc: Text = None
    image_id: ZohoId = None
    image_name: Text = None
    image_type: Text = None


class SalesOrderPayload(SalesPayload):
    """A sales order; rows of the API's list lack ``line_items``.

    Beside ``status`` it has four states of its own: ``order_status``, ``invoiced_status``,
    ``paid_status`` and ``shipped_status``. ``shipment_date`` is the day that was planned.
    """

    entity_type = "sales_order"
    id_fields = ("salesorder_id",)

    salesorder_id: EntityId
    integration_id: ZohoId = None
    marketplace_so_id: ZohoId = None
    salesorder_number: Text = None
    order_status: Text = None
    invoiced_status: Text = None
    paid_status: Text = None
    shipped_status: Text = None
    shipment_date: Day = None
    shipment_days: Integer = None
    delivery_date: Day = None
    delivery_method: Text = None
    delivery_method_id: ZohoId = None
    due_by_days: Text = None
    due_in_days: Integer = None
    quantity: Amount = None
    quantity_invoiced: Amount = None
    quantity_packed: Amount = None
    quantity_shipped: Amount = None
    total_invoiced_amount: Amount = None
    billing_address_id: ZohoId = None
    shipping_address_id: ZohoId = None
    pricebook_id: ZohoId = None
    pickup_location_id: ZohoId = None
    tax_id: ZohoId = None
    tax_authority_id: ZohoId = None
    tax_authority_name: Text = None
    tax_exemption_id: ZohoId = None
    tax_exemption_code: Text = None
    avatax_exempt_no: Text = None
    avatax_use_code: Text = None
    crm_owner_id: ZohoId = None
    crm_custom_reference_id: ZohoId = None
    order_fulfillment_type: Text = None
    source: Text = None
    is_backorder: Flag = None
    is_drop_shipment: Flag = None
    is_manually_fulfilled: Flag = None
    is_update_customer: Flag = None
    is_viewed_in_mail: Flag = None
    mail_first_viewed_time: Moment = None
    mail_last_viewed_time: Moment = None
    notes_default: Text = None
    terms_default: Text = None
    line_items: ListOf[SalesOrderLine] = Field(default_factory=list)


class CreditNoteLine(DocumentLine):
    """One of a credit note's ``line_items[]``.

    ``serial_numbers`` are text in the documentation and a list in real documents.
    """

    code: Text = None
    type: Text = None
    invoice_id: ZohoId = None
    invoice_item_id: ZohoId = None
    salesreturn_item_id: ZohoId = None
    serial_numbers: JsonValue = None


class CreditNoteAllocation(Line):
    """One of ``invoices_credited[]``: what the credit note pays of one invoice.

    ``amount`` is the documentation's name of ``amount_applied``, which it fills.
    """

    id_field = "creditnote_invoice_id"

    creditnote_invoice_id: ZohoId = None
    invoice_id: ZohoId = None
    invoice_number: Text = None
    date: Day = None
    amount_applied: Amount = None
    amount: Amount = None

    @classmethod
    def _respelled(cls, document: dict[str, Any]) -> dict[str, Any]:
        if "amount" in document:
            document.setdefault("amount_applied", document["amount"])
        return document


class CreditNotePayload(SalesPayload):
    """A credit note; rows of the API's list lack ``line_items``.

    The documentation's ``invoices`` fill ``invoices_credited``.
    """

    entity_type = "credit_note"
    id_fields = ("creditnote_id",)

    creditnote_id: EntityId
    creditnote_number: Text = None
    invoice_id: ZohoId = None
    invoice_number: Text = None
    cfdi_usage: Text = None
    cfdi_reference_type: Text = None
    line_items: ListOf[CreditNoteLine] = Field(default_factory=list)
    invoices_credited: ListOf[CreditNoteAllocation] = Field(default_factory=list)

    @classmethod
    def _respelled(cls, document: dict[str, Any]) -> dict[str, Any]:
        if "invoices" in document:
            document.setdefault("invoices_credited", document["invoices"])
        return document
