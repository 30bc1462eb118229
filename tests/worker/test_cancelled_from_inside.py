"""A cancellation that nobody asked for is an error of its event, and no loop ends unheard."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from tests.hosts.events import customer, invoice
from tests.hosts.shop import CLIENTS, INVOICES, Client, Script, create_shop, registry
from tests.hosts.sql import Sessions, count
from zoho_sync import (
    BaseEntityHandler,
    HandlerRegistry,
    Outcome,
    Reference,
    RetryPolicy,
    SyncEvent,
    SyncResult,
    ZohoSync,
)
from zoho_sync.abc import SettledEvent
from zoho_sync.exceptions import BrokenOff, WorkerStopped
from zoho_sync.handlers import CustomerHandler
from zoho_sync.payloads import CustomerPayload, InvoicePayload
from zoho_sync.queues import SQLQueue
from zoho_sync.store.tables import library_tables

pytestmark = [pytest.mark.databases("sqlite"), pytest.mark.breaks_connections]

TABLES = library_tables()
LATE = RetryPolicy(base_delay=timedelta(hours=1), max_delay=timedelta(hours=1))
ONCE = RetryPolicy(max_attempts=1)


class Stop(BaseException):
    """What a framework may use to leave a function in a hurry."""


async def cancelled_task() -> None:
    """Await a task of one's own that was cancelled."""
    task = asyncio.ensure_future(asyncio.sleep(60))
    asyncio.get_running_loop().call_soon(task.cancel)
    await task


async def nothing_asked() -> None:
    raise asyncio.CancelledError


async def generator_exit() -> None:
    raise GeneratorExit


async def own_exception() -> None:
    raise Stop


WAYS = (cancelled_task, nothing_asked, generator_exit)


@pytest.fixture(autouse=True)
async def tables(engine: AsyncEngine) -> None:
    await create_shop(engine)


def guilty(way: Callable[[], Any], name: str = "13") -> Any:
    async def step(event: SyncEvent, session: AsyncSession) -> None:
        del session
        if event.entity_id == name:
            await way()

    return step


class Bad:
    """Tells the places of a handler where its code may be broken off."""

    def __init__(self, way: Callable[[], Any]) -> None:
        self.way = way

    def registry(self, place: str) -> HandlerRegistry:
        """Return handlers of which one is broken off in a place, for one entity."""
        way = self.way

        class Clients(BaseEntityHandler[CustomerPayload]):
            entity_type = "customer"
            payload_model = CustomerPayload
            mapping = CLIENTS

            async def before_apply(self, event: SyncEvent) -> None:
                if place == "before_apply":
                    await guilty(way)(event, self.session)

            async def after_apply(self, event: SyncEvent, result: SyncResult) -> None:
                del result
                if place == "after_apply":
                    await guilty(way)(event, self.session)

            async def upsert(self, payload: CustomerPayload) -> Any:
                if place == "upsert" and payload.contact_id == "13":
                    await super().upsert(payload)
                    await way()
                return await super().upsert(payload)

        class Invoices(BaseEntityHandler[InvoicePayload]):
            entity_type = "invoice"
            payload_model = InvoicePayload
            mapping = replace(
                INVOICES, references=[Reference("client_id", to="customer", source="customer_id")]
            )

            async def resolve(
                self, entity_type: str, zoho_id: str, *, missing: str = "park"
            ) -> Any:
                await way()
                return await super().resolve(entity_type, zoho_id, missing=missing)

        return HandlerRegistry([Clients, Invoices])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("place", ["before_apply", "after_apply", "upsert", "resolve"])
async def test_it_is_an_error_of_the_event_alone(
    sessions: Sessions, way: Callable[[], Any], place: str
) -> None:
    """The others are applied, the event is tried again, and in the end is a failure of ours."""
    sync = ZohoSync(sessions, registry=Bad(way).registry(place), retry=ONCE)
    bad = invoice("13", "10", 1) if place == "resolve" else customer("13", 1)
    await sync.enqueue([customer("10", 1), bad, customer("11", 1)])
    assert await sync.drain() == {Outcome.APPLIED: 2, Outcome.DEAD_LETTER: 1}
    (letter,) = await sync.dead_letters.list()
    assert (letter.entity_id, letter.kind, letter.error_type) == ("13", "failure", "BrokenOff")
    assert "nobody asked for" in letter.error
    assert await count(sessions, Client.__table__) == 2
    assert await count(sessions, TABLES.jobs) == 0


async def test_it_is_tried_again_first(sessions: Sessions) -> None:
    """What was cancelled may have been a call that took too long."""
    sync = ZohoSync(sessions, registry=Bad(nothing_asked).registry("upsert"), retry=LATE)
    await sync.enqueue([customer("13", 1)])
    assert await sync.drain() == {Outcome.RETRY: 1}


async def test_a_callable_is_named(sessions: Sessions) -> None:
    def broken(_payload: Any) -> Any:
        raise asyncio.CancelledError

    class Clients(CustomerHandler):
        mapping = replace(CLIENTS, columns={"name": broken})

    sync = ZohoSync(sessions, registry=HandlerRegistry([Clients]), retry=ONCE)
    await sync.enqueue([customer("1", 1)])
    assert await sync.drain() == {Outcome.DEAD_LETTER: 1}
    (letter,) = await sync.dead_letters.list()
    assert "(in Clients.columns['name'])" in letter.error


async def test_a_direct_call_raises_an_error(sessions: Sessions) -> None:
    sync = ZohoSync(sessions, registry=Bad(nothing_asked).registry("upsert"))
    with pytest.raises(BrokenOff, match="CancelledError"):
        await sync.apply(customer("13", 1))
    assert await count(sessions, Client.__table__) == 0


