"""Law 4: every accepted event is at any time in exactly one place, and what became of it is told.

One property plays deliveries of every kind against each database and each queue engine, breaks the
worker off between any two statements or calls, and looks after every step with plain SQL. What an
engine outside the database holds cannot be asked for by its id: there it is counted.
"""

from __future__ import annotations

import gc
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.amounts import is_core
from tests.hosts import documents
from tests.hosts.clock import Hands
from tests.hosts.documents import at, customer
from tests.hosts.handlers import CLIENTS, INVOICES, LINES, PRODUCTS
from tests.hosts.sql import Sessions, clear, library, make, rows
from tests.hosts.tables import invoice_lines, invoices, metadata
from tests.laws.engines import QueueEngine
from tests.laws.tools import EXAMPLES, broken_off
from zoho_sync import (
    HandlerRegistry,
    HeaderToken,
    Outcome,
    Receipt,
    Reference,
    RetryPolicy,
    SyncEvent,
    ZohoSync,
)
from zoho_sync.events.outcome import ReceiptStatus
from zoho_sync.handlers import CustomerHandler, InvoiceHandler, ProductHandler

pytestmark = pytest.mark.breaks_connections

TOKEN: Final = "let-me-in-4711"
DAY: Final = "2024-05-17"


class Clients(CustomerHandler):
    mapping = replace(
        CLIENTS,
        on_delete="hard",
        deleted_column=None,
        when=lambda payload: payload.status != "inactive",
    )

    async def after_apply(self, event: SyncEvent, result: object) -> None:  # noqa: ARG002  # the signature is the library's
        """Fail as a service does that is down: for a while, or for good."""
        trouble = Trouble.left
        name = event.payload.get("contact_name")
        if name == "hopeless" or (trouble.get(event.id, 2) > 0 and name == "flaky"):
            trouble[event.id] = trouble.get(event.id, 2) - 1
            raise RuntimeError("the service does not answer")


class Products(ProductHandler):
    mapping = replace(
        PRODUCTS,
        columns={"name": "name"},
        insert_only={"active": True, "discontinued": False},
        on_delete="ignore",
        deleted_column=None,
    )


class Invoices(InvoiceHandler):
    mapping = replace(
        INVOICES,
        children=[
            replace(
                LINES,
                columns={},
                insert_only={"quantity": 1},
                references=[
                    Reference("product_id", to="product", source="item_id", missing="fail")
                ],
            )
        ],
        on_delete="hard",
        deleted_column=None,
    )


class Trouble:
    """How often each event still fails."""

    left: dict[str, int]


@dataclass(frozen=True)
class Delivery:
    """One delivery.

    Attributes:
        body: The bytes.
        flaw: The field that cannot be understood, if one cannot.
        operation: As the route would say.
        token: What the sender shows.
    """

    body: bytes
    flaw: str | None = None
    operation: str | None = None
    token: str = TOKEN


def invoice(**fields: Any) -> dict[str, Any]:
    items = [{"line_item_id": "l1", "item_id": ""}, {"line_item_id": "l2", "item_id": "41"}]
    return documents.invoice(**({"line_items": items} | fields))


ITEM: Final = {"item": {"item_id": "41", "name": "Bolt", "last_modified_time": at(0)}}
SPARSE: Final = {"contact": {"contact_id": "11", "contact_type": "customer"}}  # makes no row
UNKNOWN_LINE: Final = [{"line_item_id": "l1"}, {"line_item_id": "l2", "item_id": "49"}]
TWIN_LINES: Final = [{"line_item_id": "l1"}, {"line_item_id": "l1"}]


def said(document: Mapping[str, Any], flaw: str | None = None, **more: Any) -> Delivery:
    return Delivery(json.dumps(document).encode(), flaw, **more)


UNREADABLE: Final = said(invoice(last_modified_time="yesterday"), "invoice.last_modified_time")

