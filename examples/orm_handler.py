"""A handler with the ORM, a cache that is cleared, and a mail that is asked for once.

Run it with ``python examples/orm_handler.py``; it needs ``pip install "zoho-sync[sqlite]"``.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from zoho_sync import (
    BaseEntityHandler,
    HandlerRegistry,
    Operation,
    Outcome,
    SyncEvent,
    SyncResult,
    ZohoSync,
)
from zoho_sync.abc import SettledEvent
from zoho_sync.mirror import ExactDecimal
from zoho_sync.payloads import InvoicePayload


class Base(DeclarativeBase):
    """The application's tables."""


class Debtor(Base):
    """What each customer owes; kept by code, since no column of it is a field of a document."""

    __tablename__ = "debtors"
    invoice_id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    open_amount: Mapped[Decimal] = mapped_column(ExactDecimal(18, 2))


class Mail(Base):
    """Mail to be sent. The event's id is its key: however often it is applied, there is one."""

    __tablename__ = "mails"
    event_id: Mapped[str] = mapped_column(primary_key=True)
    words: Mapped[str]
    sent: Mapped[bool] = mapped_column(default=False)


class Debtors(BaseEntityHandler[InvoicePayload]):
    """Writes invoices with the ORM."""

    entity_type = "invoice"

    async def upsert(self, payload: InvoicePayload) -> str:
        """Keep what is open; the event's own transaction flushes and commits it.

        A key that the document lacks leaves its column alone.
        """
        debtor = await self.session.get(Debtor, payload.invoice_id)
        if debtor is None:
            debtor = Debtor(invoice_id=payload.invoice_id, name="", open_amount=Decimal(0))
            self.session.add(debtor)
        if "customer_name" in payload.model_fields_set:
            debtor.name = payload.customer_name or ""
        if "balance" in payload.model_fields_set:
            debtor.open_amount = payload.balance or Decimal(0)
        return debtor.invoice_id

    async def delete(self, entity_id: str) -> None:
        """Forget an invoice."""
        debtor = await self.session.get(Debtor, entity_id)
        if debtor is not None:
            await self.session.delete(debtor)

    async def after_apply(self, event: SyncEvent, result: SyncResult) -> None:
        """Ask for a mail in the same transaction: it is there exactly if the rows are.

        A document that is applied again, because the handler has changed, is no news to anybody.
        """
        del result
        if event.operation is Operation.UPSERT and not event.reapplied:
            name = event.payload.get("customer_name", "customer")
            self.session.add(Mail(event_id=event.id, words=f"Dear {name}, thank you"))


class AfterCommit:
    """What may only happen once the rows are committed."""

    def __init__(self, sessions: async_sessionmaker[AsyncSession]) -> None:
        self._sessions = sessions
        self.cache: dict[str, Any] = {}

    async def __call__(self, settled: SettledEvent) -> None:
        """Clear the cache, and send what waits.

        A hook is called at most once, and not at all if the process dies before. A cache takes no
        harm if its entries also expire; mail waits in its table for the next event, or a timer.
        """
        if settled.result.outcome is Outcome.APPLIED:
            self.cache.clear()
            await self.send_mail()

    async def send_mail(self) -> None:
        """Send the mail that waits; of several workers, each takes what no other is sending.

        Who dies between sending and committing sends again: give the event's id to the mail
        service as the idempotency key, or as the Message-ID.
        """
        waiting = select(Mail).where(Mail.sent.is_(False)).with_for_update(skip_locked=True)
        async with self._sessions() as session, session.begin():
            for mail in await session.scalars(waiting):
                print(f"mail: {mail.words}")
                mail.sent = True


def invoice(hour: int, balance: str) -> dict[str, Any]:
    """Return an invoice as Zoho sends it, edited at an hour."""
    return {
        "invoice_id": "982000000567114",
        "customer_name": "Hotel Meridian",
        "balance": balance,
        "last_modified_time": f"2026-03-04T{hour}:00:00+0100",
    }


async def main(database: Path) -> None:
    """Apply an invoice, its repetition and an older state of it."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{database}")
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    after_commit = AfterCommit(sessions)
    after_commit.cache["open amounts"] = Decimal(0)

    registry = HandlerRegistry([Debtors])
    async with ZohoSync(sessions, registry=registry, hooks=[after_commit]) as sync:
        await sync.create_tables()
        for name, document in (
            ("invoice", invoice(16, "149.90")),
            ("invoice, once more", invoice(16, "149.90")),
            ("older state", invoice(15, "200.00")),
        ):
            receipt = await sync.ingest({"invoice": document})
            counts = await sync.drain()
            became = ", ".join(f"{outcome} {count}" for outcome, count in counts.items())
            print(f"{name}: {receipt.status}; {became or 'nothing to do'}")

    async with sessions() as session:
        for debtor in await session.scalars(select(Debtor)):
            print(f"{debtor.name} owes {debtor.open_amount:.2f}")
    print(f"in the cache: {len(after_commit.cache)}")
    await engine.dispose()


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        asyncio.run(main(Path(folder) / "erp.db"))
