"""The queue in the host's database: what it promises, on every database."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from tests.hosts.clock import Clock
from tests.hosts.events import customer, invoice
from tests.hosts.shop import Client, Script, create_shop, registry
from tests.hosts.sql import Sessions, count, rows
from zoho_sync import Operation, Outcome, RetryPolicy, SyncEvent, ZohoSync
from zoho_sync.abc import Job
from zoho_sync.exceptions import LeaseLost
from zoho_sync.queues import SQLQueue
from zoho_sync.store.tables import library_tables

OTHER, NEW, UNKNOWN = "91", "92", "93"

pytestmark = [
    pytest.mark.databases("sqlite", "postgresql", "psycopg", "mariadb"),
    pytest.mark.every_line,
    pytest.mark.breaks_connections,
]

TABLES = library_tables()
LEASE = timedelta(seconds=60)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def queue(engine: AsyncEngine, sessions: Sessions, clock: Clock) -> AsyncIterator[SQLQueue]:
    await create_shop(engine)
    await ZohoSync(sessions).create_tables()
    queue = SQLQueue(sessions, clock=clock)
    yield queue
    await queue.close()


def events(count: int, second: int | None = 0) -> list[SyncEvent]:
    """Return events of as many entities."""
    return [customer(f"1{number}", second, stamp=f"s{number}") for number in range(count)]


def syncing(
    sessions: Sessions, clock: Clock | None, script: Script | None = None, **more: Any
) -> ZohoSync:
    """Return a library that works with the same clock."""
    return ZohoSync(sessions, registry=registry(script), clock=clock, lease=LEASE, **more)


def ids(jobs: list[Job]) -> list[str]:
    return [job.event.entity_id for job in jobs]


async def row_of(sessions: Sessions, job: Job) -> dict[str, Any] | None:
    async with sessions() as session:
        found = await session.execute(select(TABLES.jobs).where(TABLES.jobs.c.id == job.handle))
        row = found.mappings().one_or_none()
        return None if row is None else dict(row)


async def test_what_is_acked_is_gone(queue: SQLQueue, clock: Clock) -> None:
    """1: enqueue, claim, ack, empty; counted at each step."""
    await queue.enqueue(events(2))
    assert (await queue.depth()).ready == 2
    jobs = await queue.claim(10, lease=LEASE)
    depth = await queue.depth()
    assert (depth.ready, depth.delayed, depth.leased, depth.oldest) == (0, 0, 2, None)
    await queue.ack(jobs)
    assert (await queue.depth()).total == 0
    clock.move(hours=1)
    assert await queue.claim(10, lease=LEASE) == []


async def test_equals_keep_their_order(queue: SQLQueue) -> None:
    """2: what was enqueued first is claimed first."""
    await queue.enqueue(events(30))
    claimed = [*await queue.claim(20, lease=LEASE), *await queue.claim(20, lease=LEASE)]
    assert ids(claimed) == [f"1{number}" for number in range(30)]


async def test_a_not_before_is_measured_by_the_engines_clock(
    queue: SQLQueue, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """4: a worker whose own clock is an hour off claims neither too early nor too late."""
    monkeypatch.setattr("time.time", (clock.now + timedelta(hours=1)).timestamp)
    await queue.enqueue(events(1))
    await queue.release(await queue.claim(1, lease=LEASE), delay=timedelta(minutes=10))
    clock.move(minutes=10, seconds=-1)
    assert await queue.claim(1, lease=LEASE) == []
    assert (await queue.depth()).delayed == 1
    clock.move(seconds=1)
    assert len(await queue.claim(1, lease=LEASE)) == 1


async def test_a_job_is_delayed_until_it_is_due_and_ready_from_then_on(
    queue: SQLQueue, clock: Clock
) -> None:
    """Each job counts once, also at the very moment at which it can be claimed."""
    await queue.enqueue(events(2))
    await queue.release(await queue.claim(1, lease=LEASE), delay=timedelta(minutes=10))
    depth = await queue.depth()
    assert (depth.ready, depth.delayed, depth.leased) == (1, 1, 0)
    clock.move(minutes=10)
    depth = await queue.depth()
    assert (depth.ready, depth.delayed, depth.leased) == (2, 0, 0)


async def test_the_engines_clock_is_the_databases(sessions: Sessions) -> None:
    """4: without a clock of the test's own, times come from the database."""
    await ZohoSync(sessions).create_tables()
    queue = SQLQueue(sessions)
    (stored,) = await queue.enqueue(events(1))
    assert stored.arrival is not None
    assert abs(stored.arrival.time - datetime.now(UTC)) < timedelta(minutes=1)
    assert stored.arrival.time.utcoffset() == timedelta(0)
    (job,) = await queue.claim(1, lease=LEASE)
    assert job.event.arrival == stored.arrival


