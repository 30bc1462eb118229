"""A worker that is killed at any moment loses nothing and applies nothing twice."""

from __future__ import annotations

import os
import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from tests.faults.processes import WorkerProcess, worker_process
from tests.faults.shop import create_shop, customer, deletion, invoice, registry
from tests.faults.worker_process import MAX_DEATHS
from zoho_sync import SyncEvent, ZohoSync

pytestmark = pytest.mark.breaks_connections

RUNS = int(os.environ.get("ZOHO_SYNC_FAULT_RUNS", "1"))
BASE_SEED = int(os.environ.get("ZOHO_SYNC_FAULT_SEED", "20240501"))
LEASE = 1.5
WORKERS = 2
KILLS = 32
SETTLED_WITHIN = 120.0


@dataclass
class Traffic:
    """What is sent, and what must come of it.

    Attributes:
        events: In the order in which they arrive.
        clients: Zoho's id → name, stamp, closed.
        invoices: Zoho's id → Zoho's id of the client, total, stamp, voided, lines.
        poison: Ids of the events that kill their worker.
        waiting: Ids of the events whose client never comes.
    """

    events: list[SyncEvent] = field(default_factory=list)
    clients: dict[str, tuple[str, str, bool]] = field(default_factory=dict)
    invoices: dict[str, tuple[str, Decimal, str, bool, list[tuple[str, Decimal]]]] = field(
        default_factory=dict
    )
    poison: set[str] = field(default_factory=set)
    waiting: set[str] = field(default_factory=set)


def traffic(dice: random.Random) -> Traffic:
    """Make several hundred events, out of order, with poison among them."""
    made = Traffic()
    clients = [str(1000 + number) for number in range(45)]
    for client in clients:
        _versions_of_client(made, client, dice)
    for number in range(50):
        _versions_of_invoice(made, str(5000 + number), dice.choice(clients), dice)
    for number in range(3):
        orphan = invoice(f"70{number}", "missing", 1, stamp=f"orphan-{number}")
        made.events.append(orphan)
        made.waiting.add(orphan.id)
    # One is all that is known of its entity, the other is the newest of one that has a row.
    for poison in (
        customer("9001", 1, stamp="poison-1"),
        customer(clients[0], 900, stamp="poison-2"),
    ):
        made.events.append(poison)
        made.poison.add(poison.id)
    dice.shuffle(made.events)
    return made


def _versions_of_client(made: Traffic, client: str, dice: random.Random) -> None:
    count, name = dice.randint(1, 4), ""
    for second in range(count):
        name, stamp = f"Client {client} v{second}", f"c{client}.{second}"
        made.events.append(customer(client, second, stamp=stamp, contact_name=name))
    made.clients[client] = (name, stamp, False)


def _versions_of_invoice(made: Traffic, zoho_id: str, client: str, dice: random.Random) -> None:
    for second in range(dice.randint(1, 4)):
        lines = [(f"line {i} v{second}", Decimal(dice.randint(1, 99)) / 4) for i in range(second)]
        total, stamp = Decimal(dice.randint(0, 10**6)) / 100, f"i{zoho_id}.{second}"
        event = invoice(
            zoho_id,
            client,
            second,
            stamp=stamp,
            total=total,
            line_items=[
                {"line_item_id": f"{zoho_id}{i}", "description": words, "quantity": quantity}
                for i, (words, quantity) in enumerate(lines)
            ],
        )
        made.events.append(event)
    gone = dice.random() < 0.2
    if gone:
        made.events.append(deletion(event, second + 1))
    made.invoices[zoho_id] = (client, total, stamp, gone, lines)


