"""Fails a client of the tests, or keeps it waiting, until its handler is told otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any

from tests.hosts.handlers import Clients
from zoho_sync import SyncEvent, SyncResult


class FailsAtFirst(Clients):
    """Fails for some clients, as often as it is told to."""

    left: dict[str, int]
    error: type[Exception] = TimeoutError

    async def before_apply(self, event: SyncEvent) -> None:
        if self.left.get(event.entity_id, 0):
            self.left[event.entity_id] -= 1
            raise self.error


class SlowAtFirst(Clients):
    """Writes its row, and then takes for ever the first time."""

    patient: bool
    reached: asyncio.Event

    async def after_apply(self, event: SyncEvent, result: SyncResult) -> None:
        await super().after_apply(event, result)
        if self.patient:
            self.reached.set()
            await asyncio.sleep(60)


async def cancelled(work: Awaitable[Any]) -> None:
    """Start the work, and cancel it once its row is written and not committed."""
    SlowAtFirst.patient, SlowAtFirst.reached = True, asyncio.Event()
    task = asyncio.ensure_future(work)
    await SlowAtFirst.reached.wait()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert task.cancelled()
    SlowAtFirst.patient = False
