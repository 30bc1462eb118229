"""What MariaDB does as no other database: its deadlocks, its snapshots, its settings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import (
    Column,
    Integer,
    MetaData,
    String,
    Table,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.exc import DBAPIError, IntegrityError, PendingRollbackError
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    create_async_engine,
)

from tests.hosts.sql import Sessions
from zoho_sync import EntityMap, HandlerRegistry, HostTransactionLost, Outcome, ZohoSync
from zoho_sync.database.dialects import bound_waits, sees_commits
from zoho_sync.database.faults import (
    Fault,
    breaks_uniqueness,
    classify,
    lacks_table,
    named_column,
    primary_message,
)
from zoho_sync.database.insertion import insert_absent
from zoho_sync.database.unit_of_work import unit_of_work
from zoho_sync.handlers import CustomerHandler
from zoho_sync.store.tables import library_tables

host = MetaData()
clients = Table(
    "clients",
    host,
    Column("id", Integer, primary_key=True),
    Column("zoho_id", String(64), unique=True),
    Column("name", String(64), unique=True),
)
notes = Table("notes", host, Column("id", Integer, primary_key=True), Column("words", String(64)))
linked = Table("linked", host, Column("id", Integer, primary_key=True), Column("name", String(64)))


class Clients(CustomerHandler):
    mapping = EntityMap(
        table=clients, key="zoho_id", columns={"name": "contact_name"}, on_delete="ignore"
    )


class Linked(CustomerHandler):
    mapping = EntityMap(table=linked, columns={"name": "contact_name"}, on_delete="ignore")


def customer(name: str, second: int = 1, contact_id: str = "11") -> dict[str, Any]:
    return {
        "contact_id": contact_id,
        "contact_type": "customer",
        "contact_name": name,
        "last_modified_time": f"2024-05-01T10:00:{second:02}+0000",
    }


@pytest.fixture
async def engine(mariadb_url: str) -> AsyncIterator[AsyncEngine]:
    """An engine as a host makes it: its transactions show the state that they saw first."""
    engine = create_async_engine(mariadb_url)
    async with engine.begin() as connection:
        await connection.run_sync(host.create_all)
    yield engine
    await engine.dispose()


async def syncing(sessions: Sessions, *handlers: type[CustomerHandler]) -> ZohoSync:
    sync = ZohoSync(sessions, registry=HandlerRegistry(handlers))
    await sync.create_tables()
    return sync


async def names(sessions: Sessions, table: Table) -> list[str]:
    async with sessions() as session:
        return list(await session.scalars(select(table.c.name).order_by(table.c.id)))


async def go_on(session: AsyncSession) -> None:
    """What a host does that has not noticed."""
    await session.execute(insert(notes).values(words="half"))
    await session.commit()


async def test_lesson_48_a_deadlock_loses_the_hosts_transaction(sessions: Sessions) -> None:
    """It would be back if what the host writes after it were committed without the rest."""
    sync = await syncing(sessions, Clients)
    await sync.ingest({"contact": customer("Ada")})
    await sync.drain()
    async with sessions.begin() as session:
        await session.execute(insert(notes).values(id=1, words="of the other"))
    locked = asyncio.Event()

    async def other() -> None:
        async with sessions.begin() as session:
            # It has written more, so that it is not the one that is ended.
            await session.execute(insert(notes), [{"words": str(n)} for n in range(50)])
            await session.execute(update(clients).values(name="Grace"))
            locked.set()
            await asyncio.sleep(0.3)
            await session.execute(update(notes).where(notes.c.id == 1).values(words="mine"))

    task = asyncio.create_task(other())
    async with sessions() as session:
        await session.execute(update(notes).where(notes.c.id == 1).values(words="of the host"))
        await locked.wait()
        with pytest.raises(HostTransactionLost) as lost:
            await sync.handler("customer", session).sync(customer("Eve", 2))
        assert lost.value.__cause__ is not None
        assert classify(lost.value.__cause__) is Fault.CONFLICT
        with pytest.raises((PendingRollbackError, DBAPIError)):
            await go_on(session)
        await session.rollback()
    await task
    assert await names(sessions, clients) == ["Grace"]
    async with sessions() as session:
        assert "half" not in set(await session.scalars(select(notes.c.words)))


async def test_lesson_48_a_deadlock_of_a_worker_is_repeated_at_no_attempt(
    sessions: Sessions,
) -> None:
    met = 0

    class Meeting(Clients):
        async def before_apply(self, event: Any) -> None:
            nonlocal met
            del event
            met += 1
            if met == 1:
                await self.session.execute(
                    text("SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'met'")
                )

    sync = await syncing(sessions, Meeting)
    await sync.ingest({"contact": customer("Ada")})
    assert await sync.drain() == {Outcome.APPLIED: 1}
    assert met == 2
    async with sessions() as session:
        journal = library_tables().journal
        assert list(await session.scalars(select(journal.c.attempts))) == [0]


@pytest.mark.parametrize(("handler", "table"), [(Clients, clients), (Linked, linked)])
async def test_what_a_host_has_not_seen_is_not_made_twice(
    sessions: Sessions, handler: type[CustomerHandler], table: Table
) -> None:
    """A worker makes the row after the host's transaction has taken its snapshot."""
    sync = await syncing(sessions, handler)
    async with sessions.begin() as session:
        assert list(await session.scalars(select(table.c.name))) == []
        await sync.ingest({"contact": customer("Ada")})
        assert await sync.drain() == {Outcome.APPLIED: 1}
        result = await sync.handler("customer", session).sync(customer("Grace", 2))
        assert result.outcome is Outcome.APPLIED
    assert await names(sessions, table) == ["Grace"]