async def test_a_bulk_enqueue_answers_in_position(queue: SQLQueue) -> None:
    """5: each answer stands where its event stood, duplicates within the batch included."""
    first, other = customer("1", 1), customer("2", 1)
    again, newer = customer("1", 1), customer("1", 2)
    timeless = [customer("3", None), customer("3", None)]
    answers = await queue.enqueue([first, other, again, newer, *timeless, first])
    assert [a.event_id for a in answers] == [
        first.id,
        other.id,
        first.id,
        newer.id,
        timeless[0].id,
        timeless[1].id,
        first.id,
    ]
    assert [a.duplicate for a in answers] == [False, False, True, False, False, False, True]
    stored = [a.arrival for a in answers if a.arrival is not None]
    assert stored == sorted(stored)
    assert len({arrival.sequence for arrival in stored}) == 5


async def test_fifty_producers_make_one_message(queue: SQLQueue, sessions: Sessions) -> None:
    """6: of fifty who send the same at once one is accepted, and all hear its id."""
    sent = [customer("1", 1) for _ in range(50)]
    answers = [a for (a,) in await asyncio.gather(*(queue.enqueue([event]) for event in sent))]
    accepted = [a.event_id for a in answers if not a.duplicate]
    assert len(accepted) == 1
    assert {a.event_id for a in answers} == set(accepted)
    assert await count(sessions, TABLES.jobs) == 1


async def test_a_loser_survives_the_rollback_of_the_winner(
    queue: SQLQueue, sessions: Sessions
) -> None:
    """7: what lost against an uncommitted equal is stored when that is rolled back."""
    winner, loser = customer("1", 1), customer("1", 1)
    async with sessions() as session:
        (first,) = await queue.enqueue([winner], session=session)
        assert not first.duplicate
        second = asyncio.create_task(queue.enqueue([loser]))
        await asyncio.sleep(0.1)
        assert not second.done()
        await session.rollback()
    (answer,) = await second
    assert (answer.event_id, answer.duplicate) == (loser.id, False)
    assert await count(sessions, TABLES.jobs) == 1


async def test_an_enqueue_in_a_session_is_the_sessions(queue: SQLQueue, sessions: Sessions) -> None:
    """8: a rollback leaves nothing; a commit shows the job, and nothing shows it earlier."""
    async with sessions() as session:
        await queue.enqueue(events(1), session=session)
        await session.rollback()
    assert (await queue.depth()).total == 0
    async with sessions() as session:
        await queue.enqueue(events(1), session=session)
        if session.get_bind().dialect.name == "postgresql":
            assert await queue.claim(1, lease=LEASE) == []
        await session.commit()
    assert len(await queue.claim(1, lease=LEASE)) == 1


