"""The outbox: queued inside the host's transaction, published afterwards, applied once."""

from __future__ import annotations

import asyncio
import logging
import signal
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from sqlalchemy import Column, Connection, MetaData, String, Table, insert, select
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from tests.laws.plain_sql import EXAMPLES, broken_off, clear, library, make, rows
from tests.queues.outboxes import Fault, FaultyQueue, Hands, Killed, Relayed
from tests.queues.redis_queues import key, let_pass, new_queue, own_server
from tests.servers.redis import RedisServer
from zoho_sync import (
    ConfigurationError,
    Outcome,
    QueueUnavailable,
    Receipt,
    ReceiptStatus,
    SyncEvent,
    ZohoSync,
    mirror,
)
from zoho_sync.abc import QueueBackend
from zoho_sync.blocking import enqueue_statement
from zoho_sync.events import REAPPLIED
from zoho_sync.queues import MemoryQueue, Outbox, RedisQueue, SQLQueue
from zoho_sync.queues.outbox import OutboxQueue
from zoho_sync.testing import QueueSuite

Sessions = async_sessionmaker[AsyncSession]
LEASE: Final = timedelta(minutes=10)
ROOT: Final = Path(__file__).parents[2]

host = MetaData()
orders = Table("outbox_orders", host, Column("event_id", String(64), primary_key=True))


def invoice(name: str, second: int | None = 1, notes: str = "", **more: Any) -> SyncEvent:
    moment = (
        None if second is None else datetime(2024, 5, 1, tzinfo=UTC) + timedelta(seconds=second)
    )
    return SyncEvent(
        "invoice", name, {"invoice_id": name, "notes": notes}, effective_time=moment, **more
    )


async def noted(sessions: Sessions) -> dict[str, str | None]:
    """The notes of the invoices that were applied."""
    invoices = mirror.invoices
    async with sessions() as session:
        found = await session.execute(select(invoices.c.invoice_id, invoices.c.notes))
        return {name: notes for name, notes in found}  # noqa: C416  # rows are no pairs for a type checker


class OutboxSuite(QueueSuite):
    """The contract, on an outbox whose clocks are moved by hand."""

    lease = timedelta(minutes=1)

    @pytest.fixture(autouse=True)
    def empty_database(self, database_url: str) -> None:
        self.url = database_url
        self.hands = Hands()

    @asynccontextmanager
    async def outbox(self, engine: QueueBackend) -> AsyncIterator[QueueBackend]:
        """Open the outbox of an engine."""
        database = create_async_engine(self.url)
        self.sessions = async_sessionmaker(database, expire_on_commit=False)
        await ZohoSync(self.sessions).create_tables()
        queue = Relayed(engine, self.sessions, tables=library, clock=self.hands)
        await queue.setup()
        yield queue
        await queue.close()
        await database.dispose()

    def host_session(self) -> AsyncSession:
        return self.sessions()

    async def elapse(self, seconds: float) -> None:
        self.hands.now += timedelta(seconds=seconds)


class TestBeforeMemory(OutboxSuite):
    @asynccontextmanager
    async def opened(self) -> AsyncIterator[QueueBackend]:
        async with self.outbox(MemoryQueue(clock=self.hands.seconds)) as queue:
            yield queue


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


# Whatever happens


@dataclass(frozen=True)
class Send:
    """Queue an event: alone, or with an order in a transaction that ends in this way."""

    event: tuple[str, int | None, str]
    ending: str


@dataclass(frozen=True)
class Work:
    """Relay, or drain, under a fault; break it off after so many statements."""

    what: str
    fault: Fault
    statements: int | None


@dataclass(frozen=True)
class Wait:
    """Let every lease end."""


STEPS: Final = st.lists(
    st.one_of(
        st.builds(
            Send,
            st.tuples(
                st.sampled_from("12"),
                st.sampled_from([0, 1, None]),
                st.sampled_from(["a", "b", "large"]),
            ),
            st.sampled_from(["alone", "commit", "rollback"]),
        ),
        st.builds(
            Work,
            st.sampled_from(["relay", "two relays", "drain"]),
            st.sampled_from(Fault),
            st.none() | st.integers(1, 60),
        ),
        st.just(Wait()),
    ),
    min_size=1,
    max_size=16,
)


