"""The handler of price lists, with their items and brackets."""

from __future__ import annotations

from zoho_sync.handlers._mirror_map import mirror_map
from zoho_sync.handlers.base import BaseEntityHandler
from zoho_sync.payloads import PriceListPayload

__all__ = ["PriceListHandler"]


class PriceListHandler(BaseEntityHandler[PriceListPayload]):
    """Applies price lists; subclass it and set ``mapping`` to write into a table of your own."""

    mapping = mirror_map("price_lists")
