"""Invoices: ``GET /invoices/{invoice_id}``, wrapper ``invoice``."""

from __future__ import annotations

from pydantic import Field

from zoho_sync.payloads.documents import DocumentLine, SalesPayload
from zoho_sync.payloads.fields import (
    Amount,
    Day,
    EntityId,
    Flag,
    Integer,
    JsonList,
    JsonObject,
    ListOf,
    Moment,
    Text,
    ZohoId,
)

__all__ = ["InvoiceLine", "InvoicePayload"]


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
