"""Law 3: for any received events, in any order of application, one end.

A property makes a history, in the order in which it is received, and a way of applying it: in which
order, in batches of what size, where the worker dies or is cancelled, which events fail once and
are replayed from the dead letters, what is sent again past the front door. Whatever the way, the
tables must end as the oracle says, on tables of a host's own and on the mirror.

Arrivals are fixed at receipt; the order of application is another one, made with the priorities of
the queue, and on engines outside the database, which have none, by the order in which they are
given the events.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from types import MappingProxyType
from typing import Any, ClassVar, Final, Protocol

import pytest
from hypothesis import HealthCheck, currently_in_test_context, given, note, settings
from hypothesis import strategies as st
from sqlalchemy import Table, bindparam, event, insert, update
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    async_sessionmaker,
    create_async_engine,
)

from tests.laws import erp, oracle
from tests.laws.engines import QueueEngine, nobody
from tests.laws.oracle import moment, number, text
from tests.laws.plain_sql import START, Hands, Sessions, clear, execute, library, make, rows
from zoho_sync import HandlerRegistry, Operation, RetryPolicy, SyncEvent, ZohoSync, mirror
from zoho_sync.events import Arrival
from zoho_sync.exceptions import PayloadError
from zoho_sync.handlers import (
    BaseEntityHandler,
    CustomerHandler,
    InvoiceHandler,
    PaymentHandler,
    ProductHandler,
    UserHandler,
)
from zoho_sync.outcomes import Outcome, ReceiptStatus

pytestmark = pytest.mark.breaks_connections

EXAMPLES: Final = int(os.environ.get("ZOHO_SYNC_PROPERTY_EXAMPLES", "0")) or 25
QUEUED: Final = (library.outbox, library.jobs)
CLOCKS: Final = {"payment": "updated_time"}

# Zoho's seconds. The events arrive between 0 and 40; 610 stands above a delete without a time.
SECONDS: Final = (-100, 0, 8, 9, 100, 610, 2000)


@dataclass(frozen=True)
class Sent:
    """One delivery of the history.

    Attributes:
        kind: Entity type, as received.
        name: Zoho's id.
        at: Seconds after the start, of its own time; None if it has none.
        fields: What its document says besides.
        deletes: Whether it is a delete.
        again: How many places later it is sent once more, if it is.
    """

    kind: str
    name: str
    at: int | None
    fields: Mapping[str, Any] = field(default_factory=dict)
    deletes: bool = False
    again: int | None = None

    @property
    def document(self) -> dict[str, Any]:
        own = {} if self.at is None else {CLOCKS.get(self.kind, "last_modified_time"): self.time}
        return {ID_FIELDS[self.kind]: self.name, **self.fields, **own}

    @property
    def time(self) -> str:
        return (START + timedelta(seconds=self.at or 0)).isoformat()


@dataclass(frozen=True)
class Way:
    """How a history is received and applied.

    Attributes:
        waves: Where the history is cut: what comes later is received after the first was applied.
        order: For every place in the history its priority.
        batches: The batch sizes of the workers, in turn.
        breaks: For the workers in turn: after how many statements it ends, and how.
        failing: Places whose events fail once, and how.
        directly: Places whose documents are applied once more, past the queue.
        replays: Whether dead letters are replayed after every wave, and not only in the end.
        strict: Whether a resend that is recognised only on its way back into the queue, from the
            parked events or the dead letters, counts as an event: it is no more one than a resend
            that is recognised at receipt.
    """

    waves: tuple[int, ...]
    order: tuple[int, ...]
    batches: tuple[int, ...] = (50,)
    breaks: tuple[tuple[int, str], ...] = ()
    failing: Mapping[int, str] = field(default_factory=dict)
    directly: frozenset[int] = frozenset()
    replays: bool = False
    strict: bool = False


@dataclass(frozen=True)
class Plan:
    """A history, and a way of applying it."""

    history: tuple[Sent, ...]
    way: Way

    def told(self) -> str:
        """The history and the way, one event a line."""
        place = {number: rank for rank, number in enumerate(self.way.order)}
        lines = [
            f"{n:>2}. {'DELETE' if s.deletes else 'upsert'} {s.kind} {s.name} at {s.at} "
            f"applied {place.get(n)}. {dict(s.fields)}"
            for n, s in enumerate(self.history)
        ]
        return "\n".join([*lines, repr(self.way)])


ERP_KINDS: Final = ("customer", "product", "invoice", "payment")
ID_FIELDS: Final = {
    "customer": "contact_id",
    "contact": "contact_id",
    "product": "item_id",
    "invoice": "invoice_id",
    "payment": "payment_id",
    "user": "user_id",
}

# Histories. Few values, few ids and few seconds: equal documents, returns and ties come by
# themselves.

amounts = st.sampled_from([0, "12.5", Decimal("1.10"), Decimal("99999999999999.99"), ""])
words = st.sampled_from(["A", "B", ""])


def names(*ids: str) -> st.SearchStrategy[str]:
    return st.sampled_from(ids)


@st.composite
def listed(draw: st.DrawFn, owner: str, key: str, line: Mapping[str, Any]) -> Any:
    """A list of lines, some without an id, or what Zoho writes for an empty one."""
    ids = draw(st.lists(st.sampled_from(["1", "2", "3"]), unique=True, max_size=3))
    found = []
    for name in ids:
        told = {part: draw(value) for part, value in line.items()}
        if draw(st.booleans()):
            told.pop("description", None)
        anonymous = draw(st.integers(0, 5)) == 0
        found.append(told if anonymous else {key: f"{owner}-{name}", **told})
    return found or draw(st.sampled_from([[], ""]))


LINE: Final[Mapping[str, Any]] = {
    "item_id": names("p1", "p2"),
    "quantity": st.sampled_from([1, "2.5"]),
    "description": words,
}
ALLOCATION: Final[Mapping[str, Any]] = {
    "invoice_id": names("i1", "i2"),
    "amount_applied": st.sampled_from([1, "7.25", ""]),
}
FULL: Final[Mapping[str, Mapping[str, Any]]] = {
    "customer": {"contact_name": st.sampled_from(["Acme", "Emca"])},
    "product": {"name": st.sampled_from(["Bolt", "Nut"])},
    "invoice": {
        "invoice_number": st.sampled_from(["N1", "N2"]),
        "customer_id": names("c1", "c2"),
    },
    "payment": {"amount": st.sampled_from([10, "20.00"]), "customer_id": names("c1", "c2")},
    "user": {"name": st.sampled_from(["Ann", "Bob"])},
}
SPARE: Final[Mapping[str, Mapping[str, Any]]] = {
    "customer": {"email": words},
    "product": {"sku": words, "rate": amounts},
    "invoice": {"total": amounts, "notes": words},
    "payment": {"reference_number": words},
    "user": {"email": words},
}
IDS: Final = {
    "customer": ("c1", "c2"),
    "product": ("p1", "p2"),
    "invoice": ("i1", "i2"),
    "payment": ("y1", "y2"),
    "user": ("u1",),
}


def _lists(kind: str, name: str) -> dict[str, st.SearchStrategy[Any]]:
    if kind == "invoice":
        return {"line_items": listed(name, "line_item_id", LINE)}
    if kind == "payment":
        thin = names("i1", "i2")
        return {"invoices": listed(name, "invoice_payment_id", ALLOCATION), "invoice_id": thin}
    return {}


@st.composite
def documents(draw: st.DrawFn, kind: str, name: str, *, full: bool) -> dict[str, Any]:
    """What an upsert says; a sparse one has at least one field."""
    needed, spare = FULL[kind], {**SPARE[kind], **_lists(kind, name)}
    found = {key: draw(value) for key, value in needed.items() if full or draw(st.booleans())}
    for key, value in spare.items():
        if draw(st.integers(0, 2 if key != "invoice_id" else 5)) == 0:
            found[key] = draw(value)
    if not found.keys() & needed.keys() | SPARE[kind].keys() & found.keys():
        first = min(needed)
        found[first] = draw(needed[first])
    return found


@st.composite
def deliveries(
    draw: st.DrawFn, entities: Sequence[tuple[str, str]], seconds: Sequence[int | None]
) -> Sent:
    kind, name = draw(st.sampled_from(entities))
    at = None if kind == "user" else draw(st.sampled_from(seconds))
    again = draw(st.none() | st.none() | st.integers(1, 4))
    if draw(st.integers(0, 3)) == 0:
        kind = "contact" if kind == "customer" and draw(st.booleans()) else kind
        return Sent(kind, name, at, {}, deletes=True, again=again)
    full = draw(st.booleans())
    return Sent(kind, name, at, draw(documents(kind, name, full=full)), again=again)


def _mentioned(history: Iterable[Sent]) -> set[tuple[str, str]]:
    """The entities that upserts refer to."""
    found = set()
    for sent in history:
        lists = (sent.fields.get("line_items") or [], sent.fields.get("invoices") or [])
        for node in (sent.fields, *lists[0], *lists[1]):
            for key, kind in (("customer_id", "customer"), ("item_id", "product")):
                found |= {(kind, node[key])} if key in node else set()
            found |= {("invoice", node["invoice_id"])} if "invoice_id" in node else set()
    return found


def _made(history: Iterable[Sent]) -> set[tuple[str, str]]:
    """The entities of which an upsert holds everything that a row needs."""
    return {
        (sent.kind, sent.name)
        for sent in history
        if not sent.deletes and FULL[sent.kind].keys() <= sent.fields.keys()
    }


@st.composite
def histories(draw: st.DrawFn, kinds: Sequence[str]) -> tuple[Sent, ...]:
    """A history in which everything that is referred to arrives some time.

    Most of it is about few entities at few seconds: it takes several events of one, and ties among
    them, for anything to go wrong.
    """
    known = [(kind, name) for kind in kinds for name in IDS[kind]]
    entities = draw(st.lists(st.sampled_from(known), min_size=1, max_size=3, unique=True))
    seconds = draw(st.lists(st.sampled_from([None, *SECONDS]), min_size=1, max_size=4, unique=True))
    history = draw(st.lists(deliveries(entities, seconds), min_size=3, max_size=12))
    while missing := sorted(_mentioned(history) - _made(history)):
        kind, name = missing[0]
        at = draw(st.sampled_from(seconds))
        sent = Sent(kind, name, at, draw(documents(kind, name, full=True)))
        history.insert(draw(st.integers(0, len(history))), sent)
    for place in reversed(range(len(history))):
        again = history[place].again
        if again is not None:
            history.insert(min(place + again, len(history)), history[place])
    return tuple(history)


@st.composite
def plans(draw: st.DrawFn, kinds: Sequence[str]) -> Plan:
    history = draw(histories(kinds))
    places = st.integers(0, len(history) - 1)
    ends = st.tuples(st.integers(1, 70), st.sampled_from(["dies", "is cancelled"]))
    failures = st.sampled_from(["before", "after", "for a while"])
    way = Way(
        waves=tuple(sorted(draw(st.sets(places, max_size=2)))),
        order=tuple(draw(st.permutations(range(len(history))))),
        batches=tuple(draw(st.lists(st.sampled_from([1, 2, 3, 5, 50]), min_size=1, max_size=3))),
        breaks=tuple(draw(st.lists(ends, max_size=4))),
        failing=draw(st.dictionaries(places, failures, max_size=2)),
        directly=draw(st.frozensets(places, max_size=2)),
        replays=draw(st.booleans()),
    )
    return Plan(history, way)


# Failures.


class Failing:
    """Fails once for each planned event: for good or for a while, before or after the write."""

    plan: ClassVar[dict[str, str]] = {}

    async def before_apply(self, event: SyncEvent) -> None:
        if self.plan.get(event.id) == "before":
            del self.plan[event.id]
            raise PayloadError("injected", "cannot be applied, the first time")

    async def after_apply(self, event: SyncEvent, _: object) -> None:
        how = self.plan.pop(event.id, None)
        if how == "after":
            raise PayloadError("injected", "cannot be applied, the first time")
        if how is not None:
            raise ConnectionError("the service does not answer, the first time")


class Died(BaseException):
    """The end of a worker's process; nothing catches it."""