@pytest.mark.parametrize("way", WAYS)
async def test_the_worker_goes_on_and_says_so(
    sessions: Sessions, way: Callable[[], Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Wherever it happens: in a handler, in a hook after the commit."""
    settled: set[str] = set()
    first, everything = asyncio.Event(), asyncio.Event()

    async def hook(heard: SettledEvent) -> None:
        settled.add(heard.event.entity_id)
        first.set()
        if {"13", "14"} <= settled:
            everything.set()
        await way()

    sync = ZohoSync(
        sessions, registry=registry(Script(before=guilty(way))), retry=ONCE, hooks=[hook]
    )
    await sync.enqueue([customer("13", 1)])
    running = asyncio.create_task(sync.run())
    async with asyncio.timeout(20):
        await first.wait()
        await sync.enqueue([customer("14", 1)])
        await everything.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert "a hook failed for event" in caplog.text


async def test_what_is_raised_on_purpose_ends_the_worker_loudly(sessions: Sessions) -> None:
    """Its lease is left to expire, as that of a process that died: three deaths are its end."""
    sync = ZohoSync(sessions, registry=registry(Script(before=guilty(own_exception))))
    await sync.enqueue([customer("13", 1)])
    async with asyncio.timeout(20):
        with pytest.raises(WorkerStopped, match="ended with Stop") as raised:
            await sync.run()
    assert isinstance(raised.value.__cause__, Stop)
    assert (await sync.status()).queue.leased == 1


@pytest.mark.parametrize("part", ["_claim", "_relay"])
@pytest.mark.parametrize("way", [nothing_asked, generator_exit])
async def test_a_step_that_is_broken_off_is_repeated(
    sessions: Sessions,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    part: str,
    way: Callable[[], Any],
) -> None:
    """A driver may do it as well, once its connection is gone."""
    monkeypatch.setattr("zoho_sync.worker.loop._POLL", 0.01)
    sync, left = ZohoSync(sessions, registry=registry()), 2
    worker = sync._worker
    target, name = (worker, "_claim") if part == "_claim" else (worker._maintenance, "sweep")
    original = getattr(target, name)

    async def broken(*arguments: Any, **named: Any) -> Any:
        nonlocal left
        left -= 1
        if left >= 0:
            await way()
        return await original(*arguments, **named)

    monkeypatch.setattr(target, name, broken)
    await sync.enqueue([customer("12", 1)])
    running = asyncio.create_task(sync.run())
    async with asyncio.timeout(20):
        while left >= 0 or await count(sessions, TABLES.jobs):  # noqa: ASYNC110  # no event says it
            await asyncio.sleep(0.01)
    assert not running.done()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert "BrokenOff" in caplog.text


@pytest.mark.parametrize("name", ["worker 0", "maintenance", "sweep"])
@pytest.mark.parametrize("how", ["cancelled", "returned", "raised"])
async def test_whatever_ends_a_loop_ends_the_worker_loudly(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch, name: str, how: str
) -> None:
    sync = ZohoSync(sessions, registry=registry())
    loops = sync._worker._loops

    async def ending() -> None:
        await asyncio.sleep(0)
        if how == "raised":
            raise LookupError("of a loop")

    def shortened() -> Any:
        made = loops()
        if how != "cancelled":
            made[name].close()
            made[name] = ending()
        return made

    monkeypatch.setattr(sync._worker, "_loops", shortened)
    running = asyncio.create_task(sync.run())
    if how == "cancelled":
        victim = None
        async with asyncio.timeout(10):
            while victim is None:
                await asyncio.sleep(0.01)
                names = {each.get_name(): each for each in asyncio.all_tasks()}
                victim = names.get(f"zoho_sync {name}")
        victim.cancel()
    async with asyncio.timeout(20):
        with pytest.raises(WorkerStopped, match=f"the worker's {name} ") as raised:
            await running
    assert isinstance(raised.value.__cause__, LookupError) is (how == "raised")
    left = {each.get_name() for each in asyncio.all_tasks()}
    assert not {each for each in left if each.startswith("zoho_sync")}


async def test_leases_are_lengthened_after_a_break(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What lengthens them is told of as well, and goes on."""
    broken, again = 0, asyncio.Event()
    queue = SQLQueue(sessions)

    async def extend(jobs: Any, *, lease: timedelta) -> Any:
        nonlocal broken
        del jobs, lease
        broken += 1
        if broken > 1:
            again.set()
            return []
        raise asyncio.CancelledError

    async def linger(event: SyncEvent, session: AsyncSession) -> None:
        del event, session
        await again.wait()

    sync = ZohoSync(
        sessions,
        queue=queue,
        registry=registry(Script(before=linger)),
        lease=timedelta(seconds=0.3),
    )
    monkeypatch.setattr(queue, "extend", extend)
    await sync.enqueue([customer("12", 1)])
    with caplog.at_level(logging.WARNING):
        async with asyncio.timeout(20):
            await sync.drain()
    assert broken > 1
    assert "leases could not be lengthened" in caplog.text


@pytest.mark.databases("postgresql")
async def test_who_listens_goes_on_listening(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("zoho_sync.queues.wakeup._AGAIN", 0.01)
    listened, again = 0, asyncio.Event()

    async def listen(*_: Any) -> None:
        nonlocal listened
        listened += 1
        if listened > 1:
            again.set()
            await asyncio.sleep(60)
        raise asyncio.CancelledError

    monkeypatch.setattr("zoho_sync.queues.wakeup.Wakeup._listen", listen)
    sync = ZohoSync(sessions, queue=SQLQueue(sessions, listen=True), registry=registry())
    running = asyncio.create_task(sync.run())
    async with asyncio.timeout(20):
        await again.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert "cannot listen: BrokenOff" in caplog.text
