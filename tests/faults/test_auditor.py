"""The auditor finds what it is there to find: a database that somebody has spoilt."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from tests.faults.auditor import Auditor, Violation
from tests.faults.databases import SQLite
from tests.faults.report import table
from tests.faults.traffic import Traffic, traffic
from tests.hosts.shop import Script, create_shop, registry
from zoho_sync import RetryPolicy, SyncEvent, ZohoSync

ROUNDS: Final = 4
AT_ONCE: Final = RetryPolicy(max_attempts=2, base_delay=timedelta(microseconds=1))
EVENT: Final = (
    "event_id, organization_id, entity_type, entity_id, operation, effective_time, arrival_time,"
    " arrival_sequence, content_hash"
)
PARKED_TO_JOBS: Final = (
    f"INSERT INTO zoho_sync_jobs ({EVENT}, payload, attempts, history, priority, not_before,"  # noqa: S608  # our own names
    f" suspect, deaths) SELECT {EVENT}, payload, 0, '[]', 0, parked_at, 0, 0"
    " FROM zoho_sync_parked LIMIT 1"
)
PARKED_TO_LETTERS: Final = (
    f"INSERT INTO zoho_sync_dead_letters ({EVENT}, attempts, history, priority, kind, error_type,"  # noqa: S608  # our own names
    f" error, path, died_at, deliveries)"
    f" SELECT {EVENT}, 0, '[]', 0, 'data', 'X', 'x', '', parked_at, 1"
    " FROM zoho_sync_parked LIMIT 1"
)
APPLIED: Final = "(SELECT min(id) FROM zoho_sync_journal WHERE outcome = 'applied')"
APPLIED_AGAIN: Final = (
    f"INSERT INTO zoho_sync_journal ({EVENT}, fingerprint, outcome, reason, changed, attempts,"  # noqa: S608  # our own names
    " settled_at) SELECT 'another', organization_id, entity_type, entity_id, operation,"
    " effective_time, arrival_time, arrival_sequence, content_hash, fingerprint, outcome, reason,"
    f" changed, attempts, settled_at FROM zoho_sync_journal WHERE id = {APPLIED}"
)
INNOCENT_DIES: Final = (
    f"{PARKED_TO_LETTERS}; DELETE FROM zoho_sync_parked WHERE event_id IN"  # noqa: S608  # our own names
    " (SELECT event_id FROM zoho_sync_dead_letters)"
)
WRITTEN: Final = (
    "INSERT INTO shop_writes (table_name, row_id, stamp, gone) VALUES ('clients', 1, 'fail.0', 0)"
)

# What somebody does to the database → what must be found: its kind, and a word of what is said.
SPOILT: Final[Mapping[str, tuple[str, str, str]]] = {
    "an event is gone": (
        f"DELETE FROM zoho_sync_journal WHERE id = {APPLIED}",  # noqa: S608  # our own names
        "lost",
        "in no place",
    ),
    "an event is in two places": (PARKED_TO_LETTERS, "double", "parked and dead_letters"),
    "an event is queued as well": (PARKED_TO_JOBS, "lost", "still queued"),
    "an innocent is a dead letter": (
        INNOCENT_DIES,
        "lost",
        "in dead_letters and not in parked",
    ),
    "a dead letter has another error": (
        "UPDATE zoho_sync_dead_letters SET error_type = 'WorkerDied'",
        "wrong",
        "died of WorkerDied",
    ),
    "a change is applied under two ids": (APPLIED_AGAIN, "double", "was applied 2 times"),
    "an event is settled as what it is not": (
        f"UPDATE zoho_sync_journal SET outcome = 'ignored' WHERE id = {APPLIED}",  # noqa: S608  # our own names
        "wrong",
        "settled as ignored",
    ),
    "the journal has a stranger": (
        f"UPDATE zoho_sync_journal SET entity_id = 'stranger' WHERE id = {APPLIED}",  # noqa: S608  # our own names
        "wrong",
        "has what nobody sent",
    ),
    "a row is written twice": (
        "UPDATE clients SET note = note WHERE id = 1",
        "double",
        "of clients was written 2 times",
    ),
    "a line is written twice": (
        "UPDATE invoice_lines SET description = description",
        "double",
        "of invoice_lines was written 2 times",
    ),
    "a dead letter was written": (
        WRITTEN,
        "wrong",
        "written, and not applied",
    ),
    "a row is missing": ("DELETE FROM clients WHERE id = 1", "lost", "no row of client"),
    "a row is too much": (
        "INSERT INTO clients (name, created_by, note) VALUES ('nobody', 'x', 'x')",
        "wrong",
        "which there should not be",
    ),
    "a name is wrong": ("UPDATE clients SET name = name || '!'", "wrong", "!"),
    "an amount is wrong": ("UPDATE invoices SET total = '0.01'", "wrong", "Decimal('0.01')"),
    "a line is missing": ("DELETE FROM invoice_lines", "wrong", "[]"),
    "a delete is undone": (
        "UPDATE invoices SET deleted_at = CASE WHEN deleted_at IS NULL THEN '2024-05-01' END",
        "wrong",
        "invoice",
    ),
}


@dataclass(frozen=True)
class Found:
    """A database in which all is right.

    Attributes:
        path: Its file.
        sent: What was sent.
        accepted: What the front door has answered.
    """

    path: Path
    sent: Traffic
    accepted: set[str]

    def copied(self, folder: Path) -> tuple[SQLite, Auditor]:
        """Return a copy, and an auditor of it."""
        target = folder / "shop.db"
        shutil.copy(self.path, target)
        database = SQLite(target)
        return database, Auditor(database, self.sent, self.accepted)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """What comes of traffic that nothing disturbs."""
    path = tmp_path_factory.mktemp("audited") / "shop.db"
    sent = traffic(random.Random(7), 80, ["fail"])  # noqa: S311  # repeatable, not secret
    return Found(path, sent, asyncio.run(apply_all(path, sent)))


async def apply_all(path: Path, sent: Traffic) -> set[str]:
    """Apply everything; return the ids that the front door has answered with."""

    async def fail(event: SyncEvent, session: object) -> None:
        del session
        if str(event.payload["notes"]).startswith("fail"):
            raise RuntimeError

    engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    sync = ZohoSync(sessions, registry=registry(Script(after=fail)), retry=AT_ONCE)
    await create_shop(engine)
    await sync.create_tables()
    receipts = await sync.enqueue(sent.deliveries)
    for _ in range(ROUNDS):
        await sync.drain()
    await engine.dispose()
    return {event_id for receipt in receipts for event_id in receipt.event_ids}


def test_it_finds_nothing_where_all_is_right(found: Found, tmp_path: Path) -> None:
    assert found.copied(tmp_path)[1].audit() == []


@pytest.mark.parametrize("name", SPOILT)
def test_it_finds_what_is_spoilt(found: Found, tmp_path: Path, name: str) -> None:
    statements, kind, words = SPOILT[name]
    database, auditor = found.copied(tmp_path)
    for statement in statements.split("; "):
        database.ask(statement)
    violations = auditor.audit()
    assert [v for v in violations if v.kind == kind and words in v.what], violations
    for violation in violations:
        assert auditor.trace(violation).startswith(f"{violation.kind}: {violation.what}")


def test_a_trace_tells_all_that_is_known(found: Found, tmp_path: Path) -> None:
    database, auditor = found.copied(tmp_path)
    database.ask("UPDATE clients SET note = note WHERE id = 1")
    (violation,) = auditor.audit()
    trace = auditor.trace(violation)
    assert trace.count("  written: ") == 2
    assert "  journal: " in trace
    assert "'outcome': 'applied'" in trace


def test_what_the_queue_lost_is_found(found: Found, tmp_path: Path) -> None:
    """An id that was answered, and is nowhere."""
    database, _ = found.copied(tmp_path)
    auditor = Auditor(database, found.sent, {*found.accepted, "answered"})
    assert auditor.audit() == [Violation("lost", "accepted, and in no place", "answered")]


def test_the_table_adds_up_runs() -> None:
    told = table([("kills", "Redis", 0, 1, 0, 2.0), ("kills", "Redis", 1, 1, 0, 4.0)])
    assert told.splitlines()[2:] == ["| kills | Redis | 2 | 1 | 2 | 0 | 3.0 |"]
