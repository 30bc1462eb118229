"""Keeps ids, locks and parked events right beside other workers, and beside equals."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from tests.hosts import tables
from tests.hosts.application import Host, open_host
from tests.hosts.documents import at, customer, invoice, item, line
from tests.hosts.handlers import Clients, Invoices, Products
from tests.hosts.sql import Sessions, library
from zoho_sync import ConfigurationError, Outcome, ReceiptStatus, SyncEvent
from zoho_sync.worker.maintenance import Maintenance

pytestmark = [
    pytest.mark.databases("sqlite", "postgresql", "mariadb"),
    pytest.mark.breaks_connections,
]

LEASE = timedelta(seconds=60)


async def test_ruling_job_ids_are_never_used_twice(erp: Host) -> None:
    """An id is the tie-break of arrivals: a reused one would take a later event for an earlier."""
    async with erp.sessions() as session:
        seen = []
        for number in range(3):
            await erp.receive(customer(f"1{number}"))
            seen += list(await session.scalars(select(library.jobs.c.id)))
            await session.rollback()
            await erp.sync.drain()
    assert seen == sorted(set(seen))
    assert len(seen) == 3


async def test_ruling_versions_are_read_from_locked_rows(erp: Host) -> None:
    """Read before the lock was had, the older event would overwrite what just committed."""
    await erp.take(customer())
    await erp.receive(customer(contact_name="Older", last_modified_time=at(4)))
    async with erp.sessions() as session, session.begin():
        newer = customer(contact_name="Newer", last_modified_time=at(5))["contact"]
        await Clients(session).sync(newer)
        draining = asyncio.ensure_future(erp.sync.drain())
        done, _ = await asyncio.wait({draining}, timeout=0.5)
        assert not done
    assert await draining == {Outcome.STALE: 1}
    assert (await erp.row(tables.clients))["name"] == "Newer"


async def test_ruling_no_wake_up_is_lost(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parking without holding the target, the target could arrive unseen in between."""

    async def nothing(_: Maintenance) -> int:
        return 0

    monkeypatch.setattr(Maintenance, "sweep", nothing)  # it would hide the loss
    hosts = [await open_host(sessions, batch_size=1) for _ in range(2)]
    rounds = 40 if (await _dialect(sessions)) == "postgresql" else 8
    for number in range(rounds):
        waits = invoice(
            f"2{number}", customer_id=f"1{number}", line_items=[line(item_id=f"4{number}")]
        )
        await hosts[0].receive(waits, customer(f"1{number}"), item(f"4{number}"))
        await asyncio.gather(*(host.sync.drain() for host in hosts))
    await hosts[0].sync.drain()
    report = await hosts[0].sync.status()
    assert (report.parked, report.queue.ready) == (0, 0)
    if report.queue.delayed:  # somebody held the target; they are due in a second
        await hosts[0].write(
            update(library.jobs).values(not_before=datetime(2024, 1, 1, tzinfo=UTC))
        )
        await hosts[0].sync.drain()
    assert await hosts[0].count(tables.invoices) == rounds
    assert await hosts[0].sync.dead_letters.list() == []


async def _dialect(sessions: Sessions) -> str:
    async with sessions() as session:
        name: str = session.get_bind().dialect.name
        return name


class _Moody(Invoices):
    """Refuses everything for a while."""

    refuses: bool

    async def before_apply(self, event: SyncEvent) -> None:
        await super().before_apply(event)
        if self.refuses:
            raise ConfigurationError


async def test_ruling_waking_beside_an_equal_settles_a_duplicate(sessions: Sessions) -> None:
    """A unique violation there would fail the customer that everybody waits for."""
    host = await open_host(sessions, [Clients, Products, _Moody])
    _Moody.refuses = True
    assert await host.take(invoice()) == {Outcome.DEAD_LETTER: 1}
    _Moody.refuses = False
    assert await host.take(invoice()) == {Outcome.PARKED: 1}
    (letter,) = await host.sync.dead_letters.list()
    await host.sync.dead_letters.replay(letter.id)
    leased = await host.sync._runtime.queue.claim(1, lease=LEASE)
    assert [job.event.id for job in leased] == [letter.id]
    assert await host.take(customer()) == {Outcome.APPLIED: 1}
    assert await host.sync.parked.list() == []
    assert (Outcome.DUPLICATE, "equal to one that is queued") in await host.journal()
    await host.sync._runtime.queue.release(leased)
    assert await host.sync.drain() == {Outcome.APPLIED: 1}
    assert (await host.sync.status()).accepted == 3


async def test_ruling_replaying_beside_an_equal_settles_a_duplicate(sessions: Sessions) -> None:
    """A unique violation there would fail the replay of everything else."""
    host = await open_host(sessions, [Clients, Products, _Moody])
    _Moody.refuses = True
    await host.take(customer(), invoice(), invoice("22", invoice_number="INV-2"))
    _Moody.refuses = False
    first, second = await host.sync.dead_letters.list()
    (equal,) = await host.receive(invoice())
    assert equal.status is ReceiptStatus.ACCEPTED
    replayed = await host.sync.dead_letters.replay([first.id, second.id])
    assert (replayed.queued, replayed.duplicates) == ((second.id,), (first.id,))
    assert await host.sync.drain() == {Outcome.APPLIED: 2}
    report = await host.sync.status()
    assert (report.accepted, report.dead_letters) == (4, 0)
