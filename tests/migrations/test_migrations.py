"""The host's own Alembic, and the library's tables in the same database."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, make_url
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    async_sessionmaker,
    create_async_engine,
)

from tests.hosts.sql import Sessions, make
from zoho_sync import ZohoSync, mirror
from zoho_sync.migrations import IncludeObject, combined, include_object
from zoho_sync.store.tables import library_tables

OURS = {*library_tables().metadata.tables, *mirror.metadata.tables}


def host_metadata() -> MetaData:
    """The host's tables; one of them has a name that begins as the library's do."""
    metadata = MetaData()
    for name in ("erp_new", "erp_there", "zoho_sync_notes"):
        Table(name, metadata, Column("id", Integer, primary_key=True), Column("text", String(9)))
    return metadata


@pytest.fixture
async def database(engine: AsyncEngine, sessions: Sessions) -> AsyncEngine:
    """A database in which the library works, and the host has two tables, one of them unwanted."""
    await ZohoSync(sessions).create_tables()
    tables = MetaData()
    Table("erp_there", tables, Column("id", Integer, primary_key=True), Column("text", String(9)))
    Table("erp_gone", tables, Column("id", Integer, primary_key=True))
    Table("zoho_sync_notes", tables, Column("id", Integer, primary_key=True))
    await make(sessions, tables)
    return engine


async def changes(engine: AsyncEngine, hook: IncludeObject | None = None) -> list[tuple[str, str]]:
    """What autogenerate would do: the operation, and the table or column that it is for."""

    def compare(connection: Connection) -> Any:
        options = {"include_object": hook} if hook else {}
        context = MigrationContext.configure(connection, opts=options)
        return compare_metadata(context, host_metadata())

    async with engine.connect() as connection:
        found = await connection.run_sync(compare)
    return sorted((change[0], getattr(change[-1], "name", "")) for change in found)


HOSTS_OWN = [
    ("add_column", "text"),
    ("add_table", "erp_new"),
    ("remove_table", "erp_gone"),
]


async def test_lesson_59_autogenerate_leaves_the_librarys_tables_alone(
    database: AsyncEngine,
) -> None:
    """It would be back if the host's next revision dropped what the library knows."""
    careless = await changes(database)
    assert {name for operation, name in careless if operation == "remove_table"} >= OURS
    assert await changes(database, include_object) == HOSTS_OWN


async def test_the_hosts_own_function_is_heard_as_well(database: AsyncEngine) -> None:
    def mine(found: Any, name: str | None, kind: str, reflected: bool, compared: Any) -> bool:  # noqa: FBT001  # Alembic's
        del found, kind, reflected, compared
        return name != "erp_gone"

    assert await changes(database, combined(include_object, mine)) == HOSTS_OWN[:2]
    assert await changes(database, combined()) == await changes(database)


ENV = """
from alembic import context
from sqlalchemy import Column, Integer, MetaData, Table, create_engine
from zoho_sync.migrations import include_object

metadata = MetaData()
Table("erp_new", metadata, Column("id", Integer, primary_key=True))
with create_engine(context.config.get_main_option("sqlalchemy.url")).connect() as connection:
    context.configure(
        connection=connection, target_metadata=metadata, include_object=include_object
    )
    with context.begin_transaction():
        context.run_migrations()
"""


async def create_tables(url: str) -> None:
    engine = create_async_engine(url)
    await ZohoSync(async_sessionmaker(engine)).create_tables()
    await engine.dispose()


def test_a_revision_that_the_host_makes(sqlite_url: str, tmp_path: Path) -> None:
    """As its developer does it: with the command."""
    asyncio.run(create_tables(sqlite_url))
    alembic = [sys.executable, "-m", "alembic"]
    subprocess.run([*alembic, "init", "alembic"], cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "alembic" / "env.py").write_text(ENV)
    ini = tmp_path / "alembic.ini"
    url = make_url(sqlite_url).set(drivername="sqlite").render_as_string()
    lines = ini.read_text().splitlines()
    ini.write_text(
        "\n".join(
            f"sqlalchemy.url = {url}" if line.startswith("sqlalchemy.url") else line
            for line in lines
        )
    )
    made = [*alembic, "revision", "--autogenerate", "-m", "first"]
    subprocess.run(made, cwd=tmp_path, check=True, capture_output=True)
    (revision,) = (tmp_path / "alembic" / "versions").glob("*.py")
    written = revision.read_text()
    assert "op.create_table('erp_new'" in written
    upgrade = written.partition("def upgrade")[2].partition("def downgrade")[0]
    assert "drop_table" not in upgrade
