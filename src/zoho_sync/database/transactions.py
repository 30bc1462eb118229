"""Opens transactions of bounded waits, repeats those that conflict, and asks after lost commits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from zoho_sync.database.dialects import bound_waits
from zoho_sync.database.faults import Fault, classify, is_of_database
from zoho_sync.database.hiding import without_values
from zoho_sync.database.unit_of_work import UnitOfWork, unit_of_work
from zoho_sync.exceptions import QueueUnavailable

__all__ = ["repeat_conflicts", "transaction", "was_committed"]

_log = logging.getLogger(__name__)

_REPEATS: Final = 3
_ASK_AGAIN: Final = (0.1, 0.3, 1.0, 3.0)

_T = TypeVar("_T")


@asynccontextmanager
async def transaction(
    sessions: Callable[[], AsyncSession], lease: timedelta
) -> AsyncIterator[UnitOfWork]:
    """Give a transaction that neither idles nor waits for a lock as long as a lease lasts."""
    async with sessions() as session, unit_of_work(session) as work:
        await bound_waits(work.connection, lease)
        yield work


async def repeat_conflicts(run: Callable[[], Awaitable[_T]]) -> _T:
    """Run a transaction, and again where the database ended it in favour of another one."""
    for _ in range(_REPEATS):
        try:
            return await run()
        except Exception as error:
            if classify(error) is not Fault.CONFLICT:
                raise
    return await run()


async def was_committed(error: Exception, find_out: Callable[[], Awaitable[bool]]) -> bool:
    """Return whether a transaction has committed although an error ended it here.

    ``find_out`` looks for what it has written, once the database answers.

    Raises:
        QueueUnavailable: The database stays away.
    """
    if classify(error) is not Fault.CONNECTION:
        return False
    for pause in _ASK_AGAIN:
        try:
            return await find_out()
        except Exception as outage:
            if not is_of_database(outage):
                raise
            problem = without_values(outage)
            _log.warning("it is not known yet whether a transaction committed: %s", problem)
            await asyncio.sleep(pause)
    message = "the database went away in the middle of a transaction"
    raise QueueUnavailable(message) from error
