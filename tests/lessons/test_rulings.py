"""What was proved necessary by experiment, each seen from outside."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import (
    Column,
    Integer,
    MetaData,
    String,
    Table,
    delete,
    insert,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.pool import StaticPool

from tests.hosts import tables
from tests.hosts.application import Host, open_host
from tests.hosts.clock import Clock
from tests.hosts.documents import at, customer, event, invoice, item, line, sparse
from tests.hosts.handlers import Clients, Invoices, Products
from tests.hosts.sql import Sessions, library, make
from zoho_sync import (
    ConfigurationError,
    EntityMap,
    HostTransactionLost,
    MappingError,
    Outcome,
    ReceiptStatus,
    SyncEvent,
    SyncResult,
    mirror,
)
from zoho_sync.abc import Job
from zoho_sync.handlers import CustomerHandler
from zoho_sync.worker.maintenance import Maintenance

pytestmark = [
    pytest.mark.databases("sqlite", "postgresql", "mariadb"),
    pytest.mark.breaks_connections,
]

LEASE = timedelta(seconds=60)


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


@pytest.mark.parametrize(("minute", "lives"), [(9, False), (11, True)])
async def test_ruling_delete_without_time_counts_ten_minutes_later(
    sessions: Sessions, minute: int, *, lives: bool
) -> None:
    """Without the ten minutes, an edit made just before the delete would revive the entity."""
    clock = Clock(datetime(2024, 5, 17, 10, tzinfo=UTC))
    host = await open_host(sessions, clock=clock)
    await host.take(customer())
    await host.take(b"", entity="customer", entity_id="c1", operation="delete")
    clock.now += timedelta(hours=1)
    await host.take(customer(contact_name="Edited", last_modified_time=at(0, minute)))
    row = await host.row(tables.clients)
    assert (row["deleted_at"] is None) is lives


async def test_ruling_resends_are_recognised_at_receipt(sessions: Sessions) -> None:
    """Queued, parked or settled: an equal makes no event; display twins do not make it another."""
    host = await open_host(sessions)
    body = invoice()
    twin = invoice(total_formatted="$10.00", date_formatted="17/05/24")
    first, queued = await host.receive(body, twin)
    await host.sync.drain()  # it parks: the customer is missing
    (parked,) = await host.receive(twin)
    await host.take(customer())
    (applied,) = await host.receive(body)
    late = invoice(notes=None, last_modified_time=at(0, 0), total="9.00")
    assert first.status is ReceiptStatus.ACCEPTED
    for receipt in (queued, parked, applied):
        assert receipt.status is ReceiptStatus.DUPLICATE
        assert receipt.event_ids == first.event_ids
    (other,) = await host.receive(late)
    assert other.status is ReceiptStatus.ACCEPTED


class _OtherClients(Clients):
    """A column more than before."""

    mapping = EntityMap(
        table=tables.clients,
        key="zoho_id",
        columns={"name": "contact_name", "email": "email", "points": lambda _: 3},
        insert_only={"created_by": "zoho"},
        deleted_column="deleted_at",
    )


async def test_ruling_equal_under_another_mapping_is_applied(sessions: Sessions) -> None:
    """The fingerprint is part of it: a new column is filled by sending the documents again."""
    await (await open_host(sessions, [Clients])).take(customer())
    host = await open_host(sessions, [_OtherClients])
    (receipt,) = await host.receive(customer())
    assert receipt.status is ReceiptStatus.ACCEPTED
    assert await host.sync.drain() == {Outcome.APPLIED: 1}
    assert (await host.row(tables.clients))["points"] == 3


async def test_ruling_late_sparse_event_writes_exactly_its_columns(erp: Host) -> None:
    """It is the newest for what the newer events did not carry, and for nothing else."""
    await erp.take(customer(), invoice(notes="old", last_modified_time=at(1)))
    await erp.take(sparse("invoice", invoice_id="i1", status="paid", last_modified_time=at(9)))
    late = {"invoice_id": "i1", "status": "viewed", "notes": "new", "last_modified_time": at(5)}
    counts = await erp.take({"invoice": late})
    assert counts == {Outcome.APPLIED: 1}
    row = await erp.row(tables.invoices)
    assert (row["status"], row["note"], row["number"]) == ("paid", "new", "INV-1")
    newest = await erp.rows(library.journal, entity_id="i1")
    assert newest[-1]["changed"] == ["note"]
    later = {"invoice_id": "i1", "notes": "older", "last_modified_time": at(4)}
    assert await erp.take({"invoice": later}) == {Outcome.STALE: 1}


async def test_ruling_delete_with_the_second_of_the_last_edit(erp: Host) -> None:
    """Without rank and operation in the hash it would be a resend of the edit, or stale."""
    await erp.take(customer())
    (receipt,) = await erp.receive(customer(), operation="delete")
    assert receipt.status is ReceiptStatus.ACCEPTED
    assert await erp.sync.drain() == {Outcome.APPLIED: 1}
    same_second = customer(email="late@b.c")
    await erp.take(same_second)
    row = await erp.row(tables.clients)
    assert row["deleted_at"] is not None


async def test_ruling_known_rows_are_updated_not_inserted(erp: Host) -> None:
    """INSERT … ON CONFLICT would burn a sequence value for each update, and want NOT NULLs."""
    await erp.take(customer())
    for second in range(1, 6):
        body = sparse("contact", contact_id="c1", email=f"{second}", last_modified_time=at(second))
        assert await erp.take(body, entity="customer") == {Outcome.APPLIED: 1}
    await erp.take(customer("c2"))
    assert [row["id"] for row in await erp.rows(tables.clients)] == [1, 2]


async def test_ruling_job_ids_are_never_used_twice(erp: Host) -> None:
    """An id is the tie-break of arrivals: a reused one would take a later event for an earlier."""
    async with erp.sessions() as session:
        seen = []
        for number in range(3):
            await erp.receive(customer(str(number)))
            seen += list(await session.scalars(select(library.jobs.c.id)))
            await session.rollback()
            await erp.sync.drain()
    assert seen == sorted(set(seen))
    assert len(seen) == 3


linked_metadata = MetaData()
reusing = Table(
    "erp_reusing",
    linked_metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(50)),
)


class _Linked(CustomerHandler):
    mapping = EntityMap(table=reusing, columns={"name": "contact_name"}, on_delete="ignore")


async def test_ruling_linked_table_on_sqlite_needs_autoincrement(
    sessions: Sessions, engine: AsyncEngine
) -> None:
    """A rowid that is used again would make the link point at a stranger's row."""
    await make(sessions, linked_metadata)
    host = await open_host(sessions, [_Linked])
    if engine.dialect.name == "sqlite":
        with pytest.raises(MappingError, match=r"(?i)autoincrement"):
            await host.take(customer())
    else:
        assert await host.take(customer()) == {Outcome.APPLIED: 1}


