"""The library's tables and the mirror: created, by several processes at once, or found missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import MetaData, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from zoho_sync._faults import hide_values, lacks_table
from zoho_sync._unit_of_work import unit_of_work
from zoho_sync.exceptions import ConfigurationError

__all__ = ["create_all", "needing_tables"]

# Any number will do, as long as every process takes the same: "zoho_sync" in ASCII, shortened.
_ADVISORY_LOCK: Final = 0x7A6F686F73796E63


async def create_all(
    session_factory: Callable[[], AsyncSession], metadata: Iterable[MetaData]
) -> None:
    """Create the tables that are not there yet, in one transaction.

    "Look, then create" is a race between processes: on PostgreSQL an advisory lock makes them take
    turns, on SQLite the write lock does.
    """
    async with session_factory() as session, unit_of_work(session) as work:
        if work.connection.dialect.name == "postgresql":
            await work.connection.execute(select(func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
        for each in metadata:
            await work.connection.run_sync(each.create_all)


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
        hide_values(error)
        message = "the library's tables are missing; call await sync.create_tables()"
        raise ConfigurationError(message) from error
