"""The queue in memory keeps the contract of all engines, and dies with its process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from hypothesis import settings

from tests.amounts import examples
from zoho_sync.abc import QueueBackend
from zoho_sync.queues import MemoryQueue
from zoho_sync.testing import QueueMachine, QueueSuite
from zoho_sync.testing.events import events_of


class Hands:
    """A clock that moves when told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class TestMemoryQueue(QueueSuite):
    def setup_method(self) -> None:
        self.hands = Hands()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[QueueBackend]:
        yield MemoryQueue(clock=self.hands)

    async def elapse(self, seconds: float) -> None:
        self.hands.now += seconds


class Machine(QueueMachine):
    lease = timedelta(minutes=10)

    def __init__(self) -> None:
        super().__init__()
        self.hands = Hands()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[QueueBackend]:
        yield MemoryQueue(clock=self.hands)

    async def elapse(self, seconds: float) -> None:
        self.hands.now += seconds


TestMachine = Machine.TestCase
TestMachine.settings = settings(
    max_examples=examples(core=20, everything=60), stateful_step_count=40, deadline=None
)


async def test_an_event_is_known_by_its_id_while_it_is_there() -> None:
    """A host that did not hear the answer sends it once more, with or without a time."""
    queue = MemoryQueue()
    for event in (*events_of(1), *events_of(1, second=None)):
        for duplicate in (False, True):
            (stored,) = await queue.enqueue([event])
            assert (stored.event_id, stored.duplicate) == (event.id, duplicate)
        await queue.ack(await queue.claim(9, lease=timedelta(minutes=1)))
        assert (await queue.enqueue([event]))[0].duplicate is False
        await queue.ack(await queue.claim(9, lease=timedelta(minutes=1)))