async def test_no_two_hold_one_job(queue: SQLQueue) -> None:
    """9 and 10: many claimers at once never share a job, nor get more than they asked for."""
    await queue.enqueue(events(60))
    claims = await asyncio.gather(*(queue.claim(7, lease=LEASE) for _ in range(12)))
    assert max(len(jobs) for jobs in claims) <= 7
    rest = [job for _ in range(9) for job in await queue.claim(7, lease=LEASE)]
    claimed = [job.handle for jobs in claims for job in jobs] + [job.handle for job in rest]
    assert len(claimed) == len(set(claimed)) == 60
    tokens = {job.lease_token for jobs in claims for job in jobs}
    assert len(tokens) == len([jobs for jobs in claims if jobs])


async def test_a_cancelled_claim_loses_nothing(queue: SQLQueue, clock: Clock) -> None:
    """11: wherever a claim is cancelled, its jobs can be claimed by somebody, without a wait."""
    await queue.enqueue(events(3))
    for turns in range(60):
        claim = asyncio.create_task(queue.claim(2, lease=LEASE))
        for _ in range(turns):
            await asyncio.sleep(0)
        if turns % 3 == 0:
            await asyncio.sleep(turns / 5000)
        claim.cancel()
        with suppress(asyncio.CancelledError):
            await queue.release(await claim)
        jobs: list[Job] = []
        async with asyncio.timeout(20):  # a server may notice a moment later that a client went
            while len(jobs) < 3:
                jobs += await queue.claim(3, lease=LEASE)
        assert sorted(ids(jobs)) == ["10", "11", "12"], f"after {turns} turns"
        await queue.release(jobs)
    clock.move(hours=1)
    assert not any(job.suspect for job in await queue.claim(3, lease=LEASE))


async def test_an_expired_lease_is_claimed_again(queue: SQLQueue, clock: Clock) -> None:
    """12: at the end of its lease a job is claimed again, under another token."""
    await queue.enqueue(events(1))
    (first,) = await queue.claim(1, lease=LEASE)
    clock.move(seconds=59)
    assert await queue.claim(1, lease=LEASE) == []
    clock.move(seconds=1)
    (second,) = await queue.claim(1, lease=LEASE)
    assert second.handle == first.handle
    assert second.lease_token != first.lease_token
    assert (first.suspect, second.suspect) == (False, True)
    assert (first.attempts, second.attempts) == (0, 0)


async def test_an_extended_lease_is_kept_and_a_lost_one_named(
    queue: SQLQueue, clock: Clock
) -> None:
    """13: an extension keeps the lease; that of a lost one says so, and takes nothing."""
    await queue.enqueue(events(2))
    jobs = await queue.claim(2, lease=LEASE)
    clock.move(seconds=50)
    assert await queue.extend(jobs, lease=LEASE) == []
    clock.move(seconds=59)
    assert await queue.claim(2, lease=LEASE) == []
    clock.move(seconds=1)
    (taken,) = await queue.claim(1, lease=LEASE)
    lost = await queue.extend(jobs, lease=LEASE)
    assert [job.handle for job in lost] == [job.handle for job in jobs]
    clock.move(seconds=59)
    assert await queue.extend([taken], lease=LEASE) == []


async def test_who_lost_the_lease_changes_nothing(
    queue: SQLQueue, clock: Clock, sessions: Sessions
) -> None:
    """14: ack and release under an old token leave the job to its new holder."""
    await queue.enqueue(events(1))
    (old,) = await queue.claim(1, lease=LEASE)
    clock.move(seconds=61)
    (new,) = await queue.claim(1, lease=LEASE)
    before = await row_of(sessions, new)
    with pytest.raises(LeaseLost) as lost:
        await queue.ack([old])
    assert lost.value.event_ids == (old.event.id,)
    await queue.release([old], delay=timedelta(hours=1))
    assert await row_of(sessions, new) == before
    await queue.ack([new])
    with pytest.raises(LeaseLost):
        await queue.ack([new])


