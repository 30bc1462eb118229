"""Applies the events together that unique constraints refused: values move from row to row.

Each alone is refused by what another row still holds. Together they are applied in one savepoint,
which first sets the contested values aside and then writes the final ones.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
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

__all__ = ["Contest", "Refused", "Won"]

Columns = Sequence[Column[Any]]

Entries = dict[LedgerKey, LedgerEntry]
"""The entries of locked ledger rows."""

Apply = Callable[[Job, Entries], Awaitable[Applied]]
"""Applies one event in a savepoint of its own, and notes its ledger entry."""


@dataclass(frozen=True)
class Refused:
    """An event that was refused.

    Attributes:
        job: With the event.
        key: The entity.
        taken: What it wanted, and another row has.
        error: What refused it last; not always a unique constraint.
    """

    job: Job
    key: LedgerKey
    taken: ValueTaken
    error: Exception | None = None


@dataclass(frozen=True)
class Won:
    """An event that was applied with others."""

    job: Job
    key: LedgerKey
    applied: Applied


@dataclass
class _Round:
    """What came of applying some events together.

    Attributes:
        won: Those that were applied.
        lost: Those that were refused once more, or that left a value aside.
    """

    won: list[Won] = field(default_factory=list)
    lost: list[Refused] = field(default_factory=list)


class _NotTogetherError(Exception):
    """Rolls a round back."""


class Contest:
    """Applies the refused events of a batch together.

    Args:
        connection: Inside the batch's transaction.
        ledger: The library's ledger.
        apply: Applies one event.
    """

    def __init__(self, connection: AsyncConnection, ledger: Table, apply: Apply) -> None:
        self._connection = connection
        self._ledger = ledger
        self._apply = apply

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
                done = await self._round(held, constraints, tried)
                if not done.lost:
                    won += done.won
                    entries |= tried
                    break
                if await self._learn(done.lost, constraints):
                    # Once more, with the values of that constraint set aside as well.
                    continue
                lost += done.lost
                beaten = {each.job.event.id for each in done.lost}
                held = [each for each in held if each.job.event.id not in beaten]
        for each in lost:
            if isinstance(each.error, ValueTaken):
                await name_both_rows(self._connection, self._ledger, each.error)
        return won, lost

    async def _learn(self, refused: Sequence[Refused], constraints: dict[str, Columns]) -> bool:
        """Note the constraints that refused events; return whether one is new."""
        known = len(constraints)
        for each in refused:
            for error in (each.taken, each.error):
                if isinstance(error, ValueTaken) and error.constraint not in constraints:
                    columns = await taken_columns(self._connection, error)
                    constraints[error.constraint] = columns
        return len(constraints) > known

    async def _round(
        self, group: Sequence[Refused], constraints: Mapping[str, Columns], entries: Entries
    ) -> _Round:
        """Apply events together, or not at all: nothing has changed if one of them lost."""
        done = _Round()
        with suppress(_NotTogetherError):
            async with savepoint(self._connection):
                owed = await self._set_aside(group, constraints, done)
                # The newest first: an older state takes no value that another entity is to get.
                for each in reversed(group) if not done.lost else ():
                    await self._try(each, entries, done)
                done.lost += _unwritten(group, owed, done) if not done.lost else []
                if done.lost:
                    raise _NotTogetherError
        return done

    async def _set_aside(
        self, group: Sequence[Refused], constraints: Mapping[str, Columns], done: _Round
    ) -> dict[LedgerKey, set[str]]:
        """Set the contested values aside; return what each entity must write in their place."""
        owed: dict[LedgerKey, set[str]] = {}
        for each in group:
            if each.taken.wanted is None:
                continue
            try:
                async with savepoint(self._connection):
                    for columns in constraints.values():
                        names = await set_aside(self._connection, each.taken.wanted, columns)
                        owed.setdefault(each.key, set()).update(names)
            except Exception as error:
                if ends_transaction(error):
                    raise
                # The values stay where they are; what refuses the event is what did so before.
                done.lost.append(replace(each, error=each.taken))
        return owed

    async def _try(self, each: Refused, entries: Entries, done: _Round) -> None:
        try:
            applied = await self._apply(each.job, entries)
        except Exception as error:
            if ends_transaction(error):
                raise
            done.lost.append(replace(each, error=error))
        else:
            done.won.append(Won(each.job, each.key, applied))


def _groups(refused: Iterable[Refused]) -> Iterable[list[Refused]]:
    groups: dict[str, list[Refused]] = {}
    for each in refused:
        groups.setdefault(each.taken.table, []).append(each)
    return groups.values()


def _unwritten(
    group: Sequence[Refused], owed: Mapping[LedgerKey, set[str]], done: _Round
) -> list[Refused]:
    """Return the events whose entity was left with a value that was only set aside."""
    written: dict[LedgerKey, set[str]] = {}
    for each in done.won:
        if each.applied.result.outcome is Outcome.APPLIED:
            written.setdefault(each.key, set()).update(each.applied.result.changed)
    return [
        replace(each, error=each.taken)
        for each in group
        if not owed.get(each.key, set()) <= written.get(each.key, set())
    ]
