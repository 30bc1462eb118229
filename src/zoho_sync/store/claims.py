"""Leases jobs that are due to a worker, together with those that a unique value ties to them."""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Table, exists, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from zoho_sync.abc import DEFAULT_PRIORITY, Job
from zoho_sync.database.dialects import indexed
from zoho_sync.store.event_rows import job_from_row
from zoho_sync.store.tables import PREFIX, Rows

__all__ = ["ClaimPart", "Claimed", "Claims"]

_LOCKED_BY_PEERS = 100
_BY_PRIORITY = f"ix_{PREFIX}jobs_claim"
_LONGEST_CHAIN = 8

_Row = Mapping[Any, Any]
_Entity = tuple[str, str]
"""An organization, and Zoho's id of an entity in it."""


class ClaimPart(enum.Enum):
    """Which jobs a claim is for, where another queue is asked between two claims.

    Attributes:
        WHOLE: All of them.
        FIRST: Those that come before what has the default priority, or with it; and suspects.
        REST: All but suspects, which are claimed alone.
    """

    WHOLE = enum.auto()
    FIRST = enum.auto()
    REST = enum.auto()


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a claim gave.

    Attributes:
        left: Whether others are due that were left for their priority.
        paused: Whether there was nothing to be had, since the queue is paused.
    """

    jobs: list[Job]
    left: bool = False
    paused: bool = False


class Claims(Rows):
    """The rows of the jobs table that are due at a time, on one connection and transaction."""

    def __init__(self, connection: AsyncConnection, table: Table, now: datetime) -> None:
        super().__init__(connection, table)
        self._now = now

    async def lease(
        self,
        limit: int,
        *,
        token: str,
        expires: datetime,
        worker: str | None = None,
        part: ClaimPart = ClaimPart.WHOLE,
    ) -> Claimed:
        """Lease jobs that are due: one suspect alone, or else up to ``limit`` others.

        Args:
            limit: How many at most.
            token: Of the claim.
            expires: When the leases end.
            worker: The name of whoever claims, as in the table of workers.
            part: Which jobs.
        """
        table, left = self._table, False
        # Deaths by chance must not pile up on one innocent: who has fewest comes first.
        fewest = (table.c.deaths, table.c.id)
        suspect = self._due(suspect=True)
        rows = [] if part is ClaimPart.REST else await self._looked_up(1, suspect, fewest)
        if not rows:
            order = (table.c.priority, table.c.id)
            found = await self._free(limit, self._due(suspect=False), order, _BY_PRIORITY)
            first = part is ClaimPart.FIRST
            due = [row for row in found if not first or row["priority"] <= DEFAULT_PRIORITY]
            left = len(due) < len(found)
            rows = await self._together(due, limit)
        if rows:
            leased = update(table).where(table.c.id.in_([row["id"] for row in rows]))
            await self._connection.execute(
                leased.values(
                    lease_token=token,
                    lease_expires_at=expires,
                    claimed_at=self._now,
                    claimed_by=worker,
                )
            )
        return Claimed([self._job(row, token) for row in rows], left=left)

    def _job(self, row: _Row, token: str) -> Job:
        return job_from_row(
            row,
            token,
            deaths=row["deaths"],
            suspect=row["suspect"],
            contested=tuple(row["contested"] or ()),
            early=max(row["not_before"] - self._now, timedelta(0)),
        )

    def _due(self, *, suspect: bool) -> tuple[ColumnElement[bool], ...]:
        table = self._table
        return table.c.not_before <= self._now, table.c.suspect.is_(suspect)

    async def _together(self, due: Sequence[_Row], limit: int) -> list[_Row]:
        """Return jobs that are due, first those that want a unique value which another entity has.

        They bring the jobs of that entity along, due or not, and these theirs in turn: only
        together can a value move on. What does not fit comes with the next claim.
        """
        partners = _Partners(due)
        for _ in range(_LONGEST_CHAIN):
            names = partners.unknown()
            if not names:
                break
            partners.add(names, await self._of_entities(names, partners.ids, limit))
        return partners.first(limit)

    async def _of_entities(
        self, names: Collection[_Entity], known: Collection[int], limit: int
    ) -> list[_Row]:
        table = self._table
        theirs = tuple_(table.c.organization_id, table.c.entity_id).in_(list(names))
        conditions = (theirs, table.c.id.not_in(known), table.c.suspect.is_(False))
        return await self._looked_up(limit * _LONGEST_CHAIN, conditions, (table.c.id,))

    async def _looked_up(
        self, limit: int, conditions: Sequence[ColumnElement[bool]], order: Sequence[Any]
    ) -> list[_Row]:
        """Lock jobs that are found first without a lock, as in `Jobs.reap`."""
        table = self._table
        free = (table.c.lease_token.is_(None), *conditions, ~self._entity_is_leased())
        some = select(table.c.id).where(*free).order_by(*order).limit(limit + _LOCKED_BY_PEERS)
        ids = list(await self._connection.scalars(some))
        if not ids:
            return []
        return await self._free(limit, (*conditions, table.c.id.in_(ids)), order, "PRIMARY")

    async def _free(
        self,
        limit: int,
        conditions: Iterable[ColumnElement[bool]],
        order: Iterable[Any],
        index: str,
    ) -> list[_Row]:
        """Lock jobs that nobody has leased, nor another one of their entity."""
        table = self._table
        statement = (
            select(table)
            .where(table.c.lease_token.is_(None), *conditions, ~self._entity_is_leased())
            .order_by(*order)
            .limit(limit)
            .with_for_update(skip_locked=True, of=table)
        )
        found = await self._connection.execute(indexed(statement, table, index))
        return list(found.mappings())

    def _entity_is_leased(self) -> ColumnElement[bool]:
        """Say whether another job of the same entity is leased.

        It would wait for the entity's ledger row, and with it the whole batch. The ids alone are
        compared: a customer's job may be queued as a contact's.
        """
        table, other = self._table, _other(self._table)
        return exists().where(
            other.c.organization_id == table.c.organization_id,
            other.c.entity_id == table.c.entity_id,
            other.c.lease_token.is_not(None),
        )


@cache
def _other(table: Table) -> FromClause:
    """Return a second name of a table, which has all its columns anew: one serves all claims."""
    return table.alias()


class _Partners:
    """The jobs that are due, and those of the entities that they wait for."""

    def __init__(self, due: Sequence[_Row]) -> None:
        self._due = due
        self._of: dict[_Entity, list[_Row]] = {}
        self._asked: set[_Entity] = set()
        self._wanting: list[_Row] = []
        self.ids: set[int] = set()
        self.add((), due)

    def unknown(self) -> set[_Entity]:
        """Return the entities that have wanted values, and were not asked for yet."""
        return {name for row in self._wanting for name in _wanted(row)} - self._asked

    def add(self, names: Collection[_Entity], rows: Sequence[_Row]) -> None:
        """Add the jobs of entities that were asked for; they may want values themselves."""
        self._asked |= set(names)
        for row in rows:
            self.ids.add(row["id"])
            self._of.setdefault((row["organization_id"], row["entity_id"]), []).append(row)
            if row["contested"]:
                self._wanting.append(row)

    def first(self, limit: int) -> list[_Row]:
        """Return what is claimed: whole groups as far as they fit, then what else is due."""
        taken: dict[int, _Row] = {}
        for row in self._due:
            group = self._group(row) if row["contested"] else {}
            if not taken or len(taken.keys() | group.keys()) <= limit:
                taken |= group
        rest = {row["id"]: row for row in self._due if not row["contested"]}
        return list((taken | rest).values())[:limit]

    def _group(self, row: _Row) -> dict[int, _Row]:
        group: dict[int, _Row] = {}
        waiting = [row]
        for each in waiting:
            if each["id"] not in group:
                group[each["id"]] = each
                waiting += [other for name in _wanted(each) for other in self._of.get(name, ())]
        return group


def _wanted(row: _Row) -> list[_Entity]:
    return [(row["organization_id"], name) for name in row["contested"] or ()]
