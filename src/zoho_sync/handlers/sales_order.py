"""The handler of sales orders, with their lines."""

from __future__ import annotations

from zoho_sync.handlers._mirror_map import mirror_map
from zoho_sync.handlers.base import BaseEntityHandler
from zoho_sync.payloads import SalesOrderPayload

__all__ = ["SalesOrderHandler"]


class SalesOrderHandler(BaseEntityHandler[SalesOrderPayload]):
    """Applies sales orders; subclass it and set ``mapping`` to write into a table of your own."""

    mapping = mirror_map("sales_orders")
