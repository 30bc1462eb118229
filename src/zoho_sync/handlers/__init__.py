"""Declares which code applies the events of which entity type: the classes that users subclass.

Comes after `zoho_sync.worker` has claimed an event, or the host calls a handler itself; `dispatch`
chooses the handler of an event. The work is done by `zoho_sync.apply`.
"""

from __future__ import annotations

from zoho_sync.handlers.base import BaseEntityHandler
from zoho_sync.handlers.builtin import (
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
from zoho_sync.handlers.registry import HandlerRegistry, default_registry

__all__ = [
    "BaseEntityHandler",
    "BillHandler",
    "CreditNoteHandler",
    "CustomerHandler",
    "HandlerRegistry",
    "InvoiceHandler",
    "PaymentHandler",
    "PriceListHandler",
    "ProductHandler",
    "SalesOrderHandler",
    "StockAdjustmentHandler",
    "UserHandler",
    "VendorHandler",
    "default_registry",
]
