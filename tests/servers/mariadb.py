"""A MariaDB server for tests: the one that the environment names, or a private one."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncmy
from sqlalchemy import URL, make_url

from tests.servers import ServerUnavailableError, in_memory
from tests.servers.postgres import free_port

ENVIRONMENT_URL = "ZOHO_SYNC_MARIADB_URL"
START_ATTEMPTS = 5
START_SECONDS = 60.0
STOP_SECONDS = 30.0
POLL_SECONDS = 0.05
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
    path = os.pathsep.join((os.environ.get("PATH", ""), *PLACES))
    for name in names:
        found = shutil.which(name, path=path)
        if found is not None:
            return Path(found)
    raise ServerUnavailableError(
        f"no MariaDB: apt-get install mariadb-server, or set {ENVIRONMENT_URL}"
    )


@dataclass(kw_only=True)
class PrivateMariaDB(MariaDBServer):
    """A server that belongs to these tests, so that they may stop and kill it.

    Attributes:
        workspace: a directory of its own, which the server's user owns.
        user: the account that runs it; None for the one that runs the tests.
    """

    workspace: Path
    user: str | None
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)

    @property
    def _log(self) -> Path:
        return self.workspace / "mariadb.log"

    @property
    def _options(self) -> list[str]:
        user = [f"--user={self.user}"] if self.user else []
        # Whoever starts deletes the temporary tables that it finds: a folder that servers share is
        # swept under those that run, and they crash.
        places = [f"--{name}dir={self.workspace / name}" for name in ("data", "tmp")]
        return ["--no-defaults", *places, *user]

    def initialize(self) -> None:
        """Make the system's tables; root on this machine may log in without a password."""
        command = [str(program("mariadb-install-db", "mysql_install_db")), *self._options]
        command += ["--auth-root-authentication-method=normal", "--skip-test-db"]
        done = subprocess.run(
            [*command, "--innodb-log-file-size=16M"],
            cwd=self.workspace,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{command[0]} ended with {done.returncode}:\n{done.stdout}")

    def start(self) -> None:
        """Start the server and wait until it answers; a port that somebody took is replaced.

        Raises:
            RuntimeError: it does not start; the message ends with the server's log.
        """
        for _ in range(START_ATTEMPTS):
            if self._started():
                return
            self.address = self.address.set(port=free_port())
        raise RuntimeError(f"MariaDB does not start:\n{self._log.read_text(errors='replace')}")

    def stop(self) -> None:
        """Shut down cleanly, ending open connections."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the process at once, as in a crash: the next start recovers."""
        self._signal(signal.SIGKILL)

    def restart(self) -> None:
        """Shut down cleanly and start again, at the same port unless somebody took it."""
        self.stop()
        self.start()

    def _started(self) -> bool:
        places = [f"--socket={self.workspace / 'socket'}", f"--pid-file={self.workspace / 'pid'}"]
        command = [str(program("mariadbd", "mysqld")), *self._options, *places]
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                [*command, f"--port={self.address.port}", *SETTINGS, *FAST_SETTINGS],
                cwd=self.workspace,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Out of reach of the terminal's Ctrl-C.
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            if b"ready for connections" in self._log.read_bytes():
                return True
            time.sleep(POLL_SECONDS)
        self.kill()
        return False

    def _signal(self, signal_number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal_number)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS)


def server_user() -> str | None:
    """The account that runs the server: it refuses to be root's."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "mysql" if "mysql" in known else "nobody"


@contextmanager
def private_mariadb() -> Iterator[PrivateMariaDB]:
    """A started server of one's own, gone with its data at the end.

    Raises:
        ServerUnavailableError: no MariaDB is installed that could be started.
    """
    program("mariadbd", "mysqld")
    with tempfile.TemporaryDirectory(prefix="zoho_sync_maria_", dir=in_memory()) as directory:
        workspace, user = Path(directory), server_user()
        for name in ("data", "tmp"):
            (workspace / name).mkdir()
        if user is not None:
            for path in (workspace, *workspace.iterdir()):
                shutil.chown(path, user)
        server = PrivateMariaDB(
            address=URL.create("mysql", "root", host="127.0.0.1", port=free_port()),
            workspace=workspace,
            user=user,
        )
        server.initialize()
        try:
            server.start()
            yield server
        finally:
            server.stop()


@contextmanager
def available_mariadb() -> Iterator[MariaDBServer]:
    """The server that the environment names, else a private one.

    Raises:
        ServerUnavailableError: there is neither.
    """
    address = os.environ.get(ENVIRONMENT_URL)
    if address:
        yield MariaDBServer(address=make_url(address))
        return
    with private_mariadb() as server:
        yield server
