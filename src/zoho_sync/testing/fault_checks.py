"""Checks what every engine promises when somebody stops, or when its connections break."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import pytest

from zoho_sync.abc import QueueBackend
from zoho_sync.exceptions import QueueUnavailable
from zoho_sync.testing.bench import MINUTE, QueueBench, on_queue
from zoho_sync.testing.events import events_of, ids

__all__ = ["FaultChecks"]

_T = TypeVar("_T")

_TURNS: Final = 24
_TRIES: Final = 5
_STEPS: Final = ("enqueue", "claim", "extend", "release", "ack", "depth")


class _Cancelled:
    """A step that is cancelled, and what its task does then."""

    def __init__(self, step: Callable[[], Awaitable[object]]) -> None:
        self._step = step
        self.ended = False
        self.went_on = False
        self.task = asyncio.create_task(self._work())

    async def _work(self) -> None:
        try:
            await self._step()
        finally:
            self.ended = True
        # Only who was not asked to stop comes here, or who was asked too late.
        await asyncio.sleep(0)
        self.went_on = True


class FaultChecks(QueueBench):
    """Cancellations and broken connections."""

    @pytest.mark.parametrize("name", _STEPS)
    @on_queue()
    async def test_no_cancellation_is_swallowed(self, queue: QueueBackend, name: str) -> None:
        """11: whoever is cancelled while the engine works ends cancelled, and never goes on.

        A worker that is told to stop would go on otherwise. The waits of some clients lose a
        cancellation that comes at the moment at which the answer does.
        """
        longest = await self._turns(await self._step(queue, name, 0))
        # At the beginning, and around the moment at which the answer comes.
        for turns in sorted({*range(3), *range(max(longest - _TURNS, 0), longest + 2)}):
            step = await self._step(queue, name, turns + 1)
            cancelled = _Cancelled(step)
            for _ in range(turns):
                await asyncio.sleep(0)
            asked = not cancelled.ended and cancelled.task.cancel()
            await asyncio.wait({cancelled.task})
            if asked:
                assert cancelled.task.cancelled(), f"{name} swallowed a cancellation"
                assert not cancelled.went_on
            elif not cancelled.task.cancelled():
                cancelled.task.result()

    @on_queue()
    async def test_broken_connections_are_made_anew(self, queue: QueueBackend) -> None:
        """29: every connection is cut, at every step: it works again, and nothing is lost."""
        await queue.enqueue(events_of(3))
        if not await self.cut(queue):
            return
        (job,) = await self._again(lambda: queue.claim(1, lease=MINUTE))
        await self.cut(queue)
        if queue.capabilities.extends:
            assert await self._again(lambda: queue.extend([job], lease=MINUTE)) == []
        await self.cut(queue)
        await self._again(lambda: queue.ack([job]))
        await self.cut(queue)
        await self._again(lambda: queue.enqueue(events_of(1, first=3)))
        await self.cut(queue)
        assert (await self._again(queue.depth)).total == 3
        rest = await self._again(lambda: queue.claim(10, lease=MINUTE))
        assert sorted([*ids([job]), *ids(rest)]) == ["20", "21", "22", "23"]

    async def _step(
        self, queue: QueueBackend, name: str, number: int
    ) -> Callable[[], Awaitable[object]]:
        """Return a step that the engine has something to do for."""
        if name == "depth":
            return queue.depth
        events = events_of(1, first=number)
        if name == "enqueue":
            return lambda: queue.enqueue(events)
        await queue.enqueue(events)
        if name == "claim":
            return lambda: queue.claim(1, lease=MINUTE)
        jobs = await queue.claim(1, lease=MINUTE)
        if name == "extend":
            return lambda: queue.extend(jobs, lease=MINUTE)
        if name == "release":
            return lambda: queue.release(jobs)
        return lambda: queue.ack(jobs)

    @staticmethod
    async def _turns(step: Callable[[], Awaitable[object]]) -> int:
        """Return how many turns of the event loop a step takes."""
        whole, turns = _Cancelled(step), 0
        while not whole.ended:
            await asyncio.sleep(0)
            turns += 1
        await whole.task
        return turns

    @staticmethod
    async def _again(step: Callable[[], Awaitable[_T]]) -> _T:
        """Repeat a step while its engine says that it cannot be reached."""
        for _ in range(_TRIES):
            try:
                return await step()
            except QueueUnavailable:
                await asyncio.sleep(0.05)
        return await step()