# The write lock of the batch is the lease's fence on SQLite.
@pytest.mark.databases("postgresql", "psycopg", "mariadb")
@pytest.mark.usefixtures("queue")
async def test_an_outcome_without_the_lease_changes_nothing(
    clock: Clock, sessions: Sessions
) -> None:
    """14: retries and dead letters of a worker that lost its lease meanwhile vanish as well."""
    taken: list[Job] = []

    async def lose_the_lease(event: SyncEvent, session: AsyncSession) -> None:
        del session
        if not taken:
            clock.move(seconds=61)
            await _steal(sessions, event, clock)
            taken.append(Job(None, event, ""))
        raise RuntimeError("too late")

    sync = syncing(sessions, clock, Script(before=lose_the_lease))
    for retry in (RetryPolicy(), RetryPolicy(max_attempts=1)):
        taken.clear()
        sync = syncing(sessions, clock, Script(before=lose_the_lease), retry=retry)
        await sync.enqueue(events(1))
        assert await sync.drain() == {}
        assert await count(sessions, TABLES.dead_letters) == 0
        async with sessions.begin() as session:
            row = (await session.execute(select(TABLES.jobs))).mappings().one()
            assert (row["lease_token"], row["attempts"], row["history"]) == ("thief", 0, [])
            await session.execute(TABLES.jobs.delete())


async def _steal(sessions: Sessions, event: SyncEvent, clock: Clock) -> None:
    """Take a lease away, as a peer does once it has expired."""
    async with sessions() as session:
        await session.execute(
            update(TABLES.jobs)
            .where(TABLES.jobs.c.event_id == event.id)
            .values(lease_token="thief", lease_expires_at=clock.now + LEASE)
        )
        await session.commit()


async def test_a_fenced_ack_without_the_lease_rolls_the_rows_back(
    queue: SQLQueue, clock: Clock, sessions: Sessions
) -> None:
    """15: the transaction that holds the host's rows ends with the ack that misses."""
    await queue.enqueue(events(1))
    (old,) = await queue.claim(1, lease=LEASE)
    clock.move(seconds=61)
    (new,) = await queue.claim(1, lease=LEASE)
    with pytest.raises(LeaseLost):
        await _settle(queue, sessions, old, "never")
    assert await count(sessions, Client.__table__) == 0
    await _settle(queue, sessions, new, "once")
    assert await count(sessions, Client.__table__) == 1
    assert (await queue.depth()).total == 0


async def _settle(queue: SQLQueue, sessions: Sessions, job: Job, name: str) -> None:
    async with sessions.begin() as session:
        session.add(Client(name=name))
        await session.flush()
        await queue.ack([job], connection=await session.connection())


async def test_a_fenced_ack_that_is_rolled_back_is_redelivered(
    queue: SQLQueue, clock: Clock, sessions: Sessions
) -> None:
    """16: an ack that was rolled back with its transaction leaves the job where it was."""
    await queue.enqueue(events(1))
    jobs = await queue.claim(1, lease=LEASE)
    async with sessions() as session:
        session.add(Client(name="never"))
        await session.flush()
        await queue.ack(jobs, connection=await session.connection())
        await session.rollback()
    assert await count(sessions, Client.__table__) == 0
    assert (await queue.depth()).leased == 1
    clock.move(seconds=61)
    assert len(await queue.claim(1, lease=LEASE)) == 1


async def test_reaper_and_completion_agree(
    queue: SQLQueue, clock: Clock, sessions: Sessions
) -> None:
    """17: whoever of the two is first, there is one outcome."""
    await queue.enqueue(events(1))
    jobs = await queue.claim(1, lease=LEASE)
    clock.move(seconds=61)
    async with sessions() as session:
        # The completion comes first, and is not committed when the reaper looks.
        await queue.ack(jobs, connection=await session.connection())
        reaper = asyncio.create_task(queue.claim(1, lease=LEASE))
        await asyncio.sleep(0.05)
        await session.commit()
    assert await reaper == []
    assert (await queue.depth()).total == 0
    # The reaper comes first.
    await queue.enqueue([customer(OTHER)])
    jobs = await queue.claim(1, lease=LEASE)
    clock.move(seconds=61)
    assert len(await queue.claim(1, lease=LEASE)) == 1
    with pytest.raises(LeaseLost):
        await queue.ack(jobs)


