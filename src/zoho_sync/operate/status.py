"""Reports how the synchronisation is doing, from recorded outcomes alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, Table, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from zoho_sync.abc import Depth, QueueBackend, RelaysOutbox
from zoho_sync.apply.context import HandlerContext
from zoho_sync.checks.fields import unseen_fields
from zoho_sync.database.creation import needing_tables
from zoho_sync.database.dialects import database_time
from zoho_sync.database.hiding import without_values
from zoho_sync.database.unit_of_work import one_snapshot
from zoho_sync.events.outcome import DeadLetterKind, Outcome
from zoho_sync.exceptions import QueueUnavailable
from zoho_sync.operate.working import WorkerReport, read_working
from zoho_sync.store.jobs import Jobs
from zoho_sync.store.outbox_rows import OutboxRows
from zoho_sync.store.pauses import Pause
from zoho_sync.store.refusal_rows import RefusalRows, Refused
from zoho_sync.store.schema_version import refuse_other_version
from zoho_sync.store.tables import Tables

__all__ = ["StatusReport", "read_status"]

_SLOW: Final = timedelta(minutes=5)
_PATIENCE: Final = 10.0
_SUCCESS: Final = (Outcome.APPLIED, Outcome.STALE, Outcome.DUPLICATE)


@dataclass(frozen=True, slots=True)
class StatusReport:
    """Says where every accepted event is, and what is wrong.

    Attributes:
        at: When it was read, by the database's clock.
        window: How far back ``recent`` and the verdict look.
        queue: What waits in the queue, and in an outbox that the host had before.
        parked: Events that wait for another entity.
        dead_letters: Events and bodies that wait for an operator.
        failures: Those of them that the application caused, and not the data. Alarms go by this
            number, which does not count what users get wrong.
        settled: All settled events, by outcome.
        recent: Those that were settled within the window, by outcome; dead letters that died
            within it are among them.
        entities: Settled events by entity type and outcome.
        refused: Deliveries that were refused, by reason: all of them, for reasons of which the last
            came within the window. Nothing else is kept of them.
        last_arrival: When the newest event was received; None if there never was one.
        paused_since: Since when the queue is paused; None if it is not.
        workers: Those that say that they live, and those that did a moment ago.
        unseen_fields: Mapped custom fields that no document ever had, ``"invoice.cf_note"``: a
            slip, perhaps, or a field that never had a value.
        unknown: What could not be found out, in sentences: an engine outside the database is away.
        problems: What is wrong, in sentences; empty if nothing is.
    """

    at: datetime
    window: timedelta
    queue: Depth
    parked: int
    dead_letters: int
    failures: int
    settled: Mapping[Outcome, int]
    recent: Mapping[Outcome, int]
    entities: Mapping[str, Mapping[Outcome, int]]
    refused: Mapping[str, int]
    last_arrival: datetime | None
    paused_since: datetime | None
    workers: tuple[WorkerReport, ...]
    unseen_fields: tuple[str, ...]
    unknown: tuple[str, ...]
    problems: tuple[str, ...]

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    @property
    def accepted(self) -> int:
        """All events that were ever accepted, dead letters included."""
        settled = sum(self.settled.values())
        return self.queue.total + self.parked + self.dead_letters + settled


async def read_status(
    sessions: Callable[[], AsyncSession],
    queue: QueueBackend,
    context: HandlerContext,
    lease: timedelta,
    window: timedelta,
) -> StatusReport:
    """Read the report from the library's tables, all of it from one state of the database.

    A queue outside the database is read first: an event that is settled meanwhile is counted twice
    then, and none is missed. While it is away, all is told that the database knows.

    Raises:
        ConfigurationError: The library's tables are missing, or of another version.
    """
    tables = context.tables
    depth, unknown = await _outside(queue)
    with needing_tables():
        async with one_snapshot(sessions) as connection:
            await refuse_other_version(connection, tables)
            now = await database_time(connection, context.clock)
            if unknown:
                depth = await _inside(connection, queue, tables, now)
            depth = depth or await queue.depth(connection=connection)
            stranded = Depth(0, 0, 0)
            if not isinstance(queue, RelaysOutbox):
                stranded = await OutboxRows(connection, tables).depth()
            working = await read_working(connection, tables, now, lease)
            report = await _read(connection, tables, depth + stranded, now, window)
            unseen = await unseen_fields(connection, tables, context.bindings)
            is_new = not report.accepted and not await _count(connection, tables.ledger)
    problems = (
        *unknown,
        *working.problems(report.queue, report.paused_since),
        *_left_behind(stranded, now),
        *report.problems,
    )
    if not problems and is_new:
        # Said where nothing else is wrong: whatever it is may be why nothing comes.
        problems = ("nothing was ever received: is the webhook's URL that of this installation?",)
    return replace(
        report,
        workers=working.reports(),
        unseen_fields=tuple(f"{entity_type}.{name}" for entity_type, name in unseen),
        unknown=unknown,
        problems=problems,
    )


async def _outside(queue: QueueBackend) -> tuple[Depth | None, tuple[str, ...]]:
    """Return how much is in a queue outside the database, or why that is not known."""
    if queue.capabilities.completes_in_transaction:
        return None, ()
    try:
        async with asyncio.timeout(_PATIENCE):
            return await queue.depth(), ()
    except (QueueUnavailable, TimeoutError) as error:
        away = (
            "the queue's engine cannot be reached, and what waits in it is not counted: "
            f"{without_values(error)}"
        )
        return None, (away,)


async def _inside(
    connection: AsyncConnection, queue: QueueBackend, tables: Tables, now: datetime
) -> Depth:
    """Return how much waits in the database for an engine that is away, or behind it."""
    depth = await Jobs(connection, tables.jobs).depth(now)
    if isinstance(queue, RelaysOutbox):
        depth += await OutboxRows(connection, tables).depth()
    return depth


async def _read(
    connection: AsyncConnection, tables: Tables, queue: Depth, now: datetime, window: timedelta
) -> StatusReport:
    journal, dead, parked = tables.journal, tables.dead_letters, tables.parked
    since = now - window
    entities, settled = await _settled(connection, journal)
    recent_rows = await connection.execute(
        select(journal.c.outcome, func.count())
        .where(journal.c.settled_at > since)
        .group_by(journal.c.outcome)
    )
    recent = {Outcome(outcome): count for outcome, count in recent_rows}
    recent[Outcome.DEAD_LETTER] = await _count(connection, dead, dead.c.died_at > since)
    last, paused = await _last_arrival(connection, tables), await Pause(connection, tables).since()
    failing = await _count(connection, tables.jobs, tables.jobs.c.attempts > 0)
    waiting = await _count(connection, parked, parked.c.parked_at > since)
    refused = await RefusalRows(connection, tables).since(since)
    return StatusReport(
        at=now,
        window=window,
        queue=queue,
        parked=await _count(connection, parked),
        dead_letters=await _count(connection, dead),
        failures=await _count(connection, dead, dead.c.kind == DeadLetterKind.FAILURE),
        settled=settled,
        recent={outcome: count for outcome, count in recent.items() if count},
        entities=entities,
        refused={each.reason: each.times for each in refused},
        last_arrival=last,
        paused_since=paused,
        workers=(),
        unseen_fields=(),
        unknown=(),
        problems=(
            *_pause(paused),
            *await _broken(connection, dead),
            *_failures(recent, failing, waiting),
            *_delays(queue, last, now, window),
            *_at_the_door(refused, last),
        ),
    )


async def _settled(
    connection: AsyncConnection, journal: Table
) -> tuple[dict[str, dict[Outcome, int]], dict[Outcome, int]]:
    """Return the settled events by type and outcome, and by outcome alone."""
    entities: dict[str, dict[Outcome, int]] = {}
    settled: dict[Outcome, int] = {}
    kinds = (journal.c.entity_type, journal.c.outcome)
    counted = select(*kinds, func.count()).group_by(*kinds)
    for name, outcome, count in await connection.execute(counted):
        entities.setdefault(name or "(not understood)", {})[Outcome(outcome)] = count
        settled[Outcome(outcome)] = settled.get(Outcome(outcome), 0) + count
    return entities, settled


async def _count(connection: AsyncConnection, table: Table, *where: ColumnElement[bool]) -> int:
    statement = select(func.count()).select_from(table).where(*where)
    count: int = (await connection.execute(statement)).scalar_one()
    return count


async def _last_arrival(connection: AsyncConnection, tables: Tables) -> datetime | None:
    places = (tables.outbox, tables.jobs, tables.parked, tables.dead_letters, tables.journal)
    newest = [await connection.scalar(select(func.max(table.c.arrival_time))) for table in places]
    return max(filter(None, newest), default=None)


def _pause(since: datetime | None) -> Iterator[str]:
    # Whoever paused it knows; whoever comes after them must not take it for a quiet day.
    if since is not None:
        yield f"the queue has been paused since {since.isoformat()}, and nothing is applied"


def _left_behind(stranded: Depth, now: datetime) -> Iterator[str]:
    # Newer ones may be on their way: others may have an outbox where this process has none.
    if stranded.oldest is not None and now - stranded.oldest > _SLOW:
        yield (
            f"{stranded.total} event(s) are in an outbox, since {stranded.oldest.isoformat()}, and"
            " this queue does not empty it: run a worker whose queue is an Outbox"
        )


async def _broken(connection: AsyncConnection, dead: Table) -> list[str]:
    # However old they are: nobody has handled them.
    failed = dead.c.kind == DeadLetterKind.FAILURE
    counted = select(dead.c.error_type, func.count()).where(failed).group_by(dead.c.error_type)
    found = (await connection.execute(counted.order_by(dead.c.error_type))).all()
    if not found:
        return []
    names = ", ".join(name for name, _ in found)
    total = sum(count for _, count in found)
    return [f"{total} event(s) are dead letters since the application failed: {names}"]


def _failures(recent: Mapping[Outcome, int], failing: int, parked: int) -> Iterator[str]:
    # What the mapping ignores, or an operator closes, is neither success nor failure.
    dead = recent.get(Outcome.DEAD_LETTER, 0)
    total = dead + sum(recent.get(outcome, 0) for outcome in _SUCCESS)
    if total and dead * 2 > total:
        yield f"{dead} of the last {total} events became dead letters"
    if failing and total == dead:
        yield f"{failing} event(s) failed and will be tried again, and none was applied"
    if parked and total == dead:
        yield f"{parked} event(s) were parked, and none was applied"


def _at_the_door(refused: Iterable[Refused], last: datetime | None) -> Iterator[str]:
    for each in refused:
        # Who does not even claim to be Zoho is a stranger, unless nobody else has come since.
        if not each.stranger or last is None or each.last_at > last:
            yield f"{each.times} deliveries were refused, the last of them lately: {each.reason}"


def _delays(queue: Depth, last: datetime | None, now: datetime, window: timedelta) -> Iterator[str]:
    since = queue.claimable_since or queue.oldest
    if since is not None and queue.ready and now - since > _SLOW:
        yield f"an event has been waiting since {since.isoformat()}"
    if last is not None and now - last > window:
        yield f"nothing was received since {last.isoformat()}"
