"""Decides what a request is answered, whichever way it came: over ASGI or over WSGI.

Routes, relative to where the front door is: ``/``, ``/{entity}`` and ``/{entity}/{id}``, with POST,
PUT or DELETE. What no body can make right is refused before the body is read.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Final, Protocol

from zoho_sync.events.outcome import Receipt
from zoho_sync.exceptions import ConfigurationError, QueueUnavailable
from zoho_sync.exceptions.wording import did_you_mean, shown
from zoho_sync.web.answers import (
    LENGTH_REQUIRED,
    METHODS,
    NOT_FOUND,
    TOO_LARGE,
    TOO_SLOW,
    UNAVAILABLE,
    WRONG_METHOD,
    Answer,
    answer_of,
)
from zoho_sync.web.budget import Budget

__all__ = ["Asked", "Door", "FrontDoor", "below", "checked_path", "joined"]

_log = logging.getLogger(__name__)

_LONGEST_ROUTE: Final = 2
_LONGEST_NUMBER: Final = 10
"""Digits that are more than any limit; longer numbers are not worth converting."""

_UNREAD: Final = {
    TOO_SLOW.http_status: "the body did not arrive in time",
    LENGTH_REQUIRED.http_status: "the server does not say where the body ends",
    TOO_LARGE.http_status: "the body is larger than max_body",
    UNAVAILABLE.http_status: "too many bodies were being read at once",
}


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
        What the route says is decoded; a route names no operation.

        Raises:
            QueueUnavailable: The queue cannot be reached.
        """


@dataclass(frozen=True, slots=True)
class Asked:
    """A request without its body.

    Attributes:
        path: Below where the front door is, decoded; None if it leads elsewhere.
        headers: Names in lower case; the values of a repeated one are joined by commas.
        query: As received.
    """

    method: str
    path: str | None
    headers: Mapping[str, str]
    query: str

    @property
    def announced(self) -> int | None:
        """The size of the body that was announced, in bytes; None if that is no number."""
        length = self.headers.get("content-length", "").strip()
        if not (length.isascii() and length.isdecimal()):
            return None
        return int(length[: _LONGEST_NUMBER + 1])

    @property
    def has_body(self) -> bool:
        """Whether a body follows."""
        return bool(self.announced) or "transfer-encoding" in self.headers

    @property
    def route(self) -> Sequence[str]:
        """The parts of the path."""
        path = (self.path or "").removeprefix("/").removesuffix("/")
        return path.split("/") if path else ()


@dataclass(frozen=True, eq=False)
class Door:
    """The front door: what is let in, and what it is answered.

    Attributes:
        receive: What each delivery is handed to.
        preview: Returns the receipt of what is refused whatever its body, and None otherwise.
        note: Counts what is not taken in, by its reason.
        max_body: The largest body that is accepted, in bytes; reading stops beyond it.
        knows: Whether an entity type goes by a name; routes of other names do not exist.
        names: Of entity types: the log suggests the nearest for a route that does not exist.
        budget: What may be held of bodies at once.
        patience: Seconds in which the whole body must arrive.
    """

    receive: FrontDoor
    preview: Callable[[Mapping[str, str], str], Awaitable[Receipt | None]]
    note: Callable[[str], Awaitable[None]]
    _: KW_ONLY
    max_body: int
    knows: Callable[[str], bool]
    names: Sequence[str]
    budget: Budget
    patience: float = 10.0

    async def refusal(self, asked: Asked) -> Answer | None:
        """Return the answer that needs no body; None if the body is to be read."""
        if asked.path is None or not self._exists(asked.route):
            return NOT_FOUND
        if asked.method not in METHODS:
            return WRONG_METHOD
        # Before the size: that a stranger's body is too large is no problem of an operator's.
        receipt = await self.preview(asked.headers, asked.query)
        if receipt is not None:
            return answer_of(receipt)
        return await self.unread(TOO_LARGE) if (asked.announced or 0) > self.max_body else None

    async def deliver(self, asked: Asked, body: bytes) -> Answer:
        """Hand a request over with its body, and return what it is answered."""
        route = asked.route
        try:
            receipt = await self.receive(
                body,
                headers=asked.headers,
                query=asked.query,
                entity=route[0] if route else None,
                operation=None,
                entity_id=route[1] if len(route) == _LONGEST_ROUTE else None,
                method=asked.method,
            )
        except QueueUnavailable:
            return UNAVAILABLE
        return answer_of(receipt)

    async def unread(self, answer: Answer) -> Answer:
        """Count a body that is not read, or not to its end, and return its answer.

        It may be an honest one: an operator is told.
        """
        reason = _UNREAD[answer.http_status]
        _log.warning("delivery not read: %s", reason)
        await self.note(reason)
        return answer

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


def joined(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return headers with names in lower case, the values of a repeated one joined by commas."""
    found: dict[str, str] = {}
    for key, value in headers:
        name = key.lower()
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def checked_path(path: str, app: object) -> str:
    """Return where the front door is, without a slash at its end.

    Args:
        path: As the application gives it; ``""`` is everywhere.
        app: What answers everything else, if anything does.

    Raises:
        ConfigurationError: It is no path, or nothing would be left for the other application.
    """
    plain = path.rstrip("/")
    if plain and not plain.startswith("/"):
        raise ConfigurationError(f"path begins with a slash; give path={'/' + plain!r}")
    if app is not None and not plain:
        raise ConfigurationError(
            "without a path, nothing is left for the other application; give the path of the "
            'webhooks: path="/webhooks/zoho", for example'
        )
    return plain


def below(path: str, place: str) -> str | None:
    """Return the rest of a path below a place; None if it leads elsewhere."""
    if path == place or path.startswith(place + "/"):
        return path[len(place) :]
    return None
