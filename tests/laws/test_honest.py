"""Law 8: what is said about the synchronisation is what was recorded, and nothing better."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.hosts.clock import Hands
from tests.hosts.documents import at, customer
from tests.hosts.handlers import CLIENTS
from tests.hosts.sql import Sessions, clear, library, make, rows
from tests.hosts.tables import metadata
from tests.laws.tools import EXAMPLES
from zoho_sync import HandlerRegistry, Outcome, RetryPolicy, SyncEvent, ZohoSync
from zoho_sync.handlers import CustomerHandler


class Clients(CustomerHandler):
    mapping = replace(CLIENTS, when=lambda payload: payload.status != "inactive")

    async def before_apply(self, event: SyncEvent) -> None:
        """Fail as a service does that is down."""
        if event.payload.get("contact_name") == "flaky":
            raise ConnectionError("the service does not answer")


BAD: Final = customer(last_modified_time="soon")
NAMELESS: Final = {"contact": {"contact_id": "19", "contact_type": "customer"}}


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
async def sync(sessions: Sessions, clock: Hands) -> ZohoSync:
    """A host with one table."""
    sync = ZohoSync(
        sessions,
        registry=HandlerRegistry([Clients]),
        retry=RetryPolicy(max_attempts=3, base_delay=timedelta(minutes=10)),
        clock=clock,
    )
    await sync.create_tables()
    await make(sessions, metadata)
    return sync


STEPS: Final = st.lists(
    st.sampled_from(["good", "again", "late", "ignored", "bad", "flaky", "parked", "drain"])
    | st.sampled_from(["resolve", "hour", "day"]),
    min_size=1,
    max_size=12,
)
SENT: Final = {
    "again": customer(),
    "late": customer(last_modified_time="2020-01-01T00:00:00Z", notes="late"),
    "ignored": customer("13", status="inactive"),
    "bad": BAD,
    "flaky": customer("14", contact_name="flaky"),
    "parked": NAMELESS,
}


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=STEPS, hours=st.sampled_from([1, 24, 72]))
async def test_law_8_every_figure_is_a_count_of_rows(
    sync: ZohoSync, sessions: Sessions, clock: Hands, steps: list[str], hours: int
) -> None:
    await clear(sessions, metadata)
    for number, step in enumerate(steps):
        await _do(sync, clock, step, number)
    report = await sync.status(window=timedelta(hours=hours))
    journal, dead = (
        await rows(sessions, library.journal),
        await rows(sessions, library.dead_letters),
    )
    jobs, parked = await rows(sessions, library.jobs), await rows(sessions, library.parked)
    assert report.settled == Counter(Outcome(each["outcome"]) for each in journal)
    assert (report.queue.total, report.parked) == (len(jobs), len(parked))
    assert report.dead_letters == len(dead)
    since = report.at - timedelta(hours=hours)
    recent = Counter(Outcome(each["outcome"]) for each in journal if each["settled_at"] > since)
    recent[Outcome.DEAD_LETTER] = sum(each["died_at"] > since for each in dead)
    assert report.recent == +recent
    by_type = Counter((each["entity_type"], Outcome(each["outcome"])) for each in journal)
    assert by_type == Counter(
        {
            (None if name == "(not understood)" else name, outcome): count
            for name, found in report.entities.items()
            for outcome, count in found.items()
        }
    )
    arrivals = [each["arrival_time"] for each in (*journal, *dead, *jobs, *parked)]
    assert report.last_arrival == max(arrivals, default=None)
    worked = sum(recent[each] for each in (Outcome.APPLIED, Outcome.STALE, Outcome.DUPLICATE))
    failed = recent[Outcome.DEAD_LETTER] + sum(each["attempts"] > 0 for each in jobs)
    assert not (failed and not worked and report.healthy)


async def _do(sync: ZohoSync, clock: Hands, step: str, number: int) -> None:
    if step == "good":
        await sync.ingest(customer("11", notes=f"{number}", last_modified_time=at(number)))
    elif step in SENT:
        await sync.ingest(SENT[step])
    elif step == "drain":
        await sync.drain()
    elif step == "resolve":
        ids = [letter.id for letter in await sync.dead_letters.list()]
        if ids:
            await sync.dead_letters.resolve(ids)
    else:
        clock.move(hours=1 if step == "hour" else 23)


async def problems(sync: ZohoSync, **window: float) -> str:
    """Return what is wrong, as one text; it goes with the verdict."""
    report = await sync.status(timedelta(**window)) if window else await sync.status()
    assert report.healthy is (not report.problems)
    return "; ".join(report.problems)


async def test_law_8_all_is_well_while_events_are_applied(sync: ZohoSync) -> None:
    assert "nothing was ever received" in await problems(sync)
    await sync.ingest(customer())
    assert await problems(sync) == ""
    await sync.drain()
    assert await problems(sync) == ""


async def test_law_8_no_success_is_never_healthy(sync: ZohoSync, clock: Hands) -> None:
    await sync.ingest(BAD)
    await sync.drain()
    assert "dead letters" in await problems(sync)
    # What an operator closes, or the mapping ignores, is no success either.
    for number in range(5):
        await sync.ingest(customer(f"1{number}", status="inactive"))
        await sync.ingest(BAD | {"number": number})
    await sync.drain()
    letters = await sync.dead_letters.list()
    await sync.dead_letters.resolve([letter.id for letter in letters[1:]])
    assert "dead letters" in await problems(sync)
    await sync.dead_letters.purge([letters[0].id])
    clock.move(hours=1)
    assert await problems(sync) == ""  # nothing is left that would be wrong


async def test_law_8_event_that_only_fails_is_noticed(sync: ZohoSync) -> None:
    """From its first failure, although it is only waiting for its next attempt."""
    await sync.ingest(customer(contact_name="flaky"))
    assert await sync.drain() == {Outcome.RETRY: 1}
    assert "failed" in await problems(sync)


@pytest.mark.parametrize("claimed", [False, True])
async def test_law_8_stuck_queue_is_noticed(
    engine: AsyncEngine, sync: ZohoSync, clock: Hands, *, claimed: bool
) -> None:
    """Whether nobody works, or whoever does has died with the event in its hands."""
    await sync.ingest(customer())
    if claimed:
        await sync._runtime.queue.claim(1, lease=timedelta(seconds=30))
    clock.move(minutes=4)
    assert await problems(sync) == ""
    clock.move(minutes=2)
    assert "waiting since" in await problems(sync)
    report = await sync.status()
    assert (report.queue.ready, report.queue.leased) == (1, 0)
    await sync.drain()
    assert await problems(sync) == ""
    assert engine is not None


async def test_law_8_window_in_which_all_park_is_noticed(sync: ZohoSync) -> None:
    for number in range(20):
        await sync.ingest({"contact": NAMELESS["contact"] | {"contact_id": f"1{number}"}})
    assert await sync.drain() == {Outcome.PARKED: 20}
    assert await problems(sync) == "20 event(s) were parked, and none was applied"
    await sync.ingest(customer())
    await sync.drain()
    assert await problems(sync) == ""


async def test_law_8_what_comes_back_is_not_late(sync: ZohoSync, clock: Hands) -> None:
    """It arrived hours ago, and waits since a moment ago."""
    await sync.ingest(customer(outstanding_receivable_amount="a lot"))
    await sync.ingest(NAMELESS)
    await sync.drain()
    clock.move(hours=3)
    for number in range(3):
        await sync.ingest(customer(f"1{number}"))
    await sync.drain()
    await sync.dead_letters.replay([letter.id for letter in await sync.dead_letters.list()])
    await sync.apply(SyncEvent("customer", "19", customer("19")["contact"]))
    assert (await sync.status()).queue.ready == 2
    assert await problems(sync) == ""
    clock.move(minutes=6)
    assert "waiting since" in await problems(sync)


# SQLite has one writer: nothing is settled while the report is read.
@pytest.mark.databases("postgresql", "mariadb")
async def test_law_8_report_is_of_one_moment(
    sync: ZohoSync, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event that is settled while the report is read is counted once."""
    await sync.ingest(customer())
    queue = sync._runtime.queue
    depth = queue.depth

    async def slowly(**arguments: Any) -> Any:
        read = await depth(**arguments)
        await sync.drain()
        return read

    monkeypatch.setattr(queue, "depth", slowly)
    report = await sync.status()
    assert (report.accepted, report.queue.total) == (1, 1)
    monkeypatch.undo()
    assert (await sync.status()).settled == {Outcome.APPLIED: 1}


async def test_law_8_silence_is_noticed(sync: ZohoSync, clock: Hands) -> None:
    await sync.ingest(customer())
    await sync.drain()
    clock.move(hours=23)
    assert await problems(sync) == ""
    clock.move(hours=2)
    assert "nothing was received since" in await problems(sync)
    assert await problems(sync, days=3) == ""
    last = (await sync.status()).last_arrival
    assert isinstance(last, datetime)
    assert last < clock.now - timedelta(hours=24)
    await sync.ingest(b"")  # a ping is no event
    assert "nothing was received" in await problems(sync)
    await sync.ingest(customer("12"))
    assert await problems(sync) == ""
