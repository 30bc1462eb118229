"""What the tests of the commands share: a way to call them, and a database with events in it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from zoho_sync import ZohoSync
from zoho_sync.cli.commands import zoho_sync

SECRET_TEXT = "Blåbærsyltetøy-4711"
"""Stands in documents, and must never stand in a list or a log."""


@dataclass(frozen=True)
class Answer:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:  # any JSON value
        (line,) = self.out.splitlines()
        return json.loads(line)


Call = Callable[..., Answer]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Iterator[Call]:
    """Call a command as a shell would."""
    for name in ("ZOHO_SYNC_DATABASE_URL", "ZOHO_SYNC_QUEUE_URL"):
        monkeypatch.delenv(name, raising=False)
    runner = CliRunner()
    logger = logging.getLogger("zoho_sync")
    before = (logger.handlers, logger.level, logger.propagate)

    def called(*arguments: str, **options: Any) -> Answer:
        result = runner.invoke(zoho_sync, arguments, prog_name="zoho-sync", **options)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Answer(result.exit_code, result.stdout, result.stderr)

    yield called
    logger.handlers, logger.level, logger.propagate = before


def in_database(url: str, work: Callable[[ZohoSync], Any]) -> Any:
    """Run a coroutine function with a `ZohoSync` on a database."""

    async def worked() -> Any:
        engine = create_async_engine(url)
        try:
            async with ZohoSync(async_sessionmaker(engine, expire_on_commit=False)) as sync:
                return await work(sync)
        finally:
            await engine.dispose()

    return asyncio.run(worked())


async def fill(sync: ZohoSync) -> None:
    """Make the tables; apply an item, let a bill and a body that is none die."""
    await sync.create_tables()
    item = {"item_id": "11", "name": SECRET_TEXT, "rate": "18.50"}
    await sync.ingest({"item": {**item, "last_modified_time": "2025-03-01T10:00:00Z"}})
    await sync.ingest({"bill": {"bill_id": "21", "notes": SECRET_TEXT, "date": "30 Feb"}})
    await sync.ingest(f"{{ {SECRET_TEXT}".encode())
    await sync.drain()


@pytest.fixture
def filled_url(sqlite_url: str) -> str:
    """A database with an applied item and two dead letters."""
    in_database(sqlite_url, fill)
    return sqlite_url