@dataclass
class Books:
    """What was sent, and where it is."""

    database: AsyncEngine
    sessions: Sessions
    hands: Hands
    engine: FaultyQueue
    sync: ZohoSync
    accepted: dict[str, SyncEvent] = field(default_factory=dict)
    ordered: set[str] = field(default_factory=set)

    async def step(self, step: Send | Work | Wait) -> None:
        match step:
            case Send(event=event, ending="alone"):
                sent = invoice(*event)
                self._note(sent, await self.sync.enqueue([sent]))
            case Send(event=event, ending=ending):
                await self._order(invoice(*event), ending)
            case Work():
                await self._work(step)
            case Wait():
                self.hands.now += LEASE * 1.1

    async def _order(self, sent: SyncEvent, ending: str) -> None:
        async with self.sessions() as session:
            await session.execute(insert(orders).values(event_id=sent.id))
            receipts = await self.sync.enqueue([sent], session)
            await getattr(session, ending)()
        if ending == "commit":
            self.ordered.add(sent.id)
            self._note(sent, receipts)

    def _note(self, sent: SyncEvent, receipts: list[Receipt]) -> None:
        (receipt,) = receipts
        if receipt.status is ReceiptStatus.ACCEPTED:
            self.accepted[sent.id] = sent
        assert receipt.event_ids[0] in self.accepted

    async def _work(self, step: Work) -> None:
        queue = self.sync._runtime.queue
        assert isinstance(queue, OutboxQueue)

        async def relays() -> None:
            count = 2 if step.what == "two relays" else 1
            ended = await asyncio.gather(
                *(queue.relay(2, lease=LEASE) for _ in range(count)), return_exceptions=True
            )
            for each in ended:
                if isinstance(each, BaseException):
                    raise each

        self.engine.fault, self.engine.dead = step.fault, False
        work = self.sync.drain() if step.what == "drain" else relays()
        with suppress(QueueUnavailable, Killed):
            await broken_off(self.database, work, step.statements or 0)
        self.engine.fault = Fault.NONE

    async def check(self) -> None:
        """Look for every accepted event, and for what is said about it."""
        waiting = [row["event_id"] for row in await rows(self.sessions, library.outbox)]
        places = (library.jobs, library.parked, library.dead_letters, library.journal)
        found = [await rows(self.sessions, table) for table in places]
        placed = Counter(row["event_id"] for each in found for row in each)
        assert max(placed.values(), default=1) == 1
        assert {*placed, *waiting, *self.engine.held} == {*self.accepted}
        status = await self.sync.status()
        assert status.accepted >= len(self.accepted)
        if not self.engine.held:
            assert status.accepted == len(self.accepted)
        made = await rows(self.sessions, orders)
        assert {row["event_id"] for row in made} == self.ordered

    async def close(self) -> None:
        """Work until nothing moves any more, and draw the balance."""
        for _ in range(4):
            self.hands.now += LEASE * 1.1
            await self.sync.drain()
        await self.check()
        settled = await rows(self.sessions, library.journal)
        assert {row["event_id"] for row in settled} == {*self.accepted}
        assert (self.engine.held, await rows(self.sessions, library.outbox)) == ([], [])
        assert await noted(self.sessions) == self._expected(settled)

    def _expected(self, settled: list[dict[str, Any]]) -> dict[str, str | None]:
        newest: dict[str, tuple[tuple[datetime, datetime, int], str]] = {}
        for row in settled:
            if row["reason"] == "equal to one that is queued":
                continue  # it was never more than a resend
            second = (row["effective_time"] or row["arrival_time"]).replace(microsecond=0)
            version = (second, row["arrival_time"], row["arrival_sequence"])
            notes = self.accepted[row["event_id"]].payload["notes"]
            newest[row["entity_id"]] = max(
                newest.get(row["entity_id"], (version, notes)), (version, notes)
            )
        return {name: notes for name, (_, notes) in newest.items()}


@pytest.fixture
async def tables(sessions: Sessions) -> Sessions:
    """The sessions of a host whose tables are made."""
    await ZohoSync(sessions).create_tables()
    await make(sessions, host)
    return sessions


