"""The handler of bills, with their lines."""

from __future__ import annotations

from zoho_sync.handlers._mirror_map import mirror_map
from zoho_sync.handlers.base import BaseEntityHandler
from zoho_sync.payloads import BillPayload

__all__ = ["BillHandler"]


class BillHandler(BaseEntityHandler[BillPayload]):
    """Applies bills; subclass it and set ``mapping`` to write into a table of your own."""

    mapping = mirror_map("bills")
