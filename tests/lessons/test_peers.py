"""Workers beside each other: whose a job is, whose turn it is, and errors that nobody hides."""

from __future__ import annotations

import ast
import asyncio
import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import zoho_sync
from tests.hosts import tables
from tests.hosts.application import open_host
from tests.hosts.clock import Clock
from tests.hosts.documents import at, customer
from tests.hosts.handlers import Clients
from tests.hosts.sql import Sessions, library
from zoho_sync import Outcome, RetryPolicy, SyncEvent
from zoho_sync.abc import Job
from zoho_sync.exceptions import LeaseLost
from zoho_sync.worker.executor import Executor
from zoho_sync.worker.loop import Worker

pytestmark = pytest.mark.breaks_connections

LEASE = timedelta(minutes=5)


async def test_lesson_33_a_lease_has_no_name_but_its_own(sessions: Sessions) -> None:
    """It would be back if workers of one name, or of one process, could take each other's jobs."""
    clock = Clock()
    host = await open_host(sessions, clock=clock)
    twin = await open_host(sessions, clock=clock)
    await host.receive(*(customer(f"c{number}") for number in range(4)))
    queue, other = host.sync._runtime.queue, twin.sync._runtime.queue
    mine, theirs = await queue.claim(2, lease=LEASE), await other.claim(2, lease=LEASE)
    tokens = {job.lease_token for job in (*mine, *theirs)}
    assert len(tokens) == 2
    clock.now += LEASE
    again: list[Job] = []
    while found := await other.claim(4, lease=LEASE):
        again += found
    assert len(again) == 4
    assert not {job.lease_token for job in again} & tokens
    # The very same process has it now, by another claim: the first one is nobody's.
    for old in (mine, theirs):
        with pytest.raises(LeaseLost):
            await other.ack(old)
        await other.release(old)
    assert await host.count(library.jobs) == 4
    assert await queue.claim(4, lease=LEASE) == []


async def test_lesson_34_a_stalled_worker_finishes_nothing(sessions: Sessions) -> None:
    """It would be back if what was claimed once could be completed for ever."""
    clock = Clock()
    host = await open_host(sessions, clock=clock)
    await host.receive(customer())
    queue, executor = host.sync._runtime.queue, Executor(host.sync._runtime)
    stalled = await queue.claim(1, lease=LEASE)
    clock.now += LEASE
    (new,) = await queue.claim(1, lease=LEASE)
    assert await executor.execute(stalled) == []
    assert await host.count(tables.clients) == 0
    assert await host.count(library.journal) == 0
    (told,) = await executor.execute([new])
    assert told.result.outcome is Outcome.APPLIED
    assert await host.count(tables.clients) == 1


class _Fails(Clients):
    """Fails for some clients, as often as it is told to."""

    left: dict[str, int]
    error: type[Exception] = TimeoutError

    async def before_apply(self, event: SyncEvent) -> None:
        if self.left.get(event.entity_id, 0):
            self.left[event.entity_id] -= 1
            raise self.error


async def test_lesson_35_full_batches_starve_no_retry(sessions: Sessions) -> None:
    """It would be back if what failed were looked for only in what is left of a batch."""
    clock = Clock()
    _Fails.left = {"retried": 1}
    second = timedelta(seconds=1)
    policy = RetryPolicy(base_delay=second, max_delay=second)
    host = await open_host(sessions, [_Fails], clock=clock, retry=policy)
    queue, executor = host.sync._runtime.queue, Executor(host.sync._runtime)
    await host.receive(customer("retried"), *(customer(f"a{number}") for number in range(9)))
    rounds = 0
    while await host.count(library.jobs):
        clock.now += second
        # As much comes in as goes out: the queue is never empty, and each batch is full.
        await host.receive(*(customer(f"b{rounds}{number}") for number in range(3)))
        await executor.execute(await queue.claim(3, lease=LEASE))
        rounds += 1
        if await host.rows(tables.clients, zoho_id="retried"):
            break
        assert rounds < 10, "the retry never had its turn"
    assert await host.count(library.jobs) >= 9


class _WeirdError(Exception):
    """Of a library that nobody has heard of."""


async def test_lesson_36_an_unknown_error_is_tried_again(sessions: Sessions) -> None:
    """It would be back if only errors with certain words in them were tried again."""
    _Fails.left = {"c1": 1}
    clock, minute = Clock(), timedelta(minutes=1)
    policy = RetryPolicy(base_delay=minute, max_delay=minute)

    class Fails(_Fails):
        error = _WeirdError

    host = await open_host(sessions, [Fails], clock=clock, retry=policy)
    assert await host.take(customer()) == {Outcome.RETRY: 1}
    assert await host.count(library.dead_letters) == 0
    (job,) = await host.rows(library.jobs)
    assert (job["attempts"], job["history"][0]["error_type"]) == (1, "_WeirdError")
    clock.now += minute
    assert await host.sync.drain() == {Outcome.APPLIED: 1}


