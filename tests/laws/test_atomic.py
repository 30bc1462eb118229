"""Law 1: the effects of one event commit together, or none of them does.

A fault is put before every statement and every commit that a worker sends while it drains a batch,
and around every call to a queue engine outside the database; after each, every event is there with
all that belongs to it or not at all, and the next drain brings what is missing, once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, ClassVar, Final

import pytest
from sqlalchemy import ForeignKey, ForeignKeyConstraint, String, event, func, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tests.amounts import is_core
from tests.laws.engines import QueueEngine, nobody
from zoho_sync import ChildMap, EntityMap, HandlerRegistry, Outcome, SyncEvent, ZohoSync
from zoho_sync.database.creation import create_missing
from zoho_sync.exceptions import QueueUnavailable
from zoho_sync.handlers import InvoiceHandler
from zoho_sync.payloads import InvoicePayload
from zoho_sync.store.tables import library_tables

pytestmark = [
    pytest.mark.databases("sqlite", "postgresql", "psycopg", "mariadb"),
    pytest.mark.every_line,
    pytest.mark.breaks_connections,
]

LIBRARY = library_tables()


@compiles(ForeignKeyConstraint, "mysql")
def at_once(constraint: ForeignKeyConstraint, compiler: Any, **options: Any) -> str:
    """MariaDB has no constraints that wait for the commit."""
    text: str = compiler.visit_foreign_key_constraint(constraint, **options)
    return text.replace(" DEFERRABLE INITIALLY DEFERRED", "")


class Base(DeclarativeBase):
    """The host's tables."""

    # MariaDB's texts have a length, or no index.
    type_annotation_map: ClassVar[Any] = {str: String(255)}


class Branch(Base):
    """What invoices refer to; checked when the transaction commits."""

    __tablename__ = "branch"

    code: Mapped[str] = mapped_column(primary_key=True)


class Invoice(Base):
    """The entity."""

    __tablename__ = "invoice"

    id: Mapped[int] = mapped_column(primary_key=True)
    zoho_id: Mapped[str] = mapped_column(unique=True)
    number: Mapped[str]
    branch: Mapped[str | None] = mapped_column(
        ForeignKey("branch.code", deferrable=True, initially="DEFERRED")
    )


class Line(Base):
    """Its children."""

    __tablename__ = "invoice_line"

    id: Mapped[int] = mapped_column(primary_key=True)
    zoho_id: Mapped[str]
    invoice_id: Mapped[int] = mapped_column(ForeignKey("invoice.id"))
    name: Mapped[str | None]


class Invoices(InvoiceHandler):
    """Maps invoices and their lines."""

    mapping = EntityMap(
        table=Invoice,
        key="zoho_id",
        columns={"number": "invoice_number", "branch": "reference_number"},
        children=[
            ChildMap(
                table=Line,
                source="line_items",
                key="zoho_id",
                parent="invoice_id",
                columns={"name": "name"},
            )
        ],
        on_delete="ignore",
    )


CALL: Final = "call"
"""To an engine outside the database."""


class Injected(Exception):
    """The fault."""


def invoice_event(entity_id: str, number: str, *lines: str, **fields: Any) -> SyncEvent:
    document = {
        "invoice_id": entity_id,
        "invoice_number": number,
        "line_items": [{"line_item_id": f"{entity_id}-{name}", "name": name} for name in lines],
        **fields,
    }
    return SyncEvent("invoice", entity_id, document)


