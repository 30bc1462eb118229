"""Deadlock, serialization failure, busy: at every statement of an apply, on every database."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import pytest
from sqlalchemy import event as sa_event
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine

from tests.hosts.events import customer, invoice
from tests.hosts.shop import create_shop, registry
from zoho_sync import Outcome, ZohoSync
from zoho_sync.store.tables import library_tables

JOBS = library_tables().jobs


@dataclass(frozen=True)
class Failure:
    """How a statement fails.

    Attributes:
        database: The fixture with the URL.
        error: The database's name of it.
        queue: Of the application; None for the one in the database.
    """

    database: str
    error: str
    queue: str | None = None


FAILURES: Final = {
    "PostgreSQL, deadlock": Failure("postgres_url", "40P01"),
    "PostgreSQL, serialization": Failure("postgres_url", "40001"),
    "PostgreSQL, queue outside, deadlock": Failure("postgres_url", "40P01", "memory://"),
    "MariaDB, deadlock": Failure("mariadb_url", "1213"),
    "MariaDB, changed since": Failure("mariadb_url", "1020"),
    "MariaDB, queue outside, deadlock": Failure("mariadb_url", "1213", "memory://"),
    "SQLite, busy": Failure("sqlite_url", "SQLITE_BUSY"),
    "SQLite, locked": Failure("sqlite_url", "SQLITE_LOCKED"),
}
STATES: Final = {"1213": "40001", "1020": "HY000"}


class Sabotage:
    """Makes the nth statement of each apply fail, with an error that the database really raises.

    SQLite raises none on demand: its driver's is raised in its place.
    """

    def __init__(self, engine: AsyncEngine, sync: ZohoSync, error: str) -> None:
        self._engine, self._error = engine.sync_engine, error
        self._executor = sync._worker._executor
        self._applying = False
        self._seen = self._victim = 0
        self._times = 1
        self.failures = 0

    def _execute(self, cursor: Any, statement: str, *_: Any) -> None:
        if not self._applying or "pg_catalog" in statement:
            return
        self._seen += 1
        if self._seen == self._victim and self.failures < self._times:
            self.failures += 1
            self._seen = 0
            self._fail(cursor)

    def _fail(self, cursor: Any) -> None:
        dialect = self._engine.dialect.name
        if dialect == "postgresql":
            failing = f"RAISE EXCEPTION 'sabotaged' USING ERRCODE = '{self._error}'"
            cursor.execute(f"DO $$ BEGIN {failing}; END $$", ())
        elif dialect == "mysql":
            # Its deadlocks end the transaction; a signal does not.
            cursor.execute("ROLLBACK", ())
            state = STATES[self._error]
            cursor.execute(f"SIGNAL SQLSTATE '{state}' SET MYSQL_ERRNO = {self._error}", ())
        else:
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorname = self._error
            raise error

    @contextmanager
    def at(self, victim: int, times: int = 1) -> Iterator[None]:
        """Sabotage the body."""
        self._victim, self._times, self.failures, self._seen = victim, times, 0, 0
        execute = self._executor.execute

        async def applying(jobs: Any) -> Any:
            self._applying, self._seen = True, 0
            try:
                return await execute(jobs)
            finally:
                self._applying = False

        self._executor.execute = applying  # type: ignore[method-assign]  # while the body runs
        for name in ("do_execute", "do_executemany"):
            sa_event.listen(self._engine, name, self._execute)
        try:
            yield
        finally:
            for name in ("do_execute", "do_executemany"):
                sa_event.remove(self._engine, name, self._execute)
            self._executor.execute = execute  # type: ignore[method-assign]  # as before


@dataclass
class Bench:
    """An application, and what makes its statements fail."""

    engine: AsyncEngine
    sync: ZohoSync
    sabotage: Sabotage

    async def ask(self, statement: Any) -> list[tuple[Any, ...]]:
        """Return what a statement finds."""
        async with self.engine.connect() as connection:
            return [tuple(row) for row in await connection.execute(statement)]


def failures() -> Iterator[Any]:
    """The failures as parameters that say where they happen."""
    for name, failure in FAILURES.items():
        place = {"postgres_url": "postgresql", "mariadb_url": "mariadb"}.get(failure.database)
        marks = [pytest.mark.runs_on(place)] if place else []
        yield pytest.param(failure, id=name, marks=marks)


@pytest.fixture(params=failures())
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    failure: Failure = request.param
    engine = create_async_engine(request.getfixturevalue(failure.database))
    await create_shop(engine)
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    sync = ZohoSync(sessions, queue=failure.queue, registry=registry())
    await sync.create_tables()
    yield Bench(engine, sync, Sabotage(engine, sync, failure.error))
    await engine.dispose()


async def test_a_conflict_at_any_statement_repeats_the_batch(bench: Bench) -> None:
    """Whichever statement of an apply fails so, it is repeated at once, at no attempt."""
    victim = 0
    while not victim or bench.sabotage.failures:
        victim += 1
        lines = [{"description": f"line {victim}", "quantity": 1}]
        sent = [
            customer(f"1{victim}", 1, stamp=f"1{victim}"),
            invoice(f"2{victim}", f"1{victim}", 1, stamp=f"2{victim}", line_items=lines),
        ]
        await bench.sync.enqueue(sent)
        with bench.sabotage.at(victim):
            assert await bench.sync.drain() == {Outcome.APPLIED: 2}, f"statement {victim}"
        assert await bench.ask(select(JOBS)) == []
    assert victim > 12
    writes = Counter(await bench.ask(text("SELECT table_name, row_id, stamp FROM shop_writes")))
    assert len(writes) == 3 * victim
    assert set(writes.values()) == {1}
    journal = text("SELECT count(*), max(attempts) FROM zoho_sync_journal")
    assert await bench.ask(journal) == [(2 * victim, 0)]


async def test_a_conflict_that_stays_costs_no_attempt(bench: Bench) -> None:
    """After three repeats the batch is split; what stands alone is released, at no attempt."""
    await bench.sync.enqueue([customer(f"1{n}", 1, stamp=f"1{n}") for n in range(2)])
    with bench.sabotage.at(6, times=1000):
        assert await bench.sync.drain() == {}
    assert bench.sabotage.failures == 3 * 4
    held = await bench.ask(select(JOBS.c.attempts, JOBS.c.history, JOBS.c.suspect))
    assert held == [(0, [], False)] * 2
