"""Models what Zoho sends, each entity and its lines, and reads a document into its model.

After `zoho_sync.events`, whose event carries a document, and before `zoho_sync.mapping`, which says
where the fields go.

Every documented field is typed, unknown keys are kept, and only the id is required. ``""`` becomes
None or ``[]``, numbers keep every digit, times are aware UTC, ids are text. Field names are Zoho's
own. See `parse` for reading and `Payload` for entities of an application's own.
"""

from __future__ import annotations

from zoho_sync.payloads.base import Line, Payload, line_key
from zoho_sync.payloads.bill import BillLine, BillPayload
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
from zoho_sync.payloads.items import (
    PriceBracket,
    PriceListItem,
    PriceListPayload,
    ProductPayload,
    StockAdjustmentLine,
    StockAdjustmentPayload,
)
from zoho_sync.payloads.parsing import parse
from zoho_sync.payloads.payment import PaymentAllocation, PaymentPayload
from zoho_sync.payloads.people import ContactPayload, CustomerPayload, UserPayload, VendorPayload
from zoho_sync.payloads.sales import (
    CreditNoteAllocation,
    CreditNoteLine,
    CreditNotePayload,
    InvoiceLine,
    InvoicePayload,
    SalesOrderLine,
    SalesOrderPayload,
)

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