class Breaker:
    """Ends a worker between two statements or calls: its process dies, or it is cancelled."""

    def __init__(self, statements: int, how: str) -> None:
        self.left = statements
        self.how = how
        self.task: asyncio.Task[Any] | None = None

    def statement(self, *_: object) -> None:
        """Count a statement, a savepoint, a commit or a call to a server, and strike before it."""
        self.left -= 1
        if self.how == "dies" and self.left <= 0:
            # And everything that the dead worker would still send.
            raise Died
        if self.left == 0 and self.task is not None:
            self.task.cancel()

    async def run(
        self, engine: AsyncEngine, queues: QueueEngine, work: Callable[[], Awaitable[Any]]
    ) -> None:
        """Run something until it ends or is broken off."""
        self.task = asyncio.ensure_future(work())
        target = engine.sync_engine
        moments = ("before_cursor_execute", "commit")
        queues.heard = self.statement
        for name in moments:
            event.listen(target, name, self.statement)
        try:
            await asyncio.wait({self.task})
        finally:
            for name in moments:
                event.remove(target, name, self.statement)
            queues.heard = nobody
        if not self.task.cancelled() and not isinstance(self.task.exception(), Died):
            self.task.result()


# The two worlds.


Entities = Mapping[tuple[str, str], tuple[dict[str, Any], dict[str, Any]]]


