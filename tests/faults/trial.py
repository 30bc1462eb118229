"""One run of a scenario on a stack: traffic, workers, a disturbance, and the audit."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from tests.faults.auditor import Auditor, Violation
from tests.faults.processes import Crew
from tests.faults.proxy import CommitProxy
from tests.faults.stacks import Kind, Stack
from tests.faults.traffic import Traffic, traffic
from tests.faults.worker_process import Conduct
from tests.hosts.shop import create_shop, registry
from zoho_sync import Receipt, SyncEvent, Unverified, ZohoSync
from zoho_sync.exceptions import QueueUnavailable

__all__ = ["Result", "Scenario", "Trial", "run"]

_PORTIONS = 20
_STANDSTILL = 40.0

Rule = Callable[[Kind], bool]


@dataclass(frozen=True)
class Scenario:
    """Something that goes wrong.

    Attributes:
        name: In the table of results.
        disturb: Does it, while events are sent and applied; returns when it is over.
        deliveries: How many are sent.
        seconds: In which time.
        workers: How many there are.
        conduct: How they are wired.
        marks: Stamps of the events in which something goes wrong; see `traffic`.
        applies: Whether it can happen on a stack.
        proxied: Whether the workers reach the database through a `CommitProxy`.
    """

    name: str
    disturb: Callable[[Trial], Awaitable[None]]
    deliveries: int = 50
    seconds: float = 1.0
    workers: int = 2
    conduct: Conduct = field(default_factory=Conduct)
    marks: Sequence[str] = ()
    applies: Rule = lambda _: True
    proxied: bool = False


@dataclass
class Result:
    """What came of a run.

    Attributes:
        violations: All that must not be.
        trace: What is known of them, and what the workers said; empty if there are none.
        kills: Workers that were killed.
        refused: Deliveries that the front door refused for a time.
        seconds: How long it took.
    """

    violations: list[Violation] = field(default_factory=list)
    trace: str = ""
    kills: int = 0
    refused: int = 0
    seconds: float = 0.0

    def count(self, kind: str) -> int:
        """Return how many violations of a kind there are."""
        return sum(each.kind == kind for each in self.violations)


class Trial:
    """A scenario under way.

    Attributes:
        scenario: What goes wrong.
        stack: Where.
        dice: Decides when, and whom it hits.
        sent: What is sent.
        folder: For what processes say.
        crew: The workers.
        sync: The front door.
        proxy: Between the workers and the database, if there is one.
        accepted: Ids that the front door has answered with.
        refused: How often it has refused deliveries.
        portions: How many portions of the deliveries were accepted.
        is_fed: Whether all were.
        found: Violations that the disturbance has seen itself.
    """

    crew: Crew
    sync: ZohoSync
    proxy: CommitProxy | None = None

    def __init__(self, scenario: Scenario, stack: Stack, dice: random.Random, folder: Path) -> None:
        self.scenario, self.stack, self.dice, self.folder = scenario, stack, dice, folder
        self.sent: Traffic = traffic(dice, scenario.deliveries, scenario.marks)
        self.accepted: set[str] = set()
        self.refused = self.portions = 0
        self.is_fed = False
        self.found: list[Violation] = []

    async def pause(self, shortest: float, longest: float) -> None:
        """Wait for a time that the dice decide."""
        await asyncio.sleep(self.dice.uniform(shortest, longest))

    async def until(self, condition: Callable[[], Any], what: str, seconds: float = 30.0) -> None:
        """Wait for something that processes do.

        Raises:
            AssertionError: It does not come.
        """
        deadline = time.monotonic() + seconds * how_busy()
        while not condition():
            assert time.monotonic() < deadline, f"never: {what}"
            await asyncio.sleep(0.02)

    async def insist(self, events: Sequence[SyncEvent]) -> None:
        """Send events as a host does that may not have heard the answer: until it has."""
        while True:
            try:
                receipts = await self.sync.enqueue(events)
            except QueueUnavailable:
                self.refused += 1
                await asyncio.sleep(0.1)
            else:
                self.take(receipts)
                return

    def take(self, receipts: Sequence[Receipt]) -> None:
        """Note what the front door has answered."""
        self.accepted.update(name for receipt in receipts for name in receipt.event_ids)

    async def feed(self) -> None:
        """Send everything, in portions."""
        events = list(self.sent.deliveries)
        size = max(1, -(-len(events) // max(_PORTIONS, len(events) // 50)))
        starts = range(0, len(events), size)
        for start in starts:
            await self.insist(events[start : start + size])
            self.portions += 1
            await asyncio.sleep(self.scenario.seconds / len(starts))
        self.is_fed = True

    async def is_settled(self) -> bool:
        """Return whether nothing is queued; not, where that cannot be told now."""
        try:
            # In this order: what a peer has taken back meanwhile is in the jobs table then.
            return not self._unseen() and await self.stack.left() == 0
        except Exception:  # noqa: BLE001  # each server's client has its own errors
            return False

    def _unseen(self) -> set[str]:
        """Return what was accepted and may be with a worker, where the queue cannot tell."""
        broker = self.stack.broker
        if broker is None or broker.counts_delivered:
            return set()
        return Auditor(self.stack.database, self.sent, self.accepted).missing()

    async def settled(self) -> bool:
        """Wait until nothing is queued, as long as there is progress; return whether that came."""
        progress, deadline = -1, 0.0
        while not await self.is_settled():
            done = self._settled_events()
            if done > progress:
                progress, deadline = done, time.monotonic() + _STANDSTILL * how_busy()
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.05)
        return True

    def _settled_events(self) -> int:
        try:
            return self.stack.database.count("zoho_sync_journal")
        except Exception:  # noqa: BLE001  # as above
            return 0

    async def restart(self, server: Any) -> None:
        """Let a server end, cleanly or as in a crash, and come back."""
        address = self.stack.route
        await asyncio.to_thread(self.dice.choice(self.stack.ways_to_end(server)))
        await self.pause(0.0, 0.3)
        await asyncio.to_thread(server.start)
        assert self.stack.route == address, "somebody has taken the server's port meanwhile"


def how_busy() -> float:
    """Return by what leases have to be longer, since the machine does other things; from 1."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1) / 3)