async def test_lesson_43_failures_close_nothing(sessions: Sessions) -> None:
    """It would be back if failures with successes between them added up to a closed door."""
    clock, minute = Clock(), timedelta(minutes=1)
    _Fails.left = {f"bad{number}": 2 for number in range(20)}
    policy = RetryPolicy(base_delay=minute, max_delay=minute)
    host = await open_host(sessions, [_Fails], clock=clock, retry=policy, batch_size=2)
    mixed = [customer(f"{kind}{number}") for number in range(20) for kind in ("bad", "good")]
    await host.receive(*mixed)
    assert (await host.sync.drain())[Outcome.APPLIED] == 20
    for _ in range(2):
        clock.now += minute
        await host.sync.drain()
    assert await host.count(tables.clients) == 40
    assert (await host.sync.status()).queue.total == 0


@pytest.mark.parametrize("consecutive", [True, False])
async def test_lesson_43_a_worker_comes_back_from_an_outage(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch, *, consecutive: bool
) -> None:
    """It would be back if its patience grew without end, or remembered failures of long ago."""
    monkeypatch.setattr("zoho_sync.worker.loop._POLL", 0.001)
    monkeypatch.setattr("zoho_sync.worker.loop._LONGEST_PAUSE", 0.01 if consecutive else 1e6)
    over, applied = asyncio.Event(), asyncio.Event()
    host = await open_host(sessions, [Clients], hooks=[lambda _: applied.set()])
    queue, claims = host.sync._runtime.queue, 0
    claim = queue.claim

    async def fail(limit: int, *, lease: timedelta) -> list[Job]:
        nonlocal claims
        claims += 1
        if claims < 60 and (consecutive or claims % 2):
            raise ConnectionError
        if claims >= 60:
            over.set()
        return await claim(limit, lease=lease)

    monkeypatch.setattr(queue, "claim", fail)
    running = asyncio.create_task(host.sync.run())
    async with asyncio.timeout(20):
        await over.wait()
        await host.receive(customer())
        await applied.wait()
    running.cancel()
    await asyncio.wait({running})


async def test_lesson_44_no_task_fails_unheard(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be back if a part of the worker could die while the rest went on as if well."""

    async def broken(_: Worker) -> None:
        await asyncio.sleep(0.05)
        raise LookupError("of a task")

    monkeypatch.setattr(Worker, "_sweep", broken)
    host = await open_host(sessions, [Clients])
    async with asyncio.timeout(20):
        with pytest.raises(ExceptionGroup) as raised:
            await host.sync.run()
    assert raised.group_contains(LookupError, match="of a task")
    await host.receive(customer())
    (job,) = await host.rows(library.jobs)
    assert job["lease_token"] is None
    assert await host.sync.drain() == {Outcome.APPLIED: 1}


async def test_lesson_44_what_a_worker_survives_it_says(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It would be back if an error of a batch, of a lease or of the maintenance left no trace."""
    monkeypatch.setattr("zoho_sync.worker.loop._POLL", 0.01)
    host = await open_host(sessions, [Clients])
    executor, maintenance = host.sync._worker._executor, host.sync._worker._maintenance
    said = {"the worker cannot work", "a sweep failed", "maintenance failed"}

    async def broken(*_: Any, **__: Any) -> Any:
        raise LookupError

    monkeypatch.setattr(executor, "execute", broken)
    monkeypatch.setattr(maintenance, "sweep", broken)
    monkeypatch.setattr(maintenance, "run_if_leader", broken)
    await host.receive(customer(last_modified_time=at(1)))
    with caplog.at_level(logging.WARNING):
        running = asyncio.create_task(host.sync.run())
        async with asyncio.timeout(20):
            while not all(words in caplog.text for words in said):  # noqa: ASYNC110  # a log sends no event
                await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.wait({running})
    assert caplog.text.count("LookupError") >= len(said)


def test_lesson_44_no_result_is_thrown_away() -> None:
    """It would be back if the library collected exceptions and looked at none of them."""
    source = Path(zoho_sync.__file__).parent
    for path in source.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Expr):
                assert not _collects(node.value), f"{path}:{node.lineno}"


def _collects(value: ast.expr) -> bool:
    """Whether a statement awaits a gather that returns exceptions, and takes no result."""
    call = value.value if isinstance(value, ast.Await) else value
    return isinstance(call, ast.Call) and any(
        word.arg == "return_exceptions" for word in call.keywords
    )
