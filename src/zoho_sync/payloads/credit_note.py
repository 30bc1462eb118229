"""Credit notes: ``GET /creditnotes/{creditnote_id}``, wrapper ``creditnote``."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from zoho_sync.payloads.base import Line
from zoho_sync.payloads.documents import DocumentLine, SalesPayload
from zoho_sync.payloads.fields import Amount, Day, EntityId, JsonValue, ListOf, Text, ZohoId

__all__ = ["CreditNoteAllocation", "CreditNoteLine", "CreditNotePayload"]


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
