"""Engines outside the database give back what they claim for nobody, and stay cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from zoho_sync.abc import Enqueued, Job
from zoho_sync.events.event import SyncEvent
from zoho_sync.exceptions import QueueUnavailable
from zoho_sync.queues.broker import Broker, together
from zoho_sync.testing.events import events_of

JOBS = [Job(number, event, "token") for number, event in enumerate(events_of(2))]
LEASE = timedelta(minutes=1)


class Engine(Broker):
    """Claims one job and then, when it may go on, another; its server can go away."""

    def __init__(self) -> None:
        self.begun, self.go_on = asyncio.Event(), asyncio.Event()
        self.is_away = False
        self.released: list[Job] = []

    async def _store(self, events: Sequence[SyncEvent]) -> list[Enqueued]:
        raise NotImplementedError

    async def _claim(self, limit: int, lease: timedelta, claimed: list[Job]) -> None:  # noqa: ARG002  # the contract's
        claimed.append(JOBS[0])
        self.begun.set()
        await self.go_on.wait()
        self.ask()
        claimed.append(JOBS[1])

    async def release(self, jobs: Sequence[Job], *, delay: timedelta = timedelta(0)) -> None:  # noqa: ARG002  # the contract's
        self.ask()
        self.released += jobs

    def ask(self) -> None:
        if self.is_away:
            raise QueueUnavailable


class Failing(Engine):
    """Claims one job, and then its server refuses the other."""

    async def _claim(self, limit: int, lease: timedelta, claimed: list[Job]) -> None:  # noqa: ARG002  # the contract's
        claimed.append(JOBS[0])
        raise QueueUnavailable


async def test_a_cancelled_claim_ends_first_and_is_given_back_whole() -> None:
    engine = Engine()
    claim = asyncio.create_task(engine.claim(2, lease=LEASE))
    await engine.begun.wait()
    claim.cancel()
    await asyncio.sleep(0)
    assert not engine.released
    engine.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await claim
    assert engine.released == JOBS


async def test_a_cancelled_claim_that_cannot_be_given_back_is_only_cancelled() -> None:
    engine = Engine()
    claim = asyncio.create_task(engine.claim(2, lease=LEASE))
    await engine.begun.wait()
    claim.cancel()
    engine.is_away = True
    engine.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await claim


async def test_a_claim_that_fails_in_the_middle_gives_back_what_it_has() -> None:
    engine = Failing()
    with pytest.raises(QueueUnavailable):
        await engine.claim(2, lease=LEASE)
    assert engine.released == JOBS[:1]


async def test_what_is_done_together_ends_before_the_first_failure_is_told() -> None:
    ended = []

    async def slow() -> None:
        await asyncio.sleep(0.01)
        ended.append("slow")

    async def fails(name: str) -> None:
        raise QueueUnavailable(name)

    with pytest.raises(QueueUnavailable, match="first"):
        await together([fails("first"), slow(), fails("second")])
    assert ended == ["slow"]
