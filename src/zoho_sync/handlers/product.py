"""The handler of items: products and services."""

from __future__ import annotations

from zoho_sync.handlers._mirror_map import mirror_map
from zoho_sync.handlers.base import BaseEntityHandler
from zoho_sync.payloads import ProductPayload

__all__ = ["ProductHandler"]


class ProductHandler(BaseEntityHandler[ProductPayload]):
    """Applies items; subclass it and set ``mapping`` to write into a table of your own."""

    mapping = mirror_map("products")
