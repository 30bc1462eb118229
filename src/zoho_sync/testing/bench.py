"""Opens a queue engine for each check, and lets time pass by its clock."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from functools import wraps
from typing import Any, ClassVar, Concatenate, Final, ParamSpec, TypeVar

import pytest

from zoho_sync.abc import Job, QueueBackend

__all__ = ["MINUTE", "Checked", "Checking", "QueueBench", "QueueOpener", "as_test", "on_queue"]

MINUTE: Final = timedelta(minutes=1)
"""A lease that does not end while an engine by the real clock is checked."""

_P = ParamSpec("_P")
_BenchT = TypeVar("_BenchT")
_SubjectT = TypeVar("_SubjectT")
Check = Callable[[QueueBackend], Awaitable[None]]
Checking = Callable[Concatenate[_BenchT, _SubjectT, _P], Awaitable[None]]
Checked = Callable[Concatenate[_BenchT, _P], None]


class QueueOpener:
    """Opens an engine to be checked, and lets its time pass; a subclass says how."""

    lease: ClassVar[timedelta] = timedelta(seconds=1)

    def opened(self) -> AbstractAsyncContextManager[QueueBackend]:
        """Open an engine that is set up and empty; to be overridden."""
        raise TypeError(f"{type(self).__name__} must override opened()")

    async def elapse(self, seconds: float) -> None:
        """Let time pass by the engine's clock; override it where that clock can be moved."""
        await asyncio.sleep(seconds)


class QueueBench(QueueOpener):
    """Runs checks on an engine; see `QueueSuite`, which says what a subclass overrides."""

    together: ClassVar[int] = 5

    async def spoil(self, queue: QueueBackend, message: bytes) -> bool:
        """Put bytes into the engine that hold no event; return whether that was possible."""
        del queue, message
        return False

    async def cut(self, queue: QueueBackend) -> bool:
        """Break every connection of the engine; return whether that was possible."""
        del queue
        return False

    async def claimed_again(
        self, queue: QueueBackend, count: int, *, lease: timedelta | None = None
    ) -> list[Job]:
        """Wait until leases have ended, and claim what they held, for `lease` or the bench's own.

        Suspects come one by one, and never more than were asked for.
        """
        await self.elapse(self.lease.total_seconds() * 1.1)
        jobs: list[Job] = []
        for _ in range(30):
            wanted = count - len(jobs)
            found = await queue.claim(wanted, lease=lease or self.lease)
            assert len(found) <= wanted
            jobs += found
            if len(jobs) == count:
                return jobs
            if not found:
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


def on_queue(
    needs: str = "",
) -> Callable[[Checking[_BenchT, QueueBackend, _P]], Checked[_BenchT, _P]]:
    """Make a test of a coroutine that is given an engine of its own; see `QueueBench.run`."""
    return as_test(lambda bench: bench.run, needs)


def as_test(
    runs: Callable[[Any], Callable[..., None]], needs: str
) -> Callable[[Checking[_BenchT, _SubjectT, _P]], Checked[_BenchT, _P]]:
    """Make a test of a coroutine, which is run by a method of its bench."""

    def decorate(check: Checking[_BenchT, _SubjectT, _P]) -> Checked[_BenchT, _P]:
        @wraps(check)
        def test(self: _BenchT, /, *args: _P.args, **kwargs: _P.kwargs) -> None:
            runs(self)(lambda subject: check(self, subject, *args, **kwargs), needs=needs)

        # pytest takes the names in a signature for fixtures; the second is what the bench gives.
        signature = inspect.signature(check)
        bench, _, *rest = signature.parameters.values()
        visible = signature.replace(parameters=[bench, *rest], return_annotation=None)
        test.__signature__ = visible  # type: ignore[attr-defined]  # as `inspect` has it
        return test

    return decorate