async def test_ruling_first_statement_of_the_host_rolls_back(erp: Host) -> None:
    """SQLite's driver sends no BEGIN before a SAVEPOINT: released, it would be a commit."""
    async with erp.sessions() as session:
        await session.begin()
        await Clients(session).sync(customer()["contact"])
        await session.rollback()
    assert await erp.count(tables.clients) == 0
    assert await erp.count(library.journal) == 0


async def test_ruling_exact_decimal_in_a_table_of_the_host(erp: Host) -> None:
    """SQLite's NUMERIC would give back …99.98."""
    assert mirror.ExactDecimal is type(tables.products.c.price.type)
    await erp.take(item(rate="99999999999999.99"))
    price = (await erp.row(tables.products))["price"]
    assert price == Decimal("99999999999999.99")


@pytest.fixture
async def memory() -> AsyncIterator[Sessions]:
    """An in-memory database, whose one connection all sessions share."""
    engine = create_async_engine("sqlite+aiosqlite://", poolclass=StaticPool)
    yield async_sessionmaker(engine)
    await engine.dispose()


async def test_ruling_one_shared_connection_is_serialised(memory: Sessions) -> None:
    """Otherwise parallel callers would commit, and roll back, each other's halves."""
    host = await open_host(memory)
    bodies = [customer(f"c{n}", email=["x"] if n % 3 == 0 else "a") for n in range(12)]
    await asyncio.gather(*(host.sync.ingest(body) for body in bodies))
    await asyncio.gather(host.sync.drain(), host.sync.drain(), host.sync.ingest(customer("last")))
    await host.sync.drain()
    assert await host.count(tables.clients) == 9
    assert (await host.sync.status()).dead_letters == 4
    with pytest.raises(ConfigurationError, match="drain"):
        await host.sync.run()