async def test_the_reaper_is_bounded_and_spares_the_living(
    queue: SQLQueue, clock: Clock, sessions: Sessions
) -> None:
    """18: it takes back so many at a time, and none whose lease was lengthened meanwhile."""
    await queue.enqueue(events(150))
    jobs = await queue.claim(150, lease=LEASE)
    clock.move(seconds=30)
    await queue.extend(jobs[:10], lease=LEASE)
    clock.move(seconds=31)
    (suspect,) = await queue.claim(200, lease=LEASE)
    assert suspect.handle == jobs[10].handle
    async with sessions() as session:
        marked = await session.scalar(
            select(func.count()).select_from(TABLES.jobs).where(TABLES.jobs.c.suspect)
        )
    assert marked == 100
    assert await queue.extend(jobs[:10], lease=LEASE) == []


async def test_a_suspect_is_claimed_alone(queue: SQLQueue, clock: Clock) -> None:
    """21: what a worker died with is claimed alone, and only a death alone counts."""
    await queue.enqueue(events(3))
    await queue.claim(3, lease=LEASE)
    await queue.enqueue([customer(NEW, 5)])
    clock.move(seconds=61)
    deaths = []
    for _ in range(4):
        (job,) = await queue.claim(10, lease=timedelta(hours=9))
        deaths.append((job.event.entity_id, job.suspect, job.deaths))
    assert deaths == [
        ("10", True, 0),
        ("11", True, 0),
        ("12", True, 0),
        (NEW, False, 0),
    ]


async def test_a_suspect_that_died_alone_waits_for_the_others(
    queue: SQLQueue, clock: Clock
) -> None:
    """21: deaths by chance do not pile up on one innocent: those with fewest come first."""
    await queue.enqueue(events(3))
    await queue.claim(3, lease=LEASE)
    order = []
    for _ in range(6):
        clock.move(seconds=61)
        (job,) = await queue.claim(10, lease=LEASE)
        order.append((job.event.entity_id, job.deaths))
    assert order == [("10", 0), ("11", 0), ("12", 0), ("10", 1), ("11", 1), ("12", 1)]


async def test_the_poison_dies_and_the_innocents_live(
    queue: SQLQueue, clock: Clock, sessions: Sessions
) -> None:
    """21: a worker that dies each time without an error: the poison is a dead letter, alone."""
    sent = events(5)
    poison = sent[2]
    sync = syncing(sessions, clock, retry=RetryPolicy(max_deaths=3))
    await sync.enqueue(sent)
    assert len(await queue.claim(5, lease=LEASE)) == 5
    deaths = 1
    clock.move(seconds=61)
    while jobs := await queue.claim(10, lease=LEASE):
        if jobs[0].event.id == poison.id and jobs[0].deaths < 3:
            deaths += 1
            clock.move(seconds=61)
            continue
        # A worker that lives: it applies the innocent, or buries the poison.
        await sync._worker._executor.execute(jobs)
    assert deaths == 4
    assert await count(sessions, Client.__table__) == 4
    (letter,) = await sync.dead_letters.list()
    assert (letter.id, letter.error_type) == (poison.id, "WorkerDied")
    assert "3 workers died" in letter.error
    assert len(letter.history) == 1


async def test_a_release_costs_no_attempt(queue: SQLQueue, clock: Clock) -> None:
    """22: neither a release nor its delay counts as an attempt or a death."""
    await queue.enqueue(events(1))
    for _ in range(5):
        jobs = await queue.claim(1, lease=LEASE)
        await queue.release(jobs, delay=timedelta(seconds=5))
        assert await queue.claim(1, lease=LEASE) == []
        clock.move(seconds=5)
    (job,) = await queue.claim(1, lease=LEASE)
    assert (job.attempts, job.deaths, job.suspect, job.history) == (0, 0, False, ())


