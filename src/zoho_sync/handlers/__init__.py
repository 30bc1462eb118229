"""The handlers: `BaseEntityHandler`, and one for each of the eleven entity types."""

from __future__ import annotations

from typing import Any, Final

from zoho_sync.handlers.base import BaseEntityHandler
from zoho_sync.handlers.bill import BillHandler
from zoho_sync.handlers.contact import CustomerHandler, VendorHandler
from zoho_sync.handlers.credit_note import CreditNoteHandler
from zoho_sync.handlers.invoice import InvoiceHandler
from zoho_sync.handlers.payment import PaymentHandler
from zoho_sync.handlers.price_list import PriceListHandler
from zoho_sync.handlers.product import ProductHandler
from zoho_sync.handlers.sales_order import SalesOrderHandler
from zoho_sync.handlers.stock_adjustment import StockAdjustmentHandler
from zoho_sync.handlers.user import UserHandler

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

BUILTIN_HANDLERS: Final[tuple[type[BaseEntityHandler[Any]], ...]] = (
    ProductHandler,
    CustomerHandler,
    InvoiceHandler,
    SalesOrderHandler,
    PaymentHandler,
    VendorHandler,
    UserHandler,
    BillHandler,
    CreditNoteHandler,
    StockAdjustmentHandler,
    PriceListHandler,
)
"""One handler for each entity type, writing into the mirror's tables."""