async def test_ruling_suspects_are_claimed_alone(sessions: Sessions) -> None:
    """Poison in a batch would take the innocents' attempts, and at last themselves, along."""
    clock = Clock(datetime(2024, 5, 17, 10, tzinfo=UTC))
    clock.now += timedelta(days=1)
    host = await open_host(sessions, clock=clock)
    await host.receive(customer("c1"), customer("c2"), customer("c3"))
    queue = host.sync._runtime.queue
    assert len(await queue.claim(50, lease=LEASE)) == 3
    clock.now += timedelta(minutes=2)  # the worker died
    await host.receive(customer("c4"))
    claims: list[list[Job]] = [await queue.claim(50, lease=LEASE) for _ in range(5)]
    assert [[job.event.entity_id for job in jobs] for jobs in claims] == [
        ["c1"],
        ["c2"],
        ["c3"],
        ["c4"],
        [],
    ]
    assert {job.deaths for jobs in claims for job in jobs} == {0}
    clock.now += timedelta(minutes=2)  # all of them died; c4 was not a suspect yet
    claims = [await queue.claim(50, lease=LEASE) for _ in range(5)]
    assert sorted(len(jobs) for jobs in claims) == [0, 1, 1, 1, 1]
    deaths = {job.event.entity_id: job.deaths for jobs in claims for job in jobs}
    assert deaths == {"c1": 1, "c2": 1, "c3": 1, "c4": 0}


class _ReadsSettings(Clients):
    """Notes what bounds the transaction that it is called in."""

    seen: dict[str, str]

    async def before_apply(self, event: SyncEvent) -> None:
        await super().before_apply(event)
        names = ("idle_in_transaction_session_timeout", "lock_timeout")
        for name in names:
            answer = await self.execute_with_context(text(f"SELECT current_setting('{name}')"))
            self.seen[name] = answer.scalar_one()


async def test_ruling_a_frozen_worker_is_bounded(postgres_url: str) -> None:
    """Without the bounds, a frozen worker would hold its rows against its peer for ever."""
    engine = create_async_engine(postgres_url)
    _ReadsSettings.seen = {}
    host = await open_host(async_sessionmaker(engine), [_ReadsSettings], lease=LEASE)
    await host.take(customer())
    idle = _ReadsSettings.seen["idle_in_transaction_session_timeout"]
    assert idle in {"30s", "30000ms"}
    assert _ReadsSettings.seen["lock_timeout"] not in {"0", ""}
    async with engine.connect() as connection:  # and only in the worker's transactions
        answer = await connection.execute(text("SELECT current_setting('lock_timeout')"))
        assert answer.scalar_one() == "0"
    await engine.dispose()


async def test_ruling_versions_are_read_from_locked_rows(erp: Host) -> None:
    """Read before the lock was had, the older event would overwrite what just committed."""
    await erp.take(customer())
    await erp.receive(customer(contact_name="Older", last_modified_time=at(4)))
    async with erp.sessions() as session, session.begin():
        newer = customer(contact_name="Newer", last_modified_time=at(5))["contact"]
        await Clients(session).sync(newer)
        draining = asyncio.ensure_future(erp.sync.drain())
        done, _ = await asyncio.wait({draining}, timeout=0.5)
        assert not done
    assert await draining == {Outcome.STALE: 1}
    assert (await erp.row(tables.clients))["name"] == "Newer"


