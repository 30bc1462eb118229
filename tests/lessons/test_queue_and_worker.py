"""The queue and its workers: failures, poison, clocks, and how they end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import QueuePool, insert, text
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from tests.hosts import tables
from tests.hosts.application import Host, open_host
from tests.hosts.documents import at, customer
from tests.hosts.handlers import Clients
from tests.hosts.sql import Sessions, library
from zoho_sync import Outcome, SyncEvent, SyncResult, mirror
from zoho_sync.payloads import CustomerPayload

pytestmark = pytest.mark.breaks_connections


class _OrmClients(Clients):
    """Writes by the ORM; the database refuses a client without a name at the flush."""

    async def upsert(self, payload: CustomerPayload) -> Any:
        name = payload.contact_name
        client = tables.Client(zoho_id=payload.entity_id, name=name, created_by="orm")
        self.session.add(client)
        if payload.email:
            await self.session.flush()
            return client.id
        return None


@pytest.mark.parametrize("email", ["", "a@b.c"])  # flushed by the library, or by the handler
async def test_lesson_37_failure_handling_reads_no_expired_state(
    engine: AsyncEngine, email: str
) -> None:
    """It would be back if recording a failed flush failed itself, or lost the neighbours."""
    sessions = async_sessionmaker(engine)  # expire_on_commit=True
    host = await open_host(sessions, [_OrmClients])
    bad = customer("bad", contact_name="", email=email)
    counts = await host.take(customer("c1"), bad, customer("c2", email=email))
    assert counts == {Outcome.APPLIED: 2, Outcome.DEAD_LETTER: 1}
    ((_, error),) = await host.dead()
    assert "name" in error
    assert "greenlet" not in error
    assert "INSERT" not in error
    assert [row["zoho_id"] for row in await host.rows(tables.clients)] == ["c1", "c2"]


async def test_lesson_38_poison_stays_in_the_dead_letters(erp: Host) -> None:
    """It would be back if a dead letter went back by itself, or a replay forgot its history."""
    assert await erp.take(customer(email=["x"])) == {Outcome.DEAD_LETTER: 1}
    assert await erp.sync.drain() == {}
    (letter,) = await erp.sync.dead_letters.list()
    for failures in (2, 3):
        replayed = await erp.sync.dead_letters.replay(letter.id)
        assert replayed.queued == (letter.id,)
        assert await erp.sync.drain() == {Outcome.DEAD_LETTER: 1}
        (again,) = await erp.sync.dead_letters.list()
        assert (again.id, again.arrived_at) == (letter.id, letter.arrived_at)
        assert len(again.history) == failures
    assert (await erp.sync.status()).queue.total == 0


async def test_lesson_39_dead_letters_are_counted_where_they_live(erp: Host) -> None:
    """It would be back if the status counted something else than the list holds."""
    await erp.take(customer("1", email=["x"]), customer("2", email=["x"]), b"{not json")
    report = await erp.sync.status()
    assert report.dead_letters == len(await erp.sync.dead_letters.list()) == 3
    assert report.recent == {Outcome.DEAD_LETTER: 3}
    assert not report.healthy


@pytest.fixture
def far_east(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process whose local time is far from UTC."""
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.databases("sqlite", "postgresql")
@pytest.mark.usefixtures("far_east")
async def test_lesson_40_times_are_aware_and_utc(engine: AsyncEngine, sessions: Sessions) -> None:
    """It would be back if a naive time were guessed, or a local one stored or compared."""
    if engine.dialect.name == "postgresql":
        async with engine.begin() as connection:
            name = engine.url.database
            await connection.execute(text(f"ALTER DATABASE \"{name}\" SET timezone = 'Asia/Tokyo'"))
        await engine.dispose()
    host = await open_host(sessions, None)
    noon = datetime(2024, 5, 17, 12, tzinfo=UTC)
    # Later on the wall clock, earlier in time.
    bodies = [
        customer(contact_name="New", last_modified_time="2024-05-17T04:00:00-0800"),
        customer(contact_name="Old", last_modified_time="2024-05-17T17:00:00+0530"),
        customer(contact_name="Naive", last_modified_time="2024-05-17T23:00:00"),
    ]
    counts = await host.take(bodies[0])
    assert counts == {Outcome.APPLIED: 1}
    assert await host.take(*bodies[1:]) == {Outcome.STALE: 1}
    row = await host.row(mirror.customers)
    assert (row["contact_name"], row["last_modified_time"]) == ("New", noon)
    assert [path for path, _ in await host.dead()] == ["customer.last_modified_time"]
    report = await host.sync.status()
    for moment in (report.at, report.last_arrival):
        assert moment is not None
        assert moment.utcoffset() == timedelta(0)
        assert abs(datetime.now(UTC) - moment) < timedelta(minutes=5)
    ledger = await host.row(library.ledger)
    assert ledger["effective_time"] == noon


