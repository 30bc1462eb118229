"""A MariaDB server for tests: the one that the environment names, or a private one."""

from __future__ import annotations

import asyncio
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncmy
from sqlalchemy import URL, make_url

from tests.servers import ServerUnavailableError, in_memory
from tests.servers.private import (
    PrivateServer,
    available,
    give,
    program_at,
    run,
    running,
    user_unless_root,
)

ENVIRONMENT_URL = "ZOHO_SYNC_MARIADB_URL"
PLACES = ("/usr/sbin", "/usr/local/sbin", "/usr/libexec", "/opt/homebrew/bin")
"""Where the server's program may be although it is not on the path."""

LOCK_TIMEOUT = 1205

SETTINGS = (
    "--bind-address=127.0.0.1",
    "--skip-name-resolve",
    "--skip-log-bin",
    "--max-connections=300",
    "--innodb-buffer-pool-size=64M",
    "--innodb-log-file-size=16M",
    "--character-set-server=utf8mb4",
)
# A commit still outlives the server's process, which is what the tests kill.
FAST_SETTINGS = (
    "--innodb-flush-log-at-trx-commit=2",
    "--innodb-doublewrite=0",
    "--innodb-file-per-table=0",
    "--sync-frm=0",
)


@dataclass(kw_only=True)
class MariaDBServer:
    """A reachable server, and the databases that a test makes on it.

    Attributes:
        address: where an administrator connects, as SQLAlchemy's URL; its driver does not matter.
    """

    address: URL

    def url(self, database: str) -> str:
        """The asyncmy URL of a database on this server."""
        url = self.address.set(drivername="mysql+asyncmy", database=database)
        return url.render_as_string(hide_password=False)

    def create_database(self) -> str:
        """Create an empty database under a new name, and return the name."""
        name = f"zoho_sync_{uuid.uuid4().hex}"
        self.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        return name

    def drop_database(self, name: str) -> None:
        """Drop a database, together with connections that are open to it if they are in the way."""
        drop = f"SET STATEMENT lock_wait_timeout = 1 FOR DROP DATABASE {name}"
        try:
            self.execute(drop)
        except asyncmy.errors.OperationalError as error:
            if error.args[0] != LOCK_TIMEOUT:
                raise
            for connection_id, _user, _host, database, *_ in self.execute("SHOW PROCESSLIST"):
                if database == name:
                    self.execute(f"KILL SOFT CONNECTION {connection_id}", may_fail=True)
            self.execute(drop)

    def execute(self, statement: str, *, may_fail: bool = False) -> Sequence[tuple[object, ...]]:
        """Execute a statement as the administrator, and return its rows."""
        try:
            # In a thread of its own: the test's event loop may belong to this one.
            with ThreadPoolExecutor(1) as thread:
                return thread.submit(asyncio.run, self._execute(statement)).result()
        except asyncmy.errors.MySQLError:
            if not may_fail:
                raise
            return []

    async def _execute(self, statement: str) -> Sequence[tuple[object, ...]]:
        address = self.address
        connection = await asyncmy.connect(
            host=address.host,
            port=address.port or 3306,
            user=address.username or "root",
            password=str(address.password or ""),
            autocommit=True,
        )
        try:
            async with connection.cursor() as cursor:
                await cursor.execute(statement)
                return list(await cursor.fetchall() or ())
        finally:
            await connection.ensure_closed()


def program(*names: str) -> Path:
    """Where one of the server's programs is.

    Raises:
        ServerUnavailableError: it is not installed.
    """
    for name in names:
        found = program_at(name, *PLACES)
        if found is not None:
            return found
    raise ServerUnavailableError(
        f"no MariaDB: apt-get install mariadb-server, or set {ENVIRONMENT_URL}"
    )


@dataclass(kw_only=True)
class PrivateMariaDB(PrivateServer, MariaDBServer):
    """A server that belongs to these tests, so that they may stop and kill it."""

    name = "MariaDB"
    start_seconds = 60.0

    address: URL = field(init=False)

    @property
    def _options(self) -> list[str]:
        # Whoever starts deletes the temporary tables that it finds: a folder that servers share is
        # swept under those that run, and they crash.
        places = [f"--{name}dir={self.workspace / name}" for name in ("data", "tmp")]
        return ["--no-defaults", *places]

    def initialize(self) -> None:
        """Make the system's tables; root on this machine may log in without a password."""
        for name in ("data", "tmp"):
            (self.workspace / name).mkdir()
        give(self.workspace, self.user)
        command = [str(program("mariadb-install-db", "mysql_install_db")), *self._options]
        command += ["--auth-root-authentication-method=normal", "--skip-test-db"]
        run([*command, "--innodb-log-file-size=16M"], self.workspace, self.user)

    def listen_at(self, port: int) -> None:
        self.port = port
        self.address = URL.create("mysql", "root", host="127.0.0.1", port=port)

    def command(self) -> list[str]:
        places = [f"--socket={self.workspace / 'socket'}", f"--pid-file={self.workspace / 'pid'}"]
        server = [str(program("mariadbd", "mysqld")), *self._options, *places]
        return [*server, f"--port={self.port}", *SETTINGS, *FAST_SETTINGS]

    def is_ready(self) -> bool:
        return b"ready for connections" in self.log.read_bytes()


@contextmanager
def private_mariadb() -> Iterator[PrivateMariaDB]:
    """A started server of one's own, gone with its data at the end.

    Raises:
        ServerUnavailableError: no MariaDB is installed that could be started.
    """
    program("mariadbd", "mysqld")
    with tempfile.TemporaryDirectory(prefix="zoho_sync_maria_", dir=in_memory()) as folder:
        server = PrivateMariaDB(workspace=Path(folder), user=user_unless_root("mysql"))
        server.initialize()
        with running(server):
            yield server


def available_mariadb() -> AbstractContextManager[MariaDBServer]:
    """The server that the environment names, else a private one; see `available`."""
    return available(
        ENVIRONMENT_URL, lambda url: MariaDBServer(address=make_url(url)), private_mariadb
    )
