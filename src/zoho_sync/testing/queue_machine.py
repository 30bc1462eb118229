"""Compares any queue engine with a model of a few dozen lines, by Hypothesis."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from zoho_sync.abc import Job, QueueBackend
from zoho_sync.exceptions import LeaseLost
from zoho_sync.testing.bench import QueueOpener
from zoho_sync.testing.events import events_of

__all__ = ["QueueMachine"]

_T = TypeVar("_T")
_NUMBERS = st.integers(0, 5)
_SECONDS = st.integers(0, 1)


@dataclass
class _Held:
    """What the model knows of a lease."""

    job: Job
    ends: float


class QueueMachine(QueueOpener, RuleBasedStateMachine):
    """Stores, claims, extends, releases and acknowledges in any order, while leases end.

    A subclass opens an engine, and moves its clock where that is possible::

        class Machine(QueueMachine):
            def opened(self):
                return open_my_queue()

        TestMachine = Machine.TestCase

    The model: what was stored and not acknowledged is there exactly once, leased or not. Nothing
    is claimed under two live leases, a lease that has ended holds nothing, and equal events that
    are there make one.

    A lease counts as live only while it must be: by what was waited and by the time that has really
    passed, whichever of the two the engine's clock goes by. A slow machine proves less, and nothing
    wrong. Where the clock can be moved, choose long leases; else short ones, which are waited for.

    Attributes:
        lease: How long the leases are.
    """

    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._waited, self._began = 0.0, time.monotonic()
        self._there: dict[str, tuple[str, int]] = {}
        self._held: dict[str, _Held] = {}
        self._lost: list[_Held] = []
        self._open: AbstractAsyncContextManager[QueueBackend] | None = None
        self._queue: QueueBackend | None = None

    @property
    def queue(self) -> QueueBackend:
        """The engine."""
        assert self._queue is not None  # `open` comes before every rule
        return self._queue

    @initialize()
    def open(self) -> None:
        """Open the engine."""
        self._open = self.opened()
        self._queue = self._do(self._open.__aenter__())

    def teardown(self) -> None:
        """Close the engine and its loop."""
        if self._open is not None:
            self._do(self._open.__aexit__(None, None, None))
        self._runner.close()

    @rule(number=_NUMBERS, second=_SECONDS)
    def store(self, number: int, second: int) -> None:
        """Store an event, perhaps one whose equal is there."""
        (event,) = events_of(1, first=number, second=second)
        (stored,) = self._do(self.queue.enqueue([event]))
        change = (event.entity_id, second)
        equals = [name for name, known in self._there.items() if known == change]
        assert stored.duplicate == (self.queue.capabilities.deduplicates and bool(equals))
        if stored.duplicate:
            assert [stored.event_id] == equals
        else:
            self._there[event.id] = change

    @rule(limit=st.integers(1, 4))
    def claim(self, limit: int) -> None:
        """Claim: each job is there, and nobody has it."""
        ends = self._now + self.lease.total_seconds()
        jobs = self._do(self.queue.claim(limit, lease=self.lease))
        assert len(jobs) <= limit
        for job in jobs:
            name = job.event.id
            assert name in self._there, f"{name} was acknowledged, or never stored"
            held = self._held.get(name)
            assert held is None or held.ends <= self._now, f"{name} has two live leases"
            if held is not None:
                self._lost.append(held)
            self._held[name] = _Held(job, ends)

    @precondition(lambda self: self._held)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        """Acknowledge a job under its lease, if that has not ended."""
        held = self._one_held(data)
        if held.ends <= self._now:
            return
        try:
            self._do(self.queue.ack([held.job]))
        except LeaseLost:
            assert held.ends <= self._now, f"the live lease of {held.job.event.id} was lost"
        else:
            del self._there[held.job.event.id]
        del self._held[held.job.event.id]

    @precondition(lambda self: self._held)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        """Give a job back under its lease, if that has not ended."""
        held = self._one_held(data)
        if held.ends > self._now:
            self._do(self.queue.release([held.job]))
            del self._held[held.job.event.id]

    @precondition(lambda self: self._held)
    @rule(data=st.data())
    def extend(self, data: st.DataObject) -> None:
        """Lengthen a lease that has not ended."""
        held = self._one_held(data)
        if held.ends > self._now and self.queue.capabilities.extends:
            ends = self._now + self.lease.total_seconds()
            lost = self._do(self.queue.extend([held.job], lease=self.lease))
            assert not lost or held.ends <= self._now
            held.ends = held.ends if lost else ends

    @precondition(lambda self: self._lost)
    @rule(data=st.data())
    def meddle(self, data: st.DataObject) -> None:
        """Acknowledge and release under a lease that another has by now: nothing changes."""
        lost = self._lost[data.draw(st.integers(0, len(self._lost) - 1))]
        if not self.queue.capabilities.fenced:
            return
        try:
            self._do(self.queue.ack([lost.job]))
        except LeaseLost:
            self._do(self.queue.release([lost.job]))
        else:
            raise AssertionError(f"{lost.job.event.id} was acknowledged under a lost lease")

    @rule()
    def wait(self) -> None:
        """Let every lease end that is not lengthened."""
        seconds = self.lease.total_seconds() * 1.2
        self._do(self.elapse(seconds))
        self._waited += seconds

    @invariant()
    def holds_what_is_there(self) -> None:
        """Count: nothing is lost, and nothing is there twice."""
        if self._queue is None:
            return
        depth = self._do(self.queue.depth())
        assert depth.total == len(self._there)
        live = sum(1 for held in self._held.values() if held.ends > self._now)
        assert depth.leased >= live

    @property
    def _now(self) -> float:
        """A time that is never behind the engine's clock."""
        return self._waited + time.monotonic() - self._began

    def _one_held(self, data: st.DataObject) -> _Held:
        # By the order of the claims: ids are made anew in every run.
        return [*self._held.values()][data.draw(st.integers(0, len(self._held) - 1))]

    def _do(self, work: Coroutine[Any, Any, _T]) -> _T:
        return self._runner.run(work)