async def test_a_retry_waits_within_its_bounds(
    queue: SQLQueue, clock: Clock, sessions: Sessions
) -> None:
    """19: a failed event is not claimable before its delay has passed, and is then."""
    failing = True

    async def fail(event: SyncEvent, session: AsyncSession) -> None:
        del event, session
        if failing:
            raise RuntimeError("not now")

    retry = RetryPolicy(base_delay=timedelta(seconds=10))
    sync = syncing(sessions, clock, Script(before=fail), retry=retry)
    await sync.enqueue(events(1))
    start = clock.now
    assert await sync.drain() == {Outcome.RETRY: 1}
    async with sessions() as session:
        due = await session.scalar(select(TABLES.jobs.c.not_before))
    assert due is not None
    assert start <= due <= start + timedelta(seconds=10)
    failing = False
    clock.now = due - timedelta(microseconds=1)
    assert await sync.drain() == {}
    clock.now = due
    assert await sync.drain() == {Outcome.APPLIED: 1}
    assert await queue.claim(1, lease=LEASE) == []


async def test_exhausted_attempts_make_one_dead_letter(
    queue: SQLQueue, clock: Clock, sessions: Sessions
) -> None:
    """20: after the last attempt there is one dead letter, and its history is whole."""
    attempt = 0

    async def fail(event: SyncEvent, session: AsyncSession) -> None:
        nonlocal attempt
        del event, session
        attempt += 1
        raise RuntimeError(f"failure {attempt}")

    sync = syncing(sessions, clock, Script(before=fail), retry=RetryPolicy(max_attempts=4))
    await sync.enqueue(events(1))
    totals = []
    for _ in range(6):
        totals.append(await sync.drain())
        clock.move(hours=1)
    assert totals == [{Outcome.RETRY: 1}] * 3 + [{Outcome.DEAD_LETTER: 1}, {}, {}]
    (letter,) = await sync.dead_letters.list()
    assert letter.attempts == 4
    assert [entry["error"] for entry in letter.history] == [f"failure {n}" for n in range(1, 5)]
    assert {entry["error_type"] for entry in letter.history} == {"RuntimeError"}
    assert (await queue.depth()).total == 0


async def test_two_events_of_one_entity_are_never_applied_at_once(
    queue: SQLQueue, sessions: Sessions
) -> None:
    """24: with many workers, an entity's events take their turns."""
    running: dict[str, int] = {}
    most = 0

    async def watch(event: SyncEvent, session: AsyncSession) -> None:
        nonlocal most
        del session
        running[event.entity_id] = running.get(event.entity_id, 0) + 1
        most = max(most, running[event.entity_id])
        await asyncio.sleep(0.01)
        running[event.entity_id] -= 1

    script = Script(before=watch)
    workers = [syncing(sessions, None, script, batch_size=2) for _ in range(4)]
    await workers[0].enqueue(
        [customer(f"1{n % 3}", n, contact_name=f"{n}", stamp=f"{n}") for n in range(24)]
    )
    await asyncio.gather(*(worker.drain() for worker in workers))
    while (await queue.depth()).total:
        await workers[0].drain()
    assert most == 1
    assert await count(sessions, Client.__table__) == 3


