"""Defines the library's own tables, as SQLAlchemy Core tables: no ORM class of ours exists.

=================  ==================================================================
table              holds
=================  ==================================================================
``jobs``           events that wait to be applied; finished rows are deleted
``parked``         events that wait for another entity
``dead_letters``   events, and bodies, that cannot be applied
``journal``        every settled event, append-only, unique by event id
``ledger``         for every entity what was applied last; never pruned
``child_links``    host rows of lines, where the host's table has no Zoho column
``debts``          columns that are NULL until the entity that they refer to arrives
``leaders``        who runs the maintenance
``workers``        who works, with which mappings, and since when at what
``pauses``         since when the queue is paused; empty while it is not
``outbox``         events on their way to a queue outside the database
``fields``         which mapped custom fields a document ever had
``refusals``       how many deliveries were refused, by reason; nothing else of them
``versions``       which version these tables are of, and whom they serve
=================  ==================================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import SchemaItem

from zoho_sync.database.types import BYTES, MARIADB, MARIADB_TABLE, ExactJSON, UtcDateTime

__all__ = ["PREFIX", "Rows", "Tables", "library_tables"]

PREFIX = "zoho_sync_"
"""The beginning of the names of all tables of the library."""

_ID = BigInteger().with_variant(Integer, "sqlite")
_NAME = String(64)
# Zoho's ids have up to some 20 digits; a route or an administrator's template may hold more.
_ENTITY_ID = String(255)
_ROW_KEY = String(512)


class Rows:
    """The rows of one of these tables, on one connection, inside one transaction."""

    def __init__(self, connection: AsyncConnection, table: Table) -> None:
        self._connection = connection
        self._table = table


@dataclass(frozen=True, slots=True)
class Tables:
    """The library's tables in one schema."""

    metadata: MetaData
    jobs: Table
    parked: Table
    dead_letters: Table
    journal: Table
    ledger: Table
    child_links: Table
    debts: Table
    leaders: Table
    workers: Table
    pauses: Table
    outbox: Table
    fields: Table
    refusals: Table
    versions: Table


def _event_row_columns(*, understood: bool = True) -> list[Column[Any]]:
    """Return a row's id and an event's columns; a body that was not understood lacks some."""
    return [
        Column("id", _ID, primary_key=True, autoincrement=True),
        Column("event_id", _NAME, nullable=False, unique=True),
        Column("organization_id", _NAME, nullable=False),
        Column("entity_type", _NAME, nullable=not understood),
        Column("entity_id", _ENTITY_ID, nullable=not understood),
        Column("operation", String(16), nullable=not understood),
        Column("effective_time", UtcDateTime()),
        Column("arrival_time", UtcDateTime(), nullable=False),
        Column("arrival_sequence", BigInteger),
        Column("content_hash", String(64), nullable=not understood),
    ]


def _history_columns() -> list[Column[Any]]:
    return [
        Column("attempts", Integer, nullable=False, default=0),
        Column("history", ExactJSON(), nullable=False, default=list),
        Column("first_parked_at", UtcDateTime()),
        # The smaller, the sooner. It comes back with the event from wherever that was.
        Column("priority", SmallInteger, nullable=False, default=0),
    ]


