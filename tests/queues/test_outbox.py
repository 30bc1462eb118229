"""The outbox: queued inside the host's transaction, published afterwards, applied once."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    async_sessionmaker,
    create_async_engine,
)

from tests.hosts.sql import Sessions, library, rows
from tests.queues.outboxes import LEASE, Fault, Opened, Relayed, an_outbox, invoice
from tests.queues.redis_queues import let_pass, new_queue
from tests.servers.redis import RedisServer
from zoho_sync import (
    ConfigurationError,
    Outcome,
    QueueUnavailable,
    ReceiptStatus,
    ZohoSync,
)
from zoho_sync.abc import QueueBackend
from zoho_sync.blocking.statement import enqueue_statement
from zoho_sync.events.event import REAPPLIED
from zoho_sync.queues import MemoryQueue, Outbox, SQLQueue
from zoho_sync.queues.outbox import OutboxQueue
from zoho_sync.store.new_events import NewEvents
from zoho_sync.testing import QueueSuite


class OutboxSuite(QueueSuite):
    """The contract, on an outbox whose clocks are moved by hand."""

    lease = timedelta(minutes=1)

    @pytest.fixture(autouse=True)
    def empty_database(self, database_url: str) -> None:
        self.url = database_url

    @asynccontextmanager
    async def outbox(self, engine: QueueBackend) -> AsyncIterator[QueueBackend]:
        """Open the outbox of an engine."""
        database = create_async_engine(self.url)
        self.sessions = async_sessionmaker(database, expire_on_commit=False)
        await ZohoSync(self.sessions).create_tables()
        queue = Relayed(engine, self.sessions, tables=library, clock=self.clock)
        await queue.setup()
        yield queue
        await queue.close()
        await database.dispose()

    @asynccontextmanager
    async def database(self, queue: QueueBackend) -> AsyncIterator[Sessions]:
        del queue
        yield self.sessions

    def seconds(self) -> float:
        """Return the engine's time."""
        return self.clock.now.timestamp()

    async def elapse(self, seconds: float) -> None:
        self.clock.forward(seconds)


class TestBeforeMemory(OutboxSuite):
    @asynccontextmanager
    async def opened(self) -> AsyncIterator[QueueBackend]:
        async with self.outbox(MemoryQueue(clock=self.seconds)) as queue:
            yield queue


@pytest.mark.repeats("TestBeforeMemory")
class TestBeforeRedis(OutboxSuite):
    @pytest.fixture(autouse=True)
    def server(self, redis_server: RedisServer) -> None:
        self.server_url = redis_server.url

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[QueueBackend]:
        async with new_queue(self.server_url) as self.behind, self.outbox(self.behind[0]) as queue:
            yield queue

    async def elapse(self, seconds: float) -> None:
        await super().elapse(seconds)
        await let_pass(*self.behind, seconds)


# What a host sees


@pytest.fixture
async def tables(sessions: Sessions) -> Sessions:
    """The sessions of a host, on each database, whose tables are made."""
    await ZohoSync(sessions).create_tables()
    return sessions


@pytest.fixture
async def here(sqlite_url: str) -> AsyncIterator[Sessions]:
    """The same on SQLite alone, for what is the same on every database."""
    database = create_async_engine(sqlite_url)
    sessions = async_sessionmaker(database, expire_on_commit=False)
    await ZohoSync(sessions).create_tables()
    yield sessions
    await database.dispose()


@pytest.fixture
def opened(here: Sessions) -> Opened:
    """An outbox on SQLite."""
    return an_outbox(here)


@pytest.mark.databases("sqlite", "postgresql")
async def test_what_the_host_queues_is_seen_with_its_commit_and_not_earlier(
    tables: Sessions, database_url: str
) -> None:
    opened, sent = an_outbox(tables), invoice("1")
    async with tables() as session:
        await opened.sync.enqueue([sent], session)
        if not database_url.startswith("sqlite"):  # which has one writer
            assert await opened.sync.drain() == {}
        await session.commit()
    assert (await opened.engine.depth()).total == 0
    status = await opened.sync.status()
    assert (status.queue.ready, status.accepted) == (1, 1)
    async with tables() as session:
        assert (await opened.queue.depth(connection=await session.connection())) == status.queue
    assert status.queue.oldest == status.last_arrival == status.queue.claimable_since is not None
    (entry,) = await opened.sync.history("invoice", "1")
    assert (entry.event_id, entry.state) == (sent.id, "queued")
    assert await opened.sync.drain() == {Outcome.APPLIED: 1}
    (entry,) = await opened.sync.history("invoice", "1")
    assert (entry.state, entry.arrived_at) == ("applied", status.last_arrival)


