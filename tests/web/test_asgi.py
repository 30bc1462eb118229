"""The endpoint: routes, limits, answers, and what a server may do to it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.web.doors import NAMES, Inside, door_to
from zoho_sync import ConfigurationError
from zoho_sync.events.outcome import Receipt, ReceiptStatus
from zoho_sync.exceptions import QueueUnavailable
from zoho_sync.web.asgi import ASGIApp, ReceiverApp
from zoho_sync.web.door import checked_path


@pytest.fixture
def inside() -> Inside:
    return Inside()


@pytest.fixture
def app(inside: Inside) -> ASGIApp:
    return ReceiverApp(door_to(inside))


async def call(
    app: ASGIApp, method: str, url: str, *, root_path: str = "", **options: Any
) -> httpx2.Response:
    transport = httpx2.ASGITransport(app, root_path=root_path)
    async with httpx2.AsyncClient(transport=transport, base_url="http://host") as client:
        return await client.request(method, url, **options)


class Wire:
    """The two channels of one ASGI call, driven by hand."""

    def __init__(self, *messages: Mapping[str, Any]) -> None:
        self.messages = [dict(message) for message in messages]
        self.sent: list[dict[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        return self.messages.pop(0)

    async def send(self, message: Any) -> None:
        self.sent.append(dict(message))


def http(
    path: str = "/",
    *,
    method: str = "POST",
    headers: Sequence[tuple[bytes, bytes]] = (),
    **more: Any,
) -> dict[str, Any]:
    return {"type": "http", "method": method, "path": path, "headers": headers, **more}


def chunk(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_a_delivery_is_handed_over_whole(app: ASGIApp, inside: Inside, method: str) -> None:
    url = "/invoice/460%20001?op=delete&blank=&name=a+b&op=x"
    answer = await call(
        app, method, url, content=b"{}", headers={"X-Token": "tä".encode("latin-1")}
    )
    assert answer.status_code == 200
    assert answer.json() == {"status": "accepted", "event_ids": ["e1"]}
    (seen,) = inside.seen
    assert seen["headers"]["x-token"] == "tä"
    assert seen["query"] == "op=delete&blank=&name=a+b&op=x"
    told = {name: seen[name] for name in ("body", "entity", "operation", "entity_id", "method")}
    assert told == {
        "body": b"{}",
        "entity": "invoice",
        "operation": None,
        "entity_id": "460 001",
        "method": method,
    }


async def test_answers_are_small_and_are_not_stored(app: ASGIApp) -> None:
    answer = await call(app, "POST", "/")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-length"] == str(len(answer.content))
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("path", "entity", "entity_id"),
    [
        ("", None, None),
        ("/", None, None),
        ("/invoice", "invoice", None),
        ("/invoices/", "invoices", None),
        ("/customer/7", "customer", "7"),
        ("/customer/7/", "customer", "7"),
    ],
)
@pytest.mark.parametrize("root", ["", "/hooks/zoho", "/hooks/zoho/"])
@pytest.mark.parametrize("stripped", [False, True])
async def test_routes_are_relative_to_the_mount(  # noqa: PLR0913  # the cross of all cases
    app: ASGIApp,
    inside: Inside,
    path: str,
    entity: str | None,
    entity_id: str | None,
    *,
    root: str,
    stripped: bool,
) -> None:
    wire = Wire(chunk(b"{}"))
    whole = path if stripped else root.rstrip("/") + path
    await app(http(whole, root_path=root), wire.receive, wire.send)
    assert [(seen["entity"], seen["entity_id"]) for seen in inside.seen] == [(entity, entity_id)]


@pytest.mark.parametrize(
    ("root_path", "prefix"),
    [("", ""), ("/proxy", "/proxy"), ("/proxy", "")],  # the last: a proxy that strips its part
)
async def test_it_works_mounted_in_starlette(
    app: ASGIApp, inside: Inside, root_path: str, prefix: str
) -> None:
    host = Starlette(routes=[Mount("/hooks/zoho", app)])
    url = f"{prefix}/hooks/zoho"
    assert (await call(host, "POST", f"{url}/invoice/5", root_path=root_path)).status_code == 200
    assert (inside.seen[0]["entity"], inside.seen[0]["entity_id"]) == ("invoice", "5")
    assert (await call(host, "POST", f"{url}/nonsense", root_path=root_path)).status_code == 404


@pytest.mark.parametrize("path", ["/nonsense", "/invoice/1/2", "/invoice//2", "//invoice", "/op/1"])
async def test_other_routes_do_not_exist(app: ASGIApp, inside: Inside, path: str) -> None:
    wire = Wire()
    await app(http(path, root_path="/o"), wire.receive, wire.send)
    assert wire.sent[0]["status"] == 404
    assert not inside.seen


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/invoce", "there is no route '/invoce'; did you mean 'invoice'?"),
        ("/spaceship/7", "there is no route '/spaceship/7'"),
        ("/invoice/1/2", "there is no route '/invoice/1/2'"),
        ("/a\nb\x1b", "there is no route '/a�b�'"),
        ("/" + "x" * 500, f"there is no route '/{'x' * 39}…'"),
    ],
)
async def test_a_route_that_does_not_exist_is_logged(
    inside: Inside, path: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A typo in a workflow rule loses every delivery, and Zoho does not tell."""
    app = ReceiverApp(door_to(inside, names=sorted(NAMES)))
    wire = Wire()
    await app(http(path), wire.receive, wire.send)
    assert wire.sent[0]["status"] == 404
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("zoho_sync.web.door", "WARNING")
    assert record.getMessage() == said
    assert json.loads(wire.sent[1]["body"]) == {"status": "not_found", "event_ids": []}


