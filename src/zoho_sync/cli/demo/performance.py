"""Delivers the story, works it off, and reads what became of each event: it is never assumed."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from sqlalchemy import Table, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker

from zoho_sync.app.sync import ZohoSync
from zoho_sync.cli.demo import erp
from zoho_sync.cli.demo.checks import Check, read_checks
from zoho_sync.cli.demo.story import ORGANIZATION, STORY, Delivery
from zoho_sync.cli.output import counted
from zoho_sync.events.event import Operation
from zoho_sync.events.outcome import Outcome, Receipt, ReceiptStatus
from zoho_sync.intake.signature import SIGNATURE_HEADER, SignedRequest
from zoho_sync.intake.signed_string import sign
from zoho_sync.operate.status import StatusReport
from zoho_sync.store.tables import Tables, library_tables

__all__ = ["Delivered", "Performance", "perform", "read_state"]

_SHOWN_COLUMNS: Final = 3
_UNDER_WAY: Final = {"queued", Outcome.PARKED.value}
_SECRET_BYTES: Final = 16


class State(NamedTuple):
    """Where an event is, and why, in words."""

    name: str
    why: str


@dataclass
class Delivered:
    """One delivery, the answer of the front door, and every state that it was recorded in."""

    number: int
    delivery: Delivery
    receipt: Receipt
    states: list[State] = field(default_factory=list)

    @property
    def event_id(self) -> str | None:
        """The event that it made; None if it made none."""
        made = self.receipt.status in {ReceiptStatus.ACCEPTED, ReceiptStatus.DEAD_LETTER}
        return self.receipt.event_ids[0] if made else None

    @property
    def as_expected(self) -> bool:
        """Whether it came to what the story says."""
        return tuple(state.name for state in self.states) == self.delivery.expected


@dataclass(frozen=True)
class Performance:
    """Everything that the demo has seen: deliveries in their order, rows, the library's figures."""

    deliveries: Sequence[Delivered]
    checks: Sequence[Check]
    report: StatusReport

    @property
    def account(self) -> dict[str, int]:
        """Where the deliveries are: in the library's tables, or by the front door's answer."""
        settled = self.report.settled
        return {
            "applied": settled.get(Outcome.APPLIED, 0),
            "stale": settled.get(Outcome.STALE, 0),
            "duplicate": settled.get(Outcome.DUPLICATE, 0)
            + self._answered(ReceiptStatus.DUPLICATE),
            "ignored": settled.get(Outcome.IGNORED, 0),
            "parked": self.report.parked,
            "dead_letters": self.report.dead_letters,
            "refused": self._answered(ReceiptStatus.REFUSED),
            "pings": self._answered(ReceiptStatus.PING),
        }

    @property
    def adds_up(self) -> bool:
        """Whether every delivery is in exactly one place."""
        return sum(self.account.values()) == len(self.deliveries)

    @property
    def ok(self) -> bool:
        """Whether everything came out as it should."""
        expected = all(each.as_expected for each in self.deliveries)
        return self.adds_up and expected and all(check.ok for check in self.checks)

    def _answered(self, status: ReceiptStatus) -> int:
        return sum(each.receipt.status is status for each in self.deliveries)


async def perform(engine: AsyncEngine) -> Performance:
    """Run the demo on an empty database."""
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    secret = secrets.token_hex(_SECRET_BYTES)
    sync = ZohoSync(
        sessions,
        registry=erp.registry(),
        verifier=SignedRequest(secret, flat_forms=True),
        organization_id=ORGANIZATION,
    )
    async with sync:
        await sync.create_tables()
        async with engine.begin() as connection:
            await connection.run_sync(erp.metadata.create_all)
        deliveries: list[Delivered] = []
        for number, delivery in enumerate(STORY, start=1):
            delivered = Delivered(number, delivery, await _deliver(sync, delivery, secret))
            delivered.states += _answered(delivered, deliveries)
            deliveries.append(delivered)
            # After each, so that what comes late is late: a batch is applied in the right order.
            await sync.drain()
            await _look(sessions, deliveries)
        return Performance(deliveries, await read_checks(engine), await sync.status())


async def _deliver(sync: ZohoSync, delivery: Delivery, secret: str) -> Receipt:
    key = secrets.token_hex(_SECRET_BYTES) if delivery.forged else secret
    signature = sign(key, delivery.body, delivery.query, content_type=delivery.content_type)
    headers = {"Content-Type": delivery.content_type, SIGNATURE_HEADER: signature}
    return await sync.receive(delivery.body, headers=headers, query=delivery.query)


def _answered(delivered: Delivered, before: Sequence[Delivered]) -> list[State]:
    """Return what the answer says of a delivery of which nothing is stored: it is all there is."""
    receipt, why = delivered.receipt, delivered.receipt.reason or "nothing is stored"
    if receipt.status is ReceiptStatus.DUPLICATE:
        equal = next(each for each in before if each.event_id in receipt.event_ids)
        why = f"equal to delivery {equal.number}"
    return [] if delivered.event_id else [State(receipt.status.value, why)]


async def _look(
    sessions: async_sessionmaker[AsyncSession], deliveries: Sequence[Delivered]
) -> None:
    tables = library_tables()
    async with sessions() as session:
        connection = await session.connection()
        for each in deliveries:
            if each.event_id is None or (each.states and each.states[-1].name not in _UNDER_WAY):
                continue
            state = await read_state(connection, tables, each.event_id)
            if not each.states or each.states[-1].name != state.name:
                each.states.append(state)


async def read_state(connection: AsyncConnection, tables: Tables, event_id: str) -> State:
    """Return where an event is recorded: the journal, the dead letters, parked, or the queue."""
    if (row := await _row(connection, tables.journal, event_id)) is not None:
        return State(row["outcome"], row["reason"] or _effect(row))
    if (row := await _row(connection, tables.dead_letters, event_id)) is not None:
        return State(Outcome.DEAD_LETTER.value, row["error"])
    if (row := await _row(connection, tables.parked, event_id)) is not None:
        return State(Outcome.PARKED.value, row["reason"])
    queued = await _row(connection, tables.jobs, event_id)
    return State("queued", "") if queued is not None else State("lost", "recorded nowhere")


async def _row(
    connection: AsyncConnection, table: Table, event_id: str
) -> Mapping[Any, Any] | None:
    found = await connection.execute(select(table).where(table.c.event_id == event_id))
    return found.mappings().one_or_none()


def _effect(row: Mapping[Any, Any]) -> str:
    changed = row["changed"]
    if row["operation"] == Operation.DELETE.value:
        return "the row is marked" if changed else "the row and its lines are removed"
    columns = [name for name in changed if not name.endswith("[]")]
    lines = len(columns) < len(changed)
    short = len(columns) <= _SHOWN_COLUMNS and not lines
    written = ", ".join(columns) if short else counted(len(columns), "column")
    return f"wrote {written}{' and the lines' if lines else ''}"
