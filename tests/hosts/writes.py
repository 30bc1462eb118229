"""Notes what is written to the tables of the host: triggers of its own, and the rows they add.

What they note is true whoever writes, and commits or vanishes with the write itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

_TABLE: Final = "shop_writes"
_ID: Final = {
    "postgresql": "BIGSERIAL PRIMARY KEY",
    "mysql": "BIGINT AUTO_INCREMENT PRIMARY KEY",
    "sqlite": "INTEGER PRIMARY KEY",
}
# Table → what tells one document's write from another's, and what says that the row is gone.
_NOTED: Final = {
    "clients": ("NEW.note", "NEW.deleted_at IS NOT NULL"),
    "invoices": ("NEW.note", "NEW.deleted_at IS NOT NULL"),
    "invoice_lines": ("NEW.description", "FALSE"),
}


def statements(dialect: str) -> Iterator[str]:
    """Yield the statements after which every write to the shop's tables is noted."""
    yield (
        f"CREATE TABLE {_TABLE} (id {_ID[dialect]}, table_name VARCHAR(64) NOT NULL,"
        " row_id BIGINT NOT NULL, stamp TEXT, gone BOOLEAN NOT NULL)"
    )
    for table, (stamp, gone) in _NOTED.items():
        note = (
            f"INSERT INTO {_TABLE} (table_name, row_id, stamp, gone)"  # noqa: S608  # our own names
            f" VALUES ('{table}', NEW.id, {stamp}, {gone})"
        )
        yield from (_of_postgresql if dialect == "postgresql" else _of_others)(table, note)


def _of_postgresql(table: str, note: str) -> Iterator[str]:
    yield (
        f"CREATE FUNCTION {table}_written() RETURNS trigger LANGUAGE plpgsql AS $$"
        f" BEGIN {note}; RETURN NULL; END $$"
    )
    yield (
        f"CREATE TRIGGER written AFTER INSERT OR UPDATE ON {table}"
        f" FOR EACH ROW EXECUTE FUNCTION {table}_written()"
    )


def _of_others(table: str, note: str) -> Iterator[str]:
    for action in ("INSERT", "UPDATE"):
        yield (
            f"CREATE TRIGGER {table}_{action.lower()} AFTER {action} ON {table}"
            f" FOR EACH ROW BEGIN {note}; END"
        )
