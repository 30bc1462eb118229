"""Fails events: they leave nothing of themselves, and their neighbours alone."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from tests.hosts import tables
from tests.hosts.application import Host, open_host
from tests.hosts.documents import at, customer, invoice, item, line
from tests.hosts.handlers import Clients, Invoices, Products
from tests.hosts.sql import Sessions, library
from zoho_sync import Outcome, SyncEvent, SyncResult
from zoho_sync.payloads import CustomerPayload, InvoicePayload

BAD = "19"


class _Marks(Clients):
    """Marks one client in a column that does not exist."""

    async def after_apply(self, event: SyncEvent, result: SyncResult) -> None:
        if event.entity_id == BAD:
            statement = text("UPDATE clients SET stauts = 'done' WHERE id = :id")
            await self.execute_with_context(statement, {"id": result.primary_key})


async def test_lesson_01_failing_status_update_surfaces(engine: AsyncEngine) -> None:
    """It would be back if the error were swallowed, or a neighbour failed with MissingGreenlet."""
    sessions = async_sessionmaker(engine)  # expire_on_commit=True
    host = await open_host(sessions, [_Marks])
    counts = await host.take(customer("11"), customer(BAD), customer("12"))
    assert counts == {Outcome.APPLIED: 2, Outcome.DEAD_LETTER: 1}
    ((_, error),) = await host.dead()
    assert "stauts" in error
    assert [row["zoho_id"] for row in await host.rows(tables.clients)] == ["11", "12"]


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
    assert [row["version_rank"] for row in await erp.rows(library.ledger, entity_id="21")] == [None]


class _OrmClients(Clients):
    """Writes by the ORM; the database refuses a client without a name at the flush."""

    async def upsert(self, payload: CustomerPayload) -> Any:
        name = payload.contact_name
        client = tables.Client(zoho_id=payload.entity_id, name=name, created_by="orm")
        self.session.add(client)
        if payload.email:
            await self.session.flush()
            return client.id
        return None


@pytest.mark.breaks_connections
@pytest.mark.parametrize("email", ["", "a@b.c"])  # flushed by the library, or by the handler
async def test_lesson_37_failure_handling_reads_no_expired_state(
    engine: AsyncEngine, email: str
) -> None:
    """It would be back if recording a failed flush failed itself, or lost the neighbours."""
    sessions = async_sessionmaker(engine)  # expire_on_commit=True
    host = await open_host(sessions, [_OrmClients])
    bad = customer(BAD, contact_name="", email=email)
    counts = await host.take(customer("11"), bad, customer("12", email=email))
    assert counts == {Outcome.APPLIED: 2, Outcome.DEAD_LETTER: 1}
    ((_, error),) = await host.dead()
    assert "name" in error
    assert "greenlet" not in error
    assert "INSERT" not in error
    assert [row["zoho_id"] for row in await host.rows(tables.clients)] == ["11", "12"]


@pytest.mark.databases("sqlite", "postgresql", "mariadb")
@pytest.mark.breaks_connections
async def test_ruling_ledger_is_untouched_by_what_was_not_applied(erp: Host) -> None:
    """A version raised by a parked or failed event would make the event itself stale."""
    await erp.take(invoice(), item())
    before = await erp.row(library.ledger, entity_id="41")
    await erp.take(item(name="", last_modified_time=at(5)))  # NOT NULL
    await erp.take(item(rate="x", last_modified_time=at(6)))  # not a number
    assert len(await erp.dead()) == 2
    assert await erp.row(library.ledger, entity_id="41") == before
    parked = await erp.row(library.ledger, entity_id="21")
    assert (parked["effective_time"], parked["event_id"]) == (None, None)
    assert await erp.take(item(name="Nut", last_modified_time=at(4))) == {Outcome.APPLIED: 1}
    assert await erp.take(customer()) == {Outcome.APPLIED: 2}
