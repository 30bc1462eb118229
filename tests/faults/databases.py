"""The host's databases as their administrator sees them: plain SQL, on connections of their own."""

from __future__ import annotations

import asyncio
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import asyncmy
import asyncmy.cursors
import psycopg
from psycopg.rows import dict_row
from sqlalchemy import make_url

from tests.servers.mariadb import PrivateMariaDB
from tests.servers.postgres import PrivatePostgres
from tests.servers.private import PrivateServer

__all__ = ["Database", "MariaDB", "PostgreSQL", "SQLite"]

Rows = list[dict[str, Any]]


class Database(ABC):
    """A database of one trial.

    Attributes:
        dialect: SQLAlchemy's name of it.
        server: What may be stopped; None where there is no server.
        full: Makes inserts into a table fail as they do on a full disk.
        room: Takes that back.
    """

    dialect: ClassVar[str]
    full: ClassVar[str] = ""
    room: ClassVar[str] = ""
    server: PrivateServer | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """SQLAlchemy's URL."""

    @abstractmethod
    def ask(self, statement: str) -> Rows:
        """Return what a statement finds."""

    @abstractmethod
    def end_connections(self) -> int:
        """End every other connection; return how many there were."""

    def fill(self, tables: Sequence[str]) -> None:
        """Let there be no room for new rows of some tables."""
        for table in tables:
            self.ask(self.full.format(table=table))

    def met_full(self) -> bool:
        """Return whether an insert has failed so, as far as the database can tell."""
        return False

    def make_room(self, tables: Sequence[str]) -> None:
        """Let there be room again."""
        for table in tables:
            self.ask(self.room.format(table=table))

    def drop(self) -> None:  # noqa: B027  # a file goes with the test's folder
        """Let it be gone."""

    def count(self, table: str) -> int:
        """Return how many rows a table has."""
        return int(self.ask(f"SELECT count(*) AS n FROM {table}")[0]["n"])  # noqa: S608  # the tests' own names


class PostgreSQL(Database):
    """A database of a PostgreSQL server."""

    dialect = "postgresql"
    full = """
        CREATE OR REPLACE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM nextval('full_disk_met');
            RAISE 'could not extend file: No space left on device' USING ERRCODE = '53100';
        END $$;
        CREATE SEQUENCE IF NOT EXISTS full_disk_met;
        CREATE TRIGGER {table}_full BEFORE INSERT ON {table}
        FOR EACH ROW EXECUTE FUNCTION full_disk()
    """
    room = "DROP TRIGGER {table}_full ON {table}"

    def __init__(self, server: PrivatePostgres) -> None:
        self.server: PrivatePostgres = server
        self._name = server.create_database()

    @property
    def url(self) -> str:
        return self.server.url(self._name)

    def ask(self, statement: str) -> Rows:
        address = make_url(self.url).set(drivername="postgresql")
        with psycopg.connect(
            address.render_as_string(hide_password=False), autocommit=True, row_factory=dict_row
        ) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def met_full(self) -> bool:
        # A sequence remembers what was rolled back.
        (found,) = self.ask("SELECT is_called FROM full_disk_met")
        return bool(found["is_called"])

    def end_connections(self) -> int:
        return len(
            self.ask(
                "SELECT pg_terminate_backend(pid) AS ended FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )

    def drop(self) -> None:
        self.server.drop_database(self._name)


class MariaDB(Database):
    """A database of a MariaDB server."""

    dialect = "mysql"
    full = """
        CREATE TRIGGER {table}_full BEFORE INSERT ON {table} FOR EACH ROW
        SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1114, MESSAGE_TEXT = 'The table is full'
    """
    room = "DROP TRIGGER {table}_full"

    def __init__(self, server: PrivateMariaDB) -> None:
        self.server: PrivateMariaDB = server
        self._name = server.create_database()

    @property
    def url(self) -> str:
        return self.server.url(self._name)

    def ask(self, statement: str) -> Rows:
        # In a thread of its own: the test's event loop belongs to this one.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, self._ask(statement)).result()

    async def _ask(self, statement: str) -> Rows:
        address = make_url(self.url)
        connection = await asyncmy.connect(
            host=address.host,
            port=address.port or 3306,
            user=address.username or "root",
            password=str(address.password or ""),
            db=self._name,
            autocommit=True,
        )
        try:
            async with connection.cursor(asyncmy.cursors.DictCursor) as cursor:
                await cursor.execute(statement)
                return list(await cursor.fetchall() or ())
        finally:
            await connection.ensure_closed()

    def end_connections(self) -> int:
        found = self.ask(
            "SELECT id FROM information_schema.processlist"
            " WHERE db = database() AND id <> connection_id()"
        )
        for row in found:
            self.server.execute(f"KILL CONNECTION {row.get('id', row.get('ID'))}", may_fail=True)
        return len(found)

    def drop(self) -> None:
        self.server.drop_database(self._name)


class SQLite(Database):
    """A file."""

    dialect = "sqlite"

    def __init__(self, path: Path) -> None:
        self._path = path
        # As a host does whose file has several processes: readers are in nobody's way.
        self.ask("PRAGMA journal_mode = WAL")

    @property
    def url(self) -> str:
        return f"sqlite+aiosqlite:///{self._path}"

    def ask(self, statement: str) -> Rows:
        connection = sqlite3.connect(self._path, timeout=30, isolation_level=None)
        with closing(connection):
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(statement).fetchall()]

    def end_connections(self) -> int:
        raise NotImplementedError