class _Killed(BaseException):
    """Stands for the death of a process: nothing of the worker runs afterwards."""


class _Poison(Clients):
    """Kills the worker that applies one certain client."""

    async def before_apply(self, event: SyncEvent) -> None:
        if event.entity_id == "poison":
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
    await host.receive(customer("c1"), customer("poison"), customer("c2"))
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
    assert [row["zoho_id"] for row in await host.rows(tables.clients)] == ["c1", "c2"]
    (letter,) = await host.sync.dead_letters.list()
    assert (letter.entity_id, letter.error_type) == ("poison", "WorkerDied")


class _Slow(Clients):
    """Writes its row, and then takes for ever the first time."""

    patient: bool
    reached: asyncio.Event

    async def after_apply(self, event: SyncEvent, result: SyncResult) -> None:
        await super().after_apply(event, result)
        if self.patient:
            self.reached.set()
            await asyncio.sleep(60)


async def _cancelled(work: Awaitable[Any]) -> None:
    """Start the work, and cancel it once its row is written and not committed."""
    _Slow.patient, _Slow.reached = True, asyncio.Event()
    task = asyncio.ensure_future(work)
    await _Slow.reached.wait()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert task.cancelled()
    _Slow.patient = False


@pytest.mark.parametrize("way", ["drain", "run"])
async def test_lesson_46_shutdown_keeps_the_job(sessions: Sessions, way: str) -> None:
    """It would be back if a cancelled worker lost the job, its row half-way, or an attempt."""
    host = await open_host(sessions, [_Slow])
    await host.receive(customer("c1"), customer("c2"))
    await _cancelled(host.sync.drain() if way == "drain" else host.sync.run())
    assert await host.count(tables.clients) == 0
    jobs = await host.rows(library.jobs)
    assert [(job["attempts"], job["lease_token"], job["suspect"]) for job in jobs] == [
        (0, None, False),
        (0, None, False),
    ]
    assert await host.sync.drain() == {Outcome.APPLIED: 2}


@pytest.mark.databases("sqlite", "postgresql")
async def test_lesson_47_cancellation_returns_a_clean_connection(engine: AsyncEngine) -> None:
    """It would be back if the next user of the connection committed what was cancelled."""
    sessions = async_sessionmaker(engine)
    host = await open_host(sessions, [_Slow])
    session = sessions()
    await _cancelled(_Slow(session).sync(customer()["contact"]))
    assert not session.in_transaction()
    assert isinstance(engine.pool, QueuePool)
    assert engine.pool.checkedout() == 0
    async with engine.connect() as connection:
        raw = await connection.get_raw_connection()
        driver: Any = raw.driver_connection
        busy = (
            driver.in_transaction
            if engine.dialect.name == "sqlite"
            else bool(driver.is_in_transaction())
        )
        assert not busy
    own = {"zoho_id": "own", "name": "x", "created_by": "x"}
    await host.write(insert(tables.clients).values(own))
    assert [row["zoho_id"] for row in await host.rows(tables.clients)] == ["own"]
    assert await host.count(library.ledger) == 0
    result = await _Slow(session).sync(customer(last_modified_time=at(1))["contact"])
    assert result.outcome is Outcome.APPLIED
    await session.close()
