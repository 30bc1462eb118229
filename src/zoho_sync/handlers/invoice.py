"""The handler of invoices, with their lines."""

from __future__ import annotations

from zoho_sync.handlers._mirror_map import mirror_map
from zoho_sync.handlers.base import BaseEntityHandler
from zoho_sync.payloads import InvoicePayload

__all__ = ["InvoiceHandler"]


class InvoiceHandler(BaseEntityHandler[InvoicePayload]):
    """Applies invoices; subclass it and set ``mapping`` to write into a table of your own."""

    mapping = mirror_map("invoices")
