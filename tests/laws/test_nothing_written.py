"""Law 7: whatever goes wrong, nothing of a document or a secret is written, and no line is forged.

Each provocation takes documents with marks in every kind of value through something that goes
wrong; then everything that was written is searched: logs of all loggers with their tracebacks, both
outputs, warnings, errors, reports.
"""

from __future__ import annotations

import asyncio
import json
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import SAWarning
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from tests.hosts.shop import Script, create_shop, registry
from tests.hosts.sql import Sessions, library
from tests.laws.written import MARK, TOKEN, Written, over_asgi
from zoho_sync import HeaderToken, Outcome, SyncEvent, ZohoSync
from zoho_sync.abc import SettledEvent
from zoho_sync.blocking import BlockingSync

pytestmark = [
    pytest.mark.databases("sqlite", "postgresql", "psycopg", "mariadb"),
    pytest.mark.breaks_connections,
]

NUMBER, DAY, OTHER_ID = "86753091", "2019-07-21", "77700077700"
PASSWORD: Final = "p@ss/w0rd-of-m1ne"
FORGED: Final = "\nCRITICAL all is lost"
PRIVATE: Final = (MARK, NUMBER, DAY, OTHER_ID, TOKEN, PASSWORD, "w0rd-of-m1ne")
DOCUMENT: Final = {
    "contact_id": "81",
    "contact_type": "customer",
    "contact_name": MARK,
    "notes": MARK,
    "credit_limit": int(NUMBER),
    "outstanding_receivable_amount": f"{NUMBER}.25",
    "created_time": f"{DAY}T10:00:00+0000",
    "currency_id": OTHER_ID,
    "cf_mark": MARK,
    "custom_fields": [{"api_name": "cf_mark", "value": MARK, "customfield_id": OTHER_ID}],
    f"key{FORGED}{MARK}": MARK,
}
SHORT: Final = timedelta(seconds=0.3)


def body(**changes: object) -> bytes:
    return json.dumps({"contact": DOCUMENT | changes}).encode()


def event() -> SyncEvent:
    return SyncEvent("customer", "81", DOCUMENT)


class Provoked:
    """An application whose parts can be made to fail."""

    def __init__(self, engine: AsyncEngine, written: Written) -> None:
        self.engine, self.written = engine, written
        self.script = Script()
        self.sessions = async_sessionmaker(engine)
        self.sync = self.made()

    def made(self, **options: Any) -> ZohoSync:
        options = {"registry": registry(self.script), "handler_timeout": SHORT, **options}
        return ZohoSync(self.sessions, verifier=HeaderToken("X-Token", TOKEN), **options)

    async def drained(self, sync: ZohoSync | None = None) -> set[Outcome]:
        """Apply one delivery, and return how it and what waited were settled."""
        sync = sync or self.sync
        await self.written.by(sync.receive(body(), headers={"X-Token": TOKEN}))
        counted = await sync.drain()
        self.written.note(repr(counted) + repr(await sync.status()))
        return set(counted)


Provocation = Callable[[Provoked], Awaitable[bool]]


def fails(how: Callable[[], Awaitable[None]]) -> Provocation:
    """Let a handler's own code fail."""

    async def before(_event: SyncEvent, _session: AsyncSession) -> None:
        await how()

    async def provoked(app: Provoked) -> bool:
        app.script.before = before
        return bool(await app.drained() & {Outcome.RETRY, Outcome.DEAD_LETTER})

    return provoked


async def key_error() -> None:
    raise KeyError(MARK)


async def chained() -> None:
    raise RuntimeError(OTHER_ID) from ValueError(f"{MARK} {NUMBER}")


async def cancels_itself() -> None:
    raise asyncio.CancelledError(MARK)


async def hangs() -> None:
    await asyncio.sleep(60)


async def group() -> None:
    raise ExceptionGroup(MARK, [ValueError(MARK), KeyError(NUMBER)])


async def notes_itself() -> None:
    error = TypeError(MARK)
    error.add_note(MARK)
    raise error


async def failing_hook(app: Provoked) -> bool:
    def hook(settled: SettledEvent) -> None:
        raise LookupError(f"{settled.event.payload['notes']} {NUMBER}")

    return bool(await app.drained(app.made(hooks=[hook])))


async def replayed(app: Provoked) -> bool:
    sync = app.sync
    for each in (body(contact_type=MARK), b'{"x": ' + MARK.encode(), MARK.encode() + b"\xff"):
        await app.written.by(sync.receive(each, headers={"X-Token": TOKEN}))
    letters = await sync.dead_letters.list()
    for letter in letters:
        await app.written.by(sync.dead_letters.replay(letter.id))
        app.written.note(letter.error + letter.path)
    return len(letters) >= 3


