"""Makes the demo's database anew, and touches nothing that the demo did not make."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from zoho_sync import mirror
from zoho_sync.cli.database import new_engine
from zoho_sync.cli.demo import erp
from zoho_sync.database.types import MARIADB
from zoho_sync.exceptions import ConfigurationError
from zoho_sync.store.tables import library_tables

__all__ = ["DEFAULT_FILE", "SCHEMA", "NotOurs", "make_anew"]

DEFAULT_FILE: Final = "zoho-sync-demo.db"
SCHEMA: Final = "zoho_sync_demo"

# "ZSdm": SQLite keeps it at a fixed place in the file's header.
_APPLICATION_ID: Final = 0x5A53646D
_HEADER: Final = 72
_ID_OFFSET: Final = 68
_MARK: Final = "made by zoho-sync demo; it is dropped by the next run"


class NotOurs(ConfigurationError):
    """There is something in the demo's place that it did not make."""


async def make_anew(url: URL) -> AsyncEngine:
    """Return an engine on an empty database for the demo.

    Raises:
        NotOurs: There is something that the demo did not make; nothing was touched.
    """
    if url.get_backend_name() in MARIADB:
        message = "the demo needs SQLite or PostgreSQL, where it can keep to a place of its own"
        raise ConfigurationError(message)
    return await (_sqlite if url.get_backend_name() == "sqlite" else _postgresql)(url)


async def _sqlite(url: URL) -> AsyncEngine:
    if url.database and url.database != ":memory:":
        _remove_file(Path(url.database))
    engine = new_engine(url)
    event.listen(engine.sync_engine, "connect", _enforce_foreign_keys)
    async with engine.connect() as connection:
        await connection.exec_driver_sql(f"PRAGMA application_id = {_APPLICATION_ID}")
    return engine


def _enforce_foreign_keys(connection: Any, _record: Any) -> None:  # the driver's own
    connection.execute("PRAGMA foreign_keys = ON")


def _remove_file(path: Path) -> None:
    if not path.exists():
        return
    with path.open("rb") as file:
        header = file.read(_HEADER)
    if header[_ID_OFFSET:] != _APPLICATION_ID.to_bytes(4, "big"):
        raise NotOurs(
            f"{path} is no database of the demo, so it is left alone; run the demo in another "
            "folder, or give it another file with --database-url sqlite:///…"
        )
    for suffix in ("", "-journal", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


async def _postgresql(url: URL) -> AsyncEngine:
    engine = new_engine(url)
    try:
        async with engine.begin() as connection:
            await _drop_schema(connection)
            await connection.execute(text(f"CREATE SCHEMA {SCHEMA}"))
            await connection.execute(text(f"COMMENT ON SCHEMA {SCHEMA} IS '{_MARK}'"))
    finally:
        await engine.dispose()
    # Everything that is not in the schema is out of reach.
    return new_engine(url, search_path=SCHEMA)


async def _drop_schema(connection: AsyncConnection) -> None:
    comment = text(
        "SELECT coalesce(obj_description(oid, 'pg_namespace'), '') FROM pg_namespace "
        "WHERE nspname = :schema"
    )
    found = (await connection.execute(comment, {"schema": SCHEMA})).scalar_one_or_none()
    if found is None:
        return
    if found != _MARK:
        raise NotOurs(
            f"the database has a schema {SCHEMA} that the demo did not make, so it is left alone; "
            "rename it, or give another database with --database-url"
        )
    listed = text("SELECT tablename FROM pg_tables WHERE schemaname = :schema ORDER BY 1")
    present = set((await connection.execute(listed, {"schema": SCHEMA})).scalars())
    catalogs = (library_tables().metadata, mirror.metadata, erp.metadata)
    ours = {table.name for each in catalogs for table in each.tables.values()}
    if strangers := present - ours:
        raise _strangers(", ".join(sorted(strangers)))
    try:
        if present:
            names = ", ".join(f"{SCHEMA}.{name}" for name in sorted(present))
            await connection.execute(text(f"DROP TABLE {names}"))
        await connection.execute(text(f"DROP SCHEMA {SCHEMA}"))
    except DBAPIError as error:
        # Without CASCADE the database itself refuses to drop what others depend on.
        raise _strangers("objects that depend on it or stand in it") from error


def _strangers(what: str) -> NotOurs:
    message = (
        f"the demo's schema {SCHEMA} holds what the demo did not make ({what}), so it is left "
        "alone; move that elsewhere, or give another database with --database-url"
    )
    return NotOurs(message)
