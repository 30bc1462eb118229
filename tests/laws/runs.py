"""A history on its way: received, applied by workers that die and fail, and looked at."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final

from hypothesis import currently_in_test_context, note
from sqlalchemy import bindparam, event, update
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    async_sessionmaker,
)

from tests.engines import warm_engine
from tests.hosts.clock import START, Hands
from tests.hosts.sql import Sessions, library, rows
from tests.laws import oracle
from tests.laws.engines import QueueEngine, nobody
from tests.laws.histories import Plan
from tests.laws.worlds import Erp, Failing, World, telling
from zoho_sync import HandlerRegistry, Operation, RetryPolicy, SyncEvent, ZohoSync
from zoho_sync.events.event import Arrival
from zoho_sync.events.outcome import ReceiptStatus

_TURNS: Final = 100
QUEUED: Final = (library.outbox, library.jobs)


class Died(BaseException):
    """The end of a worker's process; nothing catches it."""


class Breaker:
    """Ends a worker between two statements or calls: its process dies, or it is cancelled."""

    def __init__(self, statements: int, how: str) -> None:
        self.left = statements
        self.how = how
        self.task: asyncio.Task[Any] | None = None

    def statement(self, *_: object) -> None:
        """Count a statement, a savepoint, a commit or a call to a server, and strike before it."""
        self.left -= 1
        if self.how == "dies" and self.left <= 0:
            # And everything that the dead worker would still send.
            raise Died
        if self.left == 0 and self.task is not None:
            self.task.cancel()

    async def run(
        self, engine: AsyncEngine, queues: QueueEngine, work: Callable[[], Awaitable[Any]]
    ) -> None:
        """Run something until it ends or is broken off."""
        self.task = asyncio.ensure_future(work())
        target = engine.sync_engine
        moments = ("before_cursor_execute", "commit")
        queues.heard = self.statement
        for name in moments:
            event.listen(target, name, self.statement)
        try:
            await asyncio.wait({self.task})
        finally:
            for name in moments:
                event.remove(target, name, self.statement)
            queues.heard = nobody
        if not self.task.cancelled() and not isinstance(self.task.exception(), Died):
            self.task.result()


