"""Keeps every settled event, once, for good."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import insert, select

from zoho_sync.events.event import Arrival, SyncEvent
from zoho_sync.events.outcome import Outcome
from zoho_sync.events.version import arrival_of, from_microseconds, to_microseconds
from zoho_sync.store.event_rows import dedupe_key, event_row
from zoho_sync.store.tables import Rows

__all__ = ["RECOGNISED", "Journal", "JournalEntry"]

RECOGNISED: Final = (Outcome.APPLIED.value, Outcome.STALE.value, Outcome.DUPLICATE.value)
"""Outcomes of events whose equals need not be applied."""


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One settled event.

    Attributes:
        settled_at: When, by the database's clock.
        reason: Why, where the outcome alone does not say.
        changed: The columns, and the lists of children, that it wrote.
        fingerprint: Of the mapping in force.
        attempts: Attempts that failed before.
        lease_token: Of the claim that settled it; None for a direct call.
    """

    event: SyncEvent
    outcome: Outcome
    settled_at: datetime
    reason: str = ""
    changed: Sequence[str] = ()
    fingerprint: str = ""
    attempts: int = 0
    lease_token: str | None = None


class Journal(Rows):
    """The journal's rows, on one connection, inside one transaction."""

    async def append(self, entries: Iterable[JournalEntry]) -> None:
        """Record events as settled."""
        await self.append_rows([_row(entry) for entry in entries])

    async def append_rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Record rows that hold the columns of an event, some of them perhaps NULL."""
        if rows:
            await self._connection.execute(insert(self._table), list(rows))

    async def recorded(self, event_ids: Iterable[str], lease_token: str | None = None) -> set[str]:
        """Return which events are settled; under one lease, if it is given."""
        table = self._table
        statement = select(table.c.event_id).where(table.c.event_id.in_(list(event_ids)))
        if lease_token is not None:
            statement = statement.where(table.c.lease_token == lease_token)
        return set(await self._connection.scalars(statement))

    async def equals_among(
        self,
        arrivals: Collection[tuple[int, int]],
        event: SyncEvent,
        fingerprint: str,
        unwritten: Iterable[JournalEntry],
    ) -> set[tuple[int, int]]:
        """Return which arrivals are those of equal events, settled by the same mapping.

        They are as versions have them: microseconds of Unix time, and the sequence. ``unwritten``
        are entries that this transaction will append.
        """
        key, table = dedupe_key(event), self._table
        if key is None:
            return set()
        rows = await self._connection.execute(
            select(table.c.arrival_time, table.c.arrival_sequence).where(
                table.c.dedupe_key == key,
                table.c.arrival_time.in_([from_microseconds(time) for time, _ in arrivals]),
                table.c.outcome.in_(RECOGNISED),
                table.c.fingerprint == fingerprint,
            )
        )
        found = {_in_versions(Arrival(*row)) for row in rows} & {*arrivals}
        equal = (each.event for each in unwritten if dedupe_key(each.event) == key)
        return found | ({_in_versions(arrival_of(each)) for each in equal} & {*arrivals})


def _in_versions(arrival: Arrival) -> tuple[int, int]:
    return to_microseconds(arrival.time), arrival.sequence


def _row(entry: JournalEntry) -> dict[str, Any]:
    return {
        **event_row(entry.event),
        "dedupe_key": dedupe_key(entry.event),
        "fingerprint": entry.fingerprint,
        "outcome": entry.outcome.value,
        "reason": entry.reason,
        "changed": list(entry.changed),
        "attempts": entry.attempts,
        "lease_token": entry.lease_token,
        "settled_at": entry.settled_at,
    }
