"""Ten processes create the tables at once, on every database and through every driver."""

from __future__ import annotations

import asyncio
import sys

import pytest
from sqlalchemy import inspect
from sqlalchemy.ext.asyncio import create_async_engine

from zoho_sync import mirror
from zoho_sync.store.tables import library_tables

pytestmark = [
    pytest.mark.databases("sqlite", "postgresql", "psycopg", "mariadb"),
    pytest.mark.every_line,
]


@pytest.mark.without_tables
async def test_ten_processes_create_the_tables_at_once(database_url: str) -> None:
    command = (sys.executable, "-m", "tests.database.creating_processes", database_url)
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    _, errors = await process.communicate()
    assert (process.returncode, errors.decode()) == (0, "")
    engine = create_async_engine(database_url)
    async with engine.connect() as connection:
        names = await connection.run_sync(lambda c: inspect(c).get_table_names())
    await engine.dispose()
    assert {*library_tables().metadata.tables, *mirror.metadata.tables} == set(names)