@dataclass
class Run:
    """One plan on its way."""

    world: World
    engine: AsyncEngine
    sessions: Sessions
    queues: QueueEngine
    plan: Plan
    clock: Hands = field(default_factory=lambda: Hands(START + timedelta(minutes=5)))
    accepted: dict[str, dict[str, Any]] = field(default_factory=dict)
    breaks: list[tuple[int, str]] = field(default_factory=list)
    workers: dict[int, ZohoSync] = field(default_factory=dict)
    turns: int = 0
    recognised: set[str] = field(default_factory=set)

    async def run(self) -> None:
        await self.world.begin(self.sessions)
        await self.queues.begin()
        Failing.plan = {}
        self.breaks = list(self.plan.way.breaks)
        cuts = [0, *self.plan.way.waves, len(self.plan.history)]
        guard: tuple[Any, dict[Any, Any]] = (None, {})
        for start, end in pairwise(cuts):
            await self._receive(range(start, end))
            await self._work()
            await self._directly(range(start, end))
            if start == 0:
                await self.world.work_on(self.sessions)
                guard = await self.world.snapshot(self.sessions)
            if self.plan.way.replays:
                await self._replay()
        await self._finish()
        await self._check(guard)

    def _worker(self) -> ZohoSync:
        """The next worker; one that was not broken off works again."""
        sizes = self.plan.way.batches
        size = sizes[self.turns % len(sizes)]
        self.turns += 1
        if size not in self.workers:
            self.workers[size] = ZohoSync(
                self.sessions,
                queue=self.queues.queue(),
                registry=HandlerRegistry(self.world.handlers),
                clock=self.clock,
                lease=self.queues.lease,
                batch_size=size,
                retry=RetryPolicy(base_delay=timedelta(milliseconds=1)),
            )
        return self.workers[size]

    async def _receive(self, places: Sequence[int]) -> None:
        """Receive events in the order of the history, and queue them in another."""
        if self.queues.is_outside:
            places = sorted(places, key=self.plan.way.order.index)
        events = [self._event(place) for place in places]
        dead = {row["event_id"] for row in await rows(self.sessions, library.dead_letters)}
        receipts = await self._worker().enqueue(events)
        for place, event_, receipt in zip(places, events, receipts, strict=True):
            told = self._as_told(place, event_)
            # A dead letter is none of the places where an equal event is looked for.
            known = [each for name, each in self.accepted.items() if name not in dead]
            resent = receipt.status is ReceiptStatus.DUPLICATE
            if resent or not self.queues.is_outside:
                assert resent == oracle.is_resend(told, known), told
            if not resent:
                self.accepted[event_.id] = told
                if place in self.plan.way.failing:
                    Failing.plan[event_.id] = self.plan.way.failing[place]
        jobs = library.jobs
        ranks = [
            {"name": event_.id, "rank": self.plan.way.order.index(place)}
            for place, event_ in zip(places, events, strict=True)
        ]
        if ranks:
            by_name = update(jobs).where(jobs.c.event_id == bindparam("name"))
            async with self.engine.begin() as connection:
                await connection.execute(by_name.values(priority=bindparam("rank")), ranks)

    def _event(self, place: int) -> SyncEvent:
        sent = self.plan.history[place]
        # Two by two at one moment: the sequence has to decide.
        arrived = START + timedelta(seconds=place // 2 * 4)
        return SyncEvent(
            sent.kind,
            sent.name,
            sent.document,
            Operation.DELETE if sent.deletes else Operation.UPSERT,
            arrival=Arrival(arrived, place),
        )

    def _as_told(self, place: int, event_: SyncEvent) -> dict[str, Any]:
        sent = self.plan.history[place]
        arrival = event_.arrival
        return {
            "place": place,
            "type": sent.kind,
            "id": sent.name,
            "op": "delete" if sent.deletes else "upsert",
            "time": None if sent.at is None else int(START.timestamp()) + sent.at,
            "arrival": arrival and (_microseconds(arrival.time), arrival.sequence),
            "document": sent.document,
        }

    async def _work(self) -> None:
        """Let workers work, and end the first of them where the plan says so."""
        while self.breaks:
            statements, how = self.breaks.pop(0)
            await Breaker(statements, how).run(self.engine, self.queues, self._worker().drain)
            await self._end_workers()
        for _ in range(_TURNS):
            if not await self._left():
                return
            settled = await self._worker().drain()
            self.clock.move(minutes=2)
            if not settled and self.queues.is_outside:
                await self._end_workers()
        raise AssertionError(f"{await self._missing() or 'something'} is queued for ever")

    async def _end_workers(self) -> None:
        self.workers = {}
        self.clock.now += self.queues.lease * 1.5
        await self.queues.lapse()

    async def _left(self) -> bool:
        if not self.queues.is_outside:
            return bool(await rows(self.sessions, library.jobs))
        # What a server has taken back from one that ended, it may not count yet.
        status = await self._worker().status()
        return bool(status.queue.total or await self._missing())

    async def _missing(self) -> set[str]:
        places = (library.journal, library.parked, library.dead_letters)
        found = {row["event_id"] for table in places for row in await rows(self.sessions, table)}
        return self.accepted.keys() - found

    async def _directly(self, places: Sequence[int]) -> None:
        """Apply documents once more, where nobody looks for their equals."""
        for place in sorted(self.plan.way.directly.intersection(places)):
            sent = self.plan.history[place]
            again = SyncEvent(
                sent.kind,
                sent.name,
                sent.document,
                Operation.DELETE if sent.deletes else Operation.UPSERT,
            )
            await self._worker().apply(again)
            self.accepted[again.id] = self._as_told(place, again)

    async def _replay(self) -> None:
        worker = self._worker()
        dead = await worker.dead_letters.list()
        if dead:
            await worker.dead_letters.replay([letter.id for letter in dead])
            await self._work()

    async def _finish(self) -> None:
        await self._work()
        for _ in range(5):
            await self._replay()

    # The end.

    async def _check(self, guard: tuple[Any, dict[Any, Any]]) -> None:
        await self._check_places()
        await self._check_rows()
        host_rows, host_columns = await self.world.snapshot(self.sessions)
        assert host_rows == guard[0], "rows of the host were touched"
        for key, values in guard[1].items():
            assert host_columns.get(key, values) == values, f"columns of the host: {key}"

    async def _check_places(self) -> None:
        """Every accepted event is in one place, and no event is anywhere else."""
        places = {
            table.name: await rows(self.sessions, table)
            for table in (library.journal, library.parked, library.dead_letters, *QUEUED)
        }
        found = Counter(row["event_id"] for each in places.values() for row in each)
        assert found == Counter(self.accepted.keys())
        assert not any(places[table.name] for table in QUEUED)
        assert not places[library.dead_letters.name]
        for row in (*places[library.journal.name], *places[library.parked.name]):
            arrival = (_microseconds(row["arrival_time"]), row["arrival_sequence"])
            told = self.accepted[row["event_id"]]
            assert told["arrival"] in (None, arrival), "an arrival changed"
            told["arrival"] = arrival
        if not self.plan.way.strict:
            self.recognised = {
                row["event_id"]
                for row in places[library.journal.name]
                if row["reason"] == "equal to one that is queued"
            }
        waiting = {row["event_id"] for row in places[library.parked.name]}
        assert self._told_by(oracle.must_wait) <= waiting <= self._told_by(oracle.may_wait)

    def _told_by(self, ask: Callable[..., list[oracle.Event]]) -> set[str]:
        return {
            event_id
            for (kind, _), events in self._by_entity().items()
            for event_id, told in events.items()
            if told in ask(self.world.expected[kind], events.values())
        }

    async def _check_rows(self) -> None:
        found = await self.world.entities(self.sessions)
        wanted = {}
        for (kind, name), events in self._by_entity().items():
            row = oracle.final_row(self.world.expected[kind], events.values())
            if row is not None:
                wanted[kind, name] = self._as_found(kind, row)
        assert {key: self._compared(*each) for key, each in found.items()} == {
            key: self._compared(*each) for key, each in wanted.items()
        }

    def _as_found(self, kind: str, row: oracle.Row) -> tuple[dict[str, Any], dict[str, Any]]:
        mark: dict[str, Any] = {"deleted_at": row.deleted_at}
        if isinstance(self.world, Erp) and kind in ("product", "payment"):
            mark = {"discontinued": row.deleted_at is not None} if kind == "product" else {}
        return row.columns | mark, row.lists.get("lines", {})

    def _compared(self, row: dict[str, Any], lines: dict[str, Any]) -> tuple[Any, Any]:
        told = {name: telling(line, set()) for name, line in lines.items()}
        return telling(row, set()), told

    def _by_entity(self) -> dict[tuple[str, str], dict[str, dict[str, Any]]]:
        found: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
        for event_id, told in self.accepted.items():
            if event_id in self.recognised:
                continue
            kind = "customer" if told["type"] == "contact" else told["type"]
            found.setdefault((kind, told["id"]), {})[event_id] = told
        return found


def _microseconds(moment_: datetime) -> int:
    return (moment_ - datetime.fromtimestamp(0, moment_.tzinfo)) // timedelta(microseconds=1)


@dataclass
class Laboratory:
    """A database and a queue that serve all runs of one test, and the loop that they run in."""

    runner: asyncio.Runner
    engine: AsyncEngine
    sessions: Sessions
    queues: QueueEngine

    def run(self, world: World, plan: Plan) -> None:
        if currently_in_test_context():
            note(plan.told())
        self.runner.run(Run(world, self.engine, self.sessions, self.queues, plan).run())


def _strict(connection: Any, _: object) -> None:
    """Make SQLite keep foreign keys, and not wait for the disk."""
    for pragma in ("foreign_keys = ON", "synchronous = OFF"):
        connection.execute(f"PRAGMA {pragma}")


@contextmanager
def opened_laboratory(url: str, queues: QueueEngine, world: World) -> Iterator[Laboratory]:
    with asyncio.Runner() as runner:
        engine = warm_engine(url)
        if engine.dialect.name == "sqlite":
            event.listen(engine.sync_engine, "connect", _strict)
        sessions = async_sessionmaker(engine, expire_on_commit=False)
        runner.run(world.build(sessions))
        runner.run(ZohoSync(sessions).create_tables())
        yield Laboratory(runner, engine, sessions, queues)
        runner.run(queues.end())
        runner.run(engine.dispose())
