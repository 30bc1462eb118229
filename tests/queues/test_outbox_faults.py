"""The outbox when things fail: relays that die, stop or meet, engines that are away or hang."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from redis.asyncio import Redis
from sqlalchemy import Column, MetaData, String, Table, insert
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine

from tests.hosts.sql import Sessions, clear, library, make, rows
from tests.laws.tools import EXAMPLES, broken_off
from tests.queues.outboxes import (
    LEASE,
    Fault,
    FaultyQueue,
    Hands,
    Killed,
    an_outbox,
    invoice,
    noted,
)
from tests.queues.redis_queues import key, new_queue, own_server
from tests.servers.redis import RedisServer
from zoho_sync import Outcome, QueueUnavailable, Receipt, ReceiptStatus, SyncEvent, ZohoSync, mirror
from zoho_sync.queues import Outbox, RedisQueue
from zoho_sync.queues.outbox import OutboxQueue

pytestmark = pytest.mark.databases("sqlite", "postgresql", "mariadb")

ROOT: Final = Path(__file__).parents[2]
BASE_SEED: Final = int(os.environ.get("ZOHO_SYNC_FAULT_SEED", "20240501"))
SEEDS: Final = max(EXAMPLES // 4, 1)  # each as long as several examples of a property
STEPS: Final = 40
SOME, OFTEN = 0.25, 0.5

host = MetaData()
orders = Table("outbox_orders", host, Column("event_id", String(64), primary_key=True))


@pytest.fixture
async def tables(sessions: Sessions) -> Sessions:
    """The sessions of a host whose tables are made."""
    await ZohoSync(sessions).create_tables()
    await make(sessions, host)
    return sessions


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


Step = Send | Work | Wait

EVENTS: Final = (
    ("1", 0, "a"),
    ("1", 0, "a"),  # often an equal
    ("1", 0, "b"),
    ("1", 1, "c"),
    ("1", None, "a"),
    ("2", 0, "large"),
    ("2", 1, "d"),
)


def steps(dice: random.Random) -> Iterator[Step]:
    """Yield what happens, most of it between one relay and the next."""
    for _ in range(STEPS):
        match dice.choices(("send", "relay", "drain", "wait"), (9, 6, 2, 2))[0]:
            case "send":
                yield Send(dice.choice(EVENTS), dice.choice(("alone", "commit", "rollback")))
            case "wait":
                yield Wait()
            case what:
                several = what == "relay" and dice.random() < SOME
                fault = dice.choice([*Fault]) if dice.random() < OFTEN else Fault.NONE
                breaks = dice.randint(1, 40) if dice.random() < SOME else None
                yield Work("two relays" if several else what, fault, breaks)


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

    async def step(self, step: Step) -> None:
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
        """Return the newest of what was no resend; a resend must have its original."""
        newest: dict[str, tuple[tuple[datetime, datetime, int], str]] = {}
        resent = [row for row in settled if row["reason"] == "equal to one that is queued"]
        originals = [row for row in settled if row not in resent]
        keys = {row["dedupe_key"] for row in originals} - {None}
        assert {row["dedupe_key"] for row in resent} <= keys
        for row in originals:
            second = (row["effective_time"] or row["arrival_time"]).replace(microsecond=0)
            version = (second, row["arrival_time"], row["arrival_sequence"])
            notes = self.accepted[row["event_id"]].payload["notes"]
            newest[row["entity_id"]] = max(
                newest.get(row["entity_id"], (version, notes)), (version, notes)
            )
        return {name: notes for name, (_, notes) in newest.items()}


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
async def test_whatever_happens_each_event_is_accounted_for_and_applied_once(
    engine: AsyncEngine, tables: Sessions
) -> None:
    for seed in range(BASE_SEED, BASE_SEED + SEEDS):
        dice = random.Random(seed)  # noqa: S311  # repeatable, not secret
        await clear(tables, host, mirror.metadata)
        hands = Hands()
        behind = FaultyQueue(hands, forgetful=dice.random() < SOME)
        sync = ZohoSync(tables, queue=Outbox(behind), lease=LEASE, batch_size=3, clock=hands)
        books, done = Books(engine, tables, hands, behind, sync), list[Step]()
        try:
            for step in steps(dice):
                done.append(step)
                await books.step(step)
                await books.check()
            await books.close()
        except BaseException as error:
            error.add_note(f"seed {seed}, after {done}")
            raise


async def test_a_relay_that_was_stopped_publishes_once_more_and_does_no_harm(
    tables: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It wakes when its lease has ended, and a peer has published what it was to publish."""
    opened = an_outbox(tables)
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


async def test_an_engine_that_hangs_is_not_waited_for(
    tables: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, hangs = an_outbox(tables), asyncio.Event()

    async def hanging(*_: Any, **__: Any) -> Any:
        hangs.set()
        await asyncio.Event().wait()

    await opened.sync.enqueue([invoice("1")])
    with monkeypatch.context() as patch:
        patch.setattr(opened.engine, "enqueue", hanging)
        relay = asyncio.create_task(opened.queue.relay(9, lease=timedelta(seconds=4)))
        await hangs.wait()
        # No transaction of the relay's is open meanwhile: on SQLite there is one writer.
        await opened.sync.enqueue([invoice("2")])
        assert not relay.done()
        with pytest.raises(QueueUnavailable, match="half a lease"):
            await relay
    assert await opened.sync.drain() == {Outcome.APPLIED: 2}


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
                sent = [invoice(f"2{number}") for number in range(start, start + 6)]
                await peers[start % 3].enqueue(sent, session)
        await until(tables, {f"2{number}" for number in range(60)})
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
        await sync.enqueue([invoice(f"2{number}", None) for number in range(4)], session)
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
