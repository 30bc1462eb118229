"""PgBouncer for tests, in transaction mode: what a host's PostgreSQL may be behind."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers import ServerUnavailableError
from tests.servers.postgres import PostgresServer
from tests.servers.private import PrivateServer, give, program_at, running, user_unless_root

PLACES = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin")
ASKS_FOR_TLS = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
KEEPS_STATEMENTS = (1, 21)
"""From this version on it can keep prepared statements; here it does not."""


@dataclass(kw_only=True)
class Pooler(PrivateServer):
    """A pooler in front of a server.

    Attributes:
        program: The pooler's program.
        server: The server behind it.
        connections: How many it has to each database.
    """

    name = "PgBouncer"

    program: Path
    server: PostgresServer
    connections: int

    def url(self, database: str, driver: str) -> str:
        """The URL of a database through the pooler."""
        address = self.server.address.set(
            drivername=f"postgresql+{driver}", host="127.0.0.1", port=self.port, database=database
        )
        return address.render_as_string(hide_password=False)

    def listen_at(self, port: int) -> None:
        self.port = port

    def command(self) -> list[str]:
        configuration = self.workspace / "pgbouncer.ini"
        configuration.write_text("".join(f"{line}\n" for line in self._settings()))
        return [str(self.program), str(configuration)]

    def is_ready(self) -> bool:
        return self.said(ASKS_FOR_TLS) in (b"N", b"S")

    def _settings(self) -> list[str]:
        address = self.server.address
        login = f"user={address.username}"
        if address.password:
            login += f" password={address.password}"
        lines = [
            "[databases]",
            f"* = host={address.host} port={address.port or 5432} {login}",
            "[pgbouncer]",
            "listen_addr = 127.0.0.1",
            f"listen_port = {self.port}",
            "unix_socket_dir =",
            "auth_type = any",
            "pool_mode = transaction",
            f"default_pool_size = {self.connections}",
            "max_client_conn = 200",
            # A server's connection goes to whoever is next, as on a busy day.
            "server_round_robin = 1",
        ]
        if _version(self.program) >= KEEPS_STATEMENTS:
            lines.append("max_prepared_statements = 0")
        return lines


def program() -> Path:
    """Where it is installed.

    Raises:
        ServerUnavailableError: nowhere.
    """
    found = program_at("pgbouncer", *PLACES)
    if found is None:
        raise ServerUnavailableError("no PgBouncer: apt-get install pgbouncer")
    return found


@contextmanager
def available_pooler(server: PostgresServer, *, connections: int = 4) -> Iterator[Pooler]:
    """A started pooler, gone at the end.

    Args:
        server: What it is in front of.
        connections: How many it has to each database: fewer than its clients have to it.

    Raises:
        ServerUnavailableError: it is not installed.
        RuntimeError: it does not start.
    """
    found = program()
    with tempfile.TemporaryDirectory(prefix="zoho_sync_pgbouncer_") as folder:
        pooler = Pooler(
            workspace=Path(folder),
            user=user_unless_root(),
            program=found,
            server=server,
            connections=connections,
        )
        give(pooler.workspace, pooler.user)
        with running(pooler):
            yield pooler


def _version(command: Path) -> tuple[int, int]:
    told = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"(\d+)\.(\d+)", told.stdout + told.stderr)
    return (int(found[1]), int(found[2])) if found else (0, 0)
