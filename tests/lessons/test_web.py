"""Answers over HTTP: what the sender is told, and what not."""

from __future__ import annotations

from typing import Any

from tests.hosts.application import open_host
from tests.hosts.sql import Sessions
from zoho_sync import HeaderToken

SECRET = "Sesame0pen-Sesame0pen"


async def test_lesson_30_error_text_stays_inside(sessions: Sessions) -> None:
    """It would be back if the sender were told why, or what of the body was wrong."""
    host = await open_host(sessions, verifier=HeaderToken("X-Token", SECRET))
    app = host.sync.asgi()
    refused = await _call(app, b'{"invoice":{"total":"hush"}}', [])
    broken = await _call(app, b'{"invoice":{"total":"hush"}}', [(b"x-token", SECRET.encode())])
    unreadable = await _call(app, b"{hush", [(b"x-token", SECRET.encode())])
    assert [answer[0] for answer in (refused, broken, unreadable)] == [401, 200, 200]
    for _, body in (refused, broken, unreadable):
        for word in (b"hush", b"invoice", b"JSON", b"token", b"verifier", b"Error", b"line"):
            assert word not in body
    assert len(await host.dead()) == 2


async def _call(app: Any, body: bytes, headers: list[tuple[bytes, bytes]]) -> tuple[int, bytes]:
    """Send one POST to an ASGI application; return status and body."""
    sent: list[dict[str, Any]] = []
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": "/",
        "raw_path": b"/",
        "root_path": "",
        "query_string": b"",
        "headers": headers,
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])
