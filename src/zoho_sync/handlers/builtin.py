"""Keeps the mirror: one handler for each of the eleven entity types, to subclass or to use.

Subclass one and set ``mapping`` to write into a table of your own.
"""

from __future__ import annotations

from typing import Any, Final

from zoho_sync.handlers.base import BaseEntityHandler
from zoho_sync.mapping.declaration import DOCUMENT, ChildMap, EntityMap
from zoho_sync.mirror import MirrorTables, tables
from zoho_sync.payloads import (
    BillPayload,
    CreditNotePayload,
    CustomerPayload,
    InvoicePayload,
    PaymentPayload,
    PriceListPayload,
    ProductPayload,
    SalesOrderPayload,
    StockAdjustmentPayload,
    UserPayload,
    VendorPayload,
)

__all__ = [
    "BUILTIN_HANDLERS",
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
    "mirror_map",
]


def mirror_map(name: str, mirror: MirrorTables = tables) -> EntityMap:
    """Return the mapping that keeps one document's table of the mirror, and those of its lines.

    Args:
        name: Of the document's table, without the prefix: ``invoices``.
        mirror: The mirror; `zoho_sync.mirror.build` makes one with other names.
    """
    head = mirror.entries[name]
    children = [
        ChildMap(
            table=entry.table,
            source=entry.source,
            key=entry.key,
            parent=("organization_id", entry.parent_key),
            columns=entry.columns,
        )
        for entry in mirror.entries.values()
        if entry.parent == name
    ]
    return EntityMap(
        table=head.table,
        key=head.key,
        organization_column="organization_id",
        columns={**head.columns, "raw": DOCUMENT},
        children=children,
        on_delete="soft",
        deleted_column="deleted_at",
    )


class ProductHandler(BaseEntityHandler[ProductPayload]):
    """Applies items: products and services."""

    mapping = mirror_map("products")


class CustomerHandler(BaseEntityHandler[CustomerPayload]):
    """Applies customers, which share one id space with vendors."""

    mapping = mirror_map("customers")


class InvoiceHandler(BaseEntityHandler[InvoicePayload]):
    """Applies invoices, with their lines."""

    mapping = mirror_map("invoices")


class SalesOrderHandler(BaseEntityHandler[SalesOrderPayload]):
    """Applies sales orders, with their lines."""

    mapping = mirror_map("sales_orders")


class PaymentHandler(BaseEntityHandler[PaymentPayload]):
    """Applies customer payments, with their allocations to invoices."""

    mapping = mirror_map("payments")


class VendorHandler(BaseEntityHandler[VendorPayload]):
    """Applies vendors, which share one id space with customers."""

    mapping = mirror_map("vendors")


class UserHandler(BaseEntityHandler[UserPayload]):
    """Applies users of the organization."""

    mapping = mirror_map("users")


class BillHandler(BaseEntityHandler[BillPayload]):
    """Applies bills, with their lines."""

    mapping = mirror_map("bills")


class CreditNoteHandler(BaseEntityHandler[CreditNotePayload]):
    """Applies credit notes, with their lines and their allocations to invoices."""

    mapping = mirror_map("credit_notes")


class StockAdjustmentHandler(BaseEntityHandler[StockAdjustmentPayload]):
    """Applies inventory adjustments, with their lines."""

    mapping = mirror_map("stock_adjustments")


class PriceListHandler(BaseEntityHandler[PriceListPayload]):
    """Applies price lists, with their items and brackets."""

    mapping = mirror_map("price_lists")


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