# SQLite has one writer: whoever holds the write lock stops all others.
@pytest.mark.databases("postgresql", "psycopg", "mariadb")
async def test_a_stuck_entity_slows_no_other(queue: SQLQueue, sessions: Sessions) -> None:
    """24: while one entity's event is stuck, a peer works off all the others at once."""
    stuck, free = asyncio.Event(), asyncio.Event()

    async def stick(event: SyncEvent, session: AsyncSession) -> None:
        del session
        if event.payload["notes"] == "stuck":
            stuck.set()
            await free.wait()

    slow, quick = (syncing(sessions, None, Script(before=stick)) for _ in range(2))
    await slow.enqueue([customer("1", 1, stamp="stuck")])
    first = asyncio.create_task(slow.drain())
    await stuck.wait()
    others = [customer("1", 2, stamp="later"), *events(20), customer("1", 3, stamp="last")]
    await quick.enqueue(others)
    async with asyncio.timeout(10):
        assert await quick.drain() == {Outcome.APPLIED: 20}
    assert (await queue.depth()).total == 3
    free.set()
    await first
    await quick.drain()
    async with sessions() as session:
        named = select(Client.note).where(Client.name == "Client 1")
        assert await session.scalar(named) == "last"


async def test_an_unknown_type_is_a_dead_letter_once_its_retries_are_used_up(
    queue: SQLQueue, clock: Clock, sessions: Sessions
) -> None:
    """26: a job of a type that nobody handles, or that cannot be read, is kept and not pinned."""
    sync = syncing(sessions, clock)
    strange = SyncEvent("spaceship", "1", {"ship_id": "1"})
    unreadable = SyncEvent("invoice", "2", {"invoice_id": "2", "total": "a lot"})
    await queue.enqueue([strange, unreadable, *events(1)])
    assert await sync.drain() == {Outcome.APPLIED: 1, Outcome.RETRY: 1, Outcome.DEAD_LETTER: 1}
    waited = []
    while not [each for each in await sync.dead_letters.list() if each.id == strange.id]:
        waited.append((await rows(sessions, TABLES.jobs))[0]["not_before"] - clock.now)
        clock.now += waited[-1]
        await sync.drain()
    assert waited == [timedelta(seconds=2**attempt) for attempt in range(7)]
    letters = {letter.id: letter for letter in await sync.dead_letters.list()}
    assert letters[strange.id].error_type == "UnknownEntityType"
    assert letters[unreadable.id].path == "invoice.total"
    assert letters[unreadable.id].payload == unreadable.payload


FAITHFUL: list[dict[str, Any]] = [
    {},
    {"text": ""},
    {"text": "x" * 1_000_000},
    {"text": "a\x00b"},
    {"text": "lone \ud800 surrogate \udfff"},
    {"text": "emoji 👩‍👩‍👧‍👦 and ünïcödé"},
    {"z": 1, "1": 2, "m": {"y": [1, None, True], "2": "x"}},
]


@pytest.mark.parametrize("document", FAITHFUL, ids=lambda document: repr(document)[:20])
async def test_payloads_come_back_as_they_were(queue: SQLQueue, document: dict[str, Any]) -> None:
    """27: empty, 1 MB, NUL, lone surrogates, emoji; the order of keys."""
    event = SyncEvent("customer", "1", document)
    await queue.enqueue([event])
    (job,) = await queue.claim(1, lease=LEASE)
    assert job.event.payload == document
    assert list(job.event.payload) == list(document)
    assert job.event.content_hash == event.content_hash
    assert (job.event.id, job.event.operation) == (event.id, Operation.UPSERT)


