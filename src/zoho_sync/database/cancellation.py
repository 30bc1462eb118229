"""Tells a cancellation that was asked for from one that merely happened, and lets it wait."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from zoho_sync.exceptions import BrokenOff
from zoho_sync.exceptions.wording import note_callable, raised_in

__all__ = ["cancellations", "errors_alone", "finish", "heed_cancellation"]

_T = TypeVar("_T")

_GRACE: Final = 5.0
"""Seconds that a step has after a cancellation."""


def cancellations() -> int:
    """Return how often the task was asked to stop and has not said that it heeded it."""
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0


def heed_cancellation(asked: int) -> None:
    """Stop, if the task was asked to more often than so, and a driver has swallowed it.

    Before Python 3.12 `asyncio.wait_for` does, if what it waits for is done at that moment.
    """
    if cancellations() > asked:
        raise asyncio.CancelledError


async def finish(step: Coroutine[Any, Any, _T]) -> _T:
    """Await a step that must not be left half done, and only then be cancelled.

    A step that does not end in time after a cancellation is cancelled itself, which closes its
    connection.
    """
    task = asyncio.ensure_future(step)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task}, timeout=None if cancelled is None else _GRACE)
        except asyncio.CancelledError as error:
            cancelled = error
            continue
        if not task.done():
            task.cancel()
    if cancelled is not None:
        if not task.cancelled():
            task.exception()
        raise cancelled
    return task.result()


@contextmanager
def errors_alone() -> Iterator[None]:
    """Make an error of a cancellation that nobody asked for.

    Code of the application may await a task of its own that was cancelled. Its `CancelledError`
    would look as if the worker itself had been told to stop, and end a loop in silence. So would a
    `GeneratorExit`. What was asked for goes its way: that the task stops, or the process; and so
    does any other `BaseException`, which ends the worker, and not in silence.

    Raises:
        BrokenOff: The body ended so.
    """
    task = asyncio.current_task()
    try:
        yield
    except asyncio.CancelledError as error:
        if cancellations():
            raise
        raise _broken_off(error) from error
    except GeneratorExit as error:
        # A coroutine that is thrown away is closed by somebody else, and may not go on.
        if task is None or asyncio.current_task() is not task:
            raise
        raise _broken_off(error) from error


def _broken_off(error: BaseException) -> BrokenOff:
    broken = BrokenOff(error)
    if place := raised_in(error):
        note_callable(broken, place)
    return broken
