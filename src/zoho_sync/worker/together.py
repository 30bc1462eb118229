"""Runs the loops of a worker, none of which may end before the others."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any, NoReturn

from zoho_sync.exceptions import WorkerStopped

__all__ = ["run_together"]


async def run_together(loops: Mapping[str, Coroutine[Any, Any, None]]) -> NoReturn:
    """Run loops until cancelled, or until one of them ends; then the others are cancelled.

    A task group would not notice a loop that was cancelled from elsewhere: it would go on
    without it.

    Args:
        loops: By the names that their tasks get.

    Raises:
        WorkerStopped: One ended.
        CancelledError: It was asked to stop, and all have ended.
    """
    tasks = [asyncio.create_task(loop, name=f"zoho_sync {name}") for name, loop in loops.items()]
    cancelled: asyncio.CancelledError | None = None
    ended: asyncio.Task[None] | None = None
    while pending := [task for task in tasks if not task.done()]:
        try:
            done, _ = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError as asked:
            cancelled = asked
        else:
            ended = ended or next(iter(done))
        for task in pending:
            # Once only: what is given back after a cancellation is not to be broken off.
            if not task.cancelling():
                task.cancel()
    if cancelled is not None:
        raise cancelled
    raise _stopped(ended or tasks[0])


def _stopped(task: asyncio.Task[None]) -> WorkerStopped:
    """Return what to raise for the loop that ended first."""
    error = None if task.cancelled() else task.exception()
    how = "ended" if error is None else f"ended with {type(error).__name__}"
    name = task.get_name().removeprefix("zoho_sync ")
    stopped = WorkerStopped(f"the worker's {name} {how}, so that all of it stopped; start it again")
    stopped.__cause__ = error
    return stopped
