"""Takes one invoice from a webhook to a row, and may be run again and again."""

import asyncio

from sqlalchemy import select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from zoho_sync import SignedRequest, ZohoSync, mirror
from zoho_sync.web import SIGNATURE_HEADER, sign

SECRET = "abcdef123456"  # made up; a real one comes from the environment
BODY = b"""{"invoice": {
    "invoice_id": "982000000567114", "invoice_number": "INV-000031", "date": "2026-03-02",
    "total": 149.90, "last_modified_time": "2026-03-02T09:14:07-0800",
    "line_items": [{"line_item_id": "11", "name": "Desk lamp", "quantity": 2, "rate": 74.95}]
}}"""


async def main() -> None:
    """Receive an invoice twice, apply it, and read it back."""
    engine = create_async_engine("sqlite+aiosqlite:///erp.db")
    session_factory = async_sessionmaker(engine, expire_on_commit=False)

    async with ZohoSync(session_factory, verifier=SignedRequest(SECRET)) as sync:
        await sync.create_tables()

        unsigned = await sync.receive(BODY)
        print(f"unsigned: {unsigned.status}, HTTP {unsigned.http_status}")

        headers = {SIGNATURE_HEADER: sign(SECRET, BODY)}
        for _ in range(2):
            signed = await sync.receive(BODY, headers=headers)
            print(f"signed: {signed.status}, HTTP {signed.http_status}")

        for outcome, count in (await sync.drain()).items():
            print(f"{outcome}: {count}")

        report = await sync.status()
        print(f"accepted: {report.accepted}, healthy: {report.healthy}")

    async with session_factory() as session:
        invoice = (await session.execute(select(mirror.invoices))).one()
        line = (await session.execute(select(mirror.invoice_lines))).one()
    print(f"{invoice.invoice_number} of {invoice.date}: {invoice.total:.2f}")
    print(f"  {line.quantity:.0f} x {line.name} at {line.rate:.2f}")
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(main())
