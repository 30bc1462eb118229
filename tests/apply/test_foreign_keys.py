"""What a foreign key refuses: a row that goes while it is referred to, and one that must stay."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import ForeignKey, delete, event, select
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
)
from sqlalchemy.orm import Mapped, mapped_column

from tests.hosts.events import customer, deletion, invoice
from tests.hosts.shop import CLIENTS, INVOICES, Client, Invoice, Shop, create_shop
from tests.hosts.sql import Sessions, count
from zoho_sync import (
    BaseEntityHandler,
    EntityMap,
    HandlerRegistry,
    Outcome,
    ReferencePending,
    RowRejected,
    ZohoSync,
)
from zoho_sync.exceptions import RowGone
from zoho_sync.payloads import CustomerPayload, InvoicePayload
from zoho_sync.store.tables import library_tables

pytestmark = pytest.mark.databases("sqlite", "postgresql", "psycopg", "mariadb")


class Contract(Shop):
    """The host's own: the library knows nothing of it."""

    __tablename__ = "shop_contracts"
    id: Mapped[int] = mapped_column(primary_key=True)
    client_id: Mapped[int] = mapped_column(ForeignKey(Client.id, ondelete="RESTRICT"))


class Clients(BaseEntityHandler[CustomerPayload]):
    mapping = EntityMap(table=Client, columns=CLIENTS.columns, on_delete="hard")


@pytest.fixture(autouse=True)
async def tables(engine: AsyncEngine, sessions: Sessions) -> None:
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", _enforce)
    await create_shop(engine)
    await ZohoSync(sessions).create_tables()


def _enforce(connection: Any, record: Any) -> None:
    del record
    connection.execute("PRAGMA foreign_keys=ON")


def invoices_that_lose_their_client(sessions: Sessions) -> type[BaseEntityHandler[Any]]:
    """Return a handler whose client the host deletes, once, after the library has looked it up."""

    class Invoices(BaseEntityHandler[InvoicePayload]):
        mapping = INVOICES
        deleted = False

        async def resolve(self, entity_type: str, zoho_id: str, *, missing: str = "park") -> Any:
            key = await super().resolve(entity_type, zoho_id, missing=missing)
            if not Invoices.deleted:
                Invoices.deleted = True
                async with sessions.begin() as host:
                    await host.execute(delete(Client).where(Client.id == key))
            return key

    return Invoices


async def test_a_hard_delete_waits_for_those_that_refer_to_its_row(sessions: Sessions) -> None:
    """It is parked, at no attempt, until the host's own rows have gone."""
    sync = ZohoSync(sessions, registry=HandlerRegistry([Clients]))
    await sync.enqueue([customer("3", 1), customer("4", 1)])
    await sync.drain()
    async with sessions.begin() as host:
        ours = (await host.execute(select(Client.id).where(Client.name == "Client 3"))).scalar_one()
        host.add(Contract(client_id=ours))
    await sync.enqueue([deletion(customer("3"), 2), deletion(customer("4"), 2)])
    assert await sync.drain() == {Outcome.APPLIED: 1, Outcome.PARKED: 1}
    (waiting,) = await sync.parked.list()
    assert (waiting.event.entity_id, waiting.waiting_id) == ("3", "3")
    assert "still refer" in waiting.reason
    assert await sync.drain() == {Outcome.PARKED: 1}
    assert await count(sessions, Client) == 1
    async with sessions.begin() as host:
        await host.execute(delete(Contract))
    assert await sync.drain() == {Outcome.APPLIED: 1}
    assert (await count(sessions, Client), await sync.parked.list()) == (0, [])
    async with sessions() as session:
        journal = library_tables().journal.c
        attempts = await session.execute(select(journal.attempts))
        assert set(attempts.scalars()) == {0}


# SQLite has one writer: no host deletes beside a batch.
@pytest.mark.databases("postgresql", "psycopg", "mariadb")
async def test_a_client_that_goes_while_it_is_referred_to_is_awaited(sessions: Sessions) -> None:
    """The event is tried once more, with the client's row held, and finds that it has gone."""
    losing = invoices_that_lose_their_client(sessions)
    sync = ZohoSync(sessions, registry=HandlerRegistry([Clients, losing]))
    await sync.enqueue([customer("3", 1)])
    await sync.drain()
    await sync.enqueue([invoice("9", "3", 1)])
    assert await sync.drain() == {Outcome.PARKED: 1}
    await sync.enqueue([customer("3", 2)])
    assert await sync.drain() == {Outcome.APPLIED: 2}
    assert (await count(sessions, Invoice), await sync.dead_letters.list()) == (1, [])


# SQLite has one writer: no host deletes beside a call.
@pytest.mark.databases("postgresql", "psycopg", "mariadb")
async def test_a_direct_call_is_told_that_the_client_has_gone(sessions: Sessions) -> None:
    losing = invoices_that_lose_their_client(sessions)
    sync = ZohoSync(sessions, registry=HandlerRegistry([Clients, losing]))
    await sync.apply(customer("3", 1))
    async with sessions() as session:
        handler = losing(session)
        handler.context = sync._runtime.context
        with pytest.raises(ReferencePending, match="customer 3"):
            await handler.sync(invoice("9", "3", 1).payload)
    assert await count(sessions, Invoice) == 0


# SQLite has one writer: no host deletes beside its own transaction.
@pytest.mark.databases("postgresql", "psycopg", "mariadb")
async def test_inside_the_hosts_transaction_nothing_is_repeated(sessions: Sessions) -> None:
    """The host hears what was refused, and its transaction goes on."""
    losing = invoices_that_lose_their_client(sessions)
    sync = ZohoSync(sessions, registry=HandlerRegistry([Clients, losing]))
    await sync.apply(customer("3", 1))
    async with sessions.begin() as session:
        session.add(Client(name="own"))
        await session.flush()
        handler = losing(session)
        handler.context = sync._runtime.context
        with pytest.raises(RowRejected) as rejected:
            await handler.sync(invoice("9", "3", 1).payload)
        assert isinstance(rejected.value, RowGone)
        assert "INV-i" not in str(rejected.value.__cause__)
    async with sessions() as session:
        assert list(await session.scalars(select(Client.name))) == ["own"]
