"""The handler of inventory adjustments, with their lines."""

from __future__ import annotations

from zoho_sync.handlers._mirror_map import mirror_map
from zoho_sync.handlers.base import BaseEntityHandler
from zoho_sync.payloads import StockAdjustmentPayload

__all__ = ["StockAdjustmentHandler"]


class StockAdjustmentHandler(BaseEntityHandler[StockAdjustmentPayload]):
    """Applies inventory adjustments; set ``mapping`` in a subclass to use your own table."""

    mapping = mirror_map("stock_adjustments")
