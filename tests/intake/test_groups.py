"""Callers that come at once share transactions, and nothing else: no error, no cancellation."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import event, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from tests.hosts.events import customer
from tests.hosts.sql import Sessions, count, library, rows
from zoho_sync import QueueUnavailable, Receipt, Unverified, ZohoSync, mirror

pytestmark = [pytest.mark.databases("sqlite", "postgresql", "psycopg", "mariadb")]

CALLERS = 40


@pytest.fixture
async def sync(sessions: Sessions) -> ZohoSync:
    made = ZohoSync(sessions, verifier=Unverified())
    await made.create_tables()
    return made


@pytest.fixture
def commits(engine: AsyncEngine) -> Iterator[list[None]]:
    """One entry for each transaction that was committed."""
    seen: list[None] = []

    def note(_connection: Any) -> None:
        seen.append(None)

    event.listen(engine.sync_engine, "commit", note)
    yield seen
    event.remove(engine.sync_engine, "commit", note)


def body(number: int) -> bytes:
    contact = {"contact_id": f"7{number}", "contact_type": "customer", "contact_name": "N"}
    return json.dumps({"contact": contact}).encode()


async def at_once(sync: ZohoSync, bodies: list[bytes]) -> list[Receipt]:
    return await asyncio.gather(*(sync.receive(each) for each in bodies))


async def test_who_comes_at_once_shares_transactions(
    sync: ZohoSync, sessions: Sessions, commits: list[None]
) -> None:
    await sync.receive(body(0))
    alone = len(commits)
    commits.clear()
    receipts = await at_once(sync, [body(number) for number in range(1, CALLERS + 1)])
    assert alone == 1
    assert len(commits) <= 3
    assert {receipt.status for receipt in receipts} == {"accepted"}
    stored = {row["event_id"]: row["entity_id"] for row in await rows(sessions, library.jobs)}
    told = [stored[receipt.event_ids[0]] for receipt in receipts]
    assert told == [f"7{number}" for number in range(1, CALLERS + 1)]  # to each its own
    assert sum((await sync.drain()).values()) == CALLERS + 1


async def test_equals_in_one_group_are_one_event(sync: ZohoSync, sessions: Sessions) -> None:
    timed = {"contact_id": "1", "contact_type": "customer", "last_modified_time": "2024-05-01Z"}
    timed["last_modified_time"] = "2024-05-01T10:00:00Z"
    bodies = [json.dumps({"contact": timed}).encode()] * 10
    receipts = await at_once(sync, bodies)
    assert sorted(receipt.status for receipt in receipts) == ["accepted", *["duplicate"] * 9]
    assert len({receipt.event_ids for receipt in receipts}) == 1
    assert await count(sessions, library.jobs) == 1


async def test_who_is_cancelled_takes_nobody_along(sync: ZohoSync, sessions: Sessions) -> None:
    tasks = [asyncio.create_task(sync.receive(body(number))) for number in range(CALLERS)]
    for step in itertools.count():
        if step == CALLERS or tasks[step].done():
            break
        await asyncio.sleep(0)
        if step % 2:
            tasks[step].cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    kept = [each for each in answers if isinstance(each, Receipt)]
    assert len(kept) >= CALLERS // 2
    assert {receipt.status for receipt in kept} == {"accepted"}
    there = {row["event_id"] for row in await rows(sessions, library.jobs)}
    assert {receipt.event_ids[0] for receipt in kept} <= there
    # The next one waits for nobody who has gone.
    assert (await asyncio.wait_for(sync.receive(body(9_999)), 10)).status == "accepted"


@pytest.mark.databases("postgresql", "psycopg", "mariadb")
async def test_what_the_database_refuses_is_one_callers_alone(
    sync: ZohoSync, sessions: Sessions
) -> None:
    events = [customer(f"7{number}") for number in range(10)]
    events[3] = replace(events[3], id="x" * 1_000)
    answers = await asyncio.gather(
        *(sync.enqueue([each]) for each in events), return_exceptions=True
    )
    assert [number for number, each in enumerate(answers) if isinstance(each, Exception)] == [3]
    assert isinstance(answers[3], QueueUnavailable)
    assert await count(sessions, library.jobs) == 9


async def test_callers_keep_their_priorities_and_their_order(
    sync: ZohoSync, sessions: Sessions
) -> None:
    calls = [[customer(f"{call}{step}") for step in range(5)] for call in range(1, 9)]
    receipts = await asyncio.gather(
        *(sync.enqueue(call, priority=number % 3) for number, call in enumerate(calls))
    )
    assert [len(each) for each in receipts] == [5] * len(calls)
    stored = await rows(sessions, library.jobs)
    for number, call in enumerate(calls):
        own = [row for row in stored if row["event_id"] in {each.id for each in call}]
        assert [row["event_id"] for row in own] == [each.id for each in call]
        assert {row["priority"] for row in own} == {number % 3}


@pytest.mark.databases("postgresql", "psycopg", "mariadb")
async def test_equals_that_two_processes_store_in_opposite_orders_lose_nothing(
    sync: ZohoSync, sessions: Sessions
) -> None:
    """The database ends one of two that wait for each other: it stores the rest once more."""
    other = ZohoSync(sessions)
    many = 1_100  # more than one statement's rows: the two are sure to meet
    for turn in range(2):
        events = [customer(f"7{turn}0{number}") for number in range(many)]
        copies = [replace(each, id=f"{each.id}x") for each in reversed(events)]
        one, two = await asyncio.gather(sync.enqueue(events), other.enqueue(copies))
        accepted = [each for each in (*one, *two) if each.status == "accepted"]
        assert len(accepted) == many
        assert await count(sessions, library.jobs) == many * (turn + 1)


async def test_of_one_second_the_later_counts(sync: ZohoSync, sessions: Sessions) -> None:
    """In a group as well: what came later is later."""
    events = [customer("71", stamp=str(number)) for number in range(CALLERS)]
    await asyncio.gather(*(sync.enqueue([each]) for each in events))
    await sync.drain()
    async with sessions() as session:
        notes = await session.scalar(select(mirror.customers.c.notes))
    assert notes == str(CALLERS - 1)


async def test_an_outage_is_told_to_everybody_and_leaves_nothing_behind(
    sync: ZohoSync, engine: AsyncEngine
) -> None:
    await sync.receive(body(1))
    async with engine.begin() as connection:
        await connection.run_sync(library.jobs.drop)
    answers = await asyncio.gather(
        *(sync.receive(body(number)) for number in range(10)), return_exceptions=True
    )
    assert {type(each) for each in answers} == {QueueUnavailable}
    await sync.create_tables()
    assert (await sync.receive(body(1))).status == "accepted"


async def test_a_factory_that_asks_the_caller_for_a_tenant_fails(sessions: Sessions) -> None:
    """Otherwise one caller's deliveries would be stored for another's tenant."""
    tenant = ContextVar[str]("tenant")

    def asking() -> AsyncSession:
        tenant.get()
        return sessions()

    tenant.set("a")
    sync = ZohoSync(asking, verifier=Unverified())
    await sync.create_tables()
    with pytest.raises((LookupError, SQLAlchemyError)):
        await sync.receive(body(1))
