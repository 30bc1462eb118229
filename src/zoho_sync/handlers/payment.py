"""The handler of customer payments, with their allocations to invoices."""

from __future__ import annotations

from zoho_sync.handlers._mirror_map import mirror_map
from zoho_sync.handlers.base import BaseEntityHandler
from zoho_sync.payloads import PaymentPayload

__all__ = ["PaymentHandler"]


class PaymentHandler(BaseEntityHandler[PaymentPayload]):
    """Applies customer payments; set ``mapping`` in a subclass to use your own table."""

    mapping = mirror_map("payments")
