"""Law 7: who is not known is refused, and no secret, token or body goes where it should not.

A marker stands in every part of a delivery; afterwards every table, log record, answer and text of
an exception is searched for it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import traceback
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

import pytest
from sqlalchemy import (
    Boolean,
    Column,
    Date,
    Enum,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    Uuid,
    select,
)
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from tests.hosts.sql import Sessions, clear, counts, library
from zoho_sync import (
    AnyOf,
    BaseEntityHandler,
    ConfigurationError,
    EntityMap,
    HandlerRegistry,
    HeaderToken,
    Outcome,
    QueryToken,
    QueueUnavailable,
    SignedBody,
    SignedRequest,
    ZohoSync,
    mirror,
)
from zoho_sync.events.outcome import Receipt, ReceiptStatus
from zoho_sync.handlers import CustomerHandler
from zoho_sync.intake.signature import SIGNATURE_HEADER, Verifier, sign
from zoho_sync.payloads import CustomerPayload

pytestmark = [
    pytest.mark.databases("sqlite", "postgresql", "psycopg", "mariadb"),
    pytest.mark.breaks_connections,
]

SECRET: Final = "s3cretS3cretS3cret"
TOKEN: Final = "t0ken-t0ken-t0ken"
MARK: Final = "zzBodyMarkzz"
PRIVATE: Final = (SECRET, TOKEN, MARK)

# But for the one that says which version the others are of.
EMPTY_TABLES: Final = [
    each for each in library.metadata.sorted_tables if each is not library.versions
]
ALL_TABLES: Final = (*EMPTY_TABLES, *mirror.metadata.sorted_tables)
BODY_TABLES: Final = {"jobs", "parked", "dead_letters"}
"""Tables of the library in which bodies may rest."""

VERIFIERS: Final[tuple[Verifier, ...]] = (
    SignedRequest(SECRET),
    SignedBody(SECRET),
    HeaderToken("X-Token", TOKEN),
    QueryToken("token", TOKEN),
    AnyOf(SignedRequest(SECRET), QueryToken("token", TOKEN)),
)

UNDERSTOOD: Final = {"contact": {"contact_id": "1", "contact_type": "customer", "notes": MARK}}
BODIES: Final[tuple[str | bytes, ...]] = (
    json.dumps(UNDERSTOOD).encode(),
    json.dumps({"contact": UNDERSTOOD["contact"] | {"contact_id": "2", "payment_terms": MARK}}),
    json.dumps({"contact": {"contact_id": "3", "last_modified_time": MARK}}),
    json.dumps({"contact": {"contact_id": "4", "contact_type": MARK}}),
    json.dumps({"contact": UNDERSTOOD["contact"] | {"contact_id": f"{MARK}\0"}}),
    json.dumps({MARK: {MARK: MARK}}),
    json.dumps({"event": MARK, "data": {"invoice": {"invoice_id": "5"}}}),
    json.dumps({"code": 5, "message": MARK}),
    json.dumps([MARK]),
    f'{{"contact": {MARK}}}',
    f"JSONString={MARK}",
    MARK.encode() + b"\xff",
    f'"{MARK}"',
)


def as_bytes(body: str | bytes) -> bytes:
    return body.encode() if isinstance(body, str) else body


def leaks(texts: Iterator[str] | list[str], private: tuple[str, ...] = PRIVATE) -> list[str]:
    """Return the texts that hold what is private."""
    return [text for text in texts if any(word in text for word in private)]


def logged(caplog: pytest.LogCaptureFixture) -> Iterator[str]:
    """Every record of the library, as a log would print it, traceback included."""
    formatter = logging.Formatter()
    for record in caplog.records:
        if record.name.startswith("zoho_sync"):
            yield formatter.format(record) + repr(record.args)


async def stored(sessions: Sessions, tables: tuple[Table, ...] | list[Table]) -> dict[str, str]:
    """Return, by table, everything that its rows hold."""
    held = {}
    async with sessions() as session:
        for table in tables:
            found = (await session.execute(select(table))).all()
            held[table.name.removeprefix("zoho_sync_")] = repr([tuple(row) for row in found])
    return held


async def over_asgi(sync: ZohoSync, path: str, query: str, body: bytes, *headers: Any) -> str:
    """Return everything that the endpoint answers."""
    sent: list[Any] = []
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers],
    }

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        await asyncio.sleep(0)
        sent.append(message)

    await sync.asgi()(scope, receive, send)
    return repr(sent)


class Wrecked(BaseEntityHandler[CustomerPayload]):
    """A handler whose own code quotes what it was given."""

    async def upsert(self, payload: CustomerPayload) -> Any:
        raise ValueError(f"cannot work with {payload.notes}")


async def test_law_7_strangers_are_refused_and_nothing_is_stored(
    sessions: Sessions, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await ZohoSync(sessions).create_tables()
    for verifier, body in itertools.product([None, *VERIFIERS], map(as_bytes, BODIES)):
        sync = ZohoSync(sessions, verifier=verifier)
        for headers, query in (
            ({}, ""),
            ({"X-Token": f"{TOKEN}!", SIGNATURE_HEADER: sign(f"{SECRET}x", body)}, "token=guess"),
            ({"X-Token": "", SIGNATURE_HEADER: ""}, f"token={TOKEN[:-1]}&source=books"),
        ):
            receipt = await sync.receive(body, headers=headers, query=query)
            assert (receipt.status, receipt.http_status) == (ReceiptStatus.REFUSED, 401)
            assert receipt.event_ids == ()
            assert not leaks([repr(receipt)])
            answer = await over_asgi(sync, "/", query, body, *headers.items())
            assert not leaks([answer], (*PRIVATE, receipt.reason))
    assert set((await counts(sessions, ALL_TABLES)).values()) == {0}
    assert not leaks(list(logged(caplog)))


async def test_law_7_empty_and_oversized_bodies_of_strangers_are_refused_too(
    sessions: Sessions,
) -> None:
    sync = ZohoSync(sessions, verifier=SignedBody(SECRET), max_body=100)
    await sync.create_tables()
    assert (await sync.receive(b"")).http_status == 401
    assert (await sync.receive(b"x" * 101)).http_status == 413
    assert set((await counts(sessions, ALL_TABLES)).values()) == {0}


async def _deliver(sync: ZohoSync, body: bytes) -> tuple[Receipt, str]:
    """Deliver a body as one who is known; once by hand, once over ASGI."""
    query = [("token", TOKEN), ("source", "books")]
    whole = not isinstance(sync._receiver.verifier, SignedBody)
    signature = sign(SECRET, body, query if whole else ())
    headers = {SIGNATURE_HEADER: signature, "X-Token": TOKEN, "Authorization": f"Bearer {TOKEN}"}
    receipt = await sync.receive(body, headers=headers, query=query)
    text = f"token={TOKEN}&source=books"
    answer = await over_asgi(sync, "/", text, body, *headers.items())
    return receipt, answer


async def test_law_7_what_is_private_rests_only_where_it_may(
    sessions: Sessions, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await ZohoSync(sessions).create_tables()
    for verifier in VERIFIERS:
        await clear(sessions, mirror.metadata)
        await _nothing_leaks(ZohoSync(sessions, verifier=verifier), sessions)
    assert not leaks(list(logged(caplog)))


async def _nothing_leaks(sync: ZohoSync, sessions: Sessions) -> None:
    for body in map(as_bytes, BODIES):
        receipt, answer = await _deliver(sync, body)
        assert receipt.http_status == 200
        assert not leaks([repr(receipt), answer])
    waiting = await stored(sessions, library.metadata.sorted_tables)
    assert {name for name, text in waiting.items() if leaks([text])} <= BODY_TABLES
    counted = await sync.drain()
    assert counted[Outcome.APPLIED]
    letters = await sync.dead_letters.list(limit=1000)
    kept = {letter.body for letter in letters}
    assert kept >= {as_bytes(body) for body in BODIES[-7:]}
    held = await stored(sessions, ALL_TABLES)
    assert {name for name, text in held.items() if leaks([text])} == {
        "dead_letters",
        "zoho_customers",  # in the columns that hold it, and in raw
    }
    assert not leaks(list(held.values()), (SECRET, TOKEN))
    assert not leaks([letter.error + letter.path for letter in letters])
    assert not leaks([repr(await sync.status())])


async def test_law_7_failing_handler_is_quoted_nowhere_but_in_its_own_event(
    sessions: Sessions, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    sync = ZohoSync(sessions, registry=HandlerRegistry([Wrecked]))
    await sync.create_tables()
    await sync.ingest(UNDERSTOOD)
    assert await sync.drain() == {Outcome.RETRY: 1}
    held = await stored(sessions, ALL_TABLES)
    assert [name for name, text in held.items() if leaks([text])] == ["jobs"]
    assert not leaks(list(logged(caplog)))


@pytest.mark.parametrize(
    "kind",
    [Date(), Integer(), Numeric(9, 2), Boolean(), Uuid(), Enum("a", "b", name="letters")],
    ids=lambda kind: type(kind).__name__,
)
async def test_law_7_value_that_the_database_refuses_is_quoted_nowhere(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture, kind: Any
) -> None:
    """Drivers and databases say what they cannot convert; its dead letter names no value."""
    host = MetaData()
    table = Table(
        "refusing",
        host,
        Column("id", Integer, primary_key=True),
        Column("number", String(64), unique=True),
        Column("value", kind),
        Column("closed", Boolean),
    )
    async with engine.begin() as connection:
        await connection.run_sync(host.create_all)

    class Customers(CustomerHandler):
        mapping = EntityMap(
            table=table,
            key="number",
            columns={"value": lambda payload: payload.notes},
            deleted_column="closed",
        )

    heard: list[str] = []
    sync = ZohoSync(
        async_sessionmaker(engine),
        registry=HandlerRegistry([Customers]),
        hooks=[lambda settled: heard.append(repr(settled.result))],
    )
    await sync.create_tables()
    await sync.ingest(BODIES[0])
    with caplog.at_level(logging.DEBUG):
        await sync.drain()
    letters = await sync.dead_letters.list()
    said = [f"{letter.error} {letter.history}" for letter in letters]
    assert leaks([*logged(caplog), *heard, *said]) == []
    if engine.dialect.name == "postgresql":
        assert [letter.error_type for letter in letters] == ["RowRejected"]


async def test_law_7_database_that_fails_takes_no_body_into_the_log(
    engine: AsyncEngine, sessions: Sessions, caplog: pytest.LogCaptureFixture
) -> None:
    """The driver's errors quote what was sent: neither the log nor our errors pass that on."""
    caplog.set_level(logging.DEBUG)
    sync = ZohoSync(sessions)
    await sync.create_tables()
    await sync.drain()
    await sync.ingest(UNDERSTOOD)
    async with engine.begin() as connection:
        for table in (library.journal, library.dead_letters):
            await connection.exec_driver_sql(f"DROP TABLE {table.name}")
    task = asyncio.create_task(sync.run())
    await asyncio.sleep(0.5)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert (await counts(sessions, [library.jobs]))[library.jobs.name] == 1
    assert not leaks(list(logged(caplog)))
    with pytest.raises((QueueUnavailable, ConfigurationError)) as caught:
        await sync.ingest(MARK)
    assert not leaks(traceback.format_exception(caught.value))


@pytest.mark.without_tables
async def test_law_7_unreachable_queue_says_nothing_of_the_body(sessions: Sessions) -> None:
    sync = ZohoSync(sessions)  # without its tables
    with pytest.raises((QueueUnavailable, ConfigurationError)) as caught:
        await sync.ingest(UNDERSTOOD)
    assert not leaks([str(caught.value), repr(caught.value)])
    assert not leaks(traceback.format_exception(caught.value))


@pytest.mark.parametrize("verifier", VERIFIERS, ids=lambda verifier: type(verifier).__name__)
def test_law_7_verifiers_do_not_print_their_secrets(verifier: Verifier) -> None:
    assert not leaks([repr(verifier), str(verifier), f"{verifier!a}"])
