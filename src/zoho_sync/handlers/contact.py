"""Handlers of contacts: customers and vendors, which share one id space."""

from __future__ import annotations

from zoho_sync.handlers._mirror_map import mirror_map
from zoho_sync.handlers.base import BaseEntityHandler
from zoho_sync.payloads import CustomerPayload, VendorPayload

__all__ = ["CustomerHandler", "VendorHandler"]


class CustomerHandler(BaseEntityHandler[CustomerPayload]):
    """Applies customers; subclass it and set ``mapping`` to write into a table of your own."""

    mapping = mirror_map("customers")


class VendorHandler(BaseEntityHandler[VendorPayload]):
    """Applies vendors; subclass it and set ``mapping`` to write into a table of your own."""

    mapping = mirror_map("vendors")
