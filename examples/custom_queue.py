"""A queue engine of one's own: a folder, in which every message is a file.

What makes it an engine is that renaming a file happens once: of two that try, one succeeds. A lease
is a name with a token in it, so a worker whose lease was taken finds no file of that name.

It proves itself with the suite that the library ships: ``pytest examples/custom_queue.py``. Run as
a script, it carries one invoice from the front door to the mirror.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from uuid import uuid4

from hypothesis import settings
from sqlalchemy import select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from zoho_sync import Outcome, SyncEvent, ZohoSync, mirror
from zoho_sync.abc import DEFAULT_PRIORITY, Capabilities, Depth, Enqueued, Job, QueueBackend
from zoho_sync.events import Arrival
from zoho_sync.exceptions import ConfigurationError, LeaseLost, PayloadError
from zoho_sync.queues import decode, encode, undecodable_event
from zoho_sync.testing import QueueMachine, QueueSuite


class Message(NamedTuple):
    """The name of a file, taken apart: ``<number>_<deliveries>_<microseconds>_<token>``."""

    number: str
    deliveries: int
    until: int
    token: str

    @property
    def name(self) -> str:
        """The name of the file."""
        return "_".join(map(str, self))

    @classmethod
    def of(cls, path: Path) -> Message:
        """Take a name apart."""
        number, deliveries, until, token = path.name.split("_")
        return cls(number, int(deliveries), int(until), token)


FREE = "free"
"""The token of a message that nobody has leased."""


class FolderQueue:
    """A queue of files, for the processes of one machine."""

    capabilities = Capabilities(deduplicates=False)

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._last = 0

    async def setup(self) -> None:
        """Make the folder."""
        self._folder.mkdir(parents=True, exist_ok=True)

    async def enqueue(
        self,
        events: Sequence[SyncEvent],
        *,
        session: Any = None,
        fingerprints: Mapping[str, str] | None = None,  # noqa: ARG002  # what is settled is not known here
        priority: int = DEFAULT_PRIORITY,
    ) -> list[Enqueued]:
        """Write a file for each event; it has its name only once it is whole."""
        if session is not None or priority != DEFAULT_PRIORITY:
            message = "a folder takes no part in a transaction, and has no priorities"
            raise ConfigurationError(message)
        return [self._store(event) for event in events]

    def _store(self, event: SyncEvent) -> Enqueued:
        self._last = number = max(time.time_ns(), self._last + 1)
        arrival = event.arrival or Arrival(datetime.now(UTC), number)
        draft = self._folder / f".{uuid4().hex}"
        draft.write_bytes(encode(replace(event, arrival=arrival)))
        draft.rename(self._folder / Message(f"{number:020d}", 0, 0, FREE).name)
        return Enqueued(event.id, arrival)

    async def claim(self, limit: int, *, lease: timedelta) -> list[Job]:
        """Rename the oldest files that nobody has, or whose lease has ended."""
        jobs: list[Job] = []
        for path, message in self._messages():
            if len(jobs) == limit:
                break
            if message.until <= _now():
                leased = message._replace(
                    deliveries=message.deliveries + 1, until=_now(lease), token=uuid4().hex
                )
                if (mine := self._rename(path, leased)) is not None:
                    jobs.append(_job(mine, leased))
        return jobs

    async def extend(self, jobs: Sequence[Job], *, lease: timedelta) -> list[Job]:
        """Rename files to a later end of their lease."""
        return [job for job in jobs if self._change(job, until=_now(lease)) is None]

    async def ack(self, jobs: Sequence[Job], *, connection: Any = None) -> None:  # noqa: ARG002  # the contract's
        """Remove files; who lost the lease finds none."""
        lost = []
        for job in jobs:
            try:
                self._path(job).unlink()
            except FileNotFoundError:
                lost.append(job.event.id)
        if lost:
            raise LeaseLost(lost)

    async def release(self, jobs: Sequence[Job], *, delay: timedelta = timedelta(0)) -> None:
        """Rename files to what they were, and not before the delay has passed."""
        for job in jobs:
            self._change(job, until=_now(delay), token=FREE, deliveries=job.deliveries - 1)

    async def depth(self, *, connection: Any = None) -> Depth:  # noqa: ARG002  # the contract's
        """Count the files."""
        listed = [message for _, message in self._messages()]
        leased = [m for m in listed if m.token != FREE and m.until > _now()]
        delayed = [m for m in listed if m.token == FREE and m.until > _now()]
        waiting = len(listed) - len(leased) - len(delayed)
        return Depth(ready=waiting, delayed=len(delayed), leased=len(leased))

    async def close(self) -> None:
        """Do nothing: nothing is held open."""

    def _messages(self) -> Iterator[tuple[Path, Message]]:
        for path in sorted(self._folder.glob("[0-9]*")):
            yield path, Message.of(path)

    def _path(self, job: Job) -> Path:
        found = self._folder.glob(f"{job.handle}_*_{job.lease_token}")
        return next(found, self._folder / "lost")

    def _change(self, job: Job, **parts: Any) -> Path | None:
        path = self._path(job)
        if path.name == "lost":
            return None
        return self._rename(path, Message.of(path)._replace(**parts))

    def _rename(self, path: Path, message: Message) -> Path | None:
        try:
            return path.rename(self._folder / message.name)
        except FileNotFoundError:
            return None


def _now(later: timedelta = timedelta(0)) -> int:
    return time.time_ns() // 1000 + later // timedelta(microseconds=1)


def _job(path: Path, message: Message) -> Job:
    body = path.read_bytes()
    job = Job(message.number, undecodable_event(body), message.token, deliveries=message.deliveries)
    try:
        return replace(job, event=decode(body))
    except PayloadError:
        return replace(job, undecodable=body)


@asynccontextmanager
async def folder_queue() -> AsyncIterator[QueueBackend]:
    """Open a queue in a folder of its own."""
    with TemporaryDirectory() as folder:
        queue = FolderQueue(Path(folder))
        await queue.setup()
        yield queue


class TestFolderQueue(QueueSuite):
    """The contract of all engines."""

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[QueueBackend]:
        """Open the engine that proves itself."""
        async with folder_queue() as queue:
            yield queue


class Machine(QueueMachine):
    """Any order of calls, against a model."""

    lease = timedelta(seconds=0.2)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[QueueBackend]:
        """Open the engine that proves itself."""
        async with folder_queue() as queue:
            yield queue


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=6, stateful_step_count=15, deadline=None)


async def main() -> None:
    """Take one delivery through the folder into the mirror."""
    engine = create_async_engine("sqlite+aiosqlite:///:memory:")
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    async with folder_queue() as queue, ZohoSync(sessions, queue=queue) as sync:
        await sync.create_tables()
        receipt = await sync.ingest({"invoice": {"invoice_id": "900001", "total": "149.90"}})
        print("in the folder:", receipt.status, (await queue.depth()).ready)
        print(
            "applied:", (await sync.drain())[Outcome.APPLIED], "left:", (await queue.depth()).total
        )
        async with sessions() as session:
            print("total:", f"{await session.scalar(select(mirror.invoices.c.total)):.2f}")
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(main())
