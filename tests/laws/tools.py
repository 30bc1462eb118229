"""Says how many examples a property is tried on, and breaks work off in mid-statement."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from typing import Any, Final

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.laws.engines import QueueEngine, nobody

EXAMPLES: Final = int(os.environ.get("ZOHO_SYNC_PROPERTY_EXAMPLES", "0")) or 8
"""Of each property; a long run takes more."""


async def broken_off(
    engine: AsyncEngine,
    work: Coroutine[Any, Any, Any],
    after: int,
    queues: QueueEngine | None = None,
) -> bool:
    """Do some work, and cancel it in the middle of the statement of that number.

    Calls to the server of a queue engine count as well. Returns whether it got that far.
    """
    task = asyncio.ensure_future(work)
    left = after

    def count(*_: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            task.cancel()

    queues = queues or QueueEngine()
    queues.heard = count
    event.listen(engine.sync_engine, "before_cursor_execute", count)
    try:
        await asyncio.wait({task})
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", count)
        queues.heard = nobody
    if not task.cancelled():
        task.result()
    return left <= 0
