"""The tables say of which version they are, and whom they serve; others are refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, delete, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.hosts.sql import Sessions, execute, rows
from zoho_sync import ConfigurationError, ZohoSync
from zoho_sync.exceptions import MappingError
from zoho_sync.store.schema_version import (
    OLDEST_RELEASE,
    RELEASE,
    SCHEMA_VERSION,
    serves,
    version_problem,
)
from zoho_sync.store.tables import library_tables

pytestmark = pytest.mark.databases("sqlite", "postgresql", "mariadb")

TABLES = library_tables()
VERSIONS = TABLES.versions
OLD = update(VERSIONS).values(version=SCHEMA_VERSION - 1)
NEW = update(VERSIONS).values(version=SCHEMA_VERSION + 1, oldest_release="99.0.0")
NONE = delete(VERSIONS)
NEW_THAT_SERVES = update(VERSIONS).values(version=SCHEMA_VERSION + 1)


@pytest.fixture
async def sync(sessions: Sessions) -> ZohoSync:
    sync = ZohoSync(sessions)
    await sync.create_tables()
    return sync


async def refused(sync: ZohoSync) -> set[str]:
    """Return what everybody says who refuses the tables."""
    said = set()
    for call in (sync.status, sync.check, sync.drain, sync.run):
        with pytest.raises(ConfigurationError) as raised:
            async with asyncio.timeout(20):
                await call()
        if isinstance(raised.value, MappingError):
            (finding,) = raised.value.findings
            assert finding.where == VERSIONS.fullname
            problem = f"{finding.problem} {finding.remedy}"
            said.add(problem.replace(". ", "; ").rstrip(".").lower())
        else:
            said.add(str(raised.value).lower())
    return said


@pytest.mark.without_tables
async def test_ten_processes_write_one_row(engine: AsyncEngine, sessions: Sessions) -> None:
    await asyncio.gather(*(ZohoSync(sessions).create_tables() for _ in range(10)))
    (row,) = await rows(sessions, VERSIONS)
    assert (row["version"], row["oldest_release"]) == (SCHEMA_VERSION, OLDEST_RELEASE)
    assert await ZohoSync(sessions).check() is not None
    await ZohoSync(sessions).create_tables()
    assert len(await rows(sessions, VERSIONS)) == 1
    assert engine is not None


@pytest.mark.databases("postgresql")
@pytest.mark.without_tables
async def test_each_schema_has_its_own(engine: AsyncEngine, sessions: Sessions) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("CREATE SCHEMA sync"))
    mine, other = ZohoSync(sessions, schema="sync"), ZohoSync(sessions)
    await mine.create_tables()
    await execute(sessions, update(library_tables("sync").versions).values(version=0))
    await other.create_tables()
    await other.status()
    with pytest.raises(ConfigurationError, match="of version 0"):
        await mine.status()
    with pytest.raises(ConfigurationError, match="of version 0"):
        await mine.create_tables()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (OLD, f"of version {SCHEMA_VERSION - 1}, and zoho-sync {RELEASE} works with version"),
        (NEW, 'which serves zoho-sync 99.0.0 and later, and this is {}; pip install "zoho'),
    ],
)
async def test_tables_of_another_version_are_refused_by_all(
    sync: ZohoSync, sessions: Sessions, change: Any, says: str
) -> None:
    await execute(sessions, change)
    with pytest.raises(ConfigurationError) as raised:
        await sync.create_tables()
    assert says.format(RELEASE) in str(raised.value)
    assert await refused(sync) == {str(raised.value).lower()}
    assert len(await rows(sessions, VERSIONS)) == 1


async def test_newer_tables_that_serve_this_release_are_taken(
    sync: ZohoSync, sessions: Sessions
) -> None:
    """Processes are replaced one after the other; the older ones go on meanwhile."""
    await execute(sessions, NEW_THAT_SERVES)
    await sync.create_tables()
    await sync.status()
    await sync.check()
    await sync.drain()


async def test_a_version_that_nobody_wrote_down_is_written_by_who_creates_tables(
    sync: ZohoSync, sessions: Sessions
) -> None:
    """A migration has made the tables, from what the library's metadata says."""
    await execute(sessions, NONE)
    await sync.status()
    await sync.drain()
    await sync.create_tables()
    (row,) = await rows(sessions, VERSIONS)
    assert row["version"] == SCHEMA_VERSION


async def test_tables_of_before_there_were_versions_are_refused(
    sync: ZohoSync, engine: AsyncEngine
) -> None:
    """Also where other tables are missing that came with them."""
    async with engine.begin() as connection:
        for table in (VERSIONS, TABLES.workers):
            await connection.run_sync(table.drop)
    with pytest.raises(ConfigurationError, match=r"by a release before .*drop all of them") as told:
        await sync.create_tables()
    assert await refused(sync) == {str(told.value).lower()}


@pytest.mark.without_tables
async def test_what_was_interrupted_goes_on(engine: AsyncEngine, sessions: Sessions) -> None:
    """On MariaDB each table is committed by itself: the versions come first."""
    made = MetaData()
    VERSIONS.to_metadata(made)
    async with engine.begin() as connection:
        await connection.run_sync(made.create_all)
    await ZohoSync(sessions).create_tables()
    await ZohoSync(sessions).status()


@pytest.mark.without_tables
@pytest.mark.databases("sqlite")
async def test_no_tables_are_of_no_other_version(engine: AsyncEngine) -> None:
    """Nor are a host's, whatever they are called."""
    async with engine.begin() as connection:
        own = Table("versions", MetaData(), Column("id", Integer))
        await connection.run_sync(own.create)
        assert await version_problem(connection, TABLES) == ""


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    ("oldest", "release", "does"),
    [
        ("0.1.0", "0.1.0", True),
        ("0.1.0", "0.2", True),
        ("0.9.0", "0.10.0", True),
        ("0.10.0", "0.9.1", False),
        ("1.0.0", "0.99.99", False),
        ("1.0.0", "1.0.0rc1", True),
        ("1.2.0", "1.1.9.dev3", False),
    ],
)
def test_releases_compare_by_their_numbers(oldest: str, release: str, *, does: bool) -> None:
    assert serves(oldest, release) is does