@pytest.fixture
def mortal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a relay that is killed do nothing more, as a process that has ended."""
    give_back = OutboxQueue._give_back_rows

    async def unless_dead(self: OutboxQueue, taken: Collection[int], token: str) -> None:
        assert isinstance(self.engine, FaultyQueue)
        if not self.engine.dead:
            await give_back(self, taken, token)

    monkeypatch.setattr(OutboxQueue, "_give_back_rows", unless_dead)


@pytest.mark.breaks_connections
@pytest.mark.usefixtures("mortal")
@settings(
    max_examples=EXAMPLES * 2,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
)
@given(steps=STEPS, forgetful=st.booleans())
async def test_whatever_happens_each_event_is_accounted_for_and_applied_once(
    engine: AsyncEngine, tables: Sessions, steps: list[Send | Work | Wait], *, forgetful: bool
) -> None:
    await clear(tables, host, mirror.metadata)
    hands = Hands()
    behind = FaultyQueue(hands, forgetful=forgetful)
    sync = ZohoSync(tables, queue=Outbox(behind), lease=LEASE, batch_size=3, clock=hands)
    books = Books(engine, tables, hands, behind, sync)
    for step in steps:
        await books.step(step)
        await books.check()
    await books.close()


# One at a time


@dataclass
class Opened:
    """An outbox of an engine that fails as it is told to.

    Attributes:
        sync: What a host has.
        queue: What a worker works with.
        engine: Behind it.
        hands: The clock of both.
    """

    sync: ZohoSync
    queue: OutboxQueue
    engine: FaultyQueue
    hands: Hands


@pytest.fixture
def opened(tables: Sessions) -> Opened:
    hands = Hands()
    behind = FaultyQueue(hands)
    sync = ZohoSync(tables, queue=Outbox(behind), lease=LEASE, clock=hands)
    queue = sync._runtime.queue
    assert isinstance(queue, OutboxQueue)
    return Opened(sync, queue, behind, hands)


async def test_what_the_host_queues_is_seen_with_its_commit_and_not_earlier(
    opened: Opened, tables: Sessions, database_url: str
) -> None:
    sent = invoice("1")
    async with tables() as session:
        await opened.sync.enqueue([sent], session)
        if not database_url.startswith("sqlite"):  # which has one writer
            assert await opened.sync.drain() == {}
        await session.commit()
    assert (await opened.engine.depth()).total == 0
    status = await opened.sync.status()
    assert (status.queue.ready, status.accepted) == (1, 1)
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
    opened: Opened, tables: Sessions
) -> None:
    sent = [invoice(str(number), notes="large" if number == 2 else "") for number in range(5)]
    await opened.sync.enqueue(sent)
    assert (await opened.queue.relay(9, lease=LEASE)).events == 5
    assert opened.engine.held == [each.id for each in sent if each.entity_id != "2"]
    (job,) = await rows(tables, library.jobs)
    assert (job["event_id"], job["payload"]["notes"]) == (sent[2].id, "large")
    # Its equal, which comes from elsewhere, is recognised.
    (answer,) = await opened.sync.enqueue([invoice("2", notes="large")])
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


async def test_a_relay_that_was_stopped_publishes_once_more_and_does_no_harm(
    opened: Opened, tables: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It wakes when its lease has ended, and a peer has published what it was to publish."""
    reached, wakes = asyncio.Event(), asyncio.Event()
    enqueue = opened.engine.enqueue

    async def stopped(events: Any, **more: Any) -> Any:
        monkeypatch.setattr(opened.engine, "enqueue", enqueue)
        reached.set()
        await wakes.wait()
        return await enqueue(events, **more)

    sent = [invoice("1"), invoice("2", None)]
    await opened.sync.enqueue(sent)
    monkeypatch.setattr(opened.engine, "enqueue", stopped)
    sleeper = asyncio.create_task(opened.queue.relay(9, lease=LEASE))
    await reached.wait()
    assert await opened.sync.drain() == {}
    opened.hands.now += LEASE * 1.1
    assert await opened.sync.drain() == {Outcome.APPLIED: 2}
    wakes.set()
    assert (await sleeper).events == 0
    assert sorted(opened.engine.held) == sorted(each.id for each in sent)
    assert await opened.sync.drain() == {}
    assert opened.engine.held == []
    assert len(await rows(tables, library.journal)) == 2


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