async def direct(app: Provoked) -> bool:
    before = len(app.written.errors)
    async with app.sessions() as session:
        handler = app.sync.handler("customer", session)
        await app.written.by(handler.sync(DOCUMENT | {"last_modified_time": MARK}))
        await app.written.by(handler.sync(DOCUMENT | {"contact_type": MARK, "contact_id": MARK}))
    await app.written.by(app.sync.apply(SyncEvent("customer", "81", {"contact_name": [MARK]})))
    return len(app.written.errors) > before


async def forged(app: Provoked) -> bool:
    odd = f"item{FORGED}"
    for headers, query, path in (
        ({"X-Token": TOKEN, f"x{FORGED}": FORGED}, "", f"/{odd}"),
        ({"X-Token": FORGED}, f"entity={odd}", "/"),
        ({"X-Token": TOKEN, "X-Zoho-Sync-Entity": odd}, "op=%0ACRITICAL", "/item"),
        ({"X-Token": TOKEN, "Content-Type": f"a/b; charset={odd}"}, f"id={odd}", "/invoice/5"),
    ):
        app.written.note(await over_asgi(app.sync, path, query, body(), *headers.items()))
        await app.written.by(app.sync.receive(body(), headers=headers, query=query, entity=odd))
    return True


async def outage(app: Provoked) -> bool:
    """Run a worker while its tables are taken away, and come again."""
    task = asyncio.create_task(app.sync.run())
    while not (await app.sync.status()).workers:  # noqa: ASYNC110  # nothing tells when it lives
        await asyncio.sleep(0.02)
    async with app.engine.begin() as connection:
        await connection.run_sync(library.ledger.drop)
    await app.written.by(app.sync.receive(body(), headers={"X-Token": TOKEN}))
    await asyncio.sleep(0.6)
    await app.written.by(app.sync.status())
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await app.sync.create_tables()
    return True


async def blocking(app: Provoked) -> bool:
    """Use the blocking application while its tables are away."""
    url = app.engine.url

    def made() -> ZohoSync:
        sessions = async_sessionmaker(create_async_engine(url))
        return ZohoSync(sessions, verifier=HeaderToken("X-Token", TOKEN))

    async with app.engine.begin() as connection:
        await connection.run_sync(library.jobs.drop)

    def used() -> None:
        with BlockingSync(made) as sync:
            sync.receive(body(), headers={"X-Token": TOKEN})

    before = len(app.written.errors)
    await app.written.by(asyncio.to_thread(used))
    await app.sync.create_tables()
    return len(app.written.errors) == before + 1


async def no_way_in(app: Provoked) -> bool:
    """Connect with a password that is wrong, and to a host that does not answer."""
    url = app.engine.url
    urls = [url.set(password=PASSWORD, username="nobody"), url.set(port=1, password=PASSWORD)]
    if url.get_backend_name() == "sqlite":
        urls = [make_url("sqlite+aiosqlite:////no/such/folder/of-mine.db")]
    before = len(app.written.errors)
    for each in urls:
        engine = create_async_engine(each)
        sync = ZohoSync(async_sessionmaker(engine), verifier=HeaderToken("X-Token", TOKEN))
        await app.written.by(sync.receive(body(), headers={"X-Token": TOKEN}))
        await app.written.by(sync.check())
        await app.written.by(sync.status())
        await engine.dispose()
    return len(app.written.errors) > before


async def warned(app: Provoked) -> bool:
    """Let everything that may warn do so."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.simplefilter("always", SAWarning)
        await app.drained()
    app.written.note("".join(str(each.message) for each in caught))
    return True


PROVOCATIONS: Final[dict[str, Provocation]] = {
    "a slip": fails(key_error),
    "a chain": fails(chained),
    "a group": fails(group),
    "a note": fails(notes_itself),
    "a cancellation from inside": fails(cancels_itself),
    "a hanging handler": fails(hangs),
    "a hook": failing_hook,
    "replay": replayed,
    "direct calls": direct,
    "forged lines": forged,
    "an outage": outage,
    "blocking": blocking,
    "no way in": no_way_in,
    "warnings": warned,
}


@pytest.fixture
async def app(engine: AsyncEngine, sessions: Sessions, written: Written) -> AsyncIterator[Provoked]:
    """The application over the shop's tables."""
    del sessions
    await create_shop(engine)
    app = Provoked(engine, written)
    await app.sync.create_tables()
    yield app
    await app.sync.close()


@pytest.mark.parametrize("provocation", PROVOCATIONS)
async def test_law_7_nothing_of_a_document_is_written(app: Provoked, provocation: str) -> None:
    assert await PROVOCATIONS[provocation](app)
    assert app.written.leaks(PRIVATE) == []
    assert app.written.forged(FORGED) == []