async def test_the_front_door_takes_the_same_way_and_needs_no_engine(opened: Opened) -> None:
    opened.engine.fault = Fault.AWAY
    receipt = await opened.sync.ingest({"invoice": {"invoice_id": "1"}})
    assert receipt.http_status == 200
    with pytest.raises(QueueUnavailable):
        await opened.sync.drain()
    assert (await opened.sync.status()).queue.ready == 1
    opened.hands.now += timedelta(minutes=6)
    (problem,) = (await opened.sync.status()).problems
    assert "has been waiting since" in problem
    assert await opened.sync.drain() == {Outcome.APPLIED: 1}


async def test_an_equal_is_recognised_wherever_it_is(opened: Opened) -> None:
    first, second, third, fourth = (invoice("1", notes="same") for _ in range(4))
    (accepted,) = await opened.sync.enqueue([first])
    (in_outbox,) = await opened.sync.enqueue([second])
    assert (in_outbox.status, in_outbox.event_ids) == (ReceiptStatus.DUPLICATE, (first.id,))
    assert (await opened.queue.relay(9, lease=LEASE)).events == 1
    # The host knows nothing of the engine; the relay hears of the equal there.
    (in_engine,) = await opened.sync.enqueue([third])
    assert in_engine.status is ReceiptStatus.ACCEPTED
    assert await opened.sync.drain() == {Outcome.APPLIED: 1, Outcome.DUPLICATE: 1}
    (settled,) = await opened.sync.enqueue([fourth])
    assert (settled.status, settled.event_ids) == (ReceiptStatus.DUPLICATE, accepted.event_ids)
    found = {e.event_id: e.state for e in await opened.sync.history("invoice", "1")}
    assert found == {first.id: "applied", third.id: "duplicate"}
    assert opened.engine.published == [first.id]


async def test_an_event_that_is_sent_once_more_is_known_by_its_id(opened: Opened) -> None:
    """A host that did not hear the answer; without a time of its own, an event is only itself."""
    sent = invoice("1", None)
    told = []
    for work in (None, opened.queue.relay(9, lease=LEASE), opened.sync.drain()):
        if work is not None:
            await work
        told += await opened.sync.enqueue([sent])
    assert [receipt.event_ids for receipt in told] == [(sent.id,)] * 3
    assert [receipt.status.value for receipt in told] == ["accepted", "accepted", "duplicate"]
    assert await opened.sync.drain() == {}
    assert [entry.state for entry in await opened.sync.history("invoice", "1")] == ["applied"]


async def test_what_is_too_large_for_the_engine_is_a_job_of_the_database(
    opened: Opened, here: Sessions
) -> None:
    sent = [invoice(f"2{number}", notes="large" if number == 2 else "") for number in range(5)]
    await opened.sync.enqueue(sent)
    assert (await opened.queue.relay(9, lease=LEASE)).events == 5
    assert opened.engine.held == [each.id for each in sent if each.entity_id != "22"]
    (job,) = await rows(here, library.jobs)
    assert (job["event_id"], job["payload"]["notes"]) == (sent[2].id, "large")
    # Its equal, which comes from elsewhere, is recognised.
    (answer,) = await opened.sync.enqueue([invoice("22", notes="large")])
    assert answer.status is ReceiptStatus.DUPLICATE
    assert await opened.sync.drain() == {Outcome.APPLIED: 5}


