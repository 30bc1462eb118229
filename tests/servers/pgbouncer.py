"""PgBouncer for tests, in transaction mode: what a host's PostgreSQL may be behind."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL

from tests.servers import ServerUnavailableError
from tests.servers.postgres import PostgresServer, free_port

START_ATTEMPTS = 5
START_SECONDS = 15.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.01
PLACES = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin")
KEEPS_STATEMENTS = (1, 21)
"""From this version on it can keep prepared statements; here it does not."""


@dataclass(frozen=True)
class Pooler:
    """A pooler in front of a server.

    Attributes:
        server: The server behind it.
        port: Where it listens on this machine.
    """

    server: PostgresServer
    port: int

    def url(self, database: str, driver: str) -> str:
        """The URL of a database through the pooler."""
        address = self.server.address.set(
            drivername=f"postgresql+{driver}", host="127.0.0.1", port=self.port, database=database
        )
        return address.render_as_string(hide_password=False)


def program() -> str:
    """Where it is installed.

    Raises:
        ServerUnavailableError: nowhere.
    """
    path = os.pathsep.join((os.environ.get("PATH", ""), *PLACES))
    found = shutil.which("pgbouncer", path=path)
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
    command = program()
    # It refuses to run as root.
    user = "nobody" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="zoho_sync_pgbouncer_") as directory:
        workspace = Path(directory)
        if user is not None:
            shutil.chown(workspace, user)
        for _ in range(START_ATTEMPTS):
            pooler = Pooler(server, free_port())
            configuration = workspace / "pgbouncer.ini"
            configuration.write_text(_settings(server.address, pooler.port, connections, command))
            process = _spawn([command, str(configuration)], workspace, user)
            try:
                if _answers(process, pooler.port):
                    yield pooler
                    return
            finally:
                process.terminate()
                try:
                    process.wait(STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait(STOP_SECONDS)
        log = (workspace / "log").read_text(errors="replace")
        raise RuntimeError(f"PgBouncer does not start:\n{log}")


def _settings(address: URL, port: int, connections: int, command: str) -> str:
    login = f"user={address.username}"
    if address.password:
        login += f" password={address.password}"
    lines = [
        "[databases]",
        f"* = host={address.host} port={address.port or 5432} {login}",
        "[pgbouncer]",
        "listen_addr = 127.0.0.1",
        f"listen_port = {port}",
        "unix_socket_dir =",
        "auth_type = any",
        "pool_mode = transaction",
        f"default_pool_size = {connections}",
        "max_client_conn = 200",
        # A server's connection goes to whoever is next, as on a busy day.
        "server_round_robin = 1",
    ]
    if _version(command) >= KEEPS_STATEMENTS:
        lines.append("max_prepared_statements = 0")
    return "\n".join(lines) + "\n"


def _version(command: str) -> tuple[int, int]:
    told = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"(\d+)\.(\d+)", told.stdout + told.stderr)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _spawn(command: list[str], workspace: Path, user: str | None) -> subprocess.Popen[bytes]:
    with (workspace / "log").open("ab") as output:
        return subprocess.Popen(
            command,
            cwd=workspace,
            user=user,
            group=None if user is None else pwd.getpwnam(user).pw_gid,
            extra_groups=None if user is None else [],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return True
        except OSError:
            time.sleep(POLL_SECONDS)
    return False
