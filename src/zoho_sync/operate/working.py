"""Says what is wrong with the workers, from what they have written down of themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from zoho_sync.abc import Depth
from zoho_sync.store.schema_version import OLDEST_RELEASE, serves
from zoho_sync.store.tables import Tables
from zoho_sync.store.worker_rows import WorkerRow, WorkerRows

__all__ = ["WorkerReport", "Working", "read_working"]

_FORGOTTEN_LEASES: Final = 10
_MOST_TYPES: Final = 5


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """What is known of one worker.

    Attributes:
        name: Its host, its process, and a number.
        release: Of the library.
        started_at: When it began.
        seen_at: When it was last heard of; it says so four times within a lease.
        lives: Whether that is less than a lease ago.
        busy_since: Since when it applies what it has applied for longest; None if that is nothing.
        busy_with: What that is: entity type and id.
        claimed_at: When it could ask its queue last; None if it never could.
        trouble: Why it cannot work; ``""`` if it can.
    """

    name: str
    release: str
    started_at: datetime
    seen_at: datetime
    lives: bool
    busy_since: datetime | None
    busy_with: str
    claimed_at: datetime | None
    trouble: str


@dataclass(frozen=True, slots=True)
class _Held:
    """The jobs of the oldest claim that a worker has not settled yet."""

    worker: str
    since: datetime
    jobs: int
    example: str


@dataclass(frozen=True)
class Working:
    """The workers of an installation, at one moment."""

    now: datetime
    rows: Sequence[WorkerRow]
    held: Sequence[_Held]
    lease: timedelta

    def reports(self) -> tuple[WorkerReport, ...]:
        """Return the workers that live, and those that were heard of a moment ago."""
        return tuple(
            WorkerReport(
                name=row.name,
                release=row.release,
                started_at=row.started_at,
                seen_at=row.seen_at,
                lives=self._lives(row),
                busy_since=row.busy_since,
                busy_with=row.busy_with,
                claimed_at=row.claimed_at,
                trouble=row.trouble,
            )
            for row in self._known
        )

    def problems(self, queue: Depth, paused: datetime | None) -> Iterator[str]:
        """Give what is wrong, in sentences."""
        for row in self._known:
            if not self._lives(row):
                yield (
                    f"worker {row.name} was last heard of at {row.seen_at.isoformat()}: its "
                    "process was killed, or something blocks its event loop"
                )
            elif row.trouble:
                yield f"worker {row.name}: {row.trouble}"
            if not serves(OLDEST_RELEASE, row.release):
                yield (
                    f"worker {row.name} runs zoho-sync {row.release}, and the library's tables "
                    f"serve {OLDEST_RELEASE} and later; stop it"
                )
        yield from self._long()
        if paused is None:
            yield from self._idle(queue)
        yield from self._unlike()

    @property
    def _known(self) -> list[WorkerRow]:
        """The workers of which nobody knows better than that they work."""
        return [row for row in self.rows if self.now - row.seen_at < row.lease * _FORGOTTEN_LEASES]

    def _lives(self, row: WorkerRow) -> bool:
        return self.now - row.seen_at <= row.lease

    def _long(self) -> Iterator[str]:
        """Give one event that takes half a lease, and a batch that takes a whole one."""
        told = set[str]()
        for row in self._known:
            if row.busy_since is not None and self.now - row.busy_since > row.lease / 2:
                told.add(row.name)
                since = row.busy_since.isoformat()
                yield f"{row.busy_with} has been under way since {since}, with worker {row.name}"
        for held in self.held:
            leases = [row.lease for row in self.rows if row.name == held.worker]
            long = self.now - held.since > (leases[0] if leases else self.lease)
            if long and held.worker not in told:
                yield (
                    f"{held.jobs} event(s) have been under way since {held.since.isoformat()}, "
                    f"with worker {held.worker}, {held.example} among them"
                )

    def _idle(self, queue: Depth) -> Iterator[str]:
        """Give the workers that claim nothing although there is something."""
        if not queue.ready:
            return
        for row in self._known:
            since = row.claimed_at or row.started_at
            # Some engines cannot tell since when.
            idle = self.now - max(since, queue.claimable_since or since) > row.lease / 2
            if idle and row.busy_since is None and self._lives(row):
                yield (
                    f"worker {row.name} has claimed nothing since {since.isoformat()}, although "
                    f"{queue.ready} event(s) are ready"
                )

    def _unlike(self) -> Iterator[str]:
        """Give the types of which two workers that live have different mappings."""
        living = [row for row in self._known if self._lives(row)]
        names = sorted({name for row in living for name in row.fingerprints})
        unlike = [name for name in names if len({row.fingerprints.get(name) for row in living}) > 1]
        if unlike:
            first = unlike[0]
            ones = next(row for row in living if first in row.fingerprints)
            others = next(
                row for row in living if row.fingerprints.get(first) != ones.fingerprints[first]
            )
            more = f" and {len(unlike) - _MOST_TYPES} others" if len(unlike) > _MOST_TYPES else ""
            yield (
                f"workers have different mappings for {', '.join(unlike[:_MOST_TYPES])}{more}: "
                f"{ones.name} (zoho-sync {ones.release}) and {others.name} (zoho-sync "
                f"{others.release}); stop those of the older code"
            )


async def read_working(
    connection: AsyncConnection, tables: Tables, now: datetime, lease: timedelta
) -> Working:
    """Read what the workers have said, and what they hold in the database."""
    jobs = tables.jobs
    held = jobs.c.lease_token.is_not(None) & jobs.c.claimed_by.is_not(None)
    claims = select(jobs.c.claimed_by, jobs.c.claimed_at, func.count(), func.min(jobs.c.id))
    claims = claims.where(held).group_by(jobs.c.claimed_by, jobs.c.claimed_at)
    found: dict[str, _Held] = {}
    for worker, since, count, first in await connection.execute(claims.order_by(jobs.c.claimed_at)):
        if worker not in found:
            named = select(jobs.c.entity_type, jobs.c.entity_id).where(jobs.c.id == first)
            entity = (await connection.execute(named)).one()
            example = f"{entity.entity_type} {entity.entity_id}"
            found[worker] = _Held(worker, since, count, example)
    rows = await WorkerRows(connection, tables).all()
    return Working(now, rows, [*found.values()], lease)