async def test_what_the_engine_cannot_take_holds_up_nothing(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An engine with a mistake in it: one event that it chokes on is queued in the database."""
    enqueue = opened.engine.enqueue

    async def choosy(events: Any, **more: Any) -> Any:
        if any(event.entity_id == "1" for event in events):
            raise TypeError("a secret")
        return await enqueue(events, **more)

    monkeypatch.setattr(opened.engine, "enqueue", choosy)
    await opened.sync.enqueue([invoice("1"), invoice("2")])
    with caplog.at_level(logging.INFO):
        assert (await opened.queue.relay(9, lease=LEASE)).events == 2
    assert len(opened.engine.held) == 1
    assert "is queued in the database: TypeError" in caplog.text
    assert "secret" not in caplog.text
    assert await opened.sync.drain() == {Outcome.APPLIED: 2}


async def test_what_was_published_and_settled_is_not_published_again(opened: Opened) -> None:
    await opened.sync.enqueue([invoice("1", None)])
    opened.engine.fault = Fault.UNHEARD
    with pytest.raises(QueueUnavailable):
        await opened.queue.relay(9, lease=LEASE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OutboxQueue, "relay", _nothing)
        assert await opened.sync.drain() == {Outcome.APPLIED: 1}
    # Settled, and in the outbox as well: it counts once, and is told once.
    status = await opened.sync.status()
    assert (status.queue.total, status.accepted) == (0, 1)
    assert [entry.state for entry in await opened.sync.history("invoice", "1")] == ["applied"]
    assert (await opened.queue.relay(9, lease=LEASE)).events == 1
    assert len(opened.engine.published) == 1


async def _nothing(*_: Any, **__: Any) -> Any:
    return type("Relayed", (), {"events": 0, "duplicates": 0})


async def test_what_a_changed_mapping_asks_for_is_a_job_of_the_database(
    opened: Opened, here: Sessions
) -> None:
    again = invoice("1", id=f"{REAPPLIED}1")
    (answer,) = await opened.sync.enqueue([again])
    assert answer.status is ReceiptStatus.ACCEPTED
    assert [row["event_id"] for row in await rows(here, library.jobs)] == [again.id]
    assert await opened.sync.drain() == {Outcome.APPLIED: 1}


async def test_a_statement_queues_in_a_synchronous_transaction(
    tables: Sessions, engine: AsyncEngine
) -> None:
    opened = an_outbox(tables)
    statement = enqueue_statement(opened.sync, [invoice("1"), invoice("2", None)])

    def execute(connection: Connection) -> int:
        return connection.execute(statement).rowcount

    async with engine.connect() as connection:
        assert await connection.run_sync(execute) == 2
        await connection.rollback()
    assert await rows(tables, library.outbox) == []
    async with engine.begin() as connection:
        assert await connection.run_sync(execute) == 2
        assert await connection.run_sync(execute) == 0
    assert [row["entity_id"] for row in await rows(tables, library.outbox)] == ["1", "2"]
    assert await opened.sync.drain() == {Outcome.APPLIED: 2}


async def test_an_event_that_is_applied_directly_leaves_the_outbox_too(opened: Opened) -> None:
    sent = invoice("1")
    await opened.sync.enqueue([sent])
    assert (await opened.sync.apply(sent)).outcome is Outcome.APPLIED
    assert await opened.sync.drain() == {}
    status = await opened.sync.status()
    assert (status.queue.total, status.accepted) == (0, 1)


# What is refused


@pytest.mark.parametrize("engine", ["", 5, None, MemoryQueue], ids=str)
def test_what_is_no_engine_has_no_outbox(sqlite_url: str, engine: Any) -> None:
    sessions = async_sessionmaker(create_async_engine(sqlite_url))
    with pytest.raises(ConfigurationError):
        ZohoSync(sessions, queue=Outbox(engine))


async def test_an_engine_in_the_database_needs_no_outbox(opened: Opened, here: Sessions) -> None:
    for inside in (SQLQueue(here), opened.queue):
        with pytest.raises(ConfigurationError, match="needs no outbox"):
            Outbox(inside)


async def test_an_engine_outside_names_the_outbox(here: Sessions) -> None:
    sync = ZohoSync(here, queue="memory://")
    async with here() as session, session.begin():
        with pytest.raises(ConfigurationError, match=r'queue=Outbox\("redis://'):
            await sync.enqueue([invoice("1")], session)


def test_an_outbox_keeps_the_password_of_its_url() -> None:
    assert "secret" not in repr(Outbox("redis://user:secret@localhost"))


async def test_an_answer_never_names_an_event_that_is_nowhere(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An equal that was in the way may have been relayed and applied by the next look."""
    insert, tried = NewEvents.insert, []

    async def in_the_way(rows: NewEvents, events: Any, *told: Any) -> list[Any]:
        tried.append(events)
        return [None] * len(events) if len(tried) == 1 else await insert(rows, events, *told)

    monkeypatch.setattr(NewEvents, "insert", in_the_way)
    event = invoice("1")
    (receipt,) = await opened.sync.enqueue([event])
    assert (receipt.status, receipt.event_ids) == (ReceiptStatus.ACCEPTED, (event.id,))
    assert await opened.sync.drain() == {Outcome.APPLIED: 1}


async def test_what_an_earlier_outbox_has_left_behind_is_not_forgotten(here: Sessions) -> None:
    before = an_outbox(here)
    await before.sync.enqueue([invoice("1"), invoice("2")])
    later = ZohoSync(here, clock=before.hands)
    report = await later.status()
    assert (report.queue.total, report.accepted) == (2, 2)
    assert not any("outbox" in problem for problem in report.problems)
    before.hands.now += timedelta(minutes=6)
    report = await later.status()
    assert "2 event(s) are in an outbox, since 2024-06-02T00:00:00" in report.problems[0]
    assert await later.drain() == {}
    assert await before.sync.drain() == {Outcome.APPLIED: 2}
    report = await later.status()
    assert (report.queue.total, report.accepted) == (0, 2)
    assert not any("outbox" in problem for problem in report.problems)