@dataclass
class Host:
    """A host, its worker, and a clock that it can set."""

    engine: AsyncEngine
    queues: QueueEngine
    handler: type[InvoiceHandler] = Invoices
    now: datetime = field(default_factory=lambda: datetime(2024, 5, 1, tzinfo=UTC))

    @cached_property
    def sync(self) -> ZohoSync:
        """Its worker: whatever has happened to it, it goes on."""
        return ZohoSync(
            async_sessionmaker(self.engine),
            queue=self.queues.queue(),
            registry=HandlerRegistry([self.handler]),
            lease=self.queues.lease,
            clock=self._tick,
        )

    async def take(self, *events: SyncEvent) -> dict[Outcome, int]:
        """Enqueue events and drain."""
        await self.sync.enqueue(events)
        return await self.sync.drain()

    async def effects(self, entity_id: str, event_id: str) -> tuple[Any, ...]:
        """Return all that an event leaves: number, lines, ledger, journal entries, job.

        An engine outside the database can tell only how many it has.
        """
        ledger, journal, jobs = LIBRARY.ledger, LIBRARY.journal, LIBRARY.jobs
        lines = select(Line.name).join(Invoice).where(Invoice.zoho_id == entity_id)
        async with self.engine.connect() as connection:
            number = await connection.scalar(
                select(Invoice.number).where(Invoice.zoho_id == entity_id)
            )
            names = sorted(str(name) for name in await connection.scalars(lines))
            known, settled, queued = [
                await connection.scalar(
                    select(func.count()).select_from(table).where(table.c.event_id == event_id)
                )
                for table in (ledger, journal, jobs)
            ]
        if self.queues.is_outside and not (settled or queued):
            queued = int(await self._left() > 0)
        return number, names, known, settled, queued

    async def recover(self, events: Iterable[SyncEvent]) -> None:
        """Let all leases end, and drain until there is nothing left."""
        self.now += timedelta(hours=1)
        await self.sync.drain()
        for _ in range(50 if self.queues.is_outside else 0):
            if await self._settled(events):
                return
            await self.queues.lapse()
            await self.sync.drain()
        assert await self._settled(events), "something is queued for ever"

    async def _settled(self, events: Iterable[SyncEvent]) -> bool:
        column, ids = LIBRARY.journal.c.event_id, {each.id for each in events}
        async with self.engine.connect() as connection:
            settled = set(await connection.scalars(select(column).where(column.in_(ids))))
        return settled == ids and await self._left() == 0

    async def _left(self) -> int:
        return (await self.sync._runtime.queue.depth()).total

    def _tick(self) -> datetime:
        self.now += timedelta(microseconds=1)
        return self.now


@pytest.fixture
async def host(engine: AsyncEngine, queues: QueueEngine) -> Host:
    await create_tables(engine)
    return Host(engine, queues)


