"""Law 7 while the database refuses: the sender comes again, and no log learns what was sent."""

from __future__ import annotations

import json
import logging
import traceback
from typing import Any, Final

import pytest
from sqlalchemy import CheckConstraint, Column, Integer, MetaData, Table
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.hosts.sql import Sessions, library
from tests.laws.written import MARK, leaks, logged, over_asgi
from zoho_sync import QueueUnavailable, ZohoSync
from zoho_sync.intake.tokens import QueryToken

pytestmark = [
    pytest.mark.databases("sqlite", "postgresql", "psycopg", "mariadb"),
    pytest.mark.breaks_connections,
]

TOKEN: Final = "t0ken-t0ken-t0ken"
UNDERSTOOD: Final = {"item": {"item_id": "7100", "name": MARK, f"cf_{MARK}": MARK}}
ODD: Final = {MARK: {MARK: MARK}}


def _without(name: str) -> Any:
    return lambda table: [column for column in table.columns if column.name != name]


REFUSING: Final[dict[str, Any]] = {
    "no table": None,
    "no document": _without("payload"),
    "no kind of error": _without("kind"),
    "no arrival": _without("arrival_time"),
    "a column more": lambda table: [*table.columns, Column("more", Integer, nullable=False)],
    "a check": lambda table: [*table.columns, CheckConstraint("organization_id = 'nobody'")],
}


async def spoil(engine: AsyncEngine, how: str) -> None:
    """Let the tables at the door be others than the library's."""
    host = MetaData()
    async with engine.begin() as connection:
        for table in (library.jobs, library.dead_letters):
            await connection.run_sync(table.drop)
            if (change := REFUSING[how]) is not None:
                kept = [
                    each._copy() if isinstance(each, Column) else each for each in change(table)
                ]
                await connection.run_sync(Table(table.name, host, *kept).create)


def told(error: BaseException) -> list[str]:
    """Return everything that a server's log may print of an exception."""
    report = traceback.TracebackException.from_exception(error)
    forced = [str(each) + repr(each) for each in _chain(error)]
    return [*report.format(), *traceback.format_exception(error), *forced]


def _chain(error: BaseException | None) -> list[BaseException]:
    if error is None:
        return []
    return [error, *_chain(error.__cause__), *_chain(error.__context__)]


@pytest.mark.parametrize("how", REFUSING)
async def test_law_7_schema_that_is_wrong_is_an_outage_at_the_door(
    engine: AsyncEngine, sessions: Sessions, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    caplog.set_level(logging.DEBUG)
    sync = ZohoSync(sessions, verifier=QueryToken("token", TOKEN))
    await sync.create_tables()
    await spoil(engine, how)
    unavailable = 0
    for document in (UNDERSTOOD, ODD):
        body = json.dumps(document).encode()
        error = await _refusal(sync, body)
        if error is not None:  # else the other table is what is wrong
            assert leaks(told(error)) == []
            unavailable += 1
            answer = await over_asgi(sync, "/", f"token={TOKEN}", body)
            assert "503" in answer
            assert leaks([answer]) == []
    assert unavailable == (1 if how in {"no kind of error", "no document"} else 2)
    assert leaks(list(logged(caplog))) == []


async def _refusal(sync: ZohoSync, body: bytes) -> QueueUnavailable | None:
    try:
        receipt = await sync.receive(body, query=f"token={TOKEN}")
    except QueueUnavailable as error:
        return error
    assert receipt.http_status == 200
    return None
