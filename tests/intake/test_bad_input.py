"""Whatever is sent to the front door has a clear answer, and nothing that was let in is lost."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx2
import pytest
from sqlalchemy import func, select

from tests.hosts.sql import Sessions
from zoho_sync import Outcome, PayloadError, Receipt, SignedRequest, SyncEvent, ZohoSync, mirror
from zoho_sync.intake.signature import SIGNATURE_HEADER
from zoho_sync.intake.signed_string import sign

SECRET = "abcdef123456"
MEGABYTE = 1024 * 1024


@pytest.fixture
async def sync(sessions: Sessions) -> ZohoSync:
    """A library with its tables, that lets in what is signed."""
    made = ZohoSync(sessions, verifier=SignedRequest(SECRET))
    await made.create_tables()
    return made


async def send(sync: ZohoSync, body: bytes, **told: str | None) -> Receipt:
    """Send a body, and what the query tells of it, signed."""
    query = [(key, value) for key, value in told.items() if value is not None]
    headers = {SIGNATURE_HEADER: sign(SECRET, body, query), "Content-Type": "application/json"}
    return await sync.receive(body, headers=headers, query=query)


def item(**fields: Any) -> bytes:
    """An item as JSON."""
    return json.dumps({"item": {"item_id": "1", **fields}}).encode()


@dataclass(frozen=True)
class Bad:
    """A body that is not understood, and what its dead letter says."""

    body: bytes
    path: str
    problem: str
    entity: str | None = None
    operation: str | None = None


NEXT_CENTURY = (datetime.now(UTC) + timedelta(days=365 * 73)).isoformat(timespec="seconds")

AT_THE_DOOR = {
    "truncated": Bad(item()[:-4], "", "the body is not JSON"),
    "text": Bad(b'"hello"', "", "expected an object, not text"),
    "a list": Bad(b'[{"item": {"item_id": "1"}}]', "", "expected an object, not a list"),
    "a number": Bad(b"42", "", "expected an object, not a number"),
    "null": Bad(b"null", "", "expected an object, not null"),
    "not a number": Bad(b'{"item": {"item_id": "1", "rate": NaN}}', "", "the body is not JSON"),
    "nested deeply": Bad(
        b'{"item": {"item_id": "1", "x": ' + b"[" * 200 + b"]" * 200 + b"}}", "", "nested"
    ),
    "nested very deeply": Bad(b"[" * 200_000, "", "the body is not JSON"),
    "not UTF-8": Bad(b'{"item": {"item_id": "1", "name": "caf\xe9"}}', "", "not UTF-8"),
    "UTF-16": Bad('{"item": {"item_id": "1"}}'.encode("utf-16"), "", "not UTF-8"),
    "half a surrogate pair": Bad(
        b'{"item": {"item_id": "1", "name": "\\ud83d"}}', "", "surrogate pair"
    ),
    "NUL in an id": Bad(item(item_id="1\x00"), "product.item_id", "not an id"),
    "no id": Bad(b'{"item": {"name": "Lamp"}}', "product.item_id", "missing"),
    "an id with blanks": Bad(item(item_id="1 2"), "product.item_id", "not an id"),
    "an id that is a fraction": Bad(item(item_id=1.5), "product.item_id", "not an id"),
    "an id of 101 digits": Bad(item(item_id="9" * 101), "product.item_id", "not an id"),
    "an id that is an object": Bad(item(item_id={"a": 1}), "product.item_id", "not an id"),
    "an unknown document": Bad(b'{"spaceship": {"id": "1"}}', "", "no entity is recognised"),
    "an unknown entity": Bad(item(), "entity", "no entity type goes by", entity="spaceship"),
    "another entity": Bad(item(), "", "said to be invoice", entity="invoice"),
    "an unknown operation": Bad(
        item(), "operation", "'explode' is not a known word", operation="explode"
    ),
    "an entity that is text": Bad(b'{"item": "1"}', "item", "expected an object"),
    "a time in 2099": Bad(
        item(last_modified_time=NEXT_CENTURY), "product.last_modified_time", "more than a day"
    ),
    "a time without an offset": Bad(
        item(last_modified_time="2026-03-01T08:00:00"), "product.last_modified_time", "offset"
    ),
    "no time at all": Bad(
        item(last_modified_time="yesterday"), "product.last_modified_time", "time"
    ),
    "a time that is a number": Bad(
        item(last_modified_time=1772524800), "product.last_modified_time", "expected a time"
    ),
    "a delete of nothing": Bad(b"{}", "id", "?id=…", entity="invoice", operation="delete"),
    "an error of the API": Bad(b'{"code": 57, "message": "You are not"}', "code", "an error"),
}

ON_APPLYING = {
    "NUL in text": Bad(item(name="La\x00mp"), "product.name", "NUL"),
    "a rate that is text": Bad(item(rate="cheap"), "product.rate", "not a number"),
    "a rate that is a list": Bad(item(rate=[1]), "product.rate", "expected a number"),
    "a rate beyond all bounds": Bad(
        b'{"item": {"item_id": "1", "rate": 1e5000}}', "product.rate", "places"
    ),
    "a date in February": Bad(
        b'{"invoice": {"invoice_id": "1", "date": "2026-02-30"}}', "invoice.date", "not a date"
    ),
    "lines that are text": Bad(
        b'{"invoice": {"invoice_id": "1", "line_items": "two"}}', "invoice.line_items", "a list"
    ),
    "a line that is a number": Bad(
        b'{"invoice": {"invoice_id": "1", "line_items": [7]}}', "invoice.line_items[0]", ""
    ),
    "a quantity in a line": Bad(
        b'{"invoice": {"invoice_id": "1", "line_items": [{}, {"quantity": "few"}]}}',
        "invoice.line_items[1].quantity",
        "not a number",
    ),
    "two lines of one id": Bad(
        b'{"invoice": {"invoice_id": "1",'
        b' "line_items": [{"line_item_id": "7"}, {"line_item_id": "7"}]}}',
        "invoice.line_items[1]",
        "another line",
    ),
}


@pytest.mark.parametrize("bad", AT_THE_DOOR.values(), ids=AT_THE_DOOR.keys())
async def test_what_is_not_understood_is_kept_with_its_bytes(sync: ZohoSync, bad: Bad) -> None:
    receipt = await send(sync, bad.body, entity=bad.entity, operation=bad.operation)
    assert (receipt.status, receipt.http_status) == ("dead_letter", 200)
    (letter,) = await sync.dead_letters.list()
    assert (letter.id,) == receipt.event_ids
    assert letter.body == bad.body
    assert letter.path == bad.path
    assert bad.problem in letter.error
    await everything_is_accounted_for(sync, 1)


@pytest.mark.parametrize("bad", ON_APPLYING.values(), ids=ON_APPLYING.keys())
async def test_what_cannot_be_applied_is_kept_with_its_document(sync: ZohoSync, bad: Bad) -> None:
    receipt = await send(sync, bad.body)
    drained = await sync.drain()
    assert drained.get(Outcome.APPLIED) is None
    (letter,) = await sync.dead_letters.list()
    assert (letter.id,) == receipt.event_ids
    assert letter.payload is not None
    assert letter.path == bad.path
    assert bad.problem in letter.error
    await everything_is_accounted_for(sync, 1)


async def everything_is_accounted_for(sync: ZohoSync, accepted: int) -> None:
    """Everything that was let in is a dead letter, and nothing is anywhere else."""
    await sync.drain()
    report = await sync.status()
    assert report.accepted == accepted
    assert report.dead_letters == accepted
    assert (report.queue.total, report.parked, report.settled) == (0, 0, {})


@pytest.mark.parametrize("body", [b"", b"  \n", b'""', b"{}", b"\xef\xbb\xbf{}"])
async def test_nothing_at_all_is_a_ping(sync: ZohoSync, body: bytes) -> None:
    receipt = await send(sync, body)
    assert (receipt.status, receipt.http_status, receipt.event_ids) == ("ping", 200, ())
    assert (await sync.status()).accepted == 0


async def test_a_delete_takes_its_id_from_the_query(sync: ZohoSync, sessions: Sessions) -> None:
    await sync.ingest(item())
    await sync.drain()
    receipt = await send(sync, b"", item_id="1", op="delete")
    assert receipt.status == "accepted"
    assert await sync.drain() == {Outcome.APPLIED: 1}
    async with sessions() as session:
        assert await session.scalar(select(mirror.products.c.deleted_at)) is not None


async def test_ten_megabytes_are_refused_and_not_stored(sync: ZohoSync) -> None:
    receipt = await send(sync, item(name="x" * 10 * MEGABYTE))
    assert (receipt.status, receipt.http_status) == ("refused", 413)
    assert (await sync.status()).accepted == 0


async def test_as_much_as_is_allowed_is_applied(sync: ZohoSync, sessions: Sessions) -> None:
    name = "x" * 4 * MEGABYTE
    assert (await send(sync, item(name=name))).status == "accepted"
    assert await sync.drain() == {Outcome.APPLIED: 1}
    async with sessions() as session:
        length = await session.scalar(select(func.length(mirror.products.c.name)))
    assert length == len(name)


async def test_ids_of_forty_digits_are_text(sync: ZohoSync, sessions: Sessions) -> None:
    long, other = "1" * 40, "1" * 39 + "2"
    assert (await send(sync, item(item_id=int(long)))).status == "accepted"
    assert (await send(sync, item(item_id=other))).status == "accepted"
    assert await sync.drain() == {Outcome.APPLIED: 2}
    async with sessions() as session:
        ids = await session.scalars(select(mirror.products.c.item_id))
    assert sorted(ids) == [long, other]


async def test_strange_text_is_kept_as_it_came(sync: ZohoSync, sessions: Sessions) -> None:
    name = ' "Gujarat " \n\t\u202e🧾 \x01'
    await send(sync, item(name=name))
    assert await sync.drain() == {Outcome.APPLIED: 1}
    async with sessions() as session:
        assert await session.scalar(select(mirror.products.c.name)) == name


async def test_the_wrong_secret_is_refused_and_not_stored(sync: ZohoSync) -> None:
    body = item()
    for headers in ({}, {SIGNATURE_HEADER: sign("another12345", body)}, {SIGNATURE_HEADER: ""}):
        receipt = await sync.receive(body, headers=headers)
        assert (receipt.status, receipt.http_status) == ("refused", 401)
    assert (await sync.status()).accepted == 0


async def test_without_a_verifier_everything_is_refused(
    sessions: Sessions, caplog: pytest.LogCaptureFixture
) -> None:
    sync = ZohoSync(sessions)
    await sync.create_tables()
    with caplog.at_level(logging.WARNING):
        receipt = await send(sync, item(name="private"))
    assert (receipt.status, receipt.http_status) == ("refused", 401)
    assert "verifier" in caplog.text
    assert "private" not in caplog.text
    assert (await sync.status()).accepted == 0


async def test_a_bad_body_keeps_no_good_one_back(sync: ZohoSync, sessions: Sessions) -> None:
    for number in range(6):
        good = json.dumps({"item": {"item_id": f"1{number}", "name": "good"}}).encode()
        bad = json.dumps({"item": {"item_id": f"2{number}", "rate": "cheap"}}).encode()
        await send(sync, good)
        await send(sync, bad)
    assert await sync.drain() == {Outcome.APPLIED: 6, Outcome.DEAD_LETTER: 6}
    async with sessions() as session:
        assert await session.scalar(select(func.count()).select_from(mirror.products)) == 6
    report = await sync.status()
    assert (report.accepted, report.dead_letters) == (12, 6)


@pytest.mark.parametrize("bad", AT_THE_DOOR.values(), ids=AT_THE_DOOR.keys())
async def test_what_is_logged_holds_nothing_of_the_body(
    bad: Bad, sync: ZohoSync, caplog: pytest.LogCaptureFixture
) -> None:
    marked = bad.body.replace(b"Lamp", b"Private")
    with caplog.at_level(logging.DEBUG, logger="zoho_sync"):
        receipt = await send(sync, marked, entity=bad.entity, operation=bad.operation)
    for word in ("Private", "cheap", "yesterday", "hello"):
        assert word not in caplog.text + receipt.reason


@pytest.mark.parametrize(
    ("document", "path", "problem"),
    [
        ({"invoice": {"line_items": [{"rate": 1.5}]}}, "invoice.line_items[0].rate", "float"),
        ({"invoice": {"total": float("nan")}}, "invoice.total", "float"),
        ({"invoice": {"total": Decimal("NaN")}}, "invoice.total", "not a finite number"),
        ({"invoice": {"total": 10**5000}}, "invoice.total", "thousands of digits"),
        ({"invoice": {1: "2"}}, "invoice", "a key that is not text"),
        ({"invoice": {"tags": {"a"}}}, "invoice.tags", "a value that JSON does not have: set"),
        ({1: "2"}, "", "a key that is not text"),
    ],
)
async def test_a_document_that_is_not_json_is_refused_with_its_field(
    sync: ZohoSync, document: dict[str, Any], path: str, problem: str
) -> None:
    with pytest.raises(PayloadError, match=problem) as refused:
        await sync.ingest(document)
    assert refused.value.path == path
    (_, content), *_ = document.items()
    if isinstance(content, dict):
        with pytest.raises(PayloadError, match=problem) as refused:
            SyncEvent("invoice", "1", {"invoice_id": "1", **content})
        assert refused.value.path == path
    assert (await sync.status()).accepted == 0


@pytest.mark.parametrize("body", [None, [{"invoice": {"invoice_id": "1"}}], 5])
async def test_what_is_no_body_is_told_what_a_body_is(sync: ZohoSync, body: Any) -> None:
    with pytest.raises(TypeError, match="a body is bytes, text, or one document as a mapping"):
        await sync.ingest(body)
    assert (await sync.status()).accepted == 0


async def test_trusted_bodies_are_bytes_or_text(sync: ZohoSync) -> None:
    for body in (item(), item().decode(), bytearray(item()), memoryview(item())):
        receipt = await sync.ingest(body)
        assert receipt.status in {"accepted", "duplicate"}
    broken = await sync.ingest('{"item": {"item_id": "1", "name": "\ud800"}}')
    assert (broken.status, broken.reason) == ("dead_letter", "the body is not UTF-8")


@pytest.mark.without_tables
@pytest.mark.parametrize("body", [item(), b"no JSON"])
async def test_without_tables_the_sender_is_asked_to_come_again(
    sessions: Sessions, caplog: pytest.LogCaptureFixture, body: bytes
) -> None:
    app = ZohoSync(sessions, verifier=SignedRequest(SECRET)).asgi()
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://host") as client:
        signed = {SIGNATURE_HEADER: sign(SECRET, body)}
        answer = await client.post("/", content=body, headers=signed)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
    (record,) = [each for each in caplog.records if each.name.startswith("zoho_sync")]
    assert record.levelname == "ERROR"
    assert "call await sync.create_tables()" in record.getMessage()