_ITEMS: Final[Mapping[str, Sequence[SchemaItem]]] = {
    "jobs": [
        *_event_row_columns(),
        Column("dedupe_key", String(64), unique=True),
        Column("payload", ExactJSON(), nullable=False),
        *_history_columns(),
        Column("not_before", UtcDateTime(), nullable=False),
        Column("suspect", Boolean, nullable=False, default=False),
        Column("deaths", Integer, nullable=False, default=0),
        # The entities whose rows have a unique value that the event wants; NULL for almost all.
        Column("contested", ExactJSON()),
        Column("lease_token", _NAME),
        Column("lease_expires_at", UtcDateTime()),
        # Of the newest claim: when, and by which worker. An event that is under way for long, in a
        # process that stands still, is found by these.
        Column("claimed_at", UtcDateTime()),
        Column("claimed_by", _NAME),
        Index(f"ix_{PREFIX}jobs_claim", "priority", "id"),
        Index(f"ix_{PREFIX}jobs_entity", "organization_id", "entity_id"),
    ],
    "parked": [
        *_event_row_columns(),
        Column("dedupe_key", String(64), index=True),
        Column("payload", ExactJSON(), nullable=False),
        *_history_columns(),
        Column("namespace", _NAME, nullable=False),
        Column("waiting_namespace", _NAME, nullable=False),
        Column("waiting_type", _NAME, nullable=False),
        Column("waiting_id", _ENTITY_ID, nullable=False),
        Column("reason", Text, nullable=False),
        Column("parked_at", UtcDateTime(), nullable=False),
        Column("expires_at", UtcDateTime(), nullable=False, index=True),
        Index(f"ix_{PREFIX}parked_waiting", "organization_id", "waiting_namespace", "waiting_id"),
        Index(f"ix_{PREFIX}parked_entity", "organization_id", "namespace", "entity_id"),
    ],
    "dead_letters": [
        *_event_row_columns(understood=False),
        Column("payload", ExactJSON()),
        *_history_columns(),
        # What was received, where it was not understood, and what was said about it: a body is
        # replayed through the same front door. Headers and the query are not kept, since they
        # may hold the secret.
        Column("body", BYTES),
        Column("content_type", String(255)),
        Column("hints", ExactJSON()),
        # Of the body and what was said about it: while the letter is there, its equals are counted.
        Column("body_hash", String(64), unique=True),
        Column("deliveries", Integer, nullable=False, default=1),
        Column("last_arrived_at", UtcDateTime()),
        Column("kind", String(16), nullable=False),
        Column("error_type", String(255), nullable=False),
        Column("error", Text, nullable=False),
        Column("path", Text, nullable=False, default=""),
        Column("died_at", UtcDateTime(), nullable=False, index=True),
    ],
    "journal": [
        *_event_row_columns(understood=False),
        Column("dedupe_key", String(64), index=True),
        Column("fingerprint", String(64), nullable=False, default=""),
        Column("outcome", String(16), nullable=False),
        Column("reason", Text, nullable=False, default=""),
        Column("changed", ExactJSON(), nullable=False, default=list),
        Column("attempts", Integer, nullable=False, default=0),
        Column("lease_token", _NAME),
        Column("settled_at", UtcDateTime(), nullable=False, index=True),
        Index(f"ix_{PREFIX}journal_entity", "organization_id", "entity_type", "entity_id"),
    ],
    "ledger": [
        Column("organization_id", _NAME, primary_key=True),
        Column("namespace", _NAME, primary_key=True),
        Column("entity_id", _ENTITY_ID, primary_key=True),
        Column("entity_type", _NAME),
        # A row without a version counts as unknown: it was made so that it can be locked.
        Column("effective_time", UtcDateTime()),
        Column("version_rank", SmallInteger),
        Column("arrival_time", UtcDateTime()),
        Column("arrival_sequence", BigInteger),
        Column("event_id", _NAME),
        Column("content_hash", String(64), nullable=False, default=""),
        Column("fingerprint", String(64), nullable=False, default=""),
        Column("deleted_at", UtcDateTime()),
        Column("carried", ExactJSON(), nullable=False, default=list),
        Column("older", ExactJSON(), nullable=False, default=dict),
        Column("table_name", String(255)),
        Column("primary_key", _ROW_KEY),
        UniqueConstraint("table_name", "primary_key", name=f"uq_{PREFIX}ledger_row"),
    ],
    "child_links": [
        Column("organization_id", _NAME, primary_key=True),
        Column("namespace", _NAME, primary_key=True),
        Column("entity_id", _ENTITY_ID, primary_key=True),
        # A table's name, and more. MariaDB's keys end at 3,072 bytes, and its names at 64 letters.
        Column("child", String(255).with_variant(String(128), *MARIADB), primary_key=True),
        Column("line_id", _ENTITY_ID, primary_key=True),
        Column("table_name", String(255), nullable=False),
        Column("primary_key", _ROW_KEY, nullable=False),
        UniqueConstraint("table_name", "primary_key", name=f"uq_{PREFIX}child_links_row"),
    ],
    "debts": [
        Column("organization_id", _NAME, primary_key=True),
        Column("namespace", _NAME, primary_key=True),
        Column("entity_id", _ENTITY_ID, primary_key=True),
        # The list of lines and the line in it; empty for a column of the entity's own row.
        Column("child", _NAME, primary_key=True),
        Column("line_id", _ENTITY_ID, primary_key=True),
        Column("column_name", _NAME, primary_key=True),
        Column("entity_type", _NAME, nullable=False),
        Column("waiting_namespace", _NAME, nullable=False),
        Column("waiting_type", _NAME, nullable=False),
        Column("waiting_id", _ENTITY_ID, nullable=False),
        Index(f"ix_{PREFIX}debts_waiting", "organization_id", "waiting_namespace", "waiting_id"),
    ],
    "leaders": [
        Column("role", _NAME, primary_key=True),
        Column("holder", _NAME, nullable=False),
        Column("expires_at", UtcDateTime(), nullable=False),
    ],
    "workers": [
        Column("name", _NAME, primary_key=True),
        Column("release", String(32), nullable=False),
        Column("fingerprints", ExactJSON(), nullable=False),
        Column("lease_milliseconds", BigInteger, nullable=False),
        Column("started_at", UtcDateTime(), nullable=False),
        Column("seen_at", UtcDateTime(), nullable=False),
        # When it could ask the queue last, whether there was anything or not.
        Column("claimed_at", UtcDateTime()),
        Column("busy_since", UtcDateTime()),
        Column("busy_with", String(400), nullable=False, default=""),
        Column("trouble", Text, nullable=False, default=""),
    ],
    "pauses": [
        Column("queue", _NAME, primary_key=True),
        Column("paused_at", UtcDateTime(), nullable=False),
    ],
    "outbox": [
        *_event_row_columns(),
        Column("dedupe_key", String(64), unique=True),
        Column("payload", ExactJSON(), nullable=False),
        # Of the relay that has it, or had it last: with a token, it may have been published.
        Column("lease_token", _NAME),
        Column("lease_expires_at", UtcDateTime()),
    ],
    "fields": [
        Column("entity_type", _NAME, primary_key=True),
        Column("name", String(255), primary_key=True),
    ],
    "refusals": [
        Column("reason", String(255), primary_key=True),
        Column("stranger", Boolean, nullable=False),
        Column("count", BigInteger, nullable=False),
        Column("first_at", UtcDateTime(), nullable=False),
        Column("last_at", UtcDateTime(), nullable=False),
    ],
    "versions": [
        Column("name", _NAME, primary_key=True),
        Column("version", Integer, nullable=False),
        Column("oldest_release", String(32), nullable=False),
    ],
}
# Ids are the tie-break of arrivals there: one that is reused would go back in time.
_NEVER_REUSED: Final = {"jobs", "outbox"}
_TABLES: Final = {
    name: Table(
        f"{PREFIX}{name}",
        MetaData(),
        *items,
        sqlite_autoincrement=name in _NEVER_REUSED,
        **MARIADB_TABLE,
    )
    for name, items in _ITEMS.items()
}


@cache
def library_tables(schema: str | None = None) -> Tables:
    """Return the library's tables in a schema; the database's default schema for None."""
    metadata = MetaData(schema=schema)
    made = {name: each.to_metadata(metadata) for name, each in _TABLES.items()}
    return Tables(metadata, **made)
