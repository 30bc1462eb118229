"""Counts refused deliveries by reason, cheaply: a storm of them costs one statement a second."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from zoho_sync.database.dialects import Clock, database_time
from zoho_sync.database.hiding import hide_values
from zoho_sync.database.unit_of_work import unit_of_work
from zoho_sync.store.refusal_rows import Refusal, RefusalRows
from zoho_sync.store.tables import Tables

__all__ = ["Refusals"]

_log = logging.getLogger(__name__)

_EVERY: Final = 1.0
"""Seconds between two writes of one process."""

_MOST_REASONS: Final = 50
_LONGEST_REASON: Final = 250
_OTHER: Final = "other reasons"


@dataclass(eq=False)
class Refusals:
    """The counts of one process, until they are in the database.

    Attributes:
        sessions: Make the session that the counts are written with.
        tables: Of the library.
        clock: Replaces the database's clock.
    """

    sessions: Callable[[], AsyncSession]
    tables: Tables
    clock: Clock | None = None
    _counts: Counter[Refusal] = field(default_factory=Counter)
    _written: float = float("-inf")

    async def note(self, reason: str, *, stranger: bool = False) -> None:
        """Count one, and write the counts if that was not done within the last second."""
        known = Refusal(reason[:_LONGEST_REASON], stranger)
        # Verifiers of the application's own may say what the sender chose.
        is_one_more = known not in self._counts and len(self._counts) >= _MOST_REASONS
        self._counts[Refusal(_OTHER, stranger) if is_one_more else known] += 1
        now = time.monotonic()
        if now - self._written >= _EVERY:
            self._written = now
            await self.flush()

    async def flush(self) -> None:
        """Write what is counted; keep it for the next time if the database does not take it."""
        counts, self._counts = self._counts, Counter()
        if not counts:
            return
        try:
            async with self.sessions() as session, unit_of_work(session) as work:
                now = await database_time(work.connection, self.clock)
                await RefusalRows(work.connection, self.tables).add(counts, now)
        except Exception as error:  # noqa: BLE001  # whoever is refused must not learn of an outage
            self._counts += counts
            hide_values(error)
            _log.warning(
                "the counts of refused deliveries were not written: %s", type(error).__name__
            )
        except BaseException:
            self._counts += counts
            raise