async def test_an_engine_that_hangs_is_not_waited_for(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hanging(*_: Any, **__: Any) -> Any:
        await asyncio.Event().wait()

    await opened.sync.enqueue([invoice("1")])
    with monkeypatch.context() as patch:
        patch.setattr(opened.engine, "enqueue", hanging)
        relay = asyncio.create_task(opened.queue.relay(9, lease=timedelta(seconds=1)))
        await asyncio.sleep(0.1)
        # No transaction of the relay's is open meanwhile: on SQLite there is one writer.
        await asyncio.wait_for(opened.sync.enqueue([invoice("2")]), 0.35)
        with pytest.raises(QueueUnavailable, match="half a lease"):
            await relay
    assert await opened.sync.drain() == {Outcome.APPLIED: 2}


async def test_what_a_changed_mapping_asks_for_is_a_job_of_the_database(
    opened: Opened, tables: Sessions
) -> None:
    again = invoice("1", id=f"{REAPPLIED}1")
    (answer,) = await opened.sync.enqueue([again])
    assert answer.status is ReceiptStatus.ACCEPTED
    assert [row["event_id"] for row in await rows(tables, library.jobs)] == [again.id]
    assert await opened.sync.drain() == {Outcome.APPLIED: 1}


async def test_a_statement_queues_in_a_synchronous_transaction(
    opened: Opened, tables: Sessions, engine: AsyncEngine
) -> None:
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


async def test_an_engine_in_the_database_needs_no_outbox(opened: Opened, tables: Sessions) -> None:
    for inside in (SQLQueue(tables), opened.queue):
        with pytest.raises(ConfigurationError, match="needs no outbox"):
            Outbox(inside)


async def test_an_engine_outside_names_the_outbox(tables: Sessions) -> None:
    sync = ZohoSync(tables, queue="memory://")
    async with tables() as session, session.begin():
        with pytest.raises(ConfigurationError, match=r'queue=Outbox\("redis://'):
            await sync.enqueue([invoice("1")], session)


def test_an_outbox_keeps_the_password_of_its_url() -> None:
    assert "secret" not in repr(Outbox("redis://user:secret@localhost"))


# With workers, on a real server


async def until(sessions: Sessions, names: set[str]) -> None:
    """Wait until workers have applied these invoices."""
    async with asyncio.timeout(60):
        while not names <= (await noted(sessions)).keys():  # noqa: ASYNC110  # workers send no event
            await asyncio.sleep(0.02)


async def test_workers_relay_and_apply_each_event_once(
    redis_server: RedisServer, tables: Sessions
) -> None:
    """Several at once: each event is published once, though each of them relays."""
    async with new_queue(redis_server.url) as (behind, client):
        peers = [ZohoSync(tables, queue=Outbox(behind), batch_size=5) for _ in range(3)]
        workers = [asyncio.create_task(peer.run()) for peer in peers]
        for start in range(0, 60, 6):
            async with tables() as session, session.begin():
                sent = [invoice(str(number)) for number in range(start, start + 6)]
                await peers[start % 3].enqueue(sent, session)
        await until(tables, {str(number) for number in range(60)})
        for worker in workers:
            worker.cancel()
            with pytest.raises(asyncio.CancelledError):
                await worker
        await peers[0].drain()
        info = await client.xinfo_stream(key(behind, "events"))
        assert info["entries-added"] == 60
        assert len(await rows(tables, library.journal)) == 60
        status = await peers[0].status()
        assert (status.queue.total, status.accepted) == (0, 60)


@pytest.mark.breaks_connections
async def test_events_are_accepted_while_the_engine_is_away(tables: Sessions) -> None:
    with own_server() as server:
        async with ZohoSync(tables, queue=Outbox(server.url)) as sync:
            await sync.create_tables()
            worker = asyncio.create_task(sync.run())
            await sync.enqueue([invoice("1")])
            await until(tables, {"1"})
            server.stop()
            for name in ("2", "3"):
                assert (await sync.enqueue([invoice(name)]))[0].http_status == 200
            assert len(await rows(tables, library.outbox)) == 2
            server.start()
            await sync.enqueue([invoice("4")])
            await until(tables, {"1", "2", "3", "4"})
            worker.cancel()
            with pytest.raises(asyncio.CancelledError):
                await worker
        assert await rows(tables, library.outbox) == []


async def test_a_process_that_is_killed_while_it_publishes_loses_nothing(
    redis_server: RedisServer, sqlite_url: str
) -> None:
    """Killed between publishing and emptying the outbox: the next relay finds what it left."""
    database = create_async_engine(sqlite_url)
    tables = async_sessionmaker(database, expire_on_commit=False)
    prefix = f"test_{uuid.uuid4().hex}"
    client: Any = Redis.from_url(redis_server.url)
    behind = RedisQueue(client, prefix=prefix)
    sync = ZohoSync(tables, queue=Outbox(behind), lease=timedelta(seconds=3))
    await sync.create_tables()
    async with tables() as session, session.begin():
        await sync.enqueue([invoice(str(number), None) for number in range(4)], session)
    program = [sys.executable, "-m", "tests.queues.outbox_process"]
    killed = subprocess.run(  # noqa: ASYNC221  # nothing else is to happen meanwhile
        [*program, sqlite_url, redis_server.url, prefix, "3"],
        cwd=ROOT,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert (await behind.depth()).ready == 4
    outbox = await rows(tables, library.outbox)
    assert [row["lease_token"] is not None for row in outbox] == [True] * 4
    applied: Counter[Outcome] = Counter()
    async with asyncio.timeout(60):
        while await rows(tables, library.outbox):
            applied += Counter(await sync.drain())
            await asyncio.sleep(0.1)
    assert applied == {Outcome.APPLIED: 4}
    assert len(await rows(tables, library.journal)) == 4
    assert (await sync.status()).accepted == 4
    await client.delete(*(key(behind, name) for name in ("events", "leases", "released", "keys")))
    await client.aclose()
    await database.dispose()
