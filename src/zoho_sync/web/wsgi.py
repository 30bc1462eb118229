"""Serves the same endpoint over WSGI, for servers that call from threads and know no event loop.

The body is read in the thread of the server; everything else is asked of an event loop.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Protocol, TypeVar

from zoho_sync.exceptions import ConfigurationError
from zoho_sync.web.answers import LENGTH_REQUIRED, TOO_LARGE, TOO_SLOW, UNAVAILABLE, Answer
from zoho_sync.web.budget import NoRoomError
from zoho_sync.web.door import Asked, Door, below, joined

__all__ = ["Asks", "WSGIApp", "WSGIReceiver"]

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

Environ = dict[str, Any]

WSGIApp = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]
"""A WSGI application, of PEP 3333."""

_PIECE: Final = 64 * 1024
_MOST: Final = 1 << 62
"""More than any limit, where the end of a body is known to the server alone."""


class Asks(Protocol):
    """Awaits in an event loop, from any thread, what it is handed."""

    def __call__(self, work: Callable[[Door], Awaitable[_T]], /) -> _T:
        """Return what the awaitable returns.

        Raises:
            ConfigurationError: There is no loop, or none any more.
        """


class _UnreadableError(Exception):
    """The body is not read, or not to its end; it is answered so."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


@dataclass(frozen=True, eq=False)
class WSGIReceiver:
    """The WSGI application that receives deliveries.

    Attributes:
        ask: Reaches the front door in its loop.
        path: Where it answers, below where it is mounted.
        app: Answers what is elsewhere.
    """

    ask: Asks
    path: str = ""
    app: Callable[..., Iterable[bytes]] | None = None

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        rest = below(_text(environ.get("PATH_INFO", "")), self.path)
        if rest is None and self.app is not None:
            return self.app(environ, start_response)
        query = _text(environ.get("QUERY_STRING", ""))
        asked = Asked(environ["REQUEST_METHOD"], rest, joined(_headers(environ)), query)
        answer = self._answer(asked, environ)
        line = f"{answer.http_status} {HTTPStatus(answer.http_status).phrase}"
        start_response(line, answer.headers)
        return [] if asked.method == "HEAD" else [answer.body]

    def _answer(self, asked: Asked, environ: Environ) -> Answer:
        async def look(door: Door) -> tuple[Door, Answer | None]:
            return door, await door.refusal(asked)

        try:
            door, refused = self.ask(look)
            return refused or self._read(asked, environ, door)
        except ConfigurationError as error:
            # Not started yet, or closed: the sender is to come again.
            _log.error("delivery not taken in: %s", error)  # a traceback says no more
            return UNAVAILABLE

    def _read(self, asked: Asked, environ: Environ, door: Door) -> Answer:
        try:
            with door.budget.share(asked.announced) as share:
                body = bytearray()
                for piece in _pieces(environ, asked, door):
                    share.grow(len(piece))
                    body += piece
                whole = bytes(body)
                return self.ask(lambda door: door.deliver(asked, whole))
        except _UnreadableError as error:
            answer = error.answer
        except NoRoomError:
            answer = UNAVAILABLE
        return self.ask(lambda door: door.unread(answer))


def _pieces(environ: Environ, asked: Asked, door: Door) -> Iterator[bytes]:
    """Read the body, as far as the server says that there is one.

    Raises:
        _UnreadableError: It is too large, too slow, or its end is not known.
    """
    left = _length(environ, asked)
    is_certain, deadline, size = asked.announced is not None, time.monotonic() + door.patience, 0
    while left > 0:
        piece = _read(environ, min(left, _PIECE))
        if not piece:
            if is_certain:  # the sender went away
                raise _UnreadableError(TOO_SLOW)
            return
        size += len(piece)
        left -= len(piece)
        if size > door.max_body:
            raise _UnreadableError(TOO_LARGE)
        if time.monotonic() > deadline:
            raise _UnreadableError(TOO_SLOW)
        yield piece


def _length(environ: Environ, asked: Asked) -> int:
    """Return how many bytes may be asked for; a server need not know the end of what it reads."""
    if asked.announced is not None:
        return asked.announced
    if environ.get("wsgi.input_terminated"):
        return _MOST
    if asked.has_body or asked.headers.get("content-length"):
        raise _UnreadableError(LENGTH_REQUIRED)
    return 0


def _read(environ: Environ, size: int) -> bytes:
    try:
        piece: bytes = environ["wsgi.input"].read(size)
    except OSError:  # what servers raise where the connection breaks, or its time is up
        raise _UnreadableError(TOO_SLOW) from None
    return piece


def _headers(environ: Environ) -> Iterator[tuple[str, str]]:
    for key, value in environ.items():
        if key.startswith("HTTP_"):
            yield key.removeprefix("HTTP_").replace("_", "-"), value
        elif key in ("CONTENT_TYPE", "CONTENT_LENGTH") and value:
            yield key.replace("_", "-"), value


def _text(native: str) -> str:
    # WSGI's texts are bytes, one to a character.
    return native.encode("latin-1", "replace").decode("utf-8", "replace")
