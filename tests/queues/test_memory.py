"""The queue in memory keeps the contract of all engines, and dies with its process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from hypothesis import settings

from zoho_sync.abc import QueueBackend
from zoho_sync.queues import MemoryQueue
from zoho_sync.testing import QueueMachine, QueueSuite


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
TestMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
