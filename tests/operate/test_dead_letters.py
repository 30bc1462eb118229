"""Dead letters: listed, replayed under their id and arrival, resolved, purged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from tests.hosts.events import customer
from tests.hosts.shop import Client, Script, create_shop, registry
from tests.hosts.sql import Sessions
from zoho_sync import Outcome, SyncEvent, Unverified, ZohoSync
from zoho_sync.exceptions import ConfigurationError, PayloadError
from zoho_sync.operate.dead_letters import DeadLetterFilter
from zoho_sync.store.dead_letter_rows import describe_error
from zoho_sync.store.tables import library_tables

pytestmark = [
    pytest.mark.databases("sqlite", "postgresql", "mariadb"),
    pytest.mark.breaks_connections,
]

TABLES = library_tables()
NOW = datetime(2024, 6, 1, tzinfo=UTC)


class Shop:
    """A library whose handlers fail as long as they are told to."""

    def __init__(self, sessions: Sessions) -> None:
        self.broken = True
        self.now = NOW
        self.sessions = sessions
        self.sync = ZohoSync(
            sessions,
            registry=registry(Script(before=self._step)),
            verifier=Unverified(),
            clock=lambda: self.now,
        )

    async def _step(self, event: SyncEvent, session: AsyncSession) -> None:
        del session
        if self.broken:
            raise PayloadError("customer.notes", f"cannot be read in {event.entity_id}")

    async def kill(self, *sent: SyncEvent) -> list[str]:
        """Make dead letters of events; return their ids."""
        self.broken = True
        await self.sync.enqueue(sent)
        assert await self.sync.drain() == {Outcome.DEAD_LETTER: len(sent)}
        self.broken = False
        return [event.id for event in sent]

    async def journal(self) -> list[tuple[str, str, str]]:
        """Return id, outcome and reason of what is settled."""
        columns = TABLES.journal.c
        async with self.sessions() as session:
            statement = select(columns.event_id, columns.outcome, columns.reason)
            rows = await session.execute(statement.order_by(columns.id))
            return [(row.event_id, row.outcome, row.reason) for row in rows]

    async def jobs(self) -> list[dict[str, Any]]:
        """Return the rows of the jobs."""
        async with self.sessions() as session:
            rows = await session.execute(select(TABLES.jobs).order_by(TABLES.jobs.c.id))
            return [dict(row) for row in rows.mappings()]


@pytest.fixture
async def shop(engine: AsyncEngine, sessions: Sessions) -> AsyncIterator[Shop]:
    await create_shop(engine)
    shop = Shop(sessions)
    await shop.sync.create_tables()
    yield shop
    await shop.sync.close()


async def test_a_dead_letter_says_everything(shop: Shop) -> None:
    event = customer("1", 1, stamp="s")
    await shop.kill(event)
    (letter,) = await shop.sync.dead_letters.list()
    assert letter == await shop.sync.dead_letters.get(event.id)
    assert (letter.id, letter.entity_type, letter.entity_id) == (event.id, "customer", "1")
    assert (letter.operation, letter.payload) == ("upsert", event.payload)
    assert (letter.error_type, letter.path) == ("PayloadError", "customer.notes")
    assert letter.error == "customer.notes: cannot be read in 1"
    assert (letter.attempts, len(letter.history)) == (1, 1)
    assert letter.arrived_at == letter.died_at == NOW
    assert (letter.body, letter.content_type, letter.hints) == (None, None, None)
    assert await shop.sync.dead_letters.get("unknown") is None


async def test_dead_letters_are_listed_by_what_they_are(shop: Shop) -> None:
    await shop.kill(customer("1", 1), customer("2", 1))
    shop.now += timedelta(days=1)
    await shop.sync.ingest(b'{"invoice": {"total": 1}}')
    letters = shop.sync.dead_letters

    async def found(**wanted: Any) -> int:
        return len(await letters.list(DeadLetterFilter(**wanted)))

    assert len(await letters.list()) == 3
    assert len(await letters.list(limit=2)) == 2
    assert len(await letters.list(DeadLetterFilter())) == 3
    assert await found(entity_type="customer") == 2
    assert await found(error_type="PayloadError") == 3
    assert await found(organization_id="default") == 3
    assert await found(organization_id="other") == 0
    assert await found(died_before=NOW + timedelta(hours=1)) == 2
    assert await found(died_before=NOW) == 0


async def test_a_replay_keeps_id_and_arrival(shop: Shop) -> None:
    """A later event of the entity is not overwritten by an earlier one that is replayed."""
    (old,) = await shop.kill(customer("1", None, stamp="old"))
    (letter,) = await shop.sync.dead_letters.list()
    shop.now += timedelta(hours=1)
    await shop.sync.enqueue([customer("1", None, stamp="new")])
    await shop.sync.drain()
    replayed = await shop.sync.dead_letters.replay(old)
    assert (replayed.queued, replayed.duplicates, replayed.still_dead) == ((old,), (), ())
    (job,) = await shop.jobs()
    assert (job["event_id"], job["arrival_time"]) == (old, letter.arrived_at)
    assert (job["attempts"], len(job["history"])) == (0, 1)
    assert await shop.sync.drain() == {Outcome.STALE: 1}
    assert await shop.sync.dead_letters.list() == []
    async with shop.sessions() as session:
        assert list(await session.scalars(select(Client.note))) == ["new"]


async def test_a_replay_that_fails_again_is_a_dead_letter_with_all_its_history(shop: Shop) -> None:
    (dead,) = await shop.kill(customer("1", 1))
    shop.broken = True
    await shop.sync.dead_letters.replay([dead])
    assert await shop.sync.drain() == {Outcome.DEAD_LETTER: 1}
    (letter,) = await shop.sync.dead_letters.list()
    assert (letter.id, letter.attempts, len(letter.history)) == (dead, 1, 2)


async def test_a_replay_while_an_equal_is_queued_is_a_duplicate(shop: Shop) -> None:
    (dead,) = await shop.kill(customer("1", 1, stamp="s"))
    again = customer("1", 1, stamp="s")
    await shop.sync.enqueue([again])
    replayed = await shop.sync.dead_letters.replay(DeadLetterFilter(entity_type="customer"))
    assert (replayed.queued, replayed.duplicates) == ((), (dead,))
    assert await shop.sync.dead_letters.list() == []
    assert await shop.sync.drain() == {Outcome.APPLIED: 1}
    assert [(event_id, outcome) for event_id, outcome, _ in await shop.journal()] == [
        (dead, "duplicate"),
        (again.id, "applied"),
    ]


async def test_a_body_that_is_understood_by_now_is_applied(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its bytes are read once more by the front door, under the same id and arrival."""
    receipt = await shop.sync.receive(b'{"notes": "s"}', query="entity=customer")
    (dead,) = receipt.event_ids
    letter = await shop.sync.dead_letters.get(dead)
    assert letter is not None
    assert (letter.body, letter.entity_type, letter.payload) == (b'{"notes": "s"}', None, None)
    replayed = await shop.sync.dead_letters.replay(dead)
    assert (replayed.queued, replayed.still_dead) == ((), (dead,))
    understood = customer("1", None, stamp="s")
    monkeypatch.setattr(shop.sync.dead_letters, "_decode_again", lambda *_: understood)
    shop.broken = False
    shop.now += timedelta(hours=1)
    assert (await shop.sync.dead_letters.replay(dead)).queued == (dead,)
    (job,) = await shop.jobs()
    assert (job["event_id"], job["arrival_time"]) == (dead, NOW)
    assert await shop.sync.drain() == {Outcome.APPLIED: 1}


