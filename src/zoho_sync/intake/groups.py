"""Stores what arrives at once together: while one transaction commits, the next group gathers.

A commit waits for the disk, however much it holds. Whoever comes alone waits for nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from dataclasses import dataclass, field
from typing import Final
from weakref import WeakKeyDictionary

from zoho_sync.abc import Enqueued
from zoho_sync.events.event import SyncEvent
from zoho_sync.exceptions import ConfigurationError, QueueUnavailable

__all__ = ["Groups"]

_MOST: Final = 500
"""Events of one group, unless one caller brings more."""

Store = Callable[[Sequence[SyncEvent], int], Awaitable[list[Enqueued]]]
"""Stores events durably under one priority."""


@dataclass(frozen=True, eq=False)
class _Caller:
    """Who waits for events to be stored."""

    events: Sequence[SyncEvent]
    priority: int
    answer: asyncio.Future[list[Enqueued]]

    def answered(self, stored: list[Enqueued]) -> None:
        """Answer, unless the caller has gone: its events are stored all the same."""
        if not self.answer.done():
            self.answer.set_result(stored)

    def failed(self, error: Exception) -> None:
        """Let the caller know that nothing of its own was stored."""
        if not self.answer.done():
            self.answer.set_exception(error)


@dataclass(eq=False)
class _Loop:
    """The callers of one event loop, and the task that stores their events."""

    waiting: list[_Caller] = field(default_factory=list)
    task: asyncio.Task[None] | None = None


class Groups:
    """Gathers the events of callers that come at once.

    Args:
        store: Stores the events of one group.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._loops = WeakKeyDictionary[asyncio.AbstractEventLoop, _Loop]()

    async def store(self, events: Sequence[SyncEvent], priority: int) -> list[Enqueued]:
        """Store events, together with those of whoever else waits; see `QueueBackend.enqueue`.

        A caller that is cancelled takes nothing back, and nobody else with it.
        """
        running = asyncio.get_running_loop()
        here = self._loops.setdefault(running, _Loop())
        caller = _Caller(events, priority, running.create_future())
        here.waiting.append(caller)
        if here.task is None:
            # In no caller's context: a session factory that asks it for a tenant would give that of
            # one caller to all, and fails instead.
            here.task = asyncio.create_task(self._flush(here), context=Context())
        return await caller.answer

    async def _flush(self, here: _Loop) -> None:
        group: list[_Caller] = []
        try:
            while here.waiting:
                group = _taken(here.waiting)
                await self._store_group(group)
        except BaseException:  # the loop ends: nobody is left waiting
            for caller in (*group, *here.waiting):
                caller.answer.cancel()
            here.waiting.clear()
            raise
        finally:
            here.task = None

    async def _store_group(self, group: Sequence[_Caller]) -> None:
        try:
            stored = await self._store(
                [event for caller in group for event in caller.events], group[0].priority
            )
        except Exception as error:  # noqa: BLE001  # each caller raises its own
            is_of_all = isinstance(error, (QueueUnavailable, ConfigurationError))
            if len(group) == 1 or is_of_all:
                for caller in group:
                    caller.failed(error)
                return
            # One of them is to blame: the others are not to suffer for it.
            for caller in group:
                await self._store_group([caller])
            return
        start = 0
        for caller in group:
            end = start + len(caller.events)
            caller.answered(stored[start:end])
            start = end


def _taken(waiting: list[_Caller]) -> list[_Caller]:
    """Take callers of one priority, the first of them at least.

    In the order in which they came: of two events of one second the later one counts.
    """
    group = [waiting[0]]
    size = len(waiting[0].events)
    for caller in waiting[1:]:
        size += len(caller.events)
        if caller.priority != group[0].priority or size > _MOST:
            break
        group.append(caller)
    del waiting[: len(group)]
    return group
