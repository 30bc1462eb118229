"""Creates the library's tables and the mirror, or says that they are missing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from sqlalchemy import Connection, MetaData, func, inspect, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from zoho_sync.database.cancellation import finish
from zoho_sync.database.dialects import is_mariadb
from zoho_sync.database.faults import lacks_table
from zoho_sync.database.unit_of_work import unit_of_work
from zoho_sync.exceptions import ConfigurationError

__all__ = ["create_all", "create_missing", "needing_tables"]

# Any number will do, as long as every process takes the same: "zoho_sync" in ASCII, shortened.
_ADVISORY_LOCK: Final = 0x7A6F686F73796E63
# MariaDB's have names, and belong to the whole server. Seconds.
_LOCK_NAME: Final = "zoho_sync.create_tables"
_LOCK_WAIT: Final = 60


async def create_all(
    session_factory: Callable[[], AsyncSession],
    metadata: Iterable[MetaData],
    *,
    first: Callable[[AsyncConnection], Awaitable[None]] | None = None,
) -> None:
    """Create the tables that are not there yet, in one transaction.

    What is to be done first is done while no other process creates tables, either.

    "Look, then create" is a race between processes: on PostgreSQL and MariaDB an advisory lock
    makes them take turns, on SQLite the write lock does. MariaDB commits after each table.
    """
    async with (
        session_factory() as session,
        unit_of_work(session) as work,
        _in_turn(work.connection),
    ):
        if first is not None:
            await first(work.connection)
        for each in metadata:
            await work.connection.run_sync(create_missing, each)


def create_missing(connection: Connection, metadata: MetaData) -> None:
    """Create the tables that are not there yet; where all are, that is one question."""
    inspector, tables = inspect(connection), metadata.tables.values()
    there = {
        (schema, name)
        for schema in {table.schema for table in tables}
        for name in inspector.get_table_names(schema)
    }
    missing = [table for table in tables if (table.schema, table.name) not in there]
    # It looks for each of these once more: a view, or a foreign table, may stand for one.
    metadata.create_all(connection, tables=missing)


@asynccontextmanager
async def _in_turn(connection: AsyncConnection) -> AsyncIterator[None]:
    if connection.dialect.name == "postgresql":
        await connection.execute(select(func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
    if not is_mariadb(connection):
        yield
        return
    # It belongs to the session, and not to the transaction: it ends with us, or the connection.
    taken = await connection.execute(select(func.get_lock(_LOCK_NAME, _LOCK_WAIT)))
    if taken.scalar() != 1:
        message = "another process has been creating the tables for a minute; try again"
        raise ConfigurationError(message)
    try:
        yield
    finally:
        await finish(_release(connection))


async def _release(connection: AsyncConnection) -> None:
    if not (connection.closed or connection.invalidated):
        await connection.execute(select(func.release_lock(_LOCK_NAME)))


@contextmanager
def needing_tables() -> Iterator[None]:
    """Say what to do where statements find that the library's tables are missing.

    Raises:
        ConfigurationError: They are.
    """
    try:
        yield
    except SQLAlchemyError as error:
        if not lacks_table(error):
            raise
        message = "the library's tables are missing; call await sync.create_tables()"
        raise ConfigurationError(message) from error
