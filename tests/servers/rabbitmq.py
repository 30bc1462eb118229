"""A RabbitMQ server for tests: the one that the environment names, or a private one."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers import ServerUnavailableError, in_memory
from tests.servers.private import PrivateServer, available, free_port, running

ENVIRONMENT_URL = "ZOHO_SYNC_TEST_RABBITMQ_URL"
PASSWORD = "s3cret-of-the-url"
LARGEST = 2_000_000
"""How many bytes a private server takes in one message."""

# The daemon that Erlang asks for nodes is of the server's own group: one that a node starts stays.
START = 'epmd -port "$ERL_EPMD_PORT" -address 127.0.0.1 & exec "$0"'
CONTROL_SECONDS = 60.0
HEADER = b"AMQP\x00\x00\x09\x01"
PROGRAMS = "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server"
"""Where the system's package has the program itself; that on the path starts it as another user."""


@dataclass(kw_only=True)
class RabbitMQServer:
    """A reachable server.

    Attributes:
        address: ``amqp://user:password@host:port/vhost``.
    """

    address: str

    def url(self, queue: str) -> str:
        """The URL of a queue on this server."""
        return f"{self.address}?queue={queue}"


@dataclass(kw_only=True)
class PrivateRabbitMQ(PrivateServer, RabbitMQServer):
    """A server that belongs to these tests, so that they may stop and kill it.

    Attributes:
        program: The server's program.
    """

    name = "RabbitMQ"
    start_seconds = 60.0

    program: Path
    address: str = field(init=False)
    _mapper_port: int = field(init=False, repr=False)
    _peers_port: int = field(init=False, repr=False)

    @property
    def environment(self) -> Mapping[str, str]:
        here = str(self.workspace)
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        return kept | {
            "HOME": here,
            # So that it becomes the process that was started, and no shell stands between.
            "RUNNING_UNDER_SYSTEMD": "true",
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._mapper_port),
            "RABBITMQ_NODENAME": f"tests{self.workspace.name[-8:]}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._peers_port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_BASE": here,
            "RABBITMQ_MNESIA_BASE": f"{here}/mnesia",
            "RABBITMQ_LOG_BASE": f"{here}/log",
            "RABBITMQ_CONFIG_FILE": f"{here}/rabbitmq.conf",
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{here}/advanced.config",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{here}/plugins",
        }

    def listen_at(self, port: int) -> None:
        self.port = port
        self.address = f"amqp://tests:{PASSWORD}@127.0.0.1:{port}/"

    def command(self) -> list[str]:
        self._mapper_port, self._peers_port = free_port(), free_port()
        settings = {
            "listeners.tcp.1": f"127.0.0.1:{self.port}",
            "default_user": "tests",
            "default_pass": PASSWORD,
            "log.console": "true",
            "log.console.level": "warning",
            "log.file": "false",
            "max_message_size": LARGEST,
        }
        lines = [f"{name} = {value}\n" for name, value in settings.items()]
        (self.workspace / "rabbitmq.conf").write_text("".join(lines))
        (self.workspace / "plugins").write_text("[].\n")
        # How often it looks for what was held too long.
        (self.workspace / "advanced.config").write_text(
            "[{rabbit, [{channel_tick_interval, 500}]}].\n"
        )
        return ["/bin/sh", "-c", START, str(self.program)]

    def is_ready(self) -> bool:
        """Whether it speaks the protocol."""
        return self.said(HEADER).startswith(b"\x01")

    def control(self, *arguments: str) -> str:
        """Run the server's command line, and return what it says."""
        ran = subprocess.run(
            [str(self.program.with_name("rabbitmqctl")), "--quiet", *arguments],
            env=self.environment,
            capture_output=True,
            check=True,
            text=True,
            timeout=CONTROL_SECONDS,
        )
        return ran.stdout


def server_program() -> Path:
    """Where the server's program is.

    Raises:
        ServerUnavailableError: it is not installed, or what it needs is not.
    """
    found = sorted(Path("/").glob(PROGRAMS.removeprefix("/")))
    if not found:
        raise ServerUnavailableError(
            f"no RabbitMQ: apt-get install rabbitmq-server, or set {ENVIRONMENT_URL}"
        )
    if shutil.which("epmd") is None:
        raise ServerUnavailableError("no epmd: apt-get install erlang-base")
    return found[-1]


@contextmanager
def private_rabbitmq() -> Iterator[PrivateRabbitMQ]:
    """A started server of one's own, gone with its data at the end.

    Raises:
        ServerUnavailableError: no server is installed that could be started.
    """
    program = server_program()
    with (
        tempfile.TemporaryDirectory(prefix="zoho_sync_rabbitmq_", dir=in_memory()) as folder,
        running(PrivateRabbitMQ(workspace=Path(folder), program=program)) as server,
    ):
        yield server


def _named(url: str) -> RabbitMQServer:
    return RabbitMQServer(address=url.partition("?")[0])


def available_rabbitmq() -> AbstractContextManager[RabbitMQServer]:
    """The server that the environment names, else a private one; see `available`."""
    return available(ENVIRONMENT_URL, _named, private_rabbitmq)