async def test_a_body_that_is_still_not_understood_says_why_now(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    receipt = await shop.sync.ingest(b"no json", entity="customer")

    def refuse(*_: object) -> SyncEvent:
        raise PayloadError("customer.contact_id", "missing")

    monkeypatch.setattr(shop.sync.dead_letters, "_decode_again", refuse)
    replayed = await shop.sync.dead_letters.replay(receipt.event_ids)
    assert replayed.still_dead == receipt.event_ids
    (letter,) = await shop.sync.dead_letters.list()
    assert (letter.path, letter.error) == ("customer.contact_id", "customer.contact_id: missing")
    monkeypatch.setattr(shop.sync.dead_letters, "_decode_again", lambda *_: None)
    assert (await shop.sync.dead_letters.replay(receipt.event_ids)).still_dead
    assert (await shop.sync.dead_letters.list())[0].error == "an empty body"


async def test_what_is_resolved_or_purged_is_journalled(shop: Shop) -> None:
    resolved, purged, explained = await shop.kill(
        customer("1", 1), customer("2", 1), customer("3", None)
    )
    (body,) = (await shop.sync.ingest(b"no json")).event_ids
    letters = shop.sync.dead_letters
    assert await letters.resolve(resolved) == 1
    assert await letters.purge([purged, body]) == 2
    assert await letters.resolve(DeadLetterFilter(entity_type="customer"), reason="paid") == 1
    assert await letters.resolve(resolved) == 0
    assert await letters.list() == []
    assert await shop.journal() == [
        (resolved, "resolved", "resolved by an operator"),
        (purged, "resolved", "purged"),
        (body, "resolved", "purged"),
        (explained, "resolved", "paid"),
    ]
    report = await shop.sync.status()
    assert (report.accepted, report.settled) == (4, {Outcome.RESOLVED: 4})


@pytest.mark.parametrize("nothing", [DeadLetterFilter(), [], ()])
@pytest.mark.parametrize("verb", ["replay", "resolve", "purge"])
async def test_nothing_named_is_refused(shop: Shop, verb: str, nothing: Any) -> None:
    """23: an empty filter would mean every dead letter."""
    (dead,) = await shop.kill(customer("1", 1))
    with pytest.raises(ConfigurationError):
        await getattr(shop.sync.dead_letters, verb)(nothing)
    assert [letter.id for letter in await shop.sync.dead_letters.list()] == [dead]


async def test_hundreds_are_replayed_at_once(shop: Shop) -> None:
    """23: and replaying the same ones once more is harmless."""
    dead = await shop.kill(*(customer(f"1{n}", 1) for n in range(210)))
    replayed = await shop.sync.dead_letters.replay(dead)
    assert replayed.queued == tuple(dead)
    assert (await shop.sync.dead_letters.replay(dead)).queued == ()
    assert await shop.sync.drain() == {Outcome.APPLIED: 210}


async def test_more_may_be_named_than_a_statement_has_arguments(shop: Shop) -> None:
    dead = await shop.kill(customer("1", 1), customer("2", 1))
    named = [dead[1], *(f"gone{number}" for number in range(40_000)), *dead]
    assert (await shop.sync.dead_letters.replay(named)).queued == tuple(dead)


class Mute(Exception):  # it is none of ours
    """An error that cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


class Elsewhere(Exception):  # it is none of ours
    """An error with a path that is none of ours."""

    path = ("1", 1)


ERRORS: list[tuple[Exception, str]] = [
    (RuntimeError("a\x00b"), "a\\0b"),
    (RuntimeError("x" * 5_000_000), "x" * 2_000),
    (RuntimeError("\ud800"), "?"),
    (RuntimeError("\x00" * 5_000), "\\0" * 1_000),
    (RuntimeError(), "RuntimeError"),
    (Mute(), "Mute"),
    (Elsewhere("lost"), "lost"),
    (ModuleNotFoundError("no module"), "no module"),
    (PayloadError("a\x00" * 5_000, "wrong"), f"{'a�' * 200}…: wrong"),
]


@pytest.mark.parametrize(("error", "words"), ERRORS, ids=lambda case: type(case).__name__)
async def test_any_error_can_be_kept(
    engine: AsyncEngine, sessions: Sessions, error: Exception, words: str
) -> None:
    """NUL, megabytes, surrogates, errors that fail themselves: recording one never fails."""

    async def fail(event: SyncEvent, session: AsyncSession) -> None:
        del event, session
        raise error

    await create_shop(engine)
    sync = ZohoSync(sessions, registry=registry(Script(before=fail)), clock=lambda: NOW)
    await sync.create_tables()
    await sync.enqueue([customer("1", 1)])
    (outcome,) = await sync.drain()
    described = describe_error(error)
    assert described["error"] == words
    if outcome is Outcome.DEAD_LETTER:
        (letter,) = await sync.dead_letters.list()
        assert (letter.error, letter.error_type) == (words, type(error).__name__)
        return
    async with sessions() as session:
        (history,) = await session.scalars(select(TABLES.jobs.c.history))
    assert [(entry["error"], entry["error_type"]) for entry in history] == [
        (words, type(error).__name__)
    ]


@pytest.mark.without_tables
async def test_without_its_tables_the_library_says_how_to_make_them(sessions: Sessions) -> None:
    sync = ZohoSync(sessions)
    for call in (
        sync.status(),
        sync.dead_letters.list(),
        sync.dead_letters.get("1"),
        sync.dead_letters.replay("1"),
        sync.dead_letters.resolve("1"),
        sync.dead_letters.purge("1"),
        sync.parked.list(),
        sync.ingest({"item": {"item_id": "1"}}),
        sync.ingest(b"no JSON"),
    ):
        with pytest.raises(ConfigurationError, match="the library's tables are missing"):
            await call


async def test_undecodable_body_that_comes_again_is_one_letter_with_a_counter(
    sessions: Sessions,
) -> None:
    """Zoho sends again what it got no answer for, and everybody who saves a template tries it."""
    shop = Shop(sessions)
    sync = shop.sync
    await sync.create_tables()
    first = await sync.receive(b"no JSON")
    for _ in range(3):
        shop.now += timedelta(minutes=1)
        assert await sync.receive(b"no JSON") == first
    # Eight at once, of a body that nobody has seen: whoever comes first makes the row.
    receipts = await asyncio.gather(*(sync.receive(b"at once") for _ in range(8)))
    assert len({receipt.event_ids for receipt in receipts}) == 1
    assert {receipt.http_status for receipt in receipts} == {200}
    # Equal bytes of which something else is said are another letter, if it bears on the reading.
    await sync.receive(b"no JSON", entity="item")
    await sync.receive(b"no JSON", headers={"content-type": "text/plain"})
    await sync.receive(b"no JSON", headers={"content-type": "text/plain; charset=latin1"})
    letters = await sync.dead_letters.list()
    assert [letter.deliveries for letter in letters] == [5, 8, 1, 1]
    assert (letters[0].id,) == first.event_ids
    assert (letters[0].arrived_at, letters[0].last_arrived_at) == (NOW, shop.now)
    assert letters[2].arrived_at == letters[2].last_arrived_at == shop.now
    assert await sync.dead_letters.get(letters[0].id) == letters[0]


@pytest.mark.parametrize("close", ["resolve", "purge"])
async def test_letter_that_was_closed_swallows_no_later_delivery(
    sessions: Sessions, close: str
) -> None:
    sync = Shop(sessions).sync
    await sync.create_tables()
    (old,) = (await sync.receive(b"no JSON")).event_ids
    assert (await sync.dead_letters.replay(old)).still_dead == (old,)
    assert (await sync.receive(b"no JSON")).event_ids == (old,)
    assert await getattr(sync.dead_letters, close)(old) == 1
    (new,) = (await sync.receive(b"no JSON")).event_ids
    assert new != old
    (letter,) = await sync.dead_letters.list()
    assert (letter.id, letter.deliveries) == (new, 1)


async def test_delivery_is_counted_or_kept_while_its_letter_is_being_closed(
    sessions: Sessions,
) -> None:
    """Whatever comes first: a delivery that was answered is in a letter, or was closed with one."""
    sync = Shop(sessions).sync
    await sync.create_tables()

    async def deliver() -> str:
        return (await sync.receive(b"no JSON")).event_ids[0]

    async def close() -> int:
        return await sync.dead_letters.purge(
            [letter.id for letter in await sync.dead_letters.list()]
        )

    await deliver()
    for _ in range(5):
        *given, closed = await asyncio.gather(deliver(), deliver(), close())
        left = {letter.id for letter in await sync.dead_letters.list()}
        # One that is being counted at that moment is locked, and left alone.
        assert closed in {0, 1}
        assert len(left) <= 1
        assert left <= {*given}
        await deliver()