@pytest.mark.parametrize("method", ["GET", "HEAD", "PATCH", "OPTIONS"])
async def test_other_methods_are_not_allowed(app: ASGIApp, inside: Inside, method: str) -> None:
    answer = await call(app, method, "/invoice")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST, PUT, DELETE"
    assert not inside.seen


async def test_a_body_at_the_limit_is_read_in_pieces(app: ASGIApp, inside: Inside) -> None:
    wire = Wire(
        chunk(b"a" * 60, more=True), {"type": "http.request", "more_body": True}, chunk(b"b" * 40)
    )
    await app(http(), wire.receive, wire.send)
    assert wire.sent[0]["status"] == 200
    assert inside.seen[0]["body"] == b"a" * 60 + b"b" * 40


async def test_reading_stops_beyond_the_limit(app: ASGIApp, inside: Inside) -> None:
    wire = Wire(chunk(b"a" * 60, more=True), chunk(b"a" * 41, more=True), chunk(b"never read"))
    await app(http(), wire.receive, wire.send)
    assert wire.sent[0]["status"] == 413
    assert json.loads(wire.sent[1]["body"]) == {"status": "refused", "event_ids": []}
    assert len(wire.messages) == 1
    assert not inside.seen


@pytest.mark.parametrize("announced", [b"101", b"9" * 5000])
async def test_a_body_that_announces_itself_too_large_is_not_read(
    app: ASGIApp, inside: Inside, announced: bytes
) -> None:
    wire = Wire()
    await app(http(headers=[(b"Content-Length", announced)]), wire.receive, wire.send)
    assert wire.sent[0]["status"] == 413
    assert inside.unread == ["the body is larger than max_body"]
    assert not inside.seen


async def test_a_sender_that_goes_away_leaves_nothing(app: ASGIApp, inside: Inside) -> None:
    wire = Wire(chunk(b'{"invoice":', more=True), {"type": "http.disconnect"})
    await app(http(), wire.receive, wire.send)
    assert not wire.sent
    assert not inside.seen


async def test_repeated_headers_are_joined(app: ASGIApp, inside: Inside) -> None:
    wire = Wire(chunk(b""))
    headers = [(b"X-A", b"1"), (b"x-a", b"2"), (b"content-length", b"none")]
    await app(http(headers=headers, query_string=b"a=%ff&b=\xff"), wire.receive, wire.send)
    assert inside.seen[0]["headers"]["x-a"] == "1, 2"
    assert inside.seen[0]["query"] == "a=%ff&b=\ufffd"


