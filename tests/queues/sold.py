"""Sends invoices over an engine to the mirror, and reads their totals there."""

from __future__ import annotations

from decimal import Decimal

from sqlalchemy import select

from tests.hosts.events import at
from tests.hosts.sql import Sessions
from zoho_sync import SyncEvent, mirror


def invoice(name: str, second: int, total: str = "1.10", note: str = "") -> SyncEvent:
    """Return an upsert of an invoice."""
    document = {"invoice_id": name, "total": Decimal(total), "notes": note}
    return SyncEvent("invoice", name, document, effective_time=at(second))


async def totals(sessions: Sessions) -> dict[str, Decimal]:
    """Return id and total of the invoices that were applied."""
    invoices = mirror.invoices
    async with sessions() as session:
        rows = await session.execute(select(invoices.c.invoice_id, invoices.c.total))
        return {row[0]: row[1] for row in rows}
