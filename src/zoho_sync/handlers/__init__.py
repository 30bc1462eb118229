"""Gives the handlers that users subclass: `BaseEntityHandler`, and one for each entity type."""

from __future__ import annotations

from zoho_sync.handlers.base import BaseEntityHandler
from zoho_sync.handlers.builtin import (
    BUILTIN_HANDLERS,
    BillHandler,
    CreditNoteHandler,
    CustomerHandler,
    InvoiceHandler,
    PaymentHandler,
    PriceListHandler,
    ProductHandler,
    SalesOrderHandler,
    StockAdjustmentHandler,
    UserHandler,
    VendorHandler,
)

__all__ = [
    "BUILTIN_HANDLERS",
    "BaseEntityHandler",
    "BillHandler",
    "CreditNoteHandler",
    "CustomerHandler",
    "InvoiceHandler",
    "PaymentHandler",
    "PriceListHandler",
    "ProductHandler",
    "SalesOrderHandler",
    "StockAdjustmentHandler",
    "UserHandler",
    "VendorHandler",
]