async def create_tables(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(create_missing, LIBRARY.metadata)
        await connection.run_sync(create_missing, Base.metadata)


@dataclass
class Fault:
    """Strikes before one statement is sent, or one commit, or around one call to an engine."""

    place: str
    kind: str
    number: int
    seen: int = 0

    @property
    def struck(self) -> bool:
        """Whether there were so many."""
        return self.seen >= self.number

    @contextmanager
    def armed(self, host: Host) -> Iterator[None]:
        """Count, and strike."""
        if self.place == CALL:
            host.queues.heard = self._strike
            try:
                yield
            finally:
                host.queues.heard = nobody
            return
        event.listen(host.engine.sync_engine, self.place, self._strike)
        try:
            yield
        finally:
            event.remove(host.engine.sync_engine, self.place, self._strike)

    def _strike(self, *_: Any) -> None:
        self.seen += 1
        if self.seen != self.number:
            return
        if self.kind == "exception":
            raise QueueUnavailable if self.place == CALL else Injected
        task = asyncio.current_task()
        assert task is not None
        task.cancel()


async def drained_with(fault: Fault, host: Host) -> None:
    """Drain in a task of its own, whatever it comes to."""
    with fault.armed(host):
        task = asyncio.create_task(host.sync.drain())
        await asyncio.wait({task})
    if not task.cancelled():
        assert isinstance(task.exception(), (Injected, QueueUnavailable, type(None)))
    assert host.engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # a QueuePool


async def struck_everywhere(host: Host, place: str, kind: str) -> int:
    """Let a fault strike at each place in turn; return how many there are.

    The core run strikes at every other one: at the even ones where another kind, or another
    database, strikes at the odd ones.
    """
    turns = (kind == "cancellation") + (host.engine.dialect.name == "postgresql")
    number, step = (1 + turns % 2, 2) if is_core() and place != CALL else (1, 1)
    for turn in range(1000):
        old, new = f"1{turn}", f"2{turn}"
        if turn % 25 == 0:  # what is there before the fault comes in one batch for many turns
            first = [invoice_event(f"1{turn + after}", "1", "a") for after in range(25)]
            await host.sync.enqueue(first)
            await host.recover(first)
        # A change of one invoice, whose lines are replaced, and a new one, in one batch.
        events = {old: invoice_event(old, "2", "b", "c"), new: invoice_event(new, "3", "d", "e")}
        nothing = {old: ("1", ["a"], 0, 0, 1), new: (None, [], 0, 0, 1)}
        everything = {old: ("2", ["b", "c"], 1, 1, 0), new: ("3", ["d", "e"], 1, 1, 0)}
        await host.sync.enqueue(list(events.values()))
        fault = Fault(place, kind, number)
        await drained_with(fault, host)
        found = {name: await host.effects(name, each.id) for name, each in events.items()}
        for name, effects in found.items():
            assert effects in (nothing[name], everything[name]), fault
        await host.recover(events.values())
        for name, each in events.items():
            assert await host.effects(name, each.id) == everything[name], fault
        if fault.struck:
            number += step
        elif found == everything:
            # There is no such place; unless a server gave one of them out to nobody for a while.
            return number
    raise AssertionError("there is work that no drain finds")


@pytest.mark.parametrize("kind", ["exception", "cancellation"])
# What comes between two statements of a transaction comes before the second one.
@pytest.mark.parametrize(("place", "least"), [("before_cursor_execute", 15), ("commit", 3)])
async def test_a_fault_anywhere_leaves_all_or_nothing(
    host: Host, place: str, least: int, kind: str
) -> None:
    assert await struck_everywhere(host, place, kind) > least


@pytest.mark.databases("memory", "redis", "nats", "rabbitmq", "outbox")
@pytest.mark.parametrize("kind", ["exception", "cancellation"])
async def test_a_fault_at_any_call_of_an_engine_leaves_all_or_nothing(
    host: Host, kind: str
) -> None:
    """A call that is not made, and one whose answer is lost."""
    assert await struck_everywhere(host, CALL, kind) > 4


@pytest.mark.databases("postgresql")
async def test_a_commit_that_fails_costs_the_guilty_event_alone(host: Host) -> None:
    """A deferred constraint speaks at the commit, when it is no single event's error."""
    async with host.engine.begin() as connection:
        await connection.execute(insert(Branch).values(code="here"))
    events = [
        invoice_event(str(number), str(number), "a", reference_number=branch)
        for number, branch in enumerate(["here", "", "nowhere", "here", "here"], 1)
    ]
    assert await host.take(*events) == {Outcome.APPLIED: 4, Outcome.DEAD_LETTER: 1}
    for each in events:
        found = await host.effects(each.entity_id, each.id)
        assert found == ((None, [], 0, 0, 0) if each.entity_id == "3" else found)
        assert found[3] == (each.entity_id != "3")
    (letter,) = await host.sync.dead_letters.list()
    assert letter.id == events[2].id
    assert "foreign key" in letter.error


class ByTheOrm(Invoices):
    """Adds objects to the worker's session; what is wrong is found later, or never."""

    async def upsert(self, payload: InvoicePayload) -> None:
        number: Any = payload.invoice_number
        self.session.add(Invoice(zoho_id=payload.entity_id, number=number))
        if number == "flush":
            await self.session.flush()
        if number in {"fail", "flush"}:
            raise ZeroDivisionError


async def test_objects_are_written_with_their_event(host: Host) -> None:
    host.handler = ByTheOrm
    events = [invoice_event(number, number) for number in ("1", "2", "3")]
    assert await host.take(*events) == {Outcome.APPLIED: 3}
    for each in events:
        assert await host.effects(each.entity_id, each.id) == (each.entity_id, [], 1, 1, 0)


@pytest.mark.parametrize("wrong", ["fail", "flush"])
async def test_objects_of_an_event_that_fails_are_forgotten(host: Host, wrong: str) -> None:
    """Flushed or not: the next event's flush must not write them."""
    host.handler = ByTheOrm
    events = [invoice_event("1", "1"), invoice_event("2", wrong), invoice_event("3", "3")]
    assert await host.take(*events) == {Outcome.APPLIED: 2, Outcome.RETRY: 1}
    assert await host.effects("1", events[0].id) == ("1", [], 1, 1, 0)
    assert await host.effects("2", events[1].id) == (None, [], 0, 0, 1)
    assert await host.effects("3", events[2].id) == ("3", [], 1, 1, 0)


async def test_an_object_that_the_flush_refuses_costs_its_event_alone(host: Host) -> None:
    """SQLAlchemy ends the whole transaction then: nothing of the batch may be taken for done."""
    host.handler = ByTheOrm
    events = [invoice_event("1", "1"), invoice_event("2", ""), invoice_event("3", "3")]
    assert await host.take(*events) == {Outcome.APPLIED: 2, Outcome.DEAD_LETTER: 1}
    assert await host.effects("1", events[0].id) == ("1", [], 1, 1, 0)
    assert await host.effects("2", events[1].id) == (None, [], 0, 0, 0)
    assert await host.effects("3", events[2].id) == ("3", [], 1, 1, 0)
    (letter,) = await host.sync.dead_letters.list()
    assert "number" in letter.error
    assert letter.error_type == "RowRejected"
