"""Claims jobs: whose a job is, whose turn it is, and who is claimed alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.hosts import tables
from tests.hosts.application import open_host
from tests.hosts.clock import Clock
from tests.hosts.documents import customer
from tests.hosts.failing import FailsAtFirst
from tests.hosts.sql import Sessions, library
from zoho_sync import RetryPolicy
from zoho_sync.abc import Job
from zoho_sync.exceptions import LeaseLost
from zoho_sync.worker.executor import Executor

pytestmark = pytest.mark.breaks_connections

LEASE = timedelta(seconds=60)
RETRIED = "19"


async def test_lesson_33_a_lease_has_no_name_but_its_own(sessions: Sessions) -> None:
    """It would be back if workers of one name, or of one process, could take each other's jobs."""
    clock = Clock()
    host = await open_host(sessions, clock=clock)
    twin = await open_host(sessions, clock=clock)
    await host.receive(*(customer(f"1{number}") for number in range(4)))
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


async def test_lesson_35_full_batches_starve_no_retry(sessions: Sessions) -> None:
    """It would be back if what failed were looked for only in what is left of a batch."""
    clock = Clock()
    FailsAtFirst.left = {RETRIED: 1}
    second = timedelta(seconds=1)
    policy = RetryPolicy(base_delay=second, max_delay=second)
    host = await open_host(sessions, [FailsAtFirst], clock=clock, retry=policy)
    queue, executor = host.sync._runtime.queue, Executor(host.sync._runtime)
    await host.receive(customer(RETRIED), *(customer(f"2{number}") for number in range(9)))
    rounds = 0
    while await host.count(library.jobs):
        clock.now += second
        # As much comes in as goes out: the queue is never empty, and each batch is full.
        await host.receive(*(customer(f"3{rounds}{number}") for number in range(3)))
        await executor.execute(await queue.claim(3, lease=LEASE))
        rounds += 1
        if await host.rows(tables.clients, zoho_id=RETRIED):
            break
        assert rounds < 10, "the retry never had its turn"
    assert await host.count(library.jobs) >= 9


@pytest.mark.databases("sqlite", "postgresql", "mariadb")
async def test_ruling_suspects_are_claimed_alone(sessions: Sessions) -> None:
    """Poison in a batch would take the innocents' attempts, and at last themselves, along."""
    clock = Clock(datetime(2024, 5, 17, 10, tzinfo=UTC))
    clock.now += timedelta(days=1)
    host = await open_host(sessions, clock=clock)
    await host.receive(customer("11"), customer("12"), customer("13"))
    queue = host.sync._runtime.queue
    assert len(await queue.claim(50, lease=LEASE)) == 3
    clock.now += timedelta(minutes=2)  # the worker died
    await host.receive(customer("14"))
    claims: list[list[Job]] = [await queue.claim(50, lease=LEASE) for _ in range(5)]
    assert [[job.event.entity_id for job in jobs] for jobs in claims] == [
        ["11"],
        ["12"],
        ["13"],
        ["14"],
        [],
    ]
    assert {job.deaths for jobs in claims for job in jobs} == {0}
    clock.now += timedelta(minutes=2)  # all of them died; c4 was not a suspect yet
    claims = [await queue.claim(50, lease=LEASE) for _ in range(5)]
    assert sorted(len(jobs) for jobs in claims) == [0, 1, 1, 1, 1]
    deaths = {job.event.entity_id: job.deaths for jobs in claims for job in jobs}
    assert deaths == {"11": 1, "12": 1, "13": 1, "14": 0}