class World(Protocol):
    """Tables, the handlers that write them, and what the oracle knows of them."""

    @property
    def handlers(self) -> Sequence[type[BaseEntityHandler[Any]]]: ...
    @property
    def expected(self) -> Mapping[str, oracle.Rows]: ...

    async def build(self, sessions: Sessions) -> None: ...
    async def begin(self, sessions: Sessions) -> None: ...
    async def work_on(self, sessions: Sessions) -> None: ...
    async def entities(self, sessions: Sessions) -> Entities: ...
    async def snapshot(self, sessions: Sessions) -> tuple[Any, dict[Any, Any]]: ...


class ErpClients(Failing, erp.Clients): ...


class ErpItems(Failing, erp.Items): ...


class ErpInvoices(Failing, erp.Invoices): ...


class ErpPayments(Failing, erp.Payments): ...


class Erp:
    """A host with tables of its own."""

    handlers = (ErpClients, ErpItems, ErpInvoices, ErpPayments)
    expected = erp.EXPECTED

    async def build(self, sessions: Sessions) -> None:
        await make(sessions, erp.metadata)

    async def begin(self, sessions: Sessions) -> None:
        await clear(sessions, erp.metadata)
        await erp.settle_in(sessions)

    async def work_on(self, sessions: Sessions) -> None:
        await erp.work_on(sessions)

    async def entities(self, sessions: Sessions) -> Entities:
        return (await erp.Reading().read(sessions)).entities()

    async def snapshot(self, sessions: Sessions) -> tuple[Any, dict[Any, Any]]:
        reading = await erp.Reading().read(sessions)
        return reading.hosts_rows(), reading.hosts_columns()


