"""Law 7: who is not known is refused, and no secret, token or body goes where it should not.

A marker stands in every part of a delivery; afterwards every table, log record, answer and text of
an exception is searched for it.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import pytest
from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Enum,
    ForeignKey,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    Uuid,
)
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from tests.hosts.sql import Sessions, clear, counts, library
from tests.laws.written import (
    BODIES,
    MARK,
    PRIVATE,
    SECRET,
    TOKEN,
    UNDERSTOOD,
    VERIFIERS,
    Written,
    as_bytes,
    leaks,
    logged,
    over_asgi,
    stored,
)
from zoho_sync import (
    BaseEntityHandler,
    ConfigurationError,
    EntityMap,
    HandlerRegistry,
    HeaderToken,
    Outcome,
    QueueUnavailable,
    SignedBody,
    SyncEvent,
    SyncResult,
    ZohoSync,
    mirror,
)
from zoho_sync.events.outcome import Receipt, ReceiptStatus
from zoho_sync.handlers import CustomerHandler
from zoho_sync.intake.signature import SIGNATURE_HEADER
from zoho_sync.intake.signed_string import hmac_of, sign
from zoho_sync.intake.verdict import Verifier
from zoho_sync.payloads import CustomerPayload

pytestmark = [
    pytest.mark.databases("sqlite", "postgresql", "psycopg", "mariadb"),
    pytest.mark.breaks_connections,
]

# But for the one that says which version the others are of.
EMPTY_TABLES: Final = [
    each for each in library.metadata.sorted_tables if each is not library.versions
]
ALL_TABLES: Final = (*EMPTY_TABLES, *mirror.metadata.sorted_tables)
BODY_TABLES: Final = {"jobs", "parked", "dead_letters"}
"""Tables of the library in which bodies may rest."""


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
    assert await kept_of(sessions) == {0}
    assert not leaks(list(logged(caplog)))


async def test_law_7_empty_and_oversized_bodies_of_strangers_are_refused_too(
    sessions: Sessions,
) -> None:
    sync = ZohoSync(sessions, verifier=SignedBody(SECRET), max_body=100)
    await sync.create_tables()
    assert (await sync.receive(b"")).http_status == 401
    assert (await sync.receive(b"x" * 101)).http_status == 401
    await sync.close()
    assert "max_body" not in "".join((await sync.status()).problems)  # a stranger's is no problem
    signed = {SIGNATURE_HEADER: "0" * 64}
    assert (await sync.receive(b"x" * 101, headers=signed)).http_status == 413
    assert await kept_of(sessions) == {0}


async def kept_of(sessions: Sessions) -> set[int]:
    """Return the counts of all tables but the one that counts refusals, by reason alone."""
    found = await counts(sessions, ALL_TABLES)
    assert found.pop(library.refusals.name) >= 1
    return set(found.values())


async def _deliver(sync: ZohoSync, body: bytes) -> tuple[Receipt, str]:
    """Deliver a body as one who is known; once by hand, once over ASGI."""
    query = [("token", TOKEN), ("source", "books")]
    of_body = isinstance(sync._receiver.verifier, SignedBody)
    signature = hmac_of(SECRET, body) if of_body else sign(SECRET, body, query)
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


REFUSING: Final[dict[str, Callable[[], Column[Any]]]] = {
    "unique": lambda: Column("value", String(100), unique=True),
    "not null": lambda: Column("absent", String(100), nullable=False),
    "too long": lambda: Column("value", String(5)),
    "foreign key": lambda: Column("value", String(100), ForeignKey("referred.name")),
    "check": lambda: Column("value", String(100), CheckConstraint("length(value) < 5")),
    "no column": lambda: Column("value", String(100)),
    "no table": lambda: Column("value", String(100)),
    "handler": lambda: Column("value", String(100)),
}


@pytest.mark.parametrize("refusal", REFUSING)
async def test_law_7_no_error_prints_a_document_wherever_it_comes_out(
    engine: AsyncEngine, written: Written, refusal: str
) -> None:
    """DETAIL, drivers' messages and causes included; by worker, by `apply` and by direct call."""
    host = MetaData()
    Table("referred", host, Column("name", String(100), primary_key=True))
    number, key = Column("number", String(64), unique=True), Column("id", Integer, primary_key=True)
    other = Column("other", String(100))
    closed = Column("closed", Boolean)
    table = Table("refusing", host, key, number, other, REFUSING[refusal](), closed)
    sync = _over(engine, table, fails=refusal == "handler")
    async with engine.begin() as connection:
        await connection.run_sync(host.create_all)
    await sync.create_tables()
    await sync.check()
    async with engine.begin() as connection:
        if refusal == "no column":
            await connection.exec_driver_sql("ALTER TABLE refusing DROP COLUMN value")
        if refusal == "no table":
            await connection.exec_driver_sql("DROP TABLE refusing")
    for number_ in ("81", "82"):
        contact = {"contact_id": number_, "contact_type": "customer", "notes": MARK}
        event = SyncEvent("customer", number_, contact | {"contact_name": MARK})
        if refusal != "handler":  # whose own error, raised to its own caller, is not ours to cut
            async with async_sessionmaker(engine)() as session:
                await written.by(sync.handler("customer", session).sync(dict(event.payload)))
            await written.by(sync.apply(event))
        await written.by(sync.ingest({"contact": event.payload}))
    await written.by(sync.drain())
    written.note(repr(await sync.status()))
    # SQLite lets pass what is too long, and what refers to nothing.
    assert written.errors or refusal in {"too long", "foreign key", "handler"}
    assert written.leaks() == []


def _over(engine: AsyncEngine, table: Table, *, fails: bool) -> ZohoSync:
    name = "absent" if "absent" in table.c else "value"

    class Customers(CustomerHandler):
        mapping = EntityMap(
            table=table,
            key="number",
            columns={
                name: lambda payload: None if name == "absent" else payload.notes,
                "other": lambda payload: payload.contact_name,
            },
            deleted_column="closed",
        )

        async def after_apply(self, event: SyncEvent, result: SyncResult) -> None:
            del result
            if fails:
                raise RuntimeError(event.payload["notes"])

    return ZohoSync(async_sessionmaker(engine), registry=HandlerRegistry([Customers]))


@pytest.mark.parametrize("damage", ["DROP TABLE {}", "ALTER TABLE {} DROP COLUMN attempts"])
@pytest.mark.parametrize("table", [library.jobs, library.dead_letters], ids=lambda each: each.name)
async def test_law_7_schema_problem_at_the_door_is_503_and_quotes_nothing(
    engine: AsyncEngine, sessions: Sessions, written: Written, damage: str, table: Table
) -> None:
    sync = ZohoSync(sessions, verifier=HeaderToken("X-Token", TOKEN))
    await sync.create_tables()
    async with engine.begin() as connection:
        await connection.exec_driver_sql(damage.format(table.name))
    body = as_bytes(BODIES[0]) if table is library.jobs else MARK.encode()
    answer = await over_asgi(sync, "/", "", body, ("X-Token", TOKEN))
    assert "503" in answer
    written.note(answer)
    await written.by(sync.receive(body, headers={"X-Token": TOKEN}))
    await written.by(sync.ingest(body))
    await written.by(sync.drain())
    assert [type(error) for error in written.errors[:1]] == [QueueUnavailable]
    assert written.leaks() == []
