"""What the checks of a queue engine share: an engine for each, and its clock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import ClassVar

import pytest

from zoho_sync.abc import Job, QueueBackend

__all__ = ["QueueBench"]

Check = Callable[[QueueBackend], Awaitable[None]]


class QueueBench:
    """An engine to be checked; a subclass opens it.

    Attributes:
        lease: How long the leases of these tests are. Choose it long enough for the engine's clock
            and its way there, and short enough to be waited for.
        together: How many clients claim at once.
    """

    lease: ClassVar[timedelta] = timedelta(seconds=1)
    together: ClassVar[int] = 5

    def opened(self) -> AbstractAsyncContextManager[QueueBackend]:
        """Open an engine that is set up and empty; to be overridden."""
        message = f"{type(self).__name__} must override opened()"
        raise TypeError(message)

    async def elapse(self, seconds: float) -> None:
        """Let time pass by the engine's clock; override it where that clock can be moved."""
        await asyncio.sleep(seconds)

    async def spoil(self, queue: QueueBackend, message: bytes) -> bool:
        """Put bytes into the engine that hold no event; return whether that was possible."""
        del queue, message
        return False

    async def cut(self, queue: QueueBackend) -> bool:
        """Break every connection of the engine; return whether that was possible."""
        del queue
        return False

    async def claimed_again(self, queue: QueueBackend, count: int) -> list[Job]:
        """Wait until leases have ended, and claim what they were on."""
        await self.elapse(self.lease.total_seconds() * 1.1)
        jobs: list[Job] = []
        for _ in range(20):
            jobs += await queue.claim(count - len(jobs), lease=self.lease)
            if len(jobs) == count:
                return jobs
            await self.elapse(self.lease.total_seconds() / 5)
        pytest.fail(f"{len(jobs)} of {count} jobs came again after the end of their leases")

    def run(self, check: Check, *, needs: str = "") -> None:
        """Run a check on an engine of its own.

        Args:
            check: What to do with it.
            needs: The name of the capability without which it is skipped.
        """

        async def checked() -> None:
            async with self.opened() as queue:
                if needs and not getattr(queue.capabilities, needs):
                    pytest.skip(f"the engine declares {needs}=False")
                await check(queue)

        asyncio.run(checked())
