"""The incident: every webhook in the dead letters, and a fix that would have been worse."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from tests.hosts import tables
from tests.hosts.application import Host, open_host
from tests.hosts.documents import customer, event, invoice, line
from tests.hosts.handlers import Clients, Invoices, Products
from tests.hosts.sql import Sessions, library
from zoho_sync import Outcome, PayloadError, SyncEvent, SyncResult, mirror
from zoho_sync.payloads import InvoicePayload


class _Marks(Clients):
    """Marks one client in a column that does not exist."""

    async def after_apply(self, event: SyncEvent, result: SyncResult) -> None:
        if event.entity_id == "bad":
            statement = text("UPDATE clients SET stauts = 'done' WHERE id = :id")
            await self.execute_with_context(statement, {"id": result.primary_key})


async def test_lesson_01_failing_status_update_surfaces(engine: AsyncEngine) -> None:
    """It would be back if the error were swallowed, or a neighbour failed with MissingGreenlet."""
    sessions = async_sessionmaker(engine)  # expire_on_commit=True
    host = await open_host(sessions, [_Marks])
    counts = await host.take(customer("c1"), customer("bad"), customer("c2"))
    assert counts == {Outcome.APPLIED: 2, Outcome.DEAD_LETTER: 1}
    ((_, error),) = await host.dead()
    assert "stauts" in error
    assert [row["zoho_id"] for row in await host.rows(tables.clients)] == ["c1", "c2"]


@pytest.mark.parametrize("expire", [False, True])
async def test_lesson_01_instances_of_the_host_survive_a_failure(
    engine: AsyncEngine, *, expire: bool
) -> None:
    """It would be back if a failed event expired what the host holds: reads would do I/O."""
    sessions = async_sessionmaker(engine, expire_on_commit=expire)
    host = await open_host(sessions)
    await host.take(customer("c1"))
    async with sessions() as session:
        client = (await session.scalars(select(tables.Client))).one()
        with pytest.raises(PayloadError):
            await Invoices(session).sync({"invoice_id": "i1", "total": "ten"})
        assert (client.id, client.name) == (client.id, "Acme")  # joined the host's transaction
        await session.rollback()
    async with async_sessionmaker(engine, expire_on_commit=False)() as session:
        client = (await session.scalars(select(tables.Client))).one()
        await session.commit()
        with pytest.raises(PayloadError):
            await Invoices(session).sync({"invoice_id": "i1", "total": "ten"})
        assert client.name == "Acme"  # had a transaction of its own


async def test_lesson_02_joins_a_session_that_has_read(erp: Host) -> None:
    """It would be back if `sync` called begin(): "A transaction is already begun"."""
    async with erp.sessions() as session:
        await session.execute(select(tables.clients))
        result = await Clients(session).sync(customer()["contact"])
        again = await Clients(session).execute_with_context(select(tables.clients.c.name))
        assert (result.outcome, result.committed) == (Outcome.APPLIED, False)
        assert again.scalars().all() == ["Acme"]
        await session.rollback()
    assert await erp.count(tables.clients) == 0


class _DiesAfterTheHeader(Invoices):
    """Writes the header by a statement of its own, and dies before the lines."""

    async def upsert(self, payload: InvoicePayload) -> Any:
        statement = insert(tables.clients).values(
            zoho_id=payload.entity_id, name="header", created_by="x"
        )
        await self.execute_with_context(statement)
        raise RuntimeError("out of memory")


async def test_lesson_03_no_header_without_its_lines(sessions: Sessions) -> None:
    """It would be back if each statement committed: the header would outlive the crash."""
    host = await open_host(sessions, [Clients, Products, _DiesAfterTheHeader])
    assert await host.take(invoice()) == {Outcome.RETRY: 1}
    async with sessions() as session:
        with pytest.raises(RuntimeError, match="out of memory"):
            await _DiesAfterTheHeader(session).sync(invoice()["invoice"])
    assert await host.count(tables.clients) == 0


async def test_lesson_03_a_line_that_is_refused_takes_its_header_along(erp: Host) -> None:
    """It would be back if the header of an order stayed when its second line is refused."""
    lines = [line("l1"), line("l2", quantity="")]
    counts = await erp.take(customer(), invoice(line_items=lines))
    assert counts == {Outcome.APPLIED: 1, Outcome.DEAD_LETTER: 1}
    assert await erp.count(tables.invoices) == 0
    assert await erp.count(tables.invoice_lines) == 0
    assert [row["version_rank"] for row in await erp.rows(library.ledger, entity_id="i1")] == [None]


class _LooksFromOutside(Clients):
    """Counts, over another connection, what others see while the event is applied."""

    outside: Sessions
    seen: tuple[int, int]

    async def after_apply(self, event: SyncEvent, result: SyncResult) -> None:
        async with self.outside() as session:
            jobs = (await session.execute(select(library.jobs.c.id))).all()
            rows = (await session.execute(select(tables.clients.c.id))).all()
        type(self).seen = (len(jobs), len(rows))
        await super().after_apply(event, result)


async def test_lesson_04_job_completes_together_with_the_write(sessions: Sessions) -> None:
    """It would be back if the row, or the end of the job, were committed before the other."""
    _LooksFromOutside.outside = sessions
    host = await open_host(sessions, [_LooksFromOutside])
    await host.take(customer())
    assert _LooksFromOutside.seen == (1, 0)
    assert (await host.count(library.jobs), await host.count(tables.clients)) == (0, 1)


async def test_lesson_04_host_transaction_takes_everything_with_it(erp: Host) -> None:
    """It would be back if a handler, or enqueue(session=…), committed inside the host's begin()."""

    async def work(session: AsyncSession) -> None:
        await Clients(session).sync(customer()["contact"])
        await erp.sync.enqueue([event(customer("c2"))], session=session)
        raise LookupError

    with pytest.raises(LookupError):
        async with erp.sessions() as session, session.begin():
            await work(session)
    for table in (tables.clients, library.ledger, library.journal, library.jobs):
        assert await erp.count(table) == 0


