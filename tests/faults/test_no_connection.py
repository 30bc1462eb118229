"""A database that takes no connection: nothing is accepted that is lost, and nobody is blamed.

Which class an error has while SQLAlchemy connects differs between its versions and drivers: some
hand on the driver's own.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import event, make_url, select
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.pool import NullPool

from tests.hosts.events import customer
from tests.hosts.shop import create_shop, registry
from tests.hosts.sql import Sessions
from tests.servers.postgres import PrivatePostgres
from zoho_sync import Outcome, Unverified, ZohoSync
from zoho_sync.abc import Job
from zoho_sync.exceptions import QueueUnavailable
from zoho_sync.queues import SQLQueue
from zoho_sync.store.tables import library_tables

# The tables must belong to the role that is limited.
pytestmark = [pytest.mark.breaks_connections, pytest.mark.without_tables]

JOBS = library_tables().jobs
LEASE = timedelta(minutes=5)
BODY = b'{"contact": {"contact_id": "1", "contact_type": "customer"}}'


class DriverError(Exception):
    """What a driver raises that SQLAlchemy does not wrap; it has nothing but an SQLSTATE."""

    sqlstate = "53300"


@dataclass
class Door:
    """The way to a database.

    Attributes:
        sessions: Each opens a connection of its own.
        shut: Makes the database take no more connections, or take them again.
    """

    sessions: Sessions
    shut: Callable[[bool], None]
    claimed: list[Job] = field(default_factory=list)


class Closing(SQLQueue):
    """A queue whose database takes no connection any more, once jobs are claimed."""

    door: Door

    async def claim(self, limit: int, *, lease: timedelta) -> list[Job]:
        jobs = await super().claim(limit, lease=lease)
        self.door.claimed += jobs
        self.door.shut(bool(jobs))
        return jobs


@contextmanager
def refusing(engine: AsyncEngine) -> Iterator[Callable[[bool], None]]:
    """Give a switch that makes the driver's own error come out of every new connection."""
    closed = False

    def refuse(*_: Any) -> None:
        if closed:
            raise DriverError("sorry, too many clients already")

    def switch(shut: bool) -> None:  # noqa: FBT001  # one of two positions
        nonlocal closed
        closed = shut

    event.listen(engine.sync_engine, "do_connect", refuse)
    yield switch
    event.remove(engine.sync_engine, "do_connect", refuse)


@contextmanager
def limiting(url: str) -> Iterator[tuple[str, Callable[[bool], None]]]:
    """Give the URL of a role of its own, and a switch of how many connections it may have."""
    role = sql.Identifier(f"app_{uuid.uuid4().hex}")
    address = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(address, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
        admin.execute(sql.SQL("GRANT ALL ON SCHEMA public TO {}").format(role))

        def switch(shut: bool) -> None:  # noqa: FBT001  # one of two positions
            limit = sql.Literal(0 if shut else -1)
            admin.execute(sql.SQL("ALTER ROLE {} CONNECTION LIMIT {}").format(role, limit))

        name = role.as_string(admin).strip('"')
        yield make_url(url).set(username=name).render_as_string(hide_password=False), switch
        admin.execute(sql.SQL("DROP OWNED BY {}").format(role))
        admin.execute(sql.SQL("DROP ROLE {}").format(role))


@pytest.fixture(params=["the driver's error", "a limit of PostgreSQL"])
async def door(request: pytest.FixtureRequest) -> Any:
    """A database that can be made to take no connection."""
    if request.param == "the driver's error":
        engine = create_async_engine(request.getfixturevalue("sqlite_url"), poolclass=NullPool)
        with refusing(engine) as switch:
            yield await _opened(engine, switch)
            await engine.dispose()
        return
    server = request.getfixturevalue("postgres_server")
    if not isinstance(server, PrivatePostgres):
        pytest.skip("needs a PostgreSQL server of its own, to make a role on it")
    with limiting(request.getfixturevalue("postgres_url")) as (url, switch):
        engine = create_async_engine(url, poolclass=NullPool)
        yield await _opened(engine, switch)
        switch(False)  # noqa: FBT003  # as above
        await engine.dispose()


async def _opened(engine: AsyncEngine, switch: Callable[[bool], None]) -> Door:
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    await create_shop(engine)
    await ZohoSync(sessions).create_tables()
    return Door(sessions, switch)


async def jobs(door: Door) -> Sequence[tuple[Any, ...]]:
    """Return what the queue holds against its jobs."""
    columns = (JOBS.c.attempts, JOBS.c.deaths, JOBS.c.suspect, JOBS.c.lease_token)
    async with door.sessions() as session:
        return [tuple(row) for row in await session.execute(select(*columns))]


@pytest.mark.parametrize("body", [BODY, b"junk{"], ids=["understood", "not understood"])
async def test_the_front_door_says_that_it_is_shut(door: Door, body: bytes) -> None:
    sync = ZohoSync(door.sessions, registry=registry(), verifier=Unverified())
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def request() -> Any:
        return {"type": "http.request", "body": body}

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b""}
    door.shut(True)  # noqa: FBT003  # one of two positions
    with pytest.raises(QueueUnavailable):
        await sync.receive(body)
    await sync.asgi()(scope, request, send)
    assert sent[0]["status"] == 503
    door.shut(False)  # noqa: FBT003  # one of two positions
    assert (await sync.receive(body)).http_status == 200
    assert (await sync.status()).accepted == 1


async def test_nobody_is_blamed_for_an_outage_between_claim_and_apply(door: Door) -> None:
    """What was claimed is owed, and released as soon as the database takes a connection."""
    queue = Closing(door.sessions)
    queue.door = door
    sync = ZohoSync(door.sessions, queue=queue, registry=registry(), lease=LEASE)
    await sync.enqueue([customer(f"1{number}", 1) for number in range(3)])
    for turn in range(3):
        with pytest.raises(Exception, match=r"too many|database"):
            await sync.drain()
        assert len(door.claimed) == 3 * (turn + 1)
        door.shut(False)  # noqa: FBT003  # one of two positions
        assert {row[:3] for row in await jobs(door)} == {(0, 0, False)}
    calm = ZohoSync(door.sessions, registry=registry(), lease=LEASE)
    await sync._worker._executor.release_owed()
    assert await jobs(door) == [(0, 0, False, None)] * 3
    assert await calm.drain() == {Outcome.APPLIED: 3}
