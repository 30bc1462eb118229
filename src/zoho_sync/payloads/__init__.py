"""What Zoho sends: a model for each entity and its lines, and how to read a document into one.

Every documented field is typed, unknown keys are kept, and only the id is required. ``""`` becomes
None or ``[]``, numbers keep every digit, times are aware UTC, ids are text. Field names are Zoho's
own. See `parse` for reading and `Payload` for entities of an application's own.
"""

from __future__ import annotations

from zoho_sync.payloads.base import Line, Payload, line_key
from zoho_sync.payloads.bill import BillLine, BillPayload
from zoho_sync.payloads.contact import ContactPayload, CustomerPayload, VendorPayload
from zoho_sync.payloads.credit_note import (
    CreditNoteAllocation,
    CreditNoteLine,
    CreditNotePayload,
)
from zoho_sync.payloads.fields import (
    Amount,
    Day,
    EntityId,
    FieldKind,
    Flag,
    Integer,
    JsonList,
    JsonObject,
    JsonValue,
    ListOf,
    Moment,
    Percent,
    Text,
    ZohoId,
)
from zoho_sync.payloads.invoice import InvoiceLine, InvoicePayload
from zoho_sync.payloads.parsing import parse
from zoho_sync.payloads.payment import PaymentAllocation, PaymentPayload
from zoho_sync.payloads.price_list import PriceBracket, PriceListItem, PriceListPayload
from zoho_sync.payloads.product import ProductPayload
from zoho_sync.payloads.sales_order import SalesOrderLine, SalesOrderPayload
from zoho_sync.payloads.stock_adjustment import StockAdjustmentLine, StockAdjustmentPayload
from zoho_sync.payloads.user import UserPayload

__all__ = [
    "Amount",
    "BillLine",
    "BillPayload",
    "ContactPayload",
    "CreditNoteAllocation",
    "CreditNoteLine",
    "CreditNotePayload",
    "CustomerPayload",
    "Day",
    "EntityId",
    "FieldKind",
    "Flag",
    "Integer",
    "InvoiceLine",
    "InvoicePayload",
    "JsonList",
    "JsonObject",
    "JsonValue",
    "Line",
    "ListOf",
    "Moment",
    "Payload",
    "PaymentAllocation",
    "PaymentPayload",
    "Percent",
    "PriceBracket",
    "PriceListItem",
    "PriceListPayload",
    "ProductPayload",
    "SalesOrderLine",
    "SalesOrderPayload",
    "StockAdjustmentLine",
    "StockAdjustmentPayload",
    "Text",
    "UserPayload",
    "VendorPayload",
    "ZohoId",
    "line_key",
    "parse",
]
