"""The handler of credit notes, with their lines and their allocations to invoices."""

from __future__ import annotations

from zoho_sync.handlers._mirror_map import mirror_map
from zoho_sync.handlers.base import BaseEntityHandler
from zoho_sync.payloads import CreditNotePayload

__all__ = ["CreditNoteHandler"]


class CreditNoteHandler(BaseEntityHandler[CreditNotePayload]):
    """Applies credit notes; subclass it and set ``mapping`` to write into a table of your own."""

    mapping = mirror_map("credit_notes")