async def test_only_the_named_conflict_is_left_out(engine: AsyncEngine) -> None:
    row = {"zoho_id": "1", "name": "Ada"}
    async with engine.begin() as connection:
        made = await insert_absent(
            connection, clients, [row], ["zoho_id"], returning=[clients.c.id]
        )
        again = await insert_absent(
            connection, clients, [row], ["zoho_id"], returning=[clients.c.id]
        )
        assert (len(made), again) == (1, [])
        with pytest.raises(IntegrityError) as refused:
            await insert_absent(connection, clients, [row | {"zoho_id": "2"}], ["zoho_id"])
        assert breaks_uniqueness(refused.value)
        assert primary_message(refused.value) == ("Duplicate entry for key 'name'", "name")


async def test_of_many_rows_the_absent_ones_go_in(engine: AsyncEngine) -> None:
    rows = [{"zoho_id": str(n), "name": str(n)} for n in range(5)]
    async with engine.begin() as connection:
        await insert_absent(connection, clients, rows[1:2], ["zoho_id"])
        made = await insert_absent(connection, clients, rows, returning=[clients.c.zoho_id])
        assert made == [("0",), ("2",), ("3",), ("4",)]


async def test_the_hosts_own_settings_come_back(sessions: Sessions) -> None:
    ask = text("SELECT @@idle_transaction_timeout, @@innodb_lock_wait_timeout, @@tx_isolation")
    async with sessions() as session:
        before = (await session.execute(ask)).one()
    async with sessions() as session, unit_of_work(session) as work:
        assert sees_commits(work.connection)
        await bound_waits(work.connection, timedelta(seconds=8))
        await bound_waits(work.connection, timedelta(seconds=6))
        assert tuple((await work.connection.execute(ask)).one())[:2] == (3, 3)
    async with sessions() as session:
        assert (await session.execute(ask)).one() == before
        assert not sees_commits(await session.connection())


@pytest.mark.parametrize(
    ("statement", "fault", "said"),
    [
        ("SELECT nothing FROM clients", Fault.REJECTED, "Unknown column 'nothing' in "),
        (
            "INSERT INTO clients (id) VALUES ('secret')",
            Fault.REJECTED,
            "Incorrect integer value: '…'",
        ),
        ("SELECT 'secret' FROM", Fault.REJECTED, "You have an error in your SQL syntax"),
        ("SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not so'", Fault.REJECTED, "not so"),
        ("SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1205", Fault.LOCK_TIMEOUT, ""),
        ("SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1020", Fault.CONFLICT, ""),
        ("SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1053", Fault.CONNECTION, ""),
        ("KILL CONNECTION_ID()", Fault.CONNECTION, ""),
    ],
)
async def test_errors_are_told_apart_and_quote_no_value(
    engine: AsyncEngine, statement: str, fault: Fault, said: str
) -> None:
    async with engine.connect() as connection:
        with pytest.raises(DBAPIError) as failed:
            await connection.execute(text(statement))
        assert classify(failed.value) is fault
        told, _ = primary_message(failed.value)
        assert said in told
        assert "secret" not in told
        assert not lacks_table(failed.value)


async def test_a_column_that_is_named_is_found(engine: AsyncEngine) -> None:
    for statement in (
        "INSERT INTO clients (id, name) VALUES (1, repeat('x', 99))",
        "INSERT INTO notes (id, words) VALUES (1, repeat('x', 99))",
    ):
        column = "name" if "name" in statement else "words"
        async with engine.connect() as connection:
            with pytest.raises(DBAPIError) as failed:
                await connection.execute(text(statement))
            assert named_column(failed.value) == ("", column)