REAL: Mapping[str, Mapping[str, Any]] = {
    # Real documents hold no null, print one amount in three ways, and carry display twins.
    "contact": {
        "contact_id": "460000000026049",
        "contact_type": "customer",
        "contact_name": "Gujarat Traders ",
        "payment_terms": -2,
        "outstanding_receivable_amount": 0.00,
        "last_modified_time": "2024-05-17T12:00:01-0800",
        "custom_fields": [{"api_name": "cf_region", "label": "Region", "value": "West"}],
        "cf_region": "West",
    },
    "item": {
        "item_id": 460000000027001,
        "name": "Bolt",
        "sku": "",
        "status": "active",
        "rate": "10820.0",
        "last_modified_time": "2024-05-17T12:00:02-0800",
    },
    "invoice": {
        "invoice_id": "460000000028001",
        "invoice_number": "INV-000017",
        "customer_id": "460000000026049",
        "date": "2024-05-17",
        "due_date": "",
        "exchange_rate": "",
        "total": 10820,
        "total_formatted": "Rs.10,820.00",
        "documents": "",
        "last_modified_time": "2024-05-17T12:00:03-0800",
        "contact": {"customer_balance": 10820},
        "line_items": [
            {"line_item_id": "460000000028005", "item_id": "460000000027001", "quantity": 1.000000}
        ],
    },
}


async def test_lesson_05_whole_path_on_documents_as_they_come(mirrored: Host) -> None:
    """It would be back if the path were never run: nothing would arrive in the tables."""
    bodies = [
        f'{{"{wrapper}":{json.dumps(document)}}}'.encode() for wrapper, document in REAL.items()
    ]
    receipts = await mirrored.receive(*reversed(bodies))
    assert [receipt.http_status for receipt in receipts] == [200, 200, 200]
    assert await mirrored.sync.drain() == {Outcome.APPLIED: 3}
    product = await mirrored.row(mirror.products)
    assert (product["item_id"], product["rate"]) == ("460000000027001", Decimal("10820.0"))
    assert (await mirrored.row(mirror.customers))["contact_name"] == "Gujarat Traders "
    assert (await mirrored.row(mirror.invoices))["total"] == Decimal(10820)
    assert (await mirrored.row(mirror.invoice_lines))["quantity"] == Decimal(1)
    assert (await mirrored.sync.status()).healthy