class Auditor:
    """Reads the tables by plain SQL; it shares no code with the library."""

    def __init__(self, url: str) -> None:
        address = make_url(url).set(drivername="postgresql")
        self._connection = psycopg.connect(
            address.render_as_string(hide_password=False), autocommit=True, row_factory=dict_row
        )

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def rows(self, statement: str) -> list[dict[str, Any]]:
        """Return what a statement finds."""
        return self._connection.execute(statement.encode()).fetchall()

    @property
    def queued(self) -> int:
        """How many jobs there are."""
        return int(self.rows("SELECT count(*) AS n FROM zoho_sync_jobs")[0]["n"])

    def places(self) -> dict[str, list[str]]:
        """Return, for every event, everywhere that it is."""
        found = defaultdict(list)
        for table in ("jobs", "journal", "parked", "dead_letters"):
            names = f"SELECT event_id FROM zoho_sync_{table}"  # noqa: S608  # our own names
            for row in self.rows(names):
                found[row["event_id"]].append(table)
        return found

    def audit(self, sent: Traffic) -> None:
        """Compare everything with what was sent.

        Raises:
            AssertionError: Something was lost, applied twice, or is wrong.
        """
        self._audit_accounts(sent)
        self._audit_rows(sent)
        self._audit_writes()

    def _audit_accounts(self, sent: Traffic) -> None:
        places = self.places()
        assert set(places) == {event.id for event in sent.events}
        assert {e: p for e, p in places.items() if len(p) != 1} == {}
        by_table: dict[str, set[str]] = defaultdict(set)
        for event_id, (table,) in places.items():
            by_table[table].add(event_id)
        assert by_table["jobs"] == set()
        letters = self.rows("SELECT * FROM zoho_sync_dead_letters")
        innocent = [letter for letter in letters if letter["event_id"] not in sent.poison]
        assert innocent == []
        assert by_table["dead_letters"] == sent.poison
        assert by_table["parked"] == sent.waiting
        assert {row["outcome"] for row in self.rows("SELECT outcome FROM zoho_sync_journal")} <= {
            "applied",
            "stale",
        }
        assert {letter["error_type"] for letter in letters} == {"WorkerDied"}, letters
        # One that is killed while it gives the poison up adds a death of its own.
        deaths = [int(letter["error"].split()[0]) for letter in letters]
        assert min(deaths) >= MAX_DEATHS

    def _audit_rows(self, sent: Traffic) -> None:
        linked = {
            row["primary_key"]: row["entity_id"]
            for row in self.rows(
                "SELECT entity_id, primary_key FROM zoho_sync_ledger"
                " WHERE table_name = 'shop_clients'"
            )
        }
        # The ledger writes keys as JSON lists.
        zoho_id = {int(key.strip('[]"')): entity for key, entity in linked.items()}
        clients = self.rows("SELECT * FROM shop_clients")
        found = {zoho_id[r["id"]]: (r["name"], r["stamp"], r["closed"]) for r in clients}
        assert len(clients) == len(sent.clients)
        assert found == sent.clients
        lines = defaultdict(list)
        for row in self.rows("SELECT * FROM shop_lines ORDER BY invoice_id, words"):
            lines[row["invoice_id"]].append((row["words"], row["quantity"]))
        invoices = self.rows("SELECT * FROM shop_invoices")
        assert len(invoices) == len(sent.invoices)
        assert {
            r["zoho_id"]: (
                zoho_id[r["client_id"]],
                r["total"],
                r["stamp"],
                r["voided"],
                lines[r["id"]],
            )
            for r in invoices
        } == sent.invoices

    def _audit_writes(self) -> None:
        """The host's own trigger saw each document written at most once."""
        writes = self.rows("SELECT table_name, row_id, stamp, gone FROM shop_writes")
        twice = {
            key: count
            for key, count in Counter(tuple(row.values()) for row in writes).items()
            if count > 1
        }
        assert twice == {}
        assert not [row for row in writes if str(row["stamp"]).startswith(("poison", "orphan"))]
        applied = self.rows(
            "SELECT count(*) AS n FROM zoho_sync_journal WHERE outcome = 'applied'"
        )[0]["n"]
        assert len(writes) <= applied


