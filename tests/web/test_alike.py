"""The same request, over ASGI and over WSGI: one answer, and one thing that comes through."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from urllib.parse import unquote_to_bytes

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.amounts import examples
from tests.web.doors import MAX_BODY, Inside, door_to
from zoho_sync.events.outcome import Receipt, ReceiptStatus
from zoho_sync.web.asgi import ReceiverApp
from zoho_sync.web.budget import Budget
from zoho_sync.web.wsgi import WSGIReceiver

PIECES = (
    "/",
    "//",
    "/zoho",
    "zoho",
    "/invoice",
    "invoices",
    "/7",
    "%2F",
    "%C3%A4",
    "%ff",
    "/x",
    "?",
)


@dataclass(frozen=True)
class Sent:
    """One request as it is on the wire."""

    path: bytes
    method: str
    query: bytes
    headers: Mapping[str, bytes]
    body: bytes


requests = st.builds(
    Sent,
    st.lists(st.sampled_from(PIECES), max_size=5).map(
        lambda pieces: unquote_to_bytes("/" + "".join(pieces).lstrip("/"))
    ),
    st.sampled_from(["POST", "PUT", "DELETE", "GET", "HEAD", "OPTIONS", "post"]),
    st.sampled_from([b"", b"a=1", b"a=%ff&&b", b"a=\xe4", b"entity=invoice&op=delete"]),
    st.dictionaries(
        st.sampled_from(["X-Token", "X-A", "Content-Type"]),
        st.sampled_from([b"1", b"a, b", b"\xe4", b"0" * 64]),
    ),
    st.sampled_from([b"", b"{}", b"x" * MAX_BODY, b"x" * (MAX_BODY + 1)]),
)


async def other(_: Any, __: Any, send: Any) -> None:
    """Stand for the host's application under ASGI."""
    await send({"type": "http.response.start", "status": 299, "headers": []})
    await send({"type": "http.response.body", "body": b"other"})


def other_wsgi(_: Any, start_response: Any) -> list[bytes]:
    """Stand for it under WSGI."""
    start_response("299 Other", [])
    return [b"other"]


@settings(max_examples=examples(core=150, everything=2_000), deadline=None)
@given(
    requests,
    st.sampled_from([10, 10_000]),
    st.sampled_from(["", "/zoho"]),
    st.sampled_from([None, Receipt(ReceiptStatus.REFUSED, 401)]),
)
def test_asgi_and_wsgi_answer_alike(
    sent: Sent, room: int, mount: str, refusal: Receipt | None
) -> None:
    insides = Inside(refusal=refusal), Inside(refusal=refusal)
    doors = [door_to(each, budget=Budget(small=room, large=room)) for each in insides]
    asgi = ReceiverApp(doors[0], mount, other if mount else None)
    wsgi = WSGIReceiver(lambda work: _run(work(doors[1])), mount, other_wsgi if mount else None)
    assert _over_wsgi(wsgi, sent) == _run(_over_asgi(asgi, sent))
    assert insides[0].seen == insides[1].seen
    assert insides[0].unread == insides[1].unread
    assert all((door.budget.small, door.budget.large) == (room, room) for door in doors)


def _run(work: Any) -> Any:
    return asyncio.run(work)


async def _over_asgi(app: Any, sent: Sent) -> Any:
    headers = [(name.encode(), value) for name, value in sent.headers.items()]
    if sent.body:
        headers.append((b"Content-Length", str(len(sent.body)).encode()))
    scope = {
        "type": "http",
        "method": sent.method,
        "path": sent.path.decode("utf-8", "replace"),
        "query_string": sent.query,
        "headers": headers,
        "http_version": "2",
    }
    answer: dict[str, Any] = {}

    async def receive() -> Any:
        return {"type": "http.request", "body": sent.body}

    async def send(message: Any) -> None:
        answer.update(message)

    await app(scope, receive, send)
    named = sorted((name.decode(), value.decode()) for name, value in answer["headers"])
    return answer["status"], named, answer["body"]


def _over_wsgi(app: Any, sent: Sent) -> Any:
    environ: dict[str, Any] = {
        "REQUEST_METHOD": sent.method,
        "PATH_INFO": sent.path.decode("latin-1"),
        "QUERY_STRING": sent.query.decode("latin-1"),
        "wsgi.input": BytesIO(sent.body + b"next"),
    }
    for name, value in sent.headers.items():
        key = name.upper().replace("-", "_")
        environ[key if key == "CONTENT_TYPE" else "HTTP_" + key] = value.decode("latin-1")
    if sent.body:
        environ["CONTENT_LENGTH"] = str(len(sent.body))
    started: list[Any] = []
    content = b"".join(app(environ, lambda line, named: started.extend((line, named))))
    return int(started[0][:3]), sorted(started[1]), content
