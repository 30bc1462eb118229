"""Writes down which version the library's tables are of, and refuses those of another.

The row says as well which release is the oldest that these tables serve: an older process may go
on beside newer ones as long as it is none of those that the tables have left behind.
"""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from sqlalchemy import Connection, inspect, select
from sqlalchemy.ext.asyncio import AsyncConnection

from zoho_sync.database.insertion import insert_absent
from zoho_sync.database.reflection import table_names
from zoho_sync.exceptions import ConfigurationError
from zoho_sync.store.tables import Tables

__all__ = [
    "OLDEST_RELEASE",
    "RELEASE",
    "SCHEMA_VERSION",
    "refuse_other_version",
    "serves",
    "version_problem",
    "write_version",
]

SCHEMA_VERSION: Final = 1
"""Of the tables that this release makes. Raise it with every change of `zoho_sync.store.tables`."""

OLDEST_RELEASE: Final = "0.1.0"
"""The oldest release that can work with them. Raise it where an older one would do harm."""


def _release() -> str:
    try:
        return version("zoho-sync")
    except PackageNotFoundError:  # pragma: no cover  # its source, and nothing installed
        return OLDEST_RELEASE


RELEASE: Final = _release()
"""The release of the library that is running."""

_NAME: Final = "tables"
_NUMBER: Final = re.compile(r"\d+")
_DROP: Final = "or drop all of them, where nothing in them is needed, and create them anew"


def serves(oldest: str, release: str) -> bool:
    """Return whether tables whose oldest release is such serve a release."""
    numbers = [[int(each) for each in _NUMBER.findall(text)[:3]] for text in (oldest, release)]
    return numbers[0] <= numbers[1]


async def write_version(connection: AsyncConnection, tables: Tables) -> None:
    """Write down the version of tables that are about to be made, or look at what was written.

    The caller sees to it that no other process does so at the same time.

    Raises:
        ConfigurationError: The tables that are there are of another version.
    """
    there = await connection.run_sync(_there, tables)
    if tables.versions.name not in there:
        if there:
            raise ConfigurationError(_unnamed())
        # First of all: where the making of the others is interrupted, it is known whose they are.
        await connection.run_sync(tables.versions.create)
    row = {"name": _NAME, "version": SCHEMA_VERSION, "oldest_release": OLDEST_RELEASE}
    await insert_absent(connection, tables.versions, [row], ["name"])
    await refuse_other_version(connection, tables)


async def refuse_other_version(connection: AsyncConnection, tables: Tables) -> None:
    """Refuse to work with tables of another version; where there are none, say nothing.

    Raises:
        ConfigurationError: They are; the message says which, and the remedy.
    """
    if problem := await version_problem(connection, tables):
        raise ConfigurationError(problem)


async def version_problem(connection: AsyncConnection, tables: Tables) -> str:
    """Return why this release cannot work with the tables, and the remedy; ``""`` if it can.

    Nothing is wrong with tables that are not there.
    """
    there = await connection.run_sync(_there, tables)
    if tables.versions.name not in there:
        return _unnamed() if there else ""
    table = tables.versions
    statement = select(table.c.version, table.c.oldest_release).where(table.c.name == _NAME)
    row = (await connection.execute(statement)).first()
    if row is None or row.version == SCHEMA_VERSION:
        # A migration has made them, which knows of tables only: of the release that has this one.
        return ""
    if row.version > SCHEMA_VERSION and serves(row.oldest_release, RELEASE):
        return ""
    found = f"the library's tables are of version {row.version}"
    if row.version > SCHEMA_VERSION:
        return (
            f"{found}, which serves zoho-sync {row.oldest_release} and later, and this is "
            f'{RELEASE}; pip install "zoho-sync>={row.oldest_release}"'
        )
    return (
        f"{found}, and zoho-sync {RELEASE} works with version {SCHEMA_VERSION}; install the "
        f"release that made them, {_DROP}"
    )


def _unnamed() -> str:
    return (
        f"the library's tables were made by a release before {OLDEST_RELEASE}, which wrote down "
        f"no version, and zoho-sync {RELEASE} works with version {SCHEMA_VERSION}; install the "
        f"release that made them, {_DROP}"
    )


def _there(connection: Connection, tables: Tables) -> set[str]:
    """Return the names of the library's tables that are there."""
    inspect(connection).clear_cache()
    wanted = tables.metadata.sorted_tables
    schema = connection.schema_for_object(tables.versions)
    return {table.name for table in wanted} & {*table_names(connection, schema)}