class Killer:
    """Keeps workers running, and kills them at random moments."""

    def __init__(self, url: str, dice: random.Random, stack: ExitStack) -> None:
        self._url = url
        self._dice = dice
        self._stack = stack
        self._workers: dict[WorkerProcess, float] = {}
        self._mercy = False
        self.kills = 0
        self.suicides = 0

    def tend(self) -> None:
        """Replace the dead, and kill whose time has come."""
        now = time.monotonic()
        for worker, doom in list(self._workers.items()):
            if not worker.alive:
                self.suicides += 1
                self._bury(worker)
            elif doom == 0.0 and "works" in worker.said:
                # Its clock starts with its first claim: before that there is nothing to lose.
                self._workers[worker] = now + self._dice.uniform(0.0, 0.7)
            elif doom and now > doom and not self._mercy:
                self.kills += 1
                self._bury(worker)
        while len(self._workers) < WORKERS:
            worker = self._stack.enter_context(worker_process(self._url, LEASE))
            self._workers[worker] = 0.0

    def relent(self) -> None:
        """Kill no more; poison still does."""
        self._mercy = True

    def complaints(self) -> str:
        """Return what the living have to say."""
        return "\n".join(line for worker in self._workers for line in worker.complained[-30:])

    def _bury(self, worker: WorkerProcess) -> None:
        worker.end()
        assert not [w for w in worker.complained if "Traceback" in w], worker.complained
        del self._workers[worker]


@pytest.fixture
def auditor(postgres_url: str) -> Iterator[Auditor]:
    auditor = Auditor(postgres_url)
    yield auditor
    auditor.close()


async def _enqueue(sync: ZohoSync, events: Sequence[SyncEvent]) -> None:
    receipts = await sync.enqueue(events)
    assert [receipt.event_ids for receipt in receipts] == [(event.id,) for event in events]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", range(BASE_SEED, BASE_SEED + RUNS))
async def test_kills_lose_nothing_and_apply_nothing_twice(
    postgres_url: str, auditor: Auditor, seed: int
) -> None:
    """Law 4 and law 1 under SIGKILL, with poison; an auditor of its own compares the tables."""
    dice = random.Random(seed)  # noqa: S311  # repeatable, not secret
    sent = traffic(dice)
    engine = create_async_engine(postgres_url)
    sync = ZohoSync(
        async_sessionmaker(engine, class_=AsyncSession, expire_on_commit=False),
        registry=registry(),
    )
    await create_shop(engine)
    await sync.create_tables()
    size = 1 + len(sent.events) // KILLS
    portions = iter([sent.events[n : n + size] for n in range(0, len(sent.events), size)])
    with ExitStack() as stack:
        killer = Killer(postgres_url, dice, stack)
        try:
            await _run(sync, killer, auditor, portions)
            assert killer.kills >= KILLS
            assert killer.suicides >= len(sent.poison)
            auditor.audit(sent)
        except AssertionError as error:
            seen = f"{killer.kills} kills, {killer.suicides} by poison"
            error.add_note(f"ZOHO_SYNC_FAULT_SEED={seed}; {seen}; {killer.complaints()}")
            raise
    await engine.dispose()


async def _run(
    sync: ZohoSync, killer: Killer, auditor: Auditor, portions: Iterator[list[SyncEvent]]
) -> None:
    """Send a portion for each kill, then wait until the queue is empty."""
    sent_for, deadline = -1, time.monotonic() + SETTLED_WITHIN + KILLS
    left = True
    while auditor.queued or left or killer.kills < KILLS:
        killer.tend()
        if killer.kills > sent_for:
            sent_for = killer.kills
            portion = next(portions, None)
            left = portion is not None
            await _enqueue(sync, portion or [])
        if killer.kills >= KILLS and not left:
            killer.relent()
        assert time.monotonic() < deadline, f"{auditor.queued} jobs are left"
        time.sleep(0.01)  # noqa: ASYNC251  # nothing else runs in this loop