GOOD: Final = st.one_of(
    st.builds(
        lambda who, second, name, status: said(
            customer(
                contact_id=who, last_modified_time=at(second), contact_name=name, status=status
            )
        ),
        st.sampled_from(["11", "12"]),
        st.integers(0, 2),
        st.sampled_from(["Acme", "Emca", "flaky", "hopeless"]),
        st.sampled_from(["active", "active", "inactive"]),
    ),
    st.builds(
        lambda which, whose, second: said(
            invoice(invoice_id=which, customer_id=whose, last_modified_time=at(second))
        ),
        st.sampled_from(["21", "22"]),
        st.sampled_from(["11", "12", "19"]),
        st.integers(0, 2),
    ),
    st.just(said(ITEM)),
    st.just(said(invoice(), operation="delete")),
    st.just(said(customer(contact_id="12"), operation="delete")),
    st.just(said(SPARSE)),
)
FLAWED: Final = st.sampled_from(
    [
        said(invoice(date="17/05/2024"), "invoice.date"),
        said(invoice(date="2024-02-30"), "invoice.date"),
        said(invoice(last_modified_time="yesterday"), "invoice.last_modified_time"),
        said(invoice(last_modified_time="2031-01-01T00:00:00Z"), "invoice.last_modified_time"),
        said(invoice(line_items=UNKNOWN_LINE), "invoice.line_items[1].item_id"),
        said(invoice(line_items=TWIN_LINES), "invoice.line_items[1]"),
        said(invoice(line_items=[1]), "invoice.line_items[0]"),
        said(invoice(invoice_id=""), "invoice.invoice_id"),
        said(invoice(invoice_number="a\0b"), "invoice.invoice_number"),
        said({"contact": {"contact_id": "11"}}, "contact.contact_type"),
        said(invoice(), "operation", operation="explode"),
        said({"bill": {"bill_id": "81"}}, ""),  # nobody handles bills
        Delivery(b"\xff\xfe", ""),
        Delivery(b'{"invoice":', ""),
        Delivery(b"[]", ""),
    ]
)
UNCOUNTED: Final = st.sampled_from(
    [
        Delivery(b""),
        Delivery(b'""'),
        said(customer(), token="guess"),
        said({"contact": {"contact_id": "71", "contact_type": "vendor"}}),  # ignored
        said({"contact": {"contact_id": "71", "contact_type": "vendor"}}, operation="delete"),
    ]
)


@dataclass(frozen=True)
class Work:
    """Let the worker work, and break it off after so many statements; None: let it finish."""

    statements: int | None = None


@dataclass(frozen=True)
class Wait:
    """Let time pass."""

    hours: float


@dataclass(frozen=True)
class Operate:
    """Let an operator close or replay dead letters."""

    verb: str


STEPS: Final = st.lists(
    st.one_of(
        GOOD,
        GOOD,
        FLAWED,
        UNCOUNTED,
        st.builds(Work, st.none() | st.integers(1, 80)),
        st.builds(Wait, st.sampled_from([0.1, 25.0])),
        st.builds(Operate, st.sampled_from(["replay", "resolve", "purge"])),
    ),
    min_size=1,
    max_size=14,
)


@dataclass
class Books:
    """What was delivered, and where the receipts say that it went."""

    engine: AsyncEngine
    sessions: Sessions
    sync: ZohoSync
    clock: Hands
    queues: QueueEngine
    receipts: list[Receipt] = field(default_factory=list)
    flaws: dict[str, str] = field(default_factory=dict)

    async def step(self, step: Delivery | Work | Wait | Operate) -> None:
        match step:
            case Delivery():
                await self._deliver(step)
            case Work(statements=None):
                await self.sync.drain()
            case Work(statements=int(statements)):
                await broken_off(self.engine, self.sync.drain(), statements, self.queues)
            case Wait(hours=hours):
                self.clock.move(hours=hours)
            case Operate(verb=verb):
                await self._operate(verb)

    async def _deliver(self, delivery: Delivery) -> None:
        receipt = await self.sync.receive(
            delivery.body, headers={"X-Token": delivery.token}, operation=delivery.operation
        )
        self.receipts.append(receipt)
        if delivery.flaw is not None and receipt.status is not ReceiptStatus.DUPLICATE:
            self.flaws[receipt.event_ids[0]] = delivery.flaw

    async def _operate(self, verb: str) -> None:
        ids = [letter.id for letter in await self.sync.dead_letters.list()]
        if ids and verb == "replay":
            await self.sync.dead_letters.replay(ids)
        elif ids and verb == "resolve":
            await self.sync.dead_letters.resolve(ids[:1], reason="entered by hand")
        elif ids:
            await self.sync.dead_letters.purge(ids[:1])

    async def check(self) -> None:
        """Look for every accepted event, and for what is said about it."""
        queued, parked, dead, settled = [
            await rows(self.sessions, table)
            for table in (library.jobs, library.parked, library.dead_letters, library.journal)
        ]
        places = Counter(row["event_id"] for row in (*queued, *parked, *dead, *settled))
        accepted = Counter(
            receipt.event_ids[0]
            for receipt in self.receipts
            if receipt.status is ReceiptStatus.ACCEPTED
        )
        accepted |= Counter(self._unread())
        assert places <= accepted
        status = await self.sync.status()
        elsewhere = status.queue.total - len(queued)
        if self.queues.is_outside:
            # More, where a message was settled and has not been acknowledged.
            assert elsewhere >= (accepted - places).total()
        else:
            assert (elsewhere, places) == (0, accepted)
            assert status.accepted == accepted.total()
        listed = [each for each in await self.sync.queued.list(limit=1000) if not each.in_outbox]
        assert Counter(each.event.id for each in listed) == Counter(
            row["event_id"] for row in queued
        )
        assert (status.parked, status.dead_letters) == (len(parked), len(dead))
        assert status.settled == Counter(Outcome(row["outcome"]) for row in settled)
        await self._explained(parked, dead, settled)

    def _unread(self) -> set[str]:
        """Of a body that is not understood there is one letter, however often it comes."""
        receipts = [each for each in self.receipts if each.status is ReceiptStatus.DEAD_LETTER]
        return {receipt.event_ids[0] for receipt in receipts}

    async def _explained(
        self,
        parked: list[dict[str, Any]],
        dead: list[dict[str, Any]],
        settled: list[dict[str, Any]],
    ) -> None:
        letters = await self.sync.dead_letters.list(limit=1000)
        assert [letter.id for letter in letters] == [row["event_id"] for row in dead]
        for letter in letters:
            assert letter.error
            waited = "for too long" in letter.error  # for another entity: the flaw was not reached
            if letter.id in self.flaws:
                assert waited or letter.path == self.flaws[letter.id]
            elif letter.path:
                # p1 has not been delivered, or the customer was deleted for good before.
                assert letter.path in {"invoice.line_items[1].item_id", "invoice.customer_id"}
        waiting = await self.sync.parked.list(limit=1000)
        assert [each.event.id for each in waiting] == [row["event_id"] for row in parked]
        assert all(each.reason and each.waiting_id for each in waiting)
        assert all(row["reason"] for row in settled if row["outcome"] != "applied")

    async def close(self) -> None:
        """Work until nothing moves any more, and draw the balance."""
        for _ in range(6):
            self.clock.move(minutes=20)
            await self.sync.drain()
        for _ in range(20 if self.queues.is_outside else 0):
            if not (await self.sync.status()).queue.total:
                break
            await self.queues.lapse()
            self.clock.move(minutes=20)
            await self.sync.drain()
        await self.check()
        status = await self.sync.status()
        assert status.queue.total == 0
        told = Counter(receipt.status for receipt in self.receipts)
        assert len(self.receipts) == (
            sum(status.settled.values())
            + status.parked
            + status.dead_letters
            + told[ReceiptStatus.DUPLICATE]
            + told[ReceiptStatus.REFUSED]
            + told[ReceiptStatus.PING]
            + told[ReceiptStatus.DEAD_LETTER]
            - len(self._unread())
        )

    async def nothing_guessed(self) -> None:
        """Nothing that has a flaw was applied: no other day, no line left out."""
        applied = await rows(self.sessions, library.journal, outcome="applied")
        assert not {row["event_id"] for row in applied} & self.flaws.keys()
        for row in await rows(self.sessions, invoices):
            assert row["issued_on"] == date.fromisoformat(DAY)
            assert len(await rows(self.sessions, invoice_lines, invoice_id=row["id"])) == 2


