"""Serves the endpoint that Zoho calls: plain ASGI, mountable in any framework.

Routes, relative to where it is mounted: ``/``, ``/{entity}`` and ``/{entity}/{id}``, with POST, PUT
or DELETE. Answers are small JSON objects, ``{"status": …, "event_ids": […]}``; why a delivery was
refused stands in the operator's log and never in the answer.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, Final, NamedTuple, Protocol

from zoho_sync.events.outcome import Receipt, ReceiptStatus
from zoho_sync.exceptions import QueueUnavailable
from zoho_sync.exceptions.wording import did_you_mean, shown

__all__ = ["ASGIApp", "FrontDoor", "ReceiverApp"]

_log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
"""An ASGI 3 application."""

_METHODS: Final = ("POST", "PUT", "DELETE")
_LONGEST_ROUTE: Final = 2
_RETRY_AFTER: Final = "30"
"""Seconds, after which a sender is asked to come again while the queue is away."""


class FrontDoor(Protocol):
    """What a delivery is handed to; `ZohoSync.receive` in the library's own application."""

    def __call__(  # noqa: PLR0913  # one argument for each part of a request
        self,
        body: bytes,
        *,
        headers: Mapping[str, str],
        query: str,
        entity: str | None,
        operation: str | None,
        entity_id: str | None,
        method: str,
    ) -> Awaitable[Receipt]:
        """Authenticate, decode and enqueue one delivery.

        Headers have names in lower case, and the values of a repeated one are joined by commas.
        What query and route say is decoded; a route names no operation.

        Raises:
            QueueUnavailable: The queue cannot be reached.
        """


class _Answer(NamedTuple):
    http_status: int
    status: str
    event_ids: Sequence[str] = ()
    headers: tuple[tuple[str, str], ...] = ()


_NOT_FOUND: Final = _Answer(404, "not_found")
_WRONG_METHOD: Final = _Answer(405, "method_not_allowed", headers=(("allow", ", ".join(_METHODS)),))
_TOO_LARGE: Final = _Answer(413, ReceiptStatus.REFUSED)
_UNAVAILABLE: Final = _Answer(503, "unavailable", headers=(("retry-after", _RETRY_AFTER),))


class _DisconnectedError(Exception):
    """The sender went away before its request was complete."""


class _TooLargeError(Exception):
    """The body is larger than allowed."""


@dataclass(frozen=True, eq=False)
class ReceiverApp:
    """The ASGI application that receives deliveries.

    Attributes:
        receive: What each delivery is handed to.
        max_body: The largest body that is accepted, in bytes; reading stops beyond it.
        knows: Whether an entity type goes by a name; routes of other names do not exist.
        names: Of entity types: the log suggests the nearest for a route that does not exist.
    """

    receive: FrontDoor
    _: KW_ONLY
    max_body: int
    knows: Callable[[str], bool]
    names: Sequence[str] = ()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or go along with the server's start and end."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        elif scope["type"] == "http":
            try:
                answer = await self._answer(scope, receive)
            except _DisconnectedError:
                return
            await _send(send, answer)
        else:
            # The specification asks for an exception, so that a server knows.
            message = f"unknown ASGI scope {scope['type']!r}"
            raise RuntimeError(message)

    async def _answer(self, scope: Scope, receive: Receive) -> _Answer:
        route = _route(scope)
        if not self._exists(route):
            return _NOT_FOUND
        if scope["method"] not in _METHODS:
            return _WRONG_METHOD
        headers = _headers(scope["headers"])
        try:
            receipt = await self.receive(
                await _body(receive, headers, self.max_body),
                headers=headers,
                query=scope.get("query_string", b"").decode("utf-8", "replace"),
                entity=route[0] if route else None,
                operation=None,
                entity_id=route[1] if len(route) == _LONGEST_ROUTE else None,
                method=scope["method"],
            )
        except _TooLargeError:
            return _TOO_LARGE
        except QueueUnavailable:
            return _UNAVAILABLE
        return _Answer(receipt.http_status, receipt.status, receipt.event_ids)

    def _exists(self, route: Sequence[str]) -> bool:
        # A missing one is logged: a typo in Zoho would lose every delivery.
        if len(route) > _LONGEST_ROUTE or "" in route:
            near = ""
        elif route and not self.knows(route[0]):
            near = did_you_mean(route[0], self.names)
        else:
            return True
        _log.warning("there is no route %s%s", shown("/" + "/".join(route)), near)
        return False


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


def _route(scope: Scope) -> list[str]:
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    # The specification has the whole mount point in the path too. Behind a proxy that strips its
    # part, the path has only the rest (Starlette says how much is the proxy's), or nothing of it.
    for mount in (root, root.removeprefix(scope.get("app_root_path", "").rstrip("/"))):
        if path == mount or path.startswith(mount + "/"):
            path = path[len(mount) :]
            break
    path = path.removeprefix("/").removesuffix("/")
    return path.split("/") if path else []


def _headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for key, value in raw:
        name, text = key.decode("latin-1").lower(), value.decode("latin-1")
        headers[name] = f"{headers[name]}, {text}" if name in headers else text
    return headers


async def _body(receive: Receive, headers: Mapping[str, str], max_body: int) -> bytes:
    announced = headers.get("content-length", "")
    # Ten digits are more than any limit; longer numbers are not worth converting.
    if announced.isdecimal() and (len(announced) > 10 or int(announced) > max_body):  # noqa: PLR2004  # said above
        raise _TooLargeError
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _DisconnectedError
        body += message.get("body", b"")
        if len(body) > max_body:
            raise _TooLargeError
        more = message.get("more_body", False)
    return bytes(body)


async def _send(send: Send, answer: _Answer) -> None:
    content = {"status": str(answer.status), "event_ids": list(answer.event_ids)}
    body = json.dumps(content).encode()
    headers = [
        ("content-type", "application/json"),
        ("content-length", str(len(body))),
        ("cache-control", "no-store"),
        *answer.headers,
    ]
    encoded = [(name.encode(), value.encode()) for name, value in headers]
    await send({"type": "http.response.start", "status": answer.http_status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})
