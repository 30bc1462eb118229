"""Reads customer payments: ``GET /customerpayments/{payment_id}``, wrapper ``payment``."""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import Any, Final

from pydantic import Field
from pydantic_core import PydanticCustomError

from zoho_sync.payloads.base import Line
from zoho_sync.payloads.documents import CurrencyPayload, TransactionPayload
from zoho_sync.payloads.fields import (
    Amount,
    Day,
    EntityId,
    ListOf,
    Text,
    ZohoId,
    is_blank,
    read_amount,
)

__all__ = ["PaymentAllocation", "PaymentPayload"]

_EXACT_DIGITS: Final = 250
"""Enough for the difference of any two numbers that `read_amount` lets through."""


class PaymentAllocation(Line):
    """One of a payment's ``invoices[]``: what it pays of one invoice."""

    id_field = "invoice_payment_id"

    invoice_payment_id: ZohoId = None
    invoice_id: ZohoId = None
    invoice_number: Text = None
    date: Day = None
    invoice_amount: Amount = None
    amount_applied: Amount = None
    balance_amount: Amount = None
    discount_amount: Amount = None
    tax_amount_withheld: Amount = None


class PaymentPayload(TransactionPayload, CurrencyPayload):
    """A customer's payment; its allocations and ``unused_amount`` add up to ``amount``.

    A thin document names its one invoice at the top level instead of in ``invoices``; it is read
    as one allocation of all that is not unused, whose ``invoice_payment_id`` is the invoice's id.
    """

    entity_type = "payment"
    id_fields = ("payment_id",)

    payment_id: EntityId
    payment_number: Text = None
    payment_mode: Text = None
    payment_status: Text = None
    settlement_status: Text = None
    amount: Amount = None
    bcy_amount: Amount = None
    unused_amount: Amount = None
    amount_refunded: Amount = None
    bank_charges: Amount = None
    tax_amount_withheld: Amount = None
    customer_id: ZohoId = None
    customer_name: Text = None
    email: Text = None
    invoice_id: ZohoId = None
    invoice_number: Text = None
    account_id: ZohoId = None
    account_name: Text = None
    description: Text = None
    invoices: ListOf[PaymentAllocation] = Field(default_factory=list)

    @classmethod
    def _respelled(cls, document: dict[str, Any]) -> dict[str, Any]:
        if "invoices" not in document and not is_blank(document.get("invoice_id")):
            document["invoices"] = [_only_allocation(document)]
        return document


def _only_allocation(document: dict[str, Any]) -> dict[str, Any]:
    allocation: dict[str, Any] = {
        name: document[name] for name in ("invoice_id", "invoice_number") if name in document
    }
    allocation["invoice_payment_id"] = document["invoice_id"]
    try:
        amount = read_amount(document.get("amount"))
        unused = read_amount(document.get("unused_amount")) or Decimal(0)
    except PydanticCustomError:
        # The fields of the payment itself are read next, and name what is wrong.
        return allocation
    if amount is not None:
        with localcontext() as context:
            context.prec = _EXACT_DIGITS
            allocation["amount_applied"] = amount - unused
    return allocation
