"""Lets a month happen: the ERP is set up, the deliveries come, its people work, the worker drains.

In the end an operator says of a few names that were there twice which row is meant.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import event, select, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from examples.erp_awkward.comparison import differences
from examples.erp_awkward.documents import number_of
from examples.erp_awkward.first import put_in, reserve_all
from examples.erp_awkward.guards import create_triggers, violations
from examples.erp_awkward.handlers import registry
from examples.erp_awkward.host import Host, as_host, release
from examples.erp_awkward.lives import Delivery
from examples.erp_awkward.month import Month
from examples.erp_awkward.oracle import Oracle
from examples.erp_awkward.tables import (
    SCHEMA,
    Customer,
    Party,
    in_its_schema,
    metadata,
    stock_items,
    table_of,
)
from zoho_sync import RetryPolicy, ZohoSync
from zoho_sync.operate import DeadLetter, DeadLetterFilter

Sessions = async_sessionmaker[AsyncSession]

SOON = RetryPolicy(
    max_attempts=5, base_delay=timedelta(milliseconds=1), max_delay=timedelta(milliseconds=5)
)
"""Nobody waits for a replayed month: what comes again comes at once, and gives up soon."""


@dataclass
class Report:
    """What came of a month.

    Attributes:
        receipts: Deliveries, by what the front door did with them.
        outcomes: Events, by what became of them in the end.
        ambiguous: Dead letters of names that were there twice.
        linked: Zoho's ids that the operator has linked, by kind.
        differences: What the oracle finds wrong.
        violations: What the guards have seen.
        waiting: Kind and id of what is parked in the end.
        seconds: From the first delivery to the last drain.
    """

    receipts: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    ambiguous: list[DeadLetter] = field(default_factory=list)
    linked: dict[str, list[str]] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)
    violations: list[tuple[Any, ...]] = field(default_factory=list)
    waiting: set[tuple[str, str]] = field(default_factory=set)
    seconds: float = 0.0


async def set_up(engine: AsyncEngine) -> Sessions:
    """Create the ERP's schema, its tables and triggers; return its session factory."""
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", _check_foreign_keys)
    engine = in_its_schema(engine)
    async with engine.begin() as connection:
        if engine.dialect.name != "sqlite":
            await connection.execute(text(f"CREATE SCHEMA {SCHEMA}"))
        await connection.run_sync(metadata.create_all)
        await connection.run_sync(create_triggers)
    return async_sessionmaker(engine, expire_on_commit=False)


def _check_foreign_keys(connection: Any, _record: object) -> None:
    """Have SQLite check foreign keys, which it does only if told to."""
    connection.execute("PRAGMA foreign_keys = ON")


class Replay:
    """One month, from the first row to the comparison.

    Args:
        sessions: The ERP's sessions, from `set_up`.
        month: What happens.
    """

    def __init__(self, sessions: Sessions, month: Month) -> None:
        self.sessions, self.month = sessions, month
        self.sync = ZohoSync(sessions, registry=registry(), retry=SOON)
        dice = random.Random(month.sizes.seed)  # noqa: S311  # repeatable, not secret
        self.host = Host(sessions, dice)
        self.oracle = Oracle(month.first, self.host.shadow, {})
        self.report = Report()

    async def run(self) -> Report:
        """Let it all happen, and compare."""
        await self.prepare()
        return await self.run_prepared()

    async def run_prepared(self) -> Report:
        """Let everything happen after that, and compare."""
        begun = time.perf_counter()
        for what, about in self.month.steps:
            await self._step(what, about)
        for delivery in self.month.lives.last_words:
            await self._deliver(delivery)
        await self._drain()
        await self._resolve_some()
        self.report.seconds = time.perf_counter() - begun
        await self.compare()
        return self.report

    async def prepare(self) -> None:
        """Put in the rows that were there first, and check the mappings."""
        await put_in(self.sessions, self.month.first)
        await reserve_all(self.sessions, self.month.untouchable())
        await self.sync.create_tables()
        await self.sync.check()

    async def compare(self) -> None:
        """Foresee what must be there, and report everything that is otherwise."""
        self.oracle.linked = self.report.linked
        self.oracle.foresee(self.month.deliveries)
        self.report.differences = await differences(self.sessions, self.oracle)
        async with self.sessions() as session:
            seen = await session.execute(select(violations).order_by(violations.c.id))
            self.report.violations = [tuple(row) for row in seen]
        parked = await self.sync.parked.list(limit=self.month.sizes.events)
        self.report.waiting = {(each.event.entity_type, each.event.entity_id) for each in parked}
        status = await self.sync.status()
        self.report.outcomes = Counter({str(key): count for key, count in status.settled.items()})
        self.report.outcomes["parked"] = status.parked
        self.report.outcomes["dead_letter"] = status.dead_letters
        self.report.outcomes["queued"] = status.queue.total

    async def _step(self, what: str, about: Any) -> None:
        does: dict[str, Callable[[Any], Awaitable[object]]] = {
            "deliver": self._deliver,
            "drain": lambda _: self.sync.drain(),
            "work": lambda _: self.host.work(),
            "add lines": lambda _: self.host.add_lines(),
            "insert customer": lambda _: self.host.insert_customer(),
            "insert item": self.host.insert_item,
            "delete invoice": self.host.delete_invoice,
            "delete customer": self.host.delete_customer,
        }
        await does[what](about)

    async def _deliver(self, delivery: Delivery) -> None:
        receipt = await self.sync.ingest(
            delivery.body, operation="delete" if delivery.deletes else None
        )
        self.report.receipts[str(receipt.status)] += 1

    async def _drain(self) -> None:
        """Work until nothing comes again, and once more with what gave up too early."""
        await self._empty_the_queue()
        await self.sync.dead_letters.replay(DeadLetterFilter(error_type="ValueTaken"))
        await self._empty_the_queue()

    async def _empty_the_queue(self) -> None:
        await self.sync.drain()
        while (await self.sync.status()).queue.total:
            await self.sync.drain()

    async def _resolve_some(self) -> None:
        """Let an operator say which row is meant, of every third name that was there twice."""
        tables = {
            "customer": (table_of(Party), table_of(Customer)),
            "product": (stock_items,),
        }
        lives, first = self.month.lives, self.month.first
        self.report.ambiguous = await self.dead_letters()
        for kind, names, rows in (
            ("customer", lives.customers.twice, first.customers),
            ("product", lives.items.twice, first.items),
        ):
            chosen = names[::3]
            keys = [rows[number_of(name)]["key"] for name in chosen]
            async with as_host(self.sessions) as session:
                for key in keys:
                    for table in tables[kind]:
                        await release(session, table, key)
            linked = await self.sync.link(kind, zip(chosen, keys, strict=True))
            self.report.linked[kind] = list(linked.linked)
            letters = [each.id for each in self.report.ambiguous if each.entity_id in chosen]
            if letters:
                await self.sync.dead_letters.replay(letters)
        await self._drain()

    async def dead_letters(self) -> list[DeadLetter]:
        """Return the dead letters of names that were there twice."""
        wanted = DeadLetterFilter(error_type="AmbiguousMatch")
        return await self.sync.dead_letters.list(wanted, limit=self.month.sizes.events)
