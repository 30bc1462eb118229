"""The suite finds what is wrong with an engine, and what an engine says of itself falsely."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.queues.test_memory import Hands
from zoho_sync.abc import DEFAULT_PRIORITY, Capabilities, Enqueued, Job, QueueBackend
from zoho_sync.events.event import SyncEvent, new_event_id
from zoho_sync.exceptions import LeaseLost
from zoho_sync.queues import MemoryQueue
from zoho_sync.testing import QueueSuite

FAILED = (AssertionError, pytest.fail.Exception)


class Suite(QueueSuite):
    """The suite, for an engine that a test gives it."""

    def __init__(self, engine: type[MemoryQueue]) -> None:
        self.engine = engine
        self.hands = Hands()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[QueueBackend]:
        yield self.engine(clock=self.hands)

    async def elapse(self, seconds: float) -> None:
        self.hands.now += seconds


class Careless(MemoryQueue):
    """Takes whatever it is asked for, and does not do it."""

    async def enqueue(
        self,
        events: Sequence[SyncEvent],
        *,
        session: Any = None,
        fingerprints: Mapping[str, str] | None = None,
        priority: int = DEFAULT_PRIORITY,
    ) -> list[Enqueued]:
        del session, priority
        return await super().enqueue(events, fingerprints=fingerprints)


class SaysItPrioritises(Careless):
    capabilities = Capabilities(prioritises=True)


class SaysItRecognisesNothing(MemoryQueue):
    capabilities = Capabilities(deduplicates=False)


class RecognisesNothing(MemoryQueue):
    async def enqueue(
        self,
        events: Sequence[SyncEvent],
        *,
        session: Any = None,
        fingerprints: Mapping[str, str] | None = None,
        priority: int = DEFAULT_PRIORITY,
    ) -> list[Enqueued]:
        different = [replace(event, content_hash=new_event_id()) for event in events]
        return await super().enqueue(
            different, session=session, fingerprints=fingerprints, priority=priority
        )


class DelaysNothing(MemoryQueue):
    async def release(self, jobs: Sequence[Job], *, delay: timedelta = timedelta(0)) -> None:
        del delay
        await super().release(jobs)


class ExtendsNothing(MemoryQueue):
    async def extend(self, jobs: Sequence[Job], *, lease: timedelta) -> list[Job]:
        del jobs, lease
        return []


class Unfenced(MemoryQueue):
    async def ack(self, jobs: Sequence[Job], *, connection: Any = None) -> None:
        held = [replace(job, lease_token=self._messages[job.handle].token) for job in jobs]
        await super().ack(held, connection=connection)


class SilentlyFenced(MemoryQueue):
    async def ack(self, jobs: Sequence[Job], *, connection: Any = None) -> None:
        try:
            await super().ack(jobs, connection=connection)
        except LeaseLost:
            return


class Swallows(MemoryQueue):
    """Loses a cancellation, as a client whose answer came at that moment may."""

    async def claim(self, limit: int, *, lease: timedelta) -> list[Job]:
        for _ in range(3):
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                break
        return await super().claim(limit, lease=lease)


class CountsReleases(MemoryQueue):
    async def release(self, jobs: Sequence[Job], *, delay: timedelta = timedelta(0)) -> None:
        for job in jobs:
            self._messages[job.handle].deliveries += 1
        await super().release(jobs, delay=delay)


class ForgetsDeaths(MemoryQueue):
    async def claim(self, limit: int, *, lease: timedelta) -> list[Job]:
        jobs = await super().claim(limit, lease=lease)
        return [replace(job, suspect=False, deliveries=1) for job in jobs]


class GivesTooMuch(MemoryQueue):
    async def claim(self, limit: int, *, lease: timedelta) -> list[Job]:
        return await super().claim(limit + 1, lease=lease)


@pytest.mark.parametrize(
    ("engine", "check"),
    [
        (Careless, "test_its_capabilities_are_declared"),
        (Careless, "test_a_hosts_session_is_joined_or_refused"),
        (SaysItPrioritises, "test_the_smaller_priority_comes_first"),
        (SaysItRecognisesNothing, "test_its_capabilities_are_declared"),
        (RecognisesNothing, "test_its_capabilities_are_declared"),
        (RecognisesNothing, "test_fifty_producers_make_one_message"),
        (DelaysNothing, "test_a_delay_is_measured_by_the_engines_clock"),
        (ExtendsNothing, "test_an_extended_lease_is_kept_and_a_lost_one_named"),
        (ExtendsNothing, "test_a_lease_that_is_lengthened_as_it_ends_goes_to_one"),
        (Unfenced, "test_who_lost_the_lease_changes_nothing"),
        (SilentlyFenced, "test_who_lost_the_lease_changes_nothing"),
        (Swallows, "test_no_cancellation_is_swallowed"),
        (CountsReleases, "test_a_release_costs_no_attempt"),
        (ForgetsDeaths, "test_poison_that_kills_its_workers_reaches_the_dead_letters"),
        (ForgetsDeaths, "test_many_that_died_come_back_in_time"),
        (GivesTooMuch, "test_the_limit_is_never_exceeded"),
    ],
)
def test_a_defect_is_found(engine: type[MemoryQueue], check: str) -> None:
    suite: Any = Suite(engine)
    arguments = ("claim",) if engine is Swallows else ()
    with pytest.raises(FAILED):
        getattr(suite, check)(*arguments)


@pytest.mark.parametrize(
    ("capability", "check"),
    [
        ("prioritises", "test_the_smaller_priority_comes_first"),
        ("deduplicates", "test_fifty_producers_make_one_message"),
        ("delays", "test_a_delay_is_measured_by_the_engines_clock"),
        ("extends", "test_an_extended_lease_is_kept_and_a_lost_one_named"),
        ("fenced", "test_who_lost_the_lease_changes_nothing"),
        ("completes_in_transaction", "test_a_completion_that_is_rolled_back_has_not_happened"),
    ],
)
def test_a_check_is_skipped_only_by_declaration(capability: str, check: str) -> None:
    class Without(MemoryQueue):
        @property
        def capabilities(self) -> Capabilities:
            return replace(super().capabilities, **{capability: False})

    with pytest.raises(pytest.skip.Exception, match=f"{capability}=False"):
        getattr(Suite(Without), check)()


def test_an_engine_must_be_opened() -> None:
    with pytest.raises(TypeError, match="opened"):
        QueueSuite().test_what_is_acknowledged_is_gone()


def test_an_engine_in_the_database_must_bring_its_database() -> None:
    class Inside(MemoryQueue):
        capabilities = Capabilities(completes_in_transaction=True)

    with pytest.raises(TypeError, match="database"):
        Suite(Inside).test_a_pause_outlives_its_process()
