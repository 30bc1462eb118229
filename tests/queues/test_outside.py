"""Engines outside the database carry first attempts; retries and all else are in the database."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.hosts.events import at
from tests.hosts.sql import Sessions
from tests.queues.outboxes import FaultyQueue
from tests.queues.outboxes import Hands as Instant
from tests.queues.sold import invoice, totals
from zoho_sync import (
    BaseEntityHandler,
    HandlerRegistry,
    Operation,
    Outcome,
    ReceiptStatus,
    RetryPolicy,
    SyncEvent,
    ZohoSync,
    default_registry,
)
from zoho_sync.abc import Capabilities, Job
from zoho_sync.events.event import Arrival
from zoho_sync.exceptions import (
    ConfigurationError,
    LeaseLost,
    PayloadError,
    QueueUnavailable,
)
from zoho_sync.handlers import InvoiceHandler
from zoho_sync.payloads import InvoicePayload
from zoho_sync.queues import MemoryQueue
from zoho_sync.queues.wire import undecodable_event

LEASE = timedelta(seconds=60)
LATER = RetryPolicy(base_delay=timedelta(hours=1), max_delay=timedelta(hours=1))


class Hands:
    """A clock that moves when told to."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Flaky(BaseEntityHandler[InvoicePayload]):
    """Fails as often as it is told to."""

    failures = 0

    async def upsert(self, payload: InvoicePayload) -> Any:
        if Flaky.failures:
            Flaky.failures -= 1
            raise TimeoutError
        return payload.invoice_id

    async def delete(self, entity_id: str) -> None:
        del entity_id


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def engine_outside(hands: Hands) -> MemoryQueue:
    return MemoryQueue(clock=hands)


@pytest.fixture
async def sync(engine: AsyncEngine, sessions: Sessions, engine_outside: MemoryQueue) -> ZohoSync:
    del engine
    made = ZohoSync(sessions, queue=engine_outside, retry=LATER)
    await made.create_tables()
    return made


async def test_what_an_engine_brings_is_applied_once(sync: ZohoSync, sessions: Sessions) -> None:
    receipt = await sync.ingest({"invoice": {"invoice_id": "1", "total": "9.90"}})
    assert receipt.http_status == 200
    await sync.enqueue([invoice("2", 2), invoice("2", 1, "7")])
    report = await sync.status()
    assert (report.queue.ready, report.accepted) == (3, 3)
    assert await sync.drain() == {Outcome.APPLIED: 3}
    assert await totals(sessions) == {"1": Decimal("9.90"), "2": Decimal("1.10")}
    report = await sync.status()
    assert (report.queue.total, report.accepted) == (0, 3)


def deleted(name: str, second: int) -> SyncEvent:
    return SyncEvent(
        "invoice", name, {"invoice_id": name}, Operation.DELETE, effective_time=at(second)
    )


async def test_a_resend_that_nobody_recognised_writes_nothing(
    sync: ZohoSync, sessions: Sessions
) -> None:
    """Whatever was applied since: the ledger knows the newest event, and the journal this one."""
    noon = datetime(2024, 5, 2, 12, tzinfo=UTC)
    first, between, last = (Arrival(noon, sequence) for sequence in range(3))
    await sync.enqueue([replace(invoice("1", 1), arrival=first), deleted("1", 2)])
    assert await sync.drain() == {Outcome.APPLIED: 2}
    (receipt,) = await sync.enqueue([replace(invoice("1", 1), arrival=last)])
    assert receipt.status is ReceiptStatus.ACCEPTED
    assert await sync.drain() == {Outcome.DUPLICATE: 1}
    # What was received before it is overtaken by it all the same.
    await sync.enqueue([replace(invoice("1", 1, "7"), arrival=between)])
    assert await sync.drain() == {Outcome.STALE: 1}
    assert await totals(sessions) == {"1": Decimal("1.10")}


MIRRORED = InvoiceHandler.mapping
assert MIRRORED is not None


