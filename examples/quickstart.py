"""The smallest program that uses zoho_sync: two deliveries, applied to the mirror's tables.

Run it with ``python examples/quickstart.py``; it needs ``pip install "zoho-sync[sqlite]"``. The
database is a file in a temporary folder.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from zoho_sync import SignedRequest, ZohoSync, mirror
from zoho_sync.web import SIGNATURE_HEADER, sign

SECRET = "abcdef123456"  # noqa: S105  # made up; a real one comes from the environment
INVOICE = b"""{"invoice": {
    "invoice_id": "982000000567114", "invoice_number": "INV-000031", "date": "2026-03-02",
    "total": 149.90, "last_modified_time": "2026-03-02T09:14:07-0800",
    "line_items": [
        {"line_item_id": "982000000567021", "name": "Desk lamp", "quantity": 2, "rate": 74.95}
    ]
}}"""


async def main(database: Path) -> None:
    """Receive an invoice twice, apply it, and read it back."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{database}")
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    async with ZohoSync(sessions, verifier=SignedRequest(SECRET)) as sync:
        await sync.create_tables()

        unsigned = await sync.receive(INVOICE)
        print(f"unsigned: {unsigned.status}, HTTP {unsigned.http_status}")
        headers = {SIGNATURE_HEADER: sign(SECRET, INVOICE)}
        for _ in range(2):
            receipt = await sync.receive(INVOICE, headers=headers)
            print(f"signed: {receipt.status}, HTTP {receipt.http_status}")

        for outcome, count in (await sync.drain()).items():
            print(f"{outcome}: {count}")

    async with sessions() as session:
        invoice = (await session.execute(select(mirror.invoices))).one()
        line = (await session.execute(select(mirror.invoice_lines))).one()
    print(f"{invoice.invoice_number} of {invoice.date}: {invoice.total:.2f}")
    print(f"  {line.quantity:.0f} x {line.name} at {line.rate:.2f}")
    await engine.dispose()


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        asyncio.run(main(Path(folder) / "erp.db"))
