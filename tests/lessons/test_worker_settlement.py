"""Settles a batch with its writes: in one transaction, and again after a deadlock."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress

import pytest
from sqlalchemy import insert, select, update

from tests.hosts import tables
from tests.hosts.application import open_host
from tests.hosts.documents import customer
from tests.hosts.handlers import Clients
from tests.hosts.sql import Sessions, library
from zoho_sync import Outcome, SyncEvent, SyncResult


class _LooksFromOutside(Clients):
    """Counts, over another connection, what others see while the event is applied."""

    outside: Sessions
    seen: tuple[int, int]

    async def after_apply(self, event: SyncEvent, result: SyncResult) -> None:
        async with self.outside() as session:
            jobs = (await session.execute(select(library.jobs.c.id))).all()
            rows = (await session.execute(select(tables.clients.c.id))).all()
        type(self).seen = (len(jobs), len(rows))
        await super().after_apply(event, result)


async def test_lesson_04_job_completes_together_with_the_write(sessions: Sessions) -> None:
    """It would be back if the row, or the end of the job, were committed before the other."""
    _LooksFromOutside.outside = sessions
    host = await open_host(sessions, [_LooksFromOutside])
    await host.take(customer())
    assert _LooksFromOutside.seen == (1, 0)
    assert (await host.count(library.jobs), await host.count(tables.clients)) == (0, 1)


class _Points(Clients):
    """Gives points to other clients, one after the other as the document names them."""

    waiting: set[str]
    together: asyncio.Event

    async def after_apply(self, event: SyncEvent, result: SyncResult) -> None:
        await super().after_apply(event, result)
        for name in str(event.payload["notes"]).split():
            table = tables.clients
            statement = update(table).where(table.c.zoho_id == name)
            points = table.c.points + 1
            await self.execute_with_context(statement.values(points=points))
            # Each of the two holds a row by now that the other one wants.
            self.waiting.add(event.entity_id)
            if len(self.waiting) == 2:
                self.together.set()
            with suppress(TimeoutError):
                await asyncio.wait_for(self.together.wait(), 5)


# SQLite has one writer: nobody holds one row and wants another.
@pytest.mark.databases("postgresql", "mariadb")
async def test_lesson_48_deadlock_of_two_deliveries(sessions: Sessions) -> None:
    """It would be back if two that lock the same rows in other orders lost one of them."""
    _Points.waiting, _Points.together = set(), asyncio.Event()
    host = await open_host(sessions, [_Points], batch_size=1)
    for name in ("a", "b"):
        row = {"zoho_id": name, "name": name, "created_by": "x"}
        await host.write(insert(tables.clients).values(row))
    await host.receive(customer("11", notes="a b"), customer("12", notes="b a"))
    # Of workers that share nothing but the database.
    twin = await open_host(sessions, [_Points], batch_size=1)
    counts = await asyncio.gather(host.sync.drain(), twin.sync.drain())
    assert sum((Counter(each) for each in counts), Counter()) == {Outcome.APPLIED: 2}
    rows = await host.rows(tables.clients)
    assert {row["zoho_id"]: row["points"] for row in rows} == {
        "a": 2,
        "b": 2,
        "11": 0,
        "12": 0,
    }
    assert {row["attempts"] for row in await host.rows(library.journal)} == {0}
