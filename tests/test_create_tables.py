"""Ten processes create the tables at once, on the databases where that is a race."""

from __future__ import annotations

import asyncio
import sys

import pytest
from sqlalchemy import inspect
from sqlalchemy.ext.asyncio import create_async_engine

from zoho_sync import mirror
from zoho_sync._tables import library_tables

PROCESSES = 10


async def create(url: str) -> tuple[int | None, str]:
    """Run the command that makes the tables, and return how it ended and what it complained of."""
    command = ("-m", "zoho_sync.cli", "tables", "create", "--database-url", url)
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    return process.returncode, errors.decode()


@pytest.mark.parametrize("database", ["psycopg_url", "mariadb_url"])
async def test_ten_processes_create_the_tables_at_once(
    request: pytest.FixtureRequest, database: str
) -> None:
    url: str = request.getfixturevalue(database)
    ended = await asyncio.gather(*(create(url) for _ in range(PROCESSES)))
    assert ended == [(0, "")] * PROCESSES
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        names = await connection.run_sync(lambda c: inspect(c).get_table_names())
    await engine.dispose()
    assert {*library_tables().metadata.tables, *mirror.metadata.tables} == set(names)