async def run(scenario: Scenario, stack: Stack, seed: int, folder: Path) -> Result:
    """Run a scenario and audit what is left; the same seed decides the same."""
    conduct = scenario.conduct
    # A worker that has to wait for its turn longer than its lease never comes to an end.
    scenario = replace(scenario, conduct=replace(conduct, lease=conduct.lease * how_busy()))
    dice = random.Random(seed)  # noqa: S311  # repeatable, not secret
    trial, began = Trial(scenario, stack, dice, folder), time.monotonic()
    async with _opened(trial):
        tending = asyncio.create_task(_tend(trial.crew))
        try:
            await _play(trial)
        finally:
            tending.cancel()
        trial.crew.end()
        return _result(trial, time.monotonic() - began)


async def _play(trial: Trial) -> None:
    """Send everything while it is disturbed, and wait until all is settled."""
    steps = [trial.feed(), trial.scenario.disturb(trial)]
    for failure in await asyncio.gather(*steps, return_exceptions=True):
        if isinstance(failure, AssertionError):
            trial.found.append(Violation("wrong", str(failure)))
        elif failure is not None:
            raise failure
    if not await trial.settled():
        trial.found.append(Violation("lost", f"{await trial.stack.left()} are queued for ever"))


async def _tend(crew: Crew) -> None:
    while True:
        crew.tend()
        await asyncio.sleep(0.02)


@asynccontextmanager
async def _opened(trial: Trial) -> AsyncIterator[None]:
    stack, scenario = trial.stack, trial.scenario
    engine = create_async_engine(stack.database.url)
    lease = timedelta(seconds=scenario.conduct.lease)
    route = stack.route
    async with AsyncExitStack() as opened:
        opened.push_async_callback(engine.dispose)
        trial.sync = ZohoSync(
            async_sessionmaker(engine, expire_on_commit=False),
            queue=route.queue_of(route.engine(lease)),
            registry=registry(),
            verifier=Unverified(),
        )
        opened.push_async_callback(trial.sync.close)
        await create_shop(engine)
        await trial.sync.create_tables()
        if scenario.proxied:
            proxy = CommitProxy(stack.database.url, stack.database.dialect)
            trial.proxy = await opened.enter_async_context(proxy)
            route = replace(route, database=proxy.url)
        trial.crew = Crew(route, scenario.conduct, scenario.workers, trial.folder)
        opened.callback(trial.crew.end)
        yield


def _result(trial: Trial, seconds: float) -> Result:
    auditor = Auditor(trial.stack.database, trial.sent, trial.accepted)
    violations = [*trial.found, *auditor.audit()]
    violations += [Violation("wrong", f"a worker ended:\n{told}") for told in trial.crew.crashed()]
    trace = ""
    violations.sort(key=lambda each: each.kind)  # what is double comes first
    if violations:
        traces = [auditor.trace(each) for each in violations[:10]]
        trace = "\n".join([*traces, "the workers' last words:", trial.crew.complaints()])
    return Result(violations, trace, trial.crew.kills, trial.refused, seconds)