class Numbers(InvoiceHandler):
    """The invoices of the mirror, by a mapping that says less."""

    mapping = replace(MIRRORED, children=())


async def test_a_resend_under_another_mapping_is_written(
    sync: ZohoSync, sessions: Sessions
) -> None:
    await sync.enqueue([invoice("1", 1), deleted("1", 2)])
    await sync.drain()
    changed = ZohoSync(sessions, queue=MemoryQueue(), registry=HandlerRegistry([Numbers]))
    await changed.enqueue([invoice("1", 1)])
    assert await changed.drain() == {Outcome.APPLIED: 1}


class Written(InvoiceHandler):
    """Notes what its own code was given; the mapping knows of the total alone."""

    mapping = replace(MIRRORED, children=(), columns={"total": "total"})
    seen: ClassVar[list[str]] = []

    async def upsert(self, payload: InvoicePayload) -> Any:
        self.seen.append(str(payload.total))
        return await super().upsert(payload)


async def test_code_of_the_hosts_own_is_given_whatever_is_the_newest(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    """It may write what no mapping knows of."""
    del engine
    queue = FaultyQueue(Instant(), forgetful=True)
    sync = ZohoSync(sessions, queue=queue, registry=HandlerRegistry([Written]))
    await sync.create_tables()
    Written.seen = []
    between = SyncEvent("invoice", "1", {"invoice_id": "1", "notes": "B"}, effective_time=at(1))
    for event in (invoice("1", 1), between, invoice("1", 1)):
        await sync.enqueue([event])
        await sync.drain()
    assert Written.seen == ["1.10", "None", "1.10"]


async def test_resends_in_one_batch_are_written_once(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    del engine
    sync = ZohoSync(sessions, queue=FaultyQueue(Instant(), forgetful=True))
    await sync.create_tables()
    await sync.enqueue([deleted("1", 2)])
    await sync.drain()
    await sync.enqueue([invoice("1", 1), invoice("1", 1)])
    assert await sync.drain() == {Outcome.APPLIED: 1, Outcome.DUPLICATE: 1}


async def test_the_url_of_the_reference(sessions: Sessions, engine: AsyncEngine) -> None:
    del engine
    sync = ZohoSync(sessions, queue="memory://")
    await sync.create_tables()
    await sync.enqueue([invoice("1", 1)])
    assert await sync.drain() == {Outcome.APPLIED: 1}
    await sync.close()


async def test_a_message_that_comes_again_after_the_commit_writes_nothing(
    sync: ZohoSync,
    engine_outside: MemoryQueue,
    hands: Hands,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The process died, or the engine was away, between the commit and the acknowledgement."""

    async def away(*_: Any, **__: Any) -> None:
        raise QueueUnavailable

    await sync.enqueue([invoice("1", 1)])
    with monkeypatch.context() as broken:
        broken.setattr(engine_outside, "ack", away)
        assert await sync.drain() == {Outcome.APPLIED: 1}
    assert "not acknowledged" in caplog.text
    assert (await engine_outside.depth()).leased == 1
    hands.now += 61
    assert await sync.drain() == {}
    assert (await engine_outside.depth()).total == 0
    history = await sync.history("invoice", "1")
    assert [entry.state for entry in history] == ["applied"]


async def test_a_message_whose_worker_died_is_a_suspect_in_the_database(
    sync: ZohoSync, engine_outside: MemoryQueue, hands: Hands
) -> None:
    await sync.enqueue([invoice("1", 1), invoice("2", 1)])
    (dead,) = await engine_outside.claim(1, lease=LEASE)
    hands.now += 61
    claimed = await sync._runtime.queue.claim(10, lease=LEASE)  # what a worker sees
    assert [(job.event.entity_id, job.outside) for job in claimed] == [("2", True)]
    assert (await engine_outside.depth()).total == 1
    (suspect,) = await sync._runtime.queue.claim(10, lease=LEASE)  # as above
    assert (suspect.event.id, suspect.suspect, suspect.outside) == (dead.event.id, True, False)
    with pytest.raises(LeaseLost):
        await engine_outside.ack([dead])


async def test_drain_does_not_end_where_only_suspects_are_left(
    sync: ZohoSync, engine_outside: MemoryQueue, hands: Hands
) -> None:
    """What the database takes over is claimable there, and what is behind it too."""
    await sync.enqueue([invoice("1", 1), invoice("2", 1)])
    await engine_outside.claim(2, lease=LEASE)
    hands.now += 61
    assert await sync.drain() == {Outcome.APPLIED: 2}
    assert (await engine_outside.depth()).total == 0


async def test_a_retry_is_a_row_of_the_database(
    sessions: Sessions, engine: AsyncEngine, engine_outside: MemoryQueue
) -> None:
    del engine
    sync = ZohoSync(sessions, queue=engine_outside, retry=LATER, registry=HandlerRegistry([Flaky]))
    await sync.create_tables()
    Flaky.failures = 1
    await sync.enqueue([invoice("1", 1)])
    assert await sync.drain() == {Outcome.RETRY: 1}
    assert (await engine_outside.depth()).total == 0
    assert (await sync.status()).queue.delayed == 1


async def test_an_event_that_misses_another_parks_in_the_database(
    sync: ZohoSync, engine_outside: MemoryQueue
) -> None:
    await sync.ingest({"invoice": {"invoice_id": "1", "total": "no number"}})
    assert await sync.drain() == {Outcome.DEAD_LETTER: 1}
    assert (await engine_outside.depth()).total == 0
    (letter,) = await sync.dead_letters.list()
    await sync.dead_letters.replay([letter.id])
    assert (await engine_outside.depth()).total == 0
    assert await sync.drain() == {Outcome.DEAD_LETTER: 1}


async def test_a_message_that_holds_no_event_is_a_dead_letter_with_its_bytes(
    sync: ZohoSync, engine_outside: MemoryQueue, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim, garbage = engine_outside.claim, b"\x00 not json"

    async def spoilt(limit: int, *, lease: timedelta) -> list[Job]:
        jobs = await claim(limit, lease=lease)
        return [replace(job, event=undecodable_event(garbage), undecodable=garbage) for job in jobs]

    await sync.enqueue([invoice("1", 1)])
    monkeypatch.setattr(engine_outside, "claim", spoilt)
    assert await sync.drain() == {}
    hands.now += 61
    assert await sync.drain() == {}
    (letter,) = await sync.dead_letters.list()
    assert letter.body == garbage
    assert (await engine_outside.depth()).total == 0


async def test_equal_messages_that_hold_no_event_are_one_dead_letter(
    sync: ZohoSync, engine_outside: MemoryQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They have no id by which several could be told from one that came again."""
    claim, garbage = engine_outside.claim, b"\x00 not json"

    async def spoilt(limit: int, *, lease: timedelta) -> list[Job]:
        jobs = await claim(limit, lease=lease)
        return [replace(job, event=undecodable_event(garbage), undecodable=garbage) for job in jobs]

    monkeypatch.setattr(engine_outside, "claim", spoilt)
    await sync.enqueue([invoice("1", 1), invoice("2", 1)])
    assert await sync.drain() == {}
    await sync.enqueue([invoice("3", 1)])
    assert await sync.drain() == {}
    assert [letter.body for letter in await sync.dead_letters.list()] == [garbage]
    assert (await engine_outside.depth()).total == 0


async def test_a_worker_that_is_stopped_gives_back_to_the_engine(
    sync: ZohoSync, engine_outside: MemoryQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zoho_sync.worker.attempt import Attempt  # noqa: PLC0415  # what is held up

    begun = asyncio.Event()

    async def never(*_: Any) -> None:
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(Attempt, "run", never)
    await sync.enqueue([invoice("1", 1)])
    worker = asyncio.create_task(sync.run())
    await begun.wait()
    worker.cancel()
    with pytest.raises(asyncio.CancelledError):
        await worker
    assert (await engine_outside.depth()).ready == 1
    monkeypatch.undo()
    assert await sync.drain() == {Outcome.APPLIED: 1}


async def test_no_engine_outside_takes_part_in_the_hosts_transaction(
    sync: ZohoSync, sessions: Sessions
) -> None:
    async with sessions() as session, session.begin():
        with pytest.raises(ConfigurationError, match="leave queue= out"):
            await sync.enqueue([invoice("1", 1)], session)


async def test_an_outage_of_the_engine_keeps_the_front_door_honest(
    sync: ZohoSync, engine_outside: MemoryQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any, **__: Any) -> None:
        raise QueueUnavailable

    monkeypatch.setattr(engine_outside, "enqueue", away)
    with pytest.raises(QueueUnavailable):
        await sync.ingest({"invoice": {"invoice_id": "1"}})


async def test_an_outage_of_the_engine_does_not_stop_what_the_database_holds(
    sync: ZohoSync,
    sessions: Sessions,
    engine_outside: MemoryQueue,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await sync.enqueue([invoice(f"1{number}", 1) for number in range(3)], priority=-1)

    async def away(limit: int, *, lease: timedelta) -> list[Job]:
        del limit, lease
        raise QueueUnavailable

    monkeypatch.setattr(engine_outside, "claim", away)
    with pytest.raises(QueueUnavailable):
        await sync.drain()
    assert len(await totals(sessions)) == 3


async def test_what_is_too_large_for_the_engine_is_queued_in_the_database(
    sync: ZohoSync, engine_outside: MemoryQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def small(*_: Any, **__: Any) -> None:
        raise PayloadError("message", "too large")

    monkeypatch.setattr(engine_outside, "enqueue", small)
    receipt = await sync.ingest({"invoice": {"invoice_id": "1"}})
    assert receipt.http_status == 200
    assert (await engine_outside.depth()).total == 0
    assert await sync.drain() == {Outcome.APPLIED: 1}


async def test_a_claim_that_is_interrupted_gives_everything_back(
    sync: ZohoSync,
    engine_outside: MemoryQueue,
    hands: Hands,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is taken over meets an outage of the database: nothing stays leased to nobody."""
    await sync.enqueue([invoice("1", 1), invoice("2", 1)])
    await engine_outside.claim(1, lease=LEASE)
    hands.now += 61
    queue = sync._runtime.queue  # what a worker claims from

    async def interrupted(*_: Any, **__: Any) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(queue, "_take_over", interrupted)
    with pytest.raises(asyncio.CancelledError):
        await queue.claim(10, lease=LEASE)
    assert (await engine_outside.depth()).ready == 2


async def test_a_database_of_the_hosts_own_kind_is_taken_as_it_is(sessions: Sessions) -> None:
    class Inside(MemoryQueue):
        capabilities = Capabilities(enqueues_in_transaction=True, completes_in_transaction=True)

    mine = Inside()
    sync = ZohoSync(sessions, queue=mine, registry=default_registry())
    assert sync._runtime.queue is mine  # what it works with


async def test_a_worker_looks_at_the_queue_first(
    sync: ZohoSync, engine_outside: MemoryQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings that would lose events stop it; a queue that is away is waited for."""

    async def wrong() -> None:
        raise ConfigurationError

    async def away() -> None:
        raise QueueUnavailable

    monkeypatch.setattr(engine_outside, "setup", wrong)
    with pytest.raises(ConfigurationError):
        await sync.run()
    monkeypatch.setattr(engine_outside, "setup", away)
    await sync.enqueue([invoice("1", 1)])
    worker = asyncio.create_task(sync.run())
    async with asyncio.timeout(20):
        while (await engine_outside.depth()).total:  # noqa: ASYNC110  # the queue sends no event
            await asyncio.sleep(0.02)
    worker.cancel()
    with pytest.raises(asyncio.CancelledError):
        await worker
