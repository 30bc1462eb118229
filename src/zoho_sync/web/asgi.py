"""Serves the endpoint that Zoho calls: plain ASGI, for any framework.

What requests are answered stands in `zoho_sync.web.answers`, and why in `zoho_sync.web.door`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

from zoho_sync.web.answers import TOO_LARGE, TOO_SLOW, UNAVAILABLE, Answer
from zoho_sync.web.budget import NoRoomError, Share
from zoho_sync.web.door import Asked, Door, below, joined

__all__ = ["ASGIApp", "ReceiverApp"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
"""An ASGI 3 application."""


_LITTLE: Final = 256 * 1024
"""Bytes that a server may well read after the answer."""


class _DisconnectedError(Exception):
    """The sender went away before its request was complete."""


class _TooLargeError(Exception):
    """The body is larger than allowed."""


class _TooSlowError(Exception):
    """The body has not arrived in time."""


@dataclass(frozen=True, eq=False)
class ReceiverApp:
    """The ASGI application that receives deliveries.

    Attributes:
        door: Decides.
        path: Where it answers, below where it is mounted.
        app: Answers what is elsewhere.
    """

    door: Door
    path: str = ""
    app: Callable[..., Awaitable[None]] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or go along with the server's start and end."""
        rest = below(_path(scope), self.path) if "path" in scope else None
        if rest is None and self.app is not None:
            await self.app(scope, receive, send)
        elif scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        elif scope["type"] == "http":
            asked = Asked(scope["method"], rest, _headers(scope), _query(scope))
            await self._answer(asked, receive, send, scope.get("http_version", "1.1"))
        else:
            # The specification asks for an exception, so that a server knows.
            message = f"unknown ASGI scope {scope['type']!r}"
            raise RuntimeError(message)

    async def _answer(self, asked: Asked, receive: Receive, send: Send, version: str) -> None:
        answer = await self.door.refusal(asked)
        is_read = False
        if answer is None:
            try:
                with self.door.budget.share(asked.announced) as share:
                    # What is read is held until it is answered.
                    body, is_read = await self._body(receive, share), True
                    answer = await self.door.deliver(asked, body)
            except _DisconnectedError:
                return
            except NoRoomError:
                answer = await self.door.unread(UNAVAILABLE)
            except _TooLargeError:
                answer = await self.door.unread(TOO_LARGE)
            except _TooSlowError:
                answer = await self.door.unread(TOO_SLOW)
        closes = not is_read and version < "2" and self._ends(asked, answer)
        await _send(send, asked, answer, closes=closes)

    def _ends(self, asked: Asked, answer: Answer) -> bool:
        """Return whether the connection ends with an answer before the end of the body.

        Otherwise the server would read the rest, of which there may be much. But a sender that is
        cut off while it sends may not see the answer: one that is honest is not cut off.
        """
        most = max(_LITTLE, 2 * self.door.max_body if answer is TOO_LARGE else 0)
        is_endless = asked.has_body and not 0 < (asked.announced or 0) <= most
        return is_endless or answer is TOO_SLOW

    async def _body(self, receive: Receive, share: Share) -> bytes:
        body = bytearray()
        more = True
        deadline = asyncio.timeout(self.door.patience)
        try:
            async with deadline:
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _DisconnectedError
                    chunk = message.get("body", b"")
                    if len(body) + len(chunk) > self.door.max_body:
                        raise _TooLargeError
                    share.grow(len(chunk))
                    body += chunk
                    more = message.get("more_body", False)
        except TimeoutError:
            if not deadline.expired():
                raise  # the server's own
            raise _TooSlowError from None
        return bytes(body)


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


def _path(scope: Scope) -> str:
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    # The specification has the whole mount point in the path too. Behind a proxy that strips its
    # part, the path has only the rest (Starlette says how much is the proxy's), or nothing of it.
    for mount in (root, root.removeprefix(scope.get("app_root_path", "").rstrip("/"))):
        rest = below(path, mount)
        if rest is not None:
            return rest
    return path


def _headers(scope: Scope) -> dict[str, str]:
    raw = scope["headers"]
    return joined((key.decode("latin-1"), value.decode("latin-1")) for key, value in raw)


def _query(scope: Scope) -> str:
    query: bytes = scope.get("query_string", b"")
    return query.decode("utf-8", "replace")


async def _send(send: Send, asked: Asked, answer: Answer, *, closes: bool = False) -> None:
    # Only HTTP/1 has this header.
    headers = [*answer.headers, *([("connection", "close")] if closes else ())]
    encoded = [(name.encode(), value.encode()) for name, value in headers]
    body = b"" if asked.method == "HEAD" else answer.body
    await send({"type": "http.response.start", "status": answer.http_status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})
