"""Runs contestants in turns, each on a database of its own, and keeps the times of good runs."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from benchmarks.contestant import Contestant, Rows, expected_rows
from benchmarks.events import Event
from benchmarks.server import database
from tests.servers.postgres import PrivatePostgres

__all__ = ["Sample", "measure", "reference", "turns"]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Sample:
    """Holds the times of one run that did its work.

    Attributes:
        name: Whose.
        events: How many.
        seconds: From the start of its worker until all events are done.
        cpu_seconds: Of this process, which is the client's alone.
    """

    name: str
    events: int
    seconds: float
    cpu_seconds: float

    @property
    def rate(self) -> float:
        """Return the events of a second."""
        return self.events / self.seconds

    @property
    def cpu(self) -> float:
        """Return the milliseconds of the client's processor for each event."""
        return self.cpu_seconds * 1000 / self.events


def reference(server: PrivatePostgres, events: Sequence[Event]) -> Mapping[str, Rows]:
    """Return the rows that everybody must leave."""

    async def made() -> Mapping[str, Rows]:
        async with database(server) as empty:
            return await expected_rows(empty, events)

    return asyncio.run(made())


def turns(contestants: Sequence[_T], rounds: int) -> list[_T]:
    """Return who runs when: all in each round, and each round begins with another one."""
    order: list[_T] = []
    for number in range(rounds):
        first = number % len(contestants)
        order += [*contestants[first:], *contestants[:first]]
    return order


def measure(
    server: PrivatePostgres,
    contestant: Callable[..., Contestant],
    events: Sequence[Event],
    expected: Mapping[str, Rows],
) -> Sample:
    """Let a contestant apply the events once, in an event loop of its own.

    Raises:
        WrongRowsError: It did not do its work.
    """

    async def measured() -> Sample:
        async with database(server) as own:
            running = contestant(own, events)
            try:
                await running.prepare()
                await own.settle()
                sample = await _timed(running, len(events))
                await running.check(expected)
            finally:
                await running.close()
            return sample

    return asyncio.run(measured())


async def _timed(running: Contestant, events: int) -> Sample:
    gc.collect()  # what was made before is nobody's burden
    began, cpu = time.perf_counter(), time.process_time()
    await running.run()
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    return Sample(running.name, events, seconds, cpu)