def wire(engine: AsyncEngine, sessions: Sessions, queues: QueueEngine) -> Books:
    registry = HandlerRegistry([Clients, Products, Invoices])
    registry.ignore("vendor")
    clock = Hands()
    Trouble.left = {}
    sync = ZohoSync(
        sessions,
        queue=queues.queue(),
        registry=registry,
        lease=queues.lease,
        verifier=HeaderToken("X-Token", TOKEN),
        retry=RetryPolicy(max_attempts=4, max_delay=timedelta(minutes=5)),
        batch_size=4,
        clock=clock,
    )
    return Books(engine, sessions, sync, clock, queues)


@pytest.fixture
async def tables(sessions: Sessions) -> Sessions:
    """The sessions of a host whose tables are made."""
    await ZohoSync(sessions).create_tables()
    await make(sessions, metadata)
    return sessions


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
)
@example(steps=[UNREADABLE, UNREADABLE])
@given(steps=STEPS)
async def test_law_4_each_event_is_in_exactly_one_place(
    engine: AsyncEngine,
    tables: Sessions,
    queues: QueueEngine,
    steps: list[Delivery | Work | Wait | Operate],
) -> None:
    await clear(tables, metadata)
    await queues.begin()
    books = wire(engine, tables, queues)
    for step in steps:
        await books.step(step)
        await books.check()
    await books.close()
    await books.nothing_guessed()


async def test_law_4_worker_that_is_broken_off_anywhere_leaves_no_lock(
    engine: AsyncEngine, tables: Sessions, queues: QueueEngine
) -> None:
    """Nor does it need the garbage collector for that: what it held, others can have at once."""
    books = wire(engine, tables, queues)
    for delivery in (
        said(ITEM),
        said(customer()),
        said(invoice()),
        said(invoice(date="soon"), "invoice.date"),
    ):
        await books.step(delivery)
    # The core run tries the odd statements on one database, and the even ones on another.
    statement, step = (1 + (engine.dialect.name == "sqlite"), 2) if is_core() else (1, 1)
    gc.disable()
    try:
        while await broken_off(engine, books.sync.drain(), statement, queues):
            await books.check()
            await books.step(said(customer(contact_id=f"1{statement}")))
            statement += step
    finally:
        gc.enable()
    assert statement > 20
    await books.close()