class MirrorCustomers(Failing, CustomerHandler): ...


class MirrorProducts(Failing, ProductHandler): ...


class MirrorInvoices(Failing, InvoiceHandler): ...


class MirrorPayments(Failing, PaymentHandler): ...


class MirrorUsers(Failing, UserHandler): ...


def _mirrored(*fields: tuple[str, oracle.Reader], **lists: oracle.Lines) -> oracle.Rows:
    times = (("last_modified_time", moment), ("updated_time", moment))
    columns = {name: (name, read) for name, read in fields + times}
    return oracle.Rows(columns, lists, keeps_document=True)


def _mirrored_lines(source: str, key: str, *fields: tuple[str, oracle.Reader]) -> oracle.Lines:
    return oracle.Lines(source, key, {name: (name, read) for name, read in fields})


class Mirror:
    """The library's own tables for hosts that have none."""

    handlers = (MirrorCustomers, MirrorProducts, MirrorInvoices, MirrorPayments, MirrorUsers)
    tables: ClassVar[Mapping[str, tuple[Table, Table | None, str]]] = {
        "customer": (mirror.customers, None, ""),
        "product": (mirror.products, None, ""),
        "invoice": (mirror.invoices, mirror.invoice_lines, "line_item_id"),
        "payment": (mirror.payments, mirror.payment_allocations, "invoice_payment_id"),
        "user": (mirror.users, None, ""),
    }
    expected = MappingProxyType(
        {
            "customer": _mirrored(("contact_name", text), ("email", text)),
            "product": _mirrored(("name", text), ("sku", text), ("rate", number)),
            "invoice": _mirrored(
                ("invoice_number", text),
                ("customer_id", text),
                ("total", number),
                ("notes", text),
                lines=_mirrored_lines(
                    "line_items",
                    "line_item_id",
                    ("item_id", text),
                    ("quantity", number),
                    ("description", text),
                ),
            ),
            "payment": _mirrored(
                ("amount", number),
                ("customer_id", text),
                ("reference_number", text),
                ("invoice_id", text),
                lines=_mirrored_lines(
                    "invoices",
                    "invoice_payment_id",
                    ("invoice_id", text),
                    ("amount_applied", number),
                ),
            ),
            "user": _mirrored(("name", text), ("email", text)),
        }
    )

    async def build(self, sessions: Sessions) -> None:
        """Do nothing: the library makes its mirror."""

    async def begin(self, sessions: Sessions) -> None:
        await clear(sessions, mirror.metadata)
        # Another organization's, in the same tables under the same ids.
        other = {"organization_id": "other"}
        await execute(
            sessions,
            insert(mirror.products).values(item_id="p1", name="theirs", **other),
            insert(mirror.invoices).values(invoice_id="i1", **other),
            insert(mirror.invoice_lines).values(invoice_id="i1", line_item_id="i1-1", **other),
        )

    async def work_on(self, sessions: Sessions) -> None:
        """Do nothing: the mirror is the library's."""

    async def entities(self, sessions: Sessions) -> Entities:
        found = {}
        for kind, (table, children, key) in self.tables.items():
            id_field = ID_FIELDS[kind]
            lines = [] if children is None else await rows(sessions, children, **OURS)
            for row in await rows(sessions, table, **OURS):
                name = row[id_field]
                mine = {
                    line[key]: _told(line, {"organization_id", id_field, key})
                    for line in lines
                    if line[id_field] == name
                }
                found[kind, name] = (_told(row, {"organization_id", id_field}), mine)
        return found

    async def snapshot(self, sessions: Sessions) -> tuple[Any, dict[Any, Any]]:
        tables = (mirror.products, mirror.invoices, mirror.invoice_lines)
        return [await rows(sessions, table, organization_id="other") for table in tables], {}


