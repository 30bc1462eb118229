"""Says what a contestant is: something that is filled with events, is timed, and is checked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

from benchmarks.events import Event, newest
from benchmarks.records import read
from benchmarks.server import Database
from benchmarks.statements import CHECKSUMS, INSERT, INSERT_LINES

__all__ = ["Contestant", "Rows", "WrongRowsError", "expected_rows", "read_rows"]


class WrongRowsError(Exception):
    """Tells of a run that did not do its work, and does not count."""


class Rows(NamedTuple):
    """Says what a table holds: how many rows, and a checksum of them all."""

    number: int
    checksum: str | None


class Contestant(ABC):
    """Applies events in one way; made anew for every run, on a database with the mirror's tables.

    Attributes:
        queue_table: Where its events wait.
        is_peer: Whether it is another job queue, with which the library is compared.
    """

    name: ClassVar[str]
    queue_table: ClassVar[str] = ""
    is_peer: ClassVar[bool] = False

    def __init__(self, database: Database, events: Sequence[Event]) -> None:
        self.database = database
        self.events = events

    @abstractmethod
    async def prepare(self) -> None:
        """Queue the events, and open what a running worker has open."""

    @abstractmethod
    async def run(self) -> None:
        """Apply all events: this is timed."""

    @abstractmethod
    async def waiting(self) -> int:
        """Return how many events are not done."""

    async def close(self) -> None:  # noqa: B027  # not everybody has something to close
        """Close what was opened."""

    async def check(self, expected: Mapping[str, Rows]) -> None:
        """Check that the work was done.

        Raises:
            WrongRowsError: Rows differ from what the newest documents say, or events are left; or
                a table that holds them is not durable.
        """
        if waiting := await self.waiting():
            raise WrongRowsError(f"{self.name}: {waiting} events are not done")
        unlogged = await self.database.unlogged()
        if not unlogged.isdisjoint({self.queue_table, *expected}):
            raise WrongRowsError(f"{self.name}: {unlogged} would be lost with the power")
        found = await read_rows(self.database)
        wrong = [name for name, rows in expected.items() if found[name] != rows]
        if wrong:
            named = ", ".join(f"{name}: {found[name]}, not {expected[name]}" for name in wrong)
            raise WrongRowsError(f"{self.name}: {named}")


async def read_rows(database: Database) -> dict[str, Rows]:
    """Return what the tables hold."""
    async with database.connection() as connection:
        found = {name: await connection.fetchrow(sql) for name, sql in CHECKSUMS.items()}
    return {name: Rows(*row) for name, row in found.items()}


async def expected_rows(database: Database, events: Sequence[Event]) -> dict[str, Rows]:
    """Insert the newest document of each entity by plain statements, and return what is there."""
    async with database.connection() as connection:
        for event in newest(events).values():
            record = read(event.kind, event.text)
            await connection.execute(INSERT[event.kind], *record.row)
            await connection.executemany(INSERT_LINES, record.lines)
    return await read_rows(database)