@pytest.mark.parametrize(
    "receipt",
    [
        Receipt(ReceiptStatus.REFUSED, 401, reason="wrong token in header X-Token"),
        Receipt(ReceiptStatus.REFUSED, 413, reason="too large"),
        Receipt(ReceiptStatus.DEAD_LETTER, 200, ("92",), "invoice.date: not a date"),
        Receipt(ReceiptStatus.PING),
    ],
)
async def test_lesson_30_an_answer_holds_no_reason(receipt: Receipt) -> None:
    app = ReceiverApp(door_to(Inside(receipt)))
    answer = await call(app, "POST", "/")
    assert answer.status_code == receipt.http_status
    assert answer.json() == {"status": receipt.status, "event_ids": list(receipt.event_ids)}


async def test_an_unavailable_queue_asks_the_sender_to_come_again() -> None:
    inside = Inside(error=QueueUnavailable("postgresql://user:password@host is away"))
    app = ReceiverApp(door_to(inside))
    answer = await call(app, "POST", "/")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json() == {"status": "unavailable", "event_ids": []}


async def test_the_lifespan_is_answered(app: ASGIApp) -> None:
    wire = Wire({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    await app({"type": "lifespan"}, wire.receive, wire.send)
    assert [message["type"] for message in wire.sent] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]


async def test_websockets_are_refused(app: ASGIApp) -> None:
    wire = Wire({"type": "websocket.connect"})
    await app({"type": "websocket", "path": "/"}, wire.receive, wire.send)
    assert wire.sent == [{"type": "websocket.close", "code": 1000}]


async def test_an_unknown_scope_is_an_error(app: ASGIApp) -> None:
    wire = Wire()
    with pytest.raises(RuntimeError, match="unknown ASGI scope"):
        await app({"type": "carrier-pigeon"}, wire.receive, wire.send)


# Of the host's application


async def other(scope: Any, receive: Any, send: Any) -> None:
    """Stand for the host's application."""
    del receive
    await send({"type": "other", "scope": scope["type"]})


@pytest.mark.parametrize("path", ["/zoho", "/zoho/", "/zoho/invoice", "/zoho/invoice/5/"])
@pytest.mark.parametrize("root", ["", "/root"])
async def test_below_its_path_it_answers(inside: Inside, path: str, root: str) -> None:
    app = ReceiverApp(door_to(inside), "/zoho", other)
    for whole in (path, root + path):
        wire = Wire(chunk(b"{}"))
        await app(http(whole, root_path=root), wire.receive, wire.send)
        assert wire.sent[0]["status"] == 200
    found = [*path.split("/")[2:], None, None]
    assert (inside.seen[0]["entity"], inside.seen[0]["entity_id"]) == tuple(
        part or None for part in found[:2]
    )


@pytest.mark.parametrize(
    "scope", [http("/"), http("/zohox"), http("/zoh/o"), {"type": "lifespan"}, {"type": "new"}]
)
async def test_elsewhere_the_application_answers(inside: Inside, scope: dict[str, Any]) -> None:
    wire = Wire()
    await ReceiverApp(door_to(inside), "/zoho", other)(scope, wire.receive, wire.send)
    assert wire.sent == [{"type": "other", "scope": scope["type"]}]


async def test_without_an_application_nothing_is_elsewhere(inside: Inside) -> None:
    for path in ("/invoice", "/zohox", "/"):
        wire = Wire()
        await ReceiverApp(door_to(inside), "/zoho")(http(path), wire.receive, wire.send)
        assert wire.sent[0]["status"] == 404


@pytest.mark.parametrize(
    ("path", "app", "said"),
    [("zoho", None, "begins with a slash"), ("", other, "path="), ("/", other, "path=")],
)
def test_a_path_that_cannot_work_is_refused(path: str, app: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        checked_path(path, app)
