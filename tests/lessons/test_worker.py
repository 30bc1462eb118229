"""Runs workers: retries, poison, outages, and how they end."""

from __future__ import annotations

import ast
import asyncio
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

import zoho_sync
from tests.hosts import tables
from tests.hosts.application import open_host
from tests.hosts.clock import Clock
from tests.hosts.documents import at, customer
from tests.hosts.failing import FailsAtFirst, SlowAtFirst, cancelled
from tests.hosts.handlers import Clients
from tests.hosts.sql import Sessions, library
from zoho_sync import Outcome, RetryPolicy, SyncEvent
from zoho_sync.abc import Job
from zoho_sync.exceptions import WorkerStopped
from zoho_sync.worker.executor import Executor
from zoho_sync.worker.loop import Worker

pytestmark = pytest.mark.breaks_connections

LEASE = timedelta(seconds=60)
POISON = "19"


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


class _WeirdError(Exception):
    """Of a library that nobody has heard of."""


async def test_lesson_36_an_unknown_error_is_tried_again(sessions: Sessions) -> None:
    """It would be back if only errors with certain words in them were tried again."""
    FailsAtFirst.left = {"11": 1}
    clock, minute = Clock(), timedelta(minutes=1)
    policy = RetryPolicy(base_delay=minute, max_delay=minute)

    class Fails(FailsAtFirst):
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
    FailsAtFirst.left = {f"1{number}": 2 for number in range(20)}
    policy = RetryPolicy(base_delay=minute, max_delay=minute)
    host = await open_host(sessions, [FailsAtFirst], clock=clock, retry=policy, batch_size=2)
    mixed = [customer(f"{kind}{number}") for number in range(20) for kind in ("1", "2")]
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
        with pytest.raises(WorkerStopped, match="sweep ended with LookupError") as raised:
            await host.sync.run()
    assert isinstance(raised.value.__cause__, LookupError)
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


class _Killed(BaseException):
    """Stands for the death of a process: nothing of the worker runs afterwards."""


class _Poison(Clients):
    """Kills the worker that applies one certain client."""

    async def before_apply(self, event: SyncEvent) -> None:
        if event.entity_id == POISON:
            raise _Killed


async def test_lesson_45_crash_looping_poison_reaches_the_dead_letters(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be back if deaths were counted in the transaction that died: never."""

    async def nothing(*_: Any, **__: Any) -> None:
        """A dead process gives nothing back."""

    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    host = await open_host(sessions, [_Poison], clock=lambda: now)
    monkeypatch.setattr(host.sync._runtime.queue, "release", nothing)
    await host.receive(customer("11"), customer(POISON), customer("12"))
    deaths = 0
    while True:
        try:
            await host.sync.drain()
        except _Killed:
            deaths += 1
            now += timedelta(minutes=2)
            assert deaths < 10
        else:
            break
    assert deaths == 1 + 3  # once with the others, then alone
    assert [row["zoho_id"] for row in await host.rows(tables.clients)] == ["11", "12"]
    (letter,) = await host.sync.dead_letters.list()
    assert (letter.entity_id, letter.error_type) == (POISON, "WorkerDied")


@pytest.mark.parametrize("way", ["drain", "run"])
async def test_lesson_46_shutdown_keeps_the_job(sessions: Sessions, way: str) -> None:
    """It would be back if a cancelled worker lost the job, its row half-way, or an attempt."""
    host = await open_host(sessions, [SlowAtFirst])
    await host.receive(customer("11"), customer("12"))
    await cancelled(host.sync.drain() if way == "drain" else host.sync.run())
    assert await host.count(tables.clients) == 0
    jobs = await host.rows(library.jobs)
    assert [(job["attempts"], job["lease_token"], job["suspect"]) for job in jobs] == [
        (0, None, False),
        (0, None, False),
    ]
    assert await host.sync.drain() == {Outcome.APPLIED: 2}


class _ReadsSettings(Clients):
    """Notes what bounds the transaction that it is called in."""

    seen: dict[str, str]

    async def before_apply(self, event: SyncEvent) -> None:
        await super().before_apply(event)
        names = ("idle_in_transaction_session_timeout", "lock_timeout")
        for name in names:
            answer = await self.execute_with_context(text(f"SELECT current_setting('{name}')"))
            self.seen[name] = answer.scalar_one()


async def test_ruling_a_frozen_worker_is_bounded(postgres_url: str) -> None:
    """Without the bounds, a frozen worker would hold its rows against its peer for ever."""
    engine = create_async_engine(postgres_url)
    _ReadsSettings.seen = {}
    host = await open_host(async_sessionmaker(engine), [_ReadsSettings], lease=LEASE)
    await host.take(customer())
    idle = _ReadsSettings.seen["idle_in_transaction_session_timeout"]
    assert idle in {"30s", "30000ms"}
    assert _ReadsSettings.seen["lock_timeout"] not in {"0", ""}
    async with engine.connect() as connection:  # and only in the worker's transactions
        answer = await connection.execute(text("SELECT current_setting('lock_timeout')"))
        assert answer.scalar_one() == "0"
    await engine.dispose()
