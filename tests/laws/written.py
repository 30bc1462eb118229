"""Holds everything that was written while a test ran, and finds in it what is private."""

from __future__ import annotations

import asyncio
import json
import logging
import traceback
from collections.abc import Awaitable, Iterator
from typing import Any, Final

import pytest
from sqlalchemy import Table, select

from tests.hosts.sql import Sessions
from zoho_sync import AnyOf, HeaderToken, QueryToken, SignedBody, SignedRequest, ZohoSync
from zoho_sync.web import Verifier

SECRET: Final = "s3cretS3cretS3cret"
TOKEN: Final = "t0ken-t0ken-t0ken"
MARK: Final = "zzBodyMarkzz"
PRIVATE: Final = (SECRET, TOKEN, MARK)
DRIVERS: Final = ("aiosqlite", "asyncpg", "psycopg", "psycopg.pool", "asyncmy", "sqlalchemy")

VERIFIERS: Final[tuple[Verifier, ...]] = (
    SignedRequest(SECRET, query_keys=("token", "source")),
    SignedBody(SECRET),
    HeaderToken("X-Token", TOKEN),
    QueryToken("token", TOKEN),
    AnyOf(SignedRequest(SECRET, query_keys=("source",)), QueryToken("token", TOKEN)),
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


def leaks(texts: Iterator[str] | list[str], private: tuple[str, ...] = PRIVATE) -> list[str]:
    """Return the texts that hold what is private."""
    return [text for text in texts if any(word in text for word in private)]


def logged(caplog: pytest.LogCaptureFixture) -> Iterator[str]:
    """Every record of the library, as a log would print it, traceback included."""
    formatter = logging.Formatter()
    for record in caplog.records:
        if record.name.startswith("zoho_sync"):
            yield formatter.format(record) + repr(record.args)


class Written:
    """What a test wrote: logs with tracebacks, both outputs, warnings, errors, and what it notes.

    Attributes:
        errors: What calls raised.
    """

    def __init__(
        self, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self._caplog, self._capsys = caplog, capsys
        self._texts: list[str] = []
        self.errors: list[Exception] = []

    def note(self, text: str) -> None:
        """Hold a text, such as an answer."""
        self._texts.append(text)

    async def by(self, call: Awaitable[Any]) -> None:
        """Await a call, and hold what it returns, or what its error prints."""
        try:
            # A document that is returned on purpose is none of this: only what says what was done.
            self.note(repr(await call))
        except Exception as error:
            self.errors.append(error)
            logging.getLogger("host").exception("a host logs it")
            self._texts += [str(error), repr(error), *traceback.format_exception(error)]

    def leaks(self, private: tuple[str, ...] = PRIVATE) -> list[str]:
        """Return what holds something private."""
        logs = [text + repr(record.args) for text, record in self._logs()]
        return leaks([*self._texts, *logs, *self._capsys.readouterr()], private)

    def forged(self, line: str) -> list[str]:
        """Return the records that a line of a sender's own stands in."""
        return [text for text, _ in self._logs() if line in text]

    def _logs(self) -> list[tuple[str, logging.LogRecord]]:
        formatter = logging.Formatter()
        return [(formatter.format(record), record) for record in self._caplog.records]