async def test_ruling_ledger_is_untouched_by_what_was_not_applied(erp: Host) -> None:
    """A version raised by a parked or failed event would make the event itself stale."""
    await erp.take(invoice(), item())
    before = await erp.row(library.ledger, entity_id="p1")
    await erp.take(item(name="", last_modified_time=at(5)))  # NOT NULL
    await erp.take(item(rate="x", last_modified_time=at(6)))  # not a number
    assert len(await erp.dead()) == 2
    assert await erp.row(library.ledger, entity_id="p1") == before
    parked = await erp.row(library.ledger, entity_id="i1")
    assert (parked["effective_time"], parked["event_id"]) == (None, None)
    assert await erp.take(item(name="Nut", last_modified_time=at(4))) == {Outcome.APPLIED: 1}
    assert await erp.take(customer()) == {Outcome.APPLIED: 2}


async def test_ruling_no_wake_up_is_lost(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parking without holding the target, the target could arrive unseen in between."""

    async def nothing(_: Maintenance) -> int:
        return 0

    monkeypatch.setattr(Maintenance, "sweep", nothing)  # it would hide the loss
    hosts = [await open_host(sessions, batch_size=1) for _ in range(2)]
    rounds = 40 if (await _dialect(sessions)) == "postgresql" else 8
    for number in range(rounds):
        waits = invoice(
            f"i{number}", customer_id=f"c{number}", line_items=[line(item_id=f"p{number}")]
        )
        await hosts[0].receive(waits, customer(f"c{number}"), item(f"p{number}"))
        await asyncio.gather(*(host.sync.drain() for host in hosts))
    await hosts[0].sync.drain()
    report = await hosts[0].sync.status()
    assert (report.parked, report.queue.ready) == (0, 0)
    if report.queue.delayed:  # somebody held the target; they are due in a second
        await hosts[0].write(
            update(library.jobs).values(not_before=datetime(2024, 1, 1, tzinfo=UTC))
        )
        await hosts[0].sync.drain()
    assert await hosts[0].count(tables.invoices) == rounds
    assert await hosts[0].sync.dead_letters.list() == []


async def _dialect(sessions: Sessions) -> str:
    async with sessions() as session:
        name: str = session.get_bind().dialect.name
        return name


class _Moody(Invoices):
    """Refuses everything for a while."""

    refuses: bool

    async def before_apply(self, event: SyncEvent) -> None:
        await super().before_apply(event)
        if self.refuses:
            raise ConfigurationError


async def test_ruling_waking_beside_an_equal_settles_a_duplicate(sessions: Sessions) -> None:
    """A unique violation there would fail the customer that everybody waits for."""
    host = await open_host(sessions, [Clients, Products, _Moody])
    _Moody.refuses = True
    assert await host.take(invoice()) == {Outcome.DEAD_LETTER: 1}
    _Moody.refuses = False
    assert await host.take(invoice()) == {Outcome.PARKED: 1}
    (letter,) = await host.sync.dead_letters.list()
    await host.sync.dead_letters.replay(letter.id)
    leased = await host.sync._runtime.queue.claim(1, lease=LEASE)
    assert [job.event.id for job in leased] == [letter.id]
    assert await host.take(customer()) == {Outcome.APPLIED: 1}
    assert await host.sync.parked.list() == []
    assert (Outcome.DUPLICATE, "equal to one that is queued") in await host.journal()
    await host.sync._runtime.queue.release(leased)
    assert await host.sync.drain() == {Outcome.APPLIED: 1}
    assert (await host.sync.status()).accepted == 3


async def test_ruling_replaying_beside_an_equal_settles_a_duplicate(sessions: Sessions) -> None:
    """A unique violation there would fail the replay of everything else."""
    host = await open_host(sessions, [Clients, Products, _Moody])
    _Moody.refuses = True
    await host.take(customer(), invoice(), invoice("i2", invoice_number="INV-2"))
    _Moody.refuses = False
    first, second = await host.sync.dead_letters.list()
    (equal,) = await host.receive(invoice())
    assert equal.status is ReceiptStatus.ACCEPTED
    replayed = await host.sync.dead_letters.replay([first.id, second.id])
    assert (replayed.queued, replayed.duplicates) == ((second.id,), (first.id,))
    assert await host.sync.drain() == {Outcome.APPLIED: 2}
    report = await host.sync.status()
    assert (report.accepted, report.dead_letters) == (4, 0)


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
