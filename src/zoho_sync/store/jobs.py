"""Leases, completes and puts back the rows of events that wait to be applied."""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    case,
    delete,
    exists,
    func,
    select,
    true,
    tuple_,
    update,
)

from zoho_sync.abc import DEFAULT_PRIORITY, Depth, Job
from zoho_sync.database.dialects import indexed
from zoho_sync.database.insertion import insert_absent
from zoho_sync.exceptions import LeaseLost
from zoho_sync.store.job_rows import job_from_row
from zoho_sync.store.new_events import NewEvents
from zoho_sync.store.partners import Entity, Partners
from zoho_sync.store.tables import PREFIX

__all__ = ["ClaimPart", "Claimed", "Jobs"]

_REAP = 100
_PUT_BACK = 200
_BY_PRIORITY = f"ix_{PREFIX}jobs_claim"
_LONGEST_CHAIN = 8


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
        jobs: The jobs.
        left: Whether others are due that were left for their priority.
        paused: Whether there was nothing to be had, since the queue is paused.
    """

    jobs: list[Job]
    left: bool = False
    paused: bool = False


class Jobs(NewEvents):
    """The rows of the jobs table, on one connection, inside one transaction."""

    async def put_back(self, rows: Sequence[Mapping[str, Any]]) -> set[str]:
        """Put jobs back that were parked, dead or failed; return the ids that are queued then.

        An event whose equal is queued stays out: whoever puts it back settles it as a duplicate.
        One that is queued itself, under its own id, is where it belongs.
        Of equals that come back together the later one goes in, since others may have arrived
        between them.
        """
        table, queued = self._table, set[str]()
        latest = {row["dedupe_key"]: row["event_id"] for row in sorted(rows, key=_arrived)}
        wanted = [row for row in rows if row["dedupe_key"] is None or _is_latest(row, latest)]
        for start in range(0, len(wanted), _PUT_BACK):
            chunk = wanted[start : start + _PUT_BACK]
            made = await insert_absent(self._connection, table, chunk, returning=[table.c.event_id])
            queued |= {event_id for (event_id,) in made}
        missing = [row["event_id"] for row in rows if row["event_id"] not in queued]
        return queued | await self.known(missing)

    async def reap(self, now: datetime) -> None:
        """Take back expired leases; who had a job alone when its worker died, counts a death."""
        table = self._table
        expired = select(table.c.id).where(table.c.lease_expires_at <= now).order_by(table.c.id)
        # First without a lock: MariaDB locks what it looks at, and a peer would take it for leased.
        ids = list((await self._connection.execute(expired.limit(_REAP))).scalars())
        if ids:
            locked = expired.where(table.c.id.in_(ids)).with_for_update(skip_locked=True)
            locked = indexed(locked, table, "PRIMARY")
            ids = list((await self._connection.execute(locked)).scalars())
        if ids:
            deaths = table.c.deaths + case((table.c.suspect, 1), else_=0)
            await self._connection.execute(
                update(table)
                # Again in the statement: a lease that was extended meanwhile is alive.
                .where(table.c.id.in_(ids), table.c.lease_expires_at <= now)
                # In this order: on MariaDB an assignment sees what those before it have set.
                .ordered_values(
                    (table.c.deaths, deaths),
                    (table.c.suspect, true()),
                    (table.c.lease_token, None),
                    (table.c.lease_expires_at, None),
                )
            )

    async def claim(
        self,
        limit: int,
        *,
        token: str,
        now: datetime,
        expires: datetime,
        part: ClaimPart = ClaimPart.WHOLE,
    ) -> Claimed:
        """Lease jobs that are due: one suspect alone, or else up to ``limit`` others.

        Args:
            limit: How many, at most.
            token: Of the lease.
            now: The time.
            expires: When the lease ends.
            part: Which jobs are meant.
        """
        left, rows = False, [] if part is ClaimPart.REST else await self._suspect(now)
        if not rows:
            order = (self._table.c.priority, self._table.c.id)
            found = await self._free(limit, self._due(now, suspect=False), order, _BY_PRIORITY)
            first = part is ClaimPart.FIRST
            rows = [row for row in found if not first or row["priority"] <= DEFAULT_PRIORITY]
            left = len(rows) < len(found)
            rows = await self._together(rows, limit)
        if rows:
            table = self._table
            await self._connection.execute(
                update(table)
                .where(table.c.id.in_([row["id"] for row in rows]))
                .values(lease_token=token, lease_expires_at=expires)
            )
        return Claimed([job_from_row(row, token, now) for row in rows], left=left)

    async def _suspect(self, now: datetime) -> list[Mapping[Any, Any]]:
        """Lock one suspect that is due."""
        # Deaths by chance must not pile up on one innocent: who has fewest comes first.
        order = (self._table.c.deaths, self._table.c.id)
        return await self._looked_up(1, self._due(now, suspect=True), order)

    def _due(self, now: datetime, *, suspect: bool) -> tuple[ColumnElement[bool], ...]:
        table = self._table
        return table.c.not_before <= now, table.c.suspect.is_(suspect)

    async def _together(
        self, due: Sequence[Mapping[Any, Any]], limit: int
    ) -> list[Mapping[Any, Any]]:
        """Return jobs that are due, first those that want a unique value which another entity has.

        They bring the jobs of that entity along, due or not, and these theirs in turn: only
        together can a value move on. What does not fit comes with the next claim.
        """
        partners = Partners(due)
        for _ in range(_LONGEST_CHAIN):
            names = partners.unknown()
            if not names:
                break
            partners.add(names, await self._of_entities(names, partners.ids, limit))
        return partners.first(limit)

    async def _of_entities(
        self, names: Collection[Entity], known: Collection[int], limit: int
    ) -> list[Mapping[Any, Any]]:
        table = self._table
        theirs = tuple_(table.c.organization_id, table.c.entity_id).in_(list(names))
        conditions = (theirs, table.c.id.not_in(known), table.c.suspect.is_(False))
        return await self._looked_up(limit * _LONGEST_CHAIN, conditions, (table.c.id,))

    async def _looked_up(
        self, limit: int, conditions: Sequence[ColumnElement[bool]], order: Sequence[Any]
    ) -> list[Mapping[Any, Any]]:
        """Lock jobs that are found first without a lock, as in `reap`."""
        table = self._table
        free = (table.c.lease_token.is_(None), *conditions, ~self._entity_is_leased())
        # Peers may have locked the first ones.
        some = select(table.c.id).where(*free).order_by(*order).limit(limit + _REAP)
        ids = list((await self._connection.execute(some)).scalars())
        if not ids:
            return []
        return await self._free(limit, (*conditions, table.c.id.in_(ids)), order, "PRIMARY")

    async def _free(
        self,
        limit: int,
        conditions: Iterable[ColumnElement[bool]],
        order: Iterable[Any],
        index: str,
    ) -> list[Mapping[Any, Any]]:
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
        table, other = self._table, self._table.alias()
        return exists().where(
            other.c.organization_id == table.c.organization_id,
            other.c.entity_id == table.c.entity_id,
            other.c.lease_token.is_not(None),
        )

    async def extend(self, jobs: Sequence[Job], expires: datetime) -> set[int]:
        """Lengthen leases; return the ids of the jobs that are still leased to their claim."""
        table = self._table
        kept: set[int] = set()
        for token, handles in _by_token(jobs).items():
            held = (table.c.id.in_(handles), table.c.lease_token == token)
            await self._connection.execute(
                update(table).where(*held).values(lease_expires_at=expires)
            )
            kept |= set((await self._connection.execute(select(table.c.id).where(*held))).scalars())
        return kept

    async def complete(self, jobs: Sequence[Job]) -> None:
        """Take jobs out of the queue, each under its lease: the fence.

        Raises:
            LeaseLost: Not every job is leased to its claim any more.
        """
        table = self._table
        for token, handles in _by_token(jobs).items():
            statement = delete(table).where(table.c.id.in_(handles), table.c.lease_token == token)
            if (await self._connection.execute(statement)).rowcount != len(handles):
                raise LeaseLost(job.event.id for job in jobs if job.lease_token == token)

    async def release(self, jobs: Sequence[Job], not_before: datetime) -> None:
        """Give jobs back; those whose lease is lost are left to their new holder."""
        table = self._table
        for token, handles in _by_token(jobs).items():
            await self._connection.execute(
                update(table)
                .where(table.c.id.in_(handles), table.c.lease_token == token)
                .values(lease_token=None, lease_expires_at=None, not_before=not_before)
            )

    async def present(self, jobs: Sequence[Job]) -> bool:
        """Wait for whoever holds the rows, and return whether any of them is there."""
        table = self._table
        handles = [job.handle for job in jobs]
        statement = select(table.c.id).where(table.c.id.in_(handles)).with_for_update()
        found = await self._connection.execute(indexed(statement, table, "PRIMARY"))
        return found.first() is not None

    async def depth(self, now: datetime) -> Depth:
        """Return how much is in the queue."""
        table = self._table
        # A lease that has ended is no lease: nobody may be left to notice.
        leased = table.c.lease_token.is_not(None) & (table.c.lease_expires_at > now)
        waiting = table.c.lease_token.is_(None) | (table.c.lease_expires_at <= now)
        ready = waiting & (table.c.not_before <= now)
        # What was replayed or woken is not late because it arrived long ago.
        since = func.coalesce(table.c.lease_expires_at, table.c.not_before)
        statement = select(
            # Not with FILTER, which MariaDB does not know.
            func.count(case((ready, 1))),
            func.count(case((waiting & (table.c.not_before > now), 1))),
            func.count(case((leased, 1))),
            func.min(case((waiting, table.c.arrival_time))),
            func.min(case((ready, since))),
        )
        row = (await self._connection.execute(statement)).one()
        return Depth(*row)


def _arrived(row: Mapping[str, Any]) -> tuple[datetime, int]:
    return row["arrival_time"], row["arrival_sequence"]


def _is_latest(row: Mapping[str, Any], latest: Mapping[str, str]) -> bool:
    return bool(latest[row["dedupe_key"]] == row["event_id"])


def _by_token(jobs: Sequence[Job]) -> dict[str, list[int]]:
    tokens: dict[str, list[int]] = {}
    for job in jobs:
        tokens.setdefault(job.lease_token, []).append(job.handle)
    return tokens
