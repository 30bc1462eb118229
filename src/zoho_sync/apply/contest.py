"""Applies the events together that unique constraints refused: values move from row to row.

Each alone is refused by what another row still holds. Together they are applied in one savepoint,
which first sets the contested values aside and then writes the final ones.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Column, Table
from sqlalchemy.ext.asyncio import AsyncConnection

from zoho_sync.abc import Job
from zoho_sync.apply.one_event import Applied
from zoho_sync.apply.unique_values import name_both_rows, set_aside, taken_columns
from zoho_sync.database.faults import ends_transaction
from zoho_sync.database.unit_of_work import savepoint
from zoho_sync.events.outcome import Outcome
from zoho_sync.exceptions import ValueTaken
from zoho_sync.store.ledger import LedgerEntry, LedgerKey

__all__ = ["Contest", "Entries", "Refused"]

Columns = Sequence[Column[Any]]

Entries = dict[LedgerKey, LedgerEntry]
"""The entries of locked ledger rows."""


@dataclass(frozen=True)
class Refused:
    """An event that was refused.

    Attributes:
        taken: What it wanted, and another row has.
        error: What refused it last; not always a unique constraint.
    """

    job: Job
    key: LedgerKey
    taken: ValueTaken
    error: Exception | None = None


Won = tuple[Refused, Applied]
"""An event that was applied with others."""


class _NotTogetherError(Exception):
    """Rolls a round back."""


@dataclass(frozen=True)
class Contest:
    """Applies the refused events of a batch together.

    Attributes:
        apply: Applies one event in a savepoint of its own, and notes its ledger entry.
    """

    connection: AsyncConnection
    ledger: Table
    apply: Callable[[Job, Entries], Awaitable[Applied]]

    async def decide(
        self, refused: Sequence[Refused], entries: Entries
    ) -> tuple[list[Won], list[Refused]]:
        """Apply as many events as can be, and return them, and the others with both rows named.

        Args:
            refused: The events, in the order of their application.
            entries: What the locked ledger rows hold; those of events that were applied are
                replaced.
        """
        won, lost = list[Won](), list[Refused]()
        for group in _groups(refused):
            held, constraints = list(group), dict[str, Columns]()
            while held:
                await self._learn(held, constraints)
                tried = dict(entries)
                winners, losers = await self._round(held, constraints, tried)
                if not losers:
                    won += winners
                    entries |= tried
                    break
                if await self._learn(losers, constraints):
                    # Once more, with the values of that constraint set aside as well.
                    continue
                lost += losers
                beaten = {each.job.event.id for each in losers}
                held = [each for each in held if each.job.event.id not in beaten]
        for each in lost:
            if isinstance(each.error, ValueTaken):
                await name_both_rows(self.connection, self.ledger, each.error)
        return won, lost

    async def _learn(self, refused: Sequence[Refused], constraints: dict[str, Columns]) -> bool:
        """Note the constraints that refused events; return whether one is new."""
        known = len(constraints)
        for each in refused:
            for error in (each.taken, each.error):
                if isinstance(error, ValueTaken) and error.constraint not in constraints:
                    columns = await taken_columns(self.connection, error)
                    constraints[error.constraint] = columns
        return len(constraints) > known

    async def _round(
        self, group: Sequence[Refused], constraints: Mapping[str, Columns], entries: Entries
    ) -> tuple[list[Won], list[Refused]]:
        """Apply events together, or not at all: nothing has changed if one of them lost.

        Those lose that are refused once more, or that leave a value aside.
        """
        won, lost = list[Won](), list[Refused]()
        owed: dict[LedgerKey, set[str]] = {}
        with suppress(_NotTogetherError):
            async with savepoint(self.connection):
                for each in group:
                    if not await self._set_aside(each, constraints, owed):
                        lost.append(replace(each, error=each.taken))
                # The newest first: an older state takes no value that another entity is to get.
                for each in reversed(group) if not lost else ():
                    try:
                        won.append((each, await self.apply(each.job, entries)))
                    except Exception as error:
                        if ends_transaction(error):
                            raise
                        lost.append(replace(each, error=error))
                lost = lost or _unwritten(group, owed, won)
                if lost:
                    raise _NotTogetherError
        return won, lost

    async def _set_aside(
        self, refused: Refused, constraints: Mapping[str, Columns], owed: dict[LedgerKey, set[str]]
    ) -> bool:
        """Set the contested values aside, and note what must be written in their place.

        Where that is refused they stay; what refuses the event then is what did so before.
        """
        wanted = refused.taken.wanted
        if wanted is None:
            return True
        try:
            async with savepoint(self.connection):
                for columns in constraints.values():
                    names = await set_aside(self.connection, wanted, columns)
                    owed.setdefault(refused.key, set()).update(names)
        except Exception as error:
            if ends_transaction(error):
                raise
            return False
        return True


def _groups(refused: Iterable[Refused]) -> Iterable[list[Refused]]:
    groups: dict[str, list[Refused]] = {}
    for each in refused:
        groups.setdefault(each.taken.table, []).append(each)
    return groups.values()


def _unwritten(
    group: Sequence[Refused], owed: Mapping[LedgerKey, set[str]], won: Sequence[Won]
) -> list[Refused]:
    """Return the events whose entity was left with a value that was only set aside."""
    written: dict[LedgerKey, set[str]] = {}
    for each, applied in won:
        if applied.result.outcome is Outcome.APPLIED:
            written.setdefault(each.key, set()).update(applied.result.changed)
    return [
        replace(each, error=each.taken)
        for each in group
        if not owed.get(each.key, set()) <= written.get(each.key, set())
    ]
