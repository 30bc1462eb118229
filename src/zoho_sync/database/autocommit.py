"""Finds out whether a connection commits each statement by itself."""

from __future__ import annotations

from typing import Final

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from zoho_sync.database.dialects import is_mariadb

__all__ = ["commits_by_itself"]

_AUTOCOMMIT: Final = "AUTOCOMMIT"
_PROBE: Final = "zoho_sync.in_transaction"


async def commits_by_itself(connection: AsyncConnection) -> bool:
    """Return whether the statements of a transaction are committed one by one.

    SQLAlchemy is asked for what it was told, of the engine, the session or the connection; and the
    database, inside the transaction, for what a driver or a listener may have been told. SQLite's
    drivers may be in such a mode as well: the library begins each of its transactions itself there.
    """
    options = connection.sync_connection.get_execution_options()  # type: ignore[union-attr]  # it is open
    told = options.get("isolation_level")
    if told is None:
        # What `create_engine(isolation_level=…)` was given; there is no public name for it.
        told = getattr(connection.dialect, "_on_connect_isolation_level", None)
    if str(told).upper() == _AUTOCOMMIT:
        return True
    if is_mariadb(connection):
        found = await connection.execute(text("SELECT @@autocommit = 1 AND @@in_transaction = 0"))
        return bool(found.scalar_one())
    if connection.dialect.name != "postgresql":
        return False
    await connection.execute(select(func.set_config(_PROBE, "yes", True)))  # noqa: FBT003  # SET LOCAL
    kept = await connection.scalar(select(func.current_setting(_PROBE, True)))  # noqa: FBT003  # no error without it
    return kept != "yes"