OURS: Final = {"organization_id": "default"}


def _told(row: Mapping[str, Any], dropped: set[str]) -> dict[str, Any]:
    """The columns that say something; that all others are NULL goes with it."""
    return {key: value for key, value in row.items() if value is not None and key not in dropped}


# The run.


@dataclass
class Run:
    """One plan on its way."""

    world: World
    engine: AsyncEngine
    sessions: Sessions
    queues: QueueEngine
    plan: Plan
    clock: Hands = field(default_factory=lambda: Hands(START + timedelta(minutes=5)))
    accepted: dict[str, dict[str, Any]] = field(default_factory=dict)
    breaks: list[tuple[int, str]] = field(default_factory=list)
    workers: dict[int, ZohoSync] = field(default_factory=dict)
    turns: int = 0
    recognised: set[str] = field(default_factory=set)

    async def run(self) -> None:
        await self.world.begin(self.sessions)
        await self.queues.begin()
        Failing.plan = {}
        self.breaks = list(self.plan.way.breaks)
        cuts = [0, *self.plan.way.waves, len(self.plan.history)]
        guard: tuple[Any, dict[Any, Any]] = (None, {})
        for start, end in pairwise(cuts):
            await self._receive(range(start, end))
            await self._work()
            await self._directly(range(start, end))
            if start == 0:
                await self.world.work_on(self.sessions)
                guard = await self.world.snapshot(self.sessions)
            if self.plan.way.replays:
                await self._replay()
        await self._finish()
        await self._check(guard)

    def _worker(self) -> ZohoSync:
        """The next worker; one that was not broken off works again."""
        sizes = self.plan.way.batches
        size = sizes[self.turns % len(sizes)]
        self.turns += 1
        if size not in self.workers:
            self.workers[size] = ZohoSync(
                self.sessions,
                queue=self.queues.queue(),
                registry=HandlerRegistry(self.world.handlers),
                clock=self.clock,
                lease=self.queues.lease,
                batch_size=size,
                retry=RetryPolicy(base_delay=timedelta(milliseconds=1)),
            )
        return self.workers[size]

    async def _receive(self, places: Sequence[int]) -> None:
        """Receive events in the order of the history, and queue them in another."""
        if self.queues.is_outside:
            places = sorted(places, key=self.plan.way.order.index)
        events = [self._event(place) for place in places]
        dead = {row["event_id"] for row in await rows(self.sessions, library.dead_letters)}
        receipts = await self._worker().enqueue(events)
        for place, event_, receipt in zip(places, events, receipts, strict=True):
            told = self._as_told(place, event_)
            # A dead letter is none of the places where an equal event is looked for.
            known = [each for name, each in self.accepted.items() if name not in dead]
            resent = receipt.status is ReceiptStatus.DUPLICATE
            if resent or not self.queues.is_outside:
                assert resent == oracle.is_resend(told, known), told
            if not resent:
                self.accepted[event_.id] = told
                if place in self.plan.way.failing:
                    Failing.plan[event_.id] = self.plan.way.failing[place]
        jobs = library.jobs
        ranks = [
            {"name": event_.id, "rank": self.plan.way.order.index(place)}
            for place, event_ in zip(places, events, strict=True)
        ]
        if ranks:
            by_name = update(jobs).where(jobs.c.event_id == bindparam("name"))
            async with self.engine.begin() as connection:
                await connection.execute(by_name.values(priority=bindparam("rank")), ranks)

    def _event(self, place: int) -> SyncEvent:
        sent = self.plan.history[place]
        # Two by two at one moment: the sequence has to decide.
        arrived = START + timedelta(seconds=place // 2 * 4)
        return SyncEvent(
            sent.kind,
            sent.name,
            sent.document,
            Operation.DELETE if sent.deletes else Operation.UPSERT,
            arrival=Arrival(arrived, place),
        )

    def _as_told(self, place: int, event_: SyncEvent) -> dict[str, Any]:
        sent = self.plan.history[place]
        arrival = event_.arrival
        return {
            "place": place,
            "type": sent.kind,
            "id": sent.name,
            "op": "delete" if sent.deletes else "upsert",
            "time": None if sent.at is None else int(START.timestamp()) + sent.at,
            "arrival": arrival and (_microseconds(arrival.time), arrival.sequence),
            "document": sent.document,
        }

    async def _work(self) -> None:
        """Let workers work, and end the first of them where the plan says so."""
        while self.breaks:
            statements, how = self.breaks.pop(0)
            await Breaker(statements, how).run(self.engine, self.queues, self._worker().drain)
            await self._end_workers()
        while await self._left():
            settled = await self._worker().drain()
            self.clock.move(minutes=2)
            if not settled and self.queues.is_outside:
                await self._end_workers()

    async def _end_workers(self) -> None:
        self.workers = {}
        self.clock.now += self.queues.lease * 1.5
        await self.queues.lapse()

    async def _left(self) -> bool:
        if not self.queues.is_outside:
            return bool(await rows(self.sessions, library.jobs))
        # What a server has taken back from one that ended, it may not count yet.
        places = (library.journal, library.parked, library.dead_letters)
        found = {row["event_id"] for table in places for row in await rows(self.sessions, table)}
        status = await self._worker().status()
        return bool(status.queue.total) or not self.accepted.keys() <= found

    async def _directly(self, places: Sequence[int]) -> None:
        """Apply documents once more, where nobody looks for their equals."""
        for place in sorted(self.plan.way.directly.intersection(places)):
            sent = self.plan.history[place]
            again = SyncEvent(
                sent.kind,
                sent.name,
                sent.document,
                Operation.DELETE if sent.deletes else Operation.UPSERT,
            )
            await self._worker().apply(again)
            self.accepted[again.id] = self._as_told(place, again)

    async def _replay(self) -> None:
        worker = self._worker()
        dead = await worker.dead_letters.list()
        if dead:
            await worker.dead_letters.replay([letter.id for letter in dead])
            await self._work()

    async def _finish(self) -> None:
        await self._work()
        for _ in range(5):
            await self._replay()

    # The end.

    async def _check(self, guard: tuple[Any, dict[Any, Any]]) -> None:
        await self._check_places()
        await self._check_rows()
        host_rows, host_columns = await self.world.snapshot(self.sessions)
        assert host_rows == guard[0], "rows of the host were touched"
        for key, values in guard[1].items():
            assert host_columns.get(key, values) == values, f"columns of the host: {key}"

    async def _check_places(self) -> None:
        """Every accepted event is in one place, and no event is anywhere else."""
        places = {
            table.name: await rows(self.sessions, table)
            for table in (library.journal, library.parked, library.dead_letters, *QUEUED)
        }
        found = Counter(row["event_id"] for each in places.values() for row in each)
        assert found == Counter(self.accepted.keys())
        assert not any(places[table.name] for table in QUEUED)
        assert not places[library.dead_letters.name]
        for row in (*places[library.journal.name], *places[library.parked.name]):
            arrival = (_microseconds(row["arrival_time"]), row["arrival_sequence"])
            told = self.accepted[row["event_id"]]
            assert told["arrival"] in (None, arrival), "an arrival changed"
            told["arrival"] = arrival
        if not self.plan.way.strict:
            self.recognised = {
                row["event_id"]
                for row in places[library.journal.name]
                if row["reason"] == "equal to one that is queued"
            }
        waiting = {row["event_id"] for row in places[library.parked.name]}
        assert self._told_by(oracle.must_wait) <= waiting <= self._told_by(oracle.may_wait)

    def _told_by(self, ask: Callable[..., list[oracle.Event]]) -> set[str]:
        return {
            event_id
            for (kind, _), events in self._by_entity().items()
            for event_id, told in events.items()
            if told in ask(self.world.expected[kind], events.values())
        }

    async def _check_rows(self) -> None:
        found = await self.world.entities(self.sessions)
        wanted = {}
        for (kind, name), events in self._by_entity().items():
            row = oracle.final_row(self.world.expected[kind], events.values())
            if row is not None:
                wanted[kind, name] = self._as_found(kind, row)
        assert {key: self._compared(*each) for key, each in found.items()} == {
            key: self._compared(*each) for key, each in wanted.items()
        }

    def _as_found(self, kind: str, row: oracle.Row) -> tuple[dict[str, Any], dict[str, Any]]:
        mark: dict[str, Any] = {"deleted_at": row.deleted_at}
        if isinstance(self.world, Erp) and kind in ("product", "payment"):
            mark = {"discontinued": row.deleted_at is not None} if kind == "product" else {}
        return row.columns | mark, row.lists.get("lines", {})

    def _compared(self, row: dict[str, Any], lines: dict[str, Any]) -> tuple[Any, Any]:
        told = {name: _told(line, set()) for name, line in lines.items()}
        return _told(row, set()), told

    def _by_entity(self) -> dict[tuple[str, str], dict[str, dict[str, Any]]]:
        found: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
        for event_id, told in self.accepted.items():
            if event_id in self.recognised:
                continue
            kind = "customer" if told["type"] == "contact" else told["type"]
            found.setdefault((kind, told["id"]), {})[event_id] = told
        return found


def _microseconds(moment_: datetime) -> int:
    return (moment_ - datetime.fromtimestamp(0, moment_.tzinfo)) // timedelta(microseconds=1)


@dataclass
class Laboratory:
    """A database and a queue that serve all runs of one test, and the loop that they run in."""

    runner: asyncio.Runner
    engine: AsyncEngine
    sessions: Sessions
    queues: QueueEngine

    def run(self, world: World, plan: Plan) -> None:
        if currently_in_test_context():
            note(plan.told())
        self.runner.run(Run(world, self.engine, self.sessions, self.queues, plan).run())


def _strict(connection: Any, _: object) -> None:
    """Make SQLite keep foreign keys, and not wait for the disk."""
    for pragma in ("foreign_keys = ON", "synchronous = OFF"):
        connection.execute(f"PRAGMA {pragma}")


@contextmanager
def _laboratory(url: str, queues: QueueEngine, world: World) -> Iterator[Laboratory]:
    with asyncio.Runner() as runner:
        engine = create_async_engine(url)
        if engine.dialect.name == "sqlite":
            event.listen(engine.sync_engine, "connect", _strict)
        sessions = async_sessionmaker(engine, expire_on_commit=False)
        runner.run(world.build(sessions))
        runner.run(ZohoSync(sessions).create_tables())
        yield Laboratory(runner, engine, sessions, queues)
        runner.run(queues.end())
        runner.run(engine.dispose())


@pytest.fixture
def host(database_url: str, queue_engine: QueueEngine) -> Iterator[Laboratory]:
    """A host with tables of its own."""
    with _laboratory(database_url, queue_engine, Erp()) as laboratory:
        yield laboratory


@pytest.fixture
def mirrored(database_url: str, queue_engine: QueueEngine) -> Iterator[Laboratory]:
    """A host that keeps the mirror."""
    with _laboratory(database_url, queue_engine, Mirror()) as laboratory:
        yield laboratory


def _explore(laboratory: Laboratory, world: World, kinds: Sequence[str]) -> None:
    """Run plans of the world's entities; fewer on servers, where each takes longer."""
    served = laboratory.queues.is_outside or laboratory.engine.dialect.name != "sqlite"
    share = 3 if served else 1

    @settings(PROPERTY, max_examples=-(-EXAMPLES // share))
    @given(plans(kinds))
    def converges(plan: Plan) -> None:
        laboratory.run(world, plan)

    converges()


PROPERTY: Final = settings(
    deadline=None,
    # Every example is some hundred statements.
    suppress_health_check=[HealthCheck.too_slow],
)


def test_a_host_ends_where_its_events_in_version_order_would_have_led(host: Laboratory) -> None:
    _explore(host, Erp(), ERP_KINDS)


def test_the_mirror_ends_where_its_events_in_version_order_would_have_led(
    mirrored: Laboratory,
) -> None:
    _explore(mirrored, Mirror(), (*ERP_KINDS, "user"))


def _item(at: int | None, **fields: Any) -> Sent:
    return Sent("product", "p1", at, fields)


def _invoice(at: int | None, **fields: Any) -> Sent:
    return Sent("invoice", "i1", at, fields)


CLIENT: Final = Sent("customer", "c1", 8, {"contact_name": "Acme"})
ITEM: Final = _item(8, name="Bolt")
HEAD: Final = {"invoice_number": "N1", "customer_id": "c1"}
ONE: Final = [{"line_item_id": "i1-1", "item_id": "p1", "quantity": 1}]
TWO: Final = [*ONE, {"line_item_id": "i1-2", "item_id": "p1", "quantity": 2}]


def _plan(*history: Sent, order: Sequence[int] | None = None, **way: Any) -> Plan:
    return Plan(history, Way(way.pop("waves", ()), tuple(order or range(len(history))), **way))


PLANS: Final = {
    "a sparse newest event keeps the versions of what it lacks": _plan(
        _item(9, name="Bolt", sku="B"),
        _item(100, name="Nut"),
        _item(8, name="Old", sku="A"),
        batches=(1,),
    ),
    "a late event fills what nobody newer has carried": _plan(
        _item(9, name="Bolt"), _item(8, name="Old", sku="A"), batches=(1,)
    ),
    "a delete beats the edit of its second, though it was received first": _plan(
        Sent("product", "p1", 8, deletes=True), ITEM, batches=(1,)
    ),
    "of equal moments the sequence decides": _plan(
        _item(8, name="Bolt"), _item(8, name="Nut"), order=(1, 0), batches=(1,)
    ),
    "a recognised return within one second ends as the state between": _plan(
        _item(8, name="Bolt"), _item(8, name="Nut"), _item(8, name="Bolt")
    ),
    "a resend past the front door outdates what was received before it": _plan(
        _item(8, name="Bolt"),
        _item(8, name="Nut"),
        waves=(1,),
        directly=frozenset({0}),
    ),
    "a late list does not take the lines of a newer one": _plan(
        CLIENT,
        ITEM,
        _invoice(100, **HEAD, line_items=TWO),
        _invoice(9, **HEAD, line_items=ONE, notes="A"),
        batches=(1,),
    ),
    "an emptied list takes all lines, an absent one none": _plan(
        CLIENT,
        ITEM,
        _invoice(8, **HEAD, line_items=TWO),
        _invoice(9, **HEAD, line_items=""),
        Sent("invoice", "i2", 8, {**HEAD, "line_items": ONE}),
        Sent("invoice", "i2", 9, HEAD),
        batches=(1,),
    ),
    "what arrives under its delete is made deleted": _plan(
        Sent("product", "p1", 100, deletes=True), _item(8, name="Bolt", sku="A"), batches=(1,)
    ),
    "a hard delete is final, whatever its time": _plan(
        CLIENT,
        Sent("payment", "y1", 100, {"amount": 10, "customer_id": "c1"}),
        Sent("payment", "y1", 8, deletes=True),
        Sent("payment", "y1", 610, {"amount": 20, "customer_id": "c1"}),
        batches=(1,),
    ),
    "of two equal events that wake together the later one counts": _plan(
        Sent("customer", "c2", 8, {"contact_name": "Emca"}),
        CLIENT,
        # Too little for a row: it waits, and so does its equal that comes past the front door.
        _invoice(8, customer_id="c1", total=0),
        _invoice(8, invoice_number="N1", customer_id="c2", total=1),
        failing={0: "before"},
        directly=frozenset({2}),
        strict=True,
    ),
}
"""What a property finds only now and then."""


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS.keys())
def test_one_end(host: Laboratory, plan: Plan) -> None:
    host.run(Erp(), plan)


# Events that a host makes itself come past the front door, and are understood no worse.


async def test_a_contact_that_a_host_enqueues_is_decided_by_its_document(
    sessions: Sessions,
) -> None:
    sync = ZohoSync(sessions)
    await sync.create_tables()
    told = {"contact_id": "c1", "contact_type": "vendor", "contact_name": "Acme"}
    await sync.enqueue([SyncEvent("contact", "c1", told)])
    assert await sync.drain() == {Outcome.APPLIED: 1}
    assert [row["contact_name"] for row in await rows(sessions, mirror.vendors)] == ["Acme"]
    undecided = SyncEvent("contact", "c2", {"contact_id": "c2", "contact_name": "Emca"})
    with pytest.raises(PayloadError, match="customer or a vendor"):
        await sync.enqueue([undecided])


async def test_an_event_of_a_host_from_the_future_is_a_dead_letter(sessions: Sessions) -> None:
    sync = ZohoSync(sessions, clock=Hands())
    await sync.create_tables()
    ahead = (START + timedelta(days=2)).isoformat()
    document = {"item_id": "p1", "name": "Bolt", "last_modified_time": ahead}
    await sync.enqueue([SyncEvent("product", "p1", document)])
    assert await sync.drain() == {Outcome.DEAD_LETTER: 1}
    assert not await rows(sessions, mirror.products)


async def test_a_resent_delete_of_an_undecided_contact_is_recognised(sessions: Sessions) -> None:
    sync = ZohoSync(sessions)
    await sync.create_tables()
    await sync.enqueue([SyncEvent("customer", "c1", {"contact_id": "c1"})])
    await sync.drain()
    gone = {"contact_id": "c1", "last_modified_time": START.isoformat()}
    for status in (ReceiptStatus.ACCEPTED, ReceiptStatus.DUPLICATE):
        (receipt,) = await sync.enqueue([SyncEvent("contact", "c1", gone, Operation.DELETE)])
        assert receipt.status is status
        await sync.drain()