@pytest.mark.databases("sqlite", "postgresql", "mariadb")  # it takes its time
async def test_a_stopped_worker_keeps_nothing(
    queue: SQLQueue, engine: AsyncEngine, sessions: Sessions
) -> None:
    """28: leases are kept while a batch is applied; at the end they are released, none claimed."""
    at_work = asyncio.Event()

    async def linger(event: SyncEvent, session: AsyncSession) -> None:
        del event
        at_work.set()
        for _ in range(45):
            # Idle for much less than half the lease each time, on a busy machine as well.
            await session.execute(select(1))
            await asyncio.sleep(0.1)

    sync = ZohoSync(
        sessions, registry=registry(Script(before=linger)), lease=timedelta(seconds=3), batch_size=1
    )
    await sync.enqueue(events(4))
    running = asyncio.create_task(sync.run())
    async with asyncio.timeout(60):
        await at_work.wait()
        await asyncio.sleep(3.5)
        peer = SQLQueue(sessions)
        if engine.dialect.name == "postgresql":
            assert [job.suspect for job in await peer.claim(1, lease=LEASE)] == [False]
        while await count(sessions, Client.__table__) < 1:  # noqa: ASYNC110  # it is in the database
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.3)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    depth = await queue.depth()
    async with sessions() as session:
        rows = (await session.execute(select(TABLES.jobs))).mappings().all()
    assert depth.leased == (1 if engine.dialect.name == "postgresql" else 0)
    assert all(row["attempts"] == 0 and not row["suspect"] for row in rows)
    await asyncio.sleep(0.2)
    assert await count(sessions, Client.__table__) == 1


async def test_an_arrival_is_kept(queue: SQLQueue, clock: Clock) -> None:
    """An event that arrived before, and comes back, keeps its place in the version order."""
    await queue.enqueue([customer("1", None, stamp="old")])
    (job,) = await queue.claim(1, lease=LEASE)
    await queue.ack([job])
    clock.move(hours=1)
    await queue.enqueue([customer("1", None, stamp=NEW), job.event])
    claimed = await queue.claim(2, lease=LEASE)
    assert {j.event.id: j.event.arrival for j in claimed}[job.event.id] == job.event.arrival


@pytest.mark.usefixtures("queue")
async def test_a_settled_id_is_not_queued_again(clock: Clock, sessions: Sessions) -> None:
    """A host that repeats an enqueue whose answer was lost queues nothing twice.

    Its events may have no time of their own, so that only their ids tell.
    """
    sync = syncing(sessions, clock)
    applied, parked = customer("1", None), invoice("1", UNKNOWN, None)
    dead = SyncEvent("invoice", "2", {"invoice_id": "2", "total": "a lot"})
    waiting = customer("2", None)
    await sync.enqueue([applied, parked, dead])
    await sync.drain()
    await sync.enqueue([waiting])
    again = [applied, parked, dead, waiting]
    receipts = await sync.enqueue(again)
    assert [receipt.status for receipt in receipts] == ["duplicate"] * 4
    assert [receipt.event_ids for receipt in receipts] == [(event.id,) for event in again]
    assert await sync.drain() == {Outcome.APPLIED: 1}
    report = await sync.status()
    assert (report.accepted, report.parked, report.dead_letters) == (4, 1, 1)


async def test_a_crowd_of_claimers_and_deaths(queue: SQLQueue, clock: Clock) -> None:
    """9 to 14 together, at random: never two live leases on one job, and none is lost."""
    dice = random.Random(7)  # noqa: S311  # repeatable, not secret
    await queue.enqueue(events(25))
    held: dict[int, Job] = {}
    acked = 0
    for _ in range(150):
        move = dice.random()
        if move < 0.5:
            for job in await queue.claim(dice.randint(1, 6), lease=LEASE):
                assert job.handle not in held
                held[job.handle] = job
        elif move < 0.8 and held:
            job = held.pop(dice.choice(list(held)))
            if dice.random() < 0.5:
                await queue.release([job])
            else:
                await queue.ack([job])
                acked += 1
        else:
            clock.move(seconds=61)
            held.clear()
    assert (await queue.depth()).total + acked == 25


async def test_tables_of_another_version_are_no_outage(
    queue: SQLQueue, engine: AsyncEngine
) -> None:
    """A sender that is asked to come again would do so for ever."""
    assert queue.capabilities.completes_in_transaction
    async with engine.begin() as connection:
        await connection.execute(text("ALTER TABLE zoho_sync_jobs RENAME COLUMN attempts TO tries"))
    with pytest.raises(DBAPIError, match="attempts"):
        await queue.enqueue(events(1))
