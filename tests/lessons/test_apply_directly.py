"""Calls handlers in the host's own session: nothing of the host's is lost or hidden."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import QueuePool, delete, insert, inspect, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from tests.hosts import tables
from tests.hosts.application import Host, open_host
from tests.hosts.documents import at, customer, event, invoice
from tests.hosts.failing import SlowAtFirst, cancelled
from tests.hosts.handlers import Clients, Invoices
from tests.hosts.sql import library
from zoho_sync import HostTransactionLost, Outcome, PayloadError, SyncEvent, SyncResult


@pytest.mark.parametrize("expire", [False, True])
async def test_lesson_01_instances_of_the_host_survive_a_failure(
    engine: AsyncEngine, *, expire: bool
) -> None:
    """It would be back if a failed event expired what the host holds: reads would do I/O."""
    sessions = async_sessionmaker(engine, expire_on_commit=expire)
    host = await open_host(sessions)
    await host.take(customer("11"))
    async with sessions() as session:
        client = (await session.scalars(select(tables.Client))).one()
        with pytest.raises(PayloadError):
            await Invoices(session).sync({"invoice_id": "21", "total": "ten"})
        assert (client.id, client.name) == (client.id, "Acme")  # joined the host's transaction
        await session.rollback()
    async with async_sessionmaker(engine, expire_on_commit=False)() as session:
        client = (await session.scalars(select(tables.Client))).one()
        await session.commit()
        with pytest.raises(PayloadError):
            await Invoices(session).sync({"invoice_id": "21", "total": "ten"})
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


async def test_lesson_04_host_transaction_takes_everything_with_it(erp: Host) -> None:
    """It would be back if a handler, or enqueue(session=…), committed inside the host's begin()."""

    async def work(session: AsyncSession) -> None:
        await Clients(session).sync(customer()["contact"])
        await erp.sync.enqueue([event(customer("12"))], session=session)
        raise LookupError

    with pytest.raises(LookupError):
        async with erp.sessions() as session, session.begin():
            await work(session)
    for table in (tables.clients, library.ledger, library.journal, library.jobs):
        assert await erp.count(table) == 0


@pytest.mark.breaks_connections
@pytest.mark.databases("sqlite", "postgresql")
async def test_lesson_47_cancellation_returns_a_clean_connection(engine: AsyncEngine) -> None:
    """It would be back if the next user of the connection committed what was cancelled."""
    sessions = async_sessionmaker(engine)
    host = await open_host(sessions, [SlowAtFirst])
    session = sessions()
    await cancelled(SlowAtFirst(session).sync(customer()["contact"]))
    assert not session.in_transaction()
    assert isinstance(engine.pool, QueuePool)
    assert engine.pool.checkedout() == 0
    async with engine.connect() as connection:
        raw = await connection.get_raw_connection()
        driver: Any = raw.driver_connection
        busy = (
            driver.in_transaction
            if engine.dialect.name == "sqlite"
            else bool(driver.is_in_transaction())
        )
        assert not busy
    own = {"zoho_id": "own", "name": "x", "created_by": "x"}
    await host.write(insert(tables.clients).values(own))
    assert [row["zoho_id"] for row in await host.rows(tables.clients)] == ["own"]
    assert await host.count(library.ledger) == 0
    result = await SlowAtFirst(session).sync(customer(last_modified_time=at(1))["contact"])
    assert result.outcome is Outcome.APPLIED
    await session.close()


@pytest.mark.databases("sqlite", "postgresql", "mariadb")
@pytest.mark.breaks_connections
async def test_ruling_savepoints_are_the_connections(erp: Host) -> None:
    """A savepoint of the session would flush the host's half-built object, and fail."""
    async with erp.sessions() as session, session.begin():
        half = tables.Client(zoho_id="half", created_by="ann")
        session.add(half)
        result = await Clients(session).sync(customer()["contact"])
        await Clients(session).execute_with_context(select(tables.clients))
        assert result.outcome is Outcome.APPLIED
        assert list(session.new) == [half]
        half.name = "whole"
    names = {row["name"] for row in await erp.rows(tables.clients)}
    assert names == {"Acme", "whole"}


END_OF_TRANSACTION = {
    # SQLite ends the whole transaction itself, as it does when the disk is full.
    "sqlite": "INSERT OR ROLLBACK INTO clients (id, name, created_by) VALUES (9, 'x', 'x')",
    "postgresql": "SELECT pg_terminate_backend(pg_backend_pid())",
    "mysql": "KILL CONNECTION_ID()",
}


class _LosesTheTransaction(Clients):
    """Meets the end of the transaction while it writes."""

    async def after_apply(self, event: SyncEvent, result: SyncResult) -> None:
        await super().after_apply(event, result)
        connection = await self.session.connection()
        await connection.execute(text(END_OF_TRANSACTION[connection.dialect.name]))


async def _go_on(session: AsyncSession) -> None:
    """What a host does that has not noticed."""
    statement = insert(tables.clients).values(name="after", created_by="ann")
    await session.execute(statement)
    await session.commit()


@pytest.mark.databases("sqlite", "postgresql", "mariadb")
@pytest.mark.breaks_connections
async def test_ruling_a_lost_host_transaction_is_never_half_committed(erp: Host) -> None:
    """Without it, what the host writes after the loss would be committed without the rest."""
    await erp.write(insert(tables.clients).values(id=9, name="first", created_by="ann"))
    row = {"name": "before", "created_by": "ann"}
    async with erp.sessions() as session:
        await session.execute(insert(tables.clients).values(row))
        with pytest.raises(HostTransactionLost):
            await _LosesTheTransaction(session).sync(customer()["contact"])
        with pytest.raises(SQLAlchemyError):
            await _go_on(session)
        await session.rollback()
    assert [each["name"] for each in await erp.rows(tables.clients)] == ["first"]


@pytest.mark.databases("sqlite", "postgresql", "mariadb")
@pytest.mark.breaks_connections
async def test_ruling_first_statement_of_the_host_rolls_back(erp: Host) -> None:
    """SQLite's driver sends no BEGIN before a SAVEPOINT: released, it would be a commit."""
    async with erp.sessions() as session:
        await session.begin()
        await Clients(session).sync(customer()["contact"])
        await session.rollback()
    assert await erp.count(tables.clients) == 0
    assert await erp.count(library.journal) == 0


@pytest.mark.databases("sqlite", "postgresql", "mariadb")
@pytest.mark.breaks_connections
async def test_ruling_direct_events_park_and_wake_as_well(erp: Host) -> None:
    """`apply` without the queue holds the target in the same way."""
    result = await erp.sync.apply(event(invoice()))
    assert result.outcome is Outcome.PARKED
    assert (await erp.sync.apply(event(customer()))).outcome is Outcome.APPLIED
    assert await erp.sync.drain() == {Outcome.APPLIED: 1}
    await erp.write(delete(tables.invoices))
    async with erp.sessions() as session:
        connection = await session.connection()
        names = await connection.run_sync(lambda c: inspect(c).get_table_names())
    assert library.parked.name in names
