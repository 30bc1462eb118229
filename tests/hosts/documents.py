"""Builds documents as Zoho sends them, in their wrappers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoho_sync import Operation, SyncEvent


def at(second: int, minute: int = 0) -> str:
    """A time as Zoho writes it; all of them are in the past."""
    return f"2024-05-17T10:{minute:02}:{second:02}+0000"


def customer(contact_id: str | int = "11", **fields: Any) -> dict[str, Any]:
    """A customer's document in its wrapper."""
    document = {
        "contact_id": contact_id,
        "contact_type": "customer",
        "contact_name": "Acme",
        "last_modified_time": at(0),
    }
    return {"contact": document | fields}


def item(item_id: str = "41", **fields: Any) -> dict[str, Any]:
    """An item's document in its wrapper."""
    document = {
        "item_id": item_id,
        "name": "Bolt",
        "status": "active",
        "rate": "1.50",
        "last_modified_time": at(0),
    }
    return {"item": document | fields}


def line(line_item_id: str = "l1", **fields: Any) -> dict[str, Any]:
    """A line of an invoice, typed in by hand unless it names an item."""
    return {
        "line_item_id": line_item_id,
        "item_id": "",
        "name": "Work",
        "quantity": 1,
        "rate": "10.00",
    } | fields


def invoice(invoice_id: str = "21", **fields: Any) -> dict[str, Any]:
    """An invoice's document in its wrapper, for customer 11, without lines."""
    document = {
        "invoice_id": invoice_id,
        "invoice_number": "INV-1",
        "customer_id": "11",
        "date": "2024-05-17",
        "status": "sent",
        "total": "10.00",
        "balance": "10.00",
        "last_modified_time": at(0),
    }
    return {"invoice": document | fields}


def sparse(wrapper: str, **fields: Any) -> dict[str, Any]:
    """A document that holds nothing but these fields."""
    return {wrapper: fields}


def payment(payment_id: str = "51", **fields: Any) -> dict[str, Any]:
    """A payment's document in its wrapper, from customer 11, without allocations."""
    document = {
        "payment_id": payment_id,
        "payment_number": "1",
        "customer_id": "11",
        "amount": "10.00",
        "unused_amount": "10.00",
        "updated_time": at(0),
    }
    return {"payment": document | fields}


def event(wrapped: Mapping[str, Any], operation: Operation = Operation.UPSERT) -> SyncEvent:
    """An event of the host's own making, from a document in its wrapper."""
    ((wrapper, document),) = wrapped.items()
    names = {"contact": "customer", "item": "product"}
    entity_type = names.get(wrapper, wrapper)
    entity_id = document.get(f"{wrapper}_id")
    return SyncEvent(entity_type, entity_id, payload=document, operation=operation)
