"""A RabbitMQ server for tests: the one that the environment names, or a private one."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from tests.servers import ServerUnavailableError, in_memory
from tests.servers.postgres import free_port

ENVIRONMENT_URL = "ZOHO_SYNC_TEST_RABBITMQ_URL"
START_ATTEMPTS = 3
START_SECONDS = 60.0
STOP_SECONDS = 30.0
POLL_SECONDS = 0.05
PASSWORD = "s3cret-of-the-url"
LARGEST = 2_000_000
"""How many bytes a private server takes in one message."""

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
class PrivateRabbitMQ(RabbitMQServer):
    """A server that belongs to these tests, so that they may stop and kill it.

    Attributes:
        program: The server's program.
        workspace: A directory of its own.
    """

    address: str = ""
    program: Path
    workspace: Path
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)
    _mapper: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)
    _mapper_port: int = field(default=0, init=False, repr=False)
    _peers_port: int = field(default=0, init=False, repr=False)

    @property
    def port(self) -> int:
        """Where it listens on this machine."""
        return urlsplit(self.address).port or 0

    @property
    def _log(self) -> Path:
        return self.workspace / "rabbitmq.log"

    def start(self) -> None:
        """Start the server and wait until it answers; a port that somebody took is replaced.

        Raises:
            RuntimeError: it does not start; the message ends with the server's log.
        """
        for _ in range(START_ATTEMPTS):
            if not self.address:
                self.address = f"amqp://tests:{PASSWORD}@127.0.0.1:{free_port()}/"
            if self._started():
                return
            self.address = ""
        raise RuntimeError(f"RabbitMQ does not start:\n{self._log.read_text()[-4000:]}")

    def stop(self) -> None:
        """Shut down cleanly."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the processes at once, as in a crash."""
        self._end(signal.SIGKILL)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let the server stand still while the body runs: it takes connections, and is silent."""
        process = self._process
        assert process is not None
        os.killpg(process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGCONT)

    def control(self, *arguments: str) -> str:
        """Run the server's command line, and return what it says."""
        ran = subprocess.run(
            [str(self.program.with_name("rabbitmqctl")), "--quiet", *arguments],
            env=self._environment(),
            capture_output=True,
            check=True,
            text=True,
            timeout=START_SECONDS,
        )
        return ran.stdout

    def _started(self) -> bool:
        self._map_ports()
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
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [str(self.program)],
                cwd=self.workspace,
                env=self._environment(),
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

    def _map_ports(self) -> None:
        """Start the daemon that Erlang asks for nodes; one that a node starts would stay."""
        self._mapper_port, self._peers_port = free_port(), free_port()
        found = shutil.which("epmd")
        if found is None:
            raise ServerUnavailableError("no epmd: apt-get install erlang-base")
        self._mapper = subprocess.Popen(
            [found, "-port", str(self._mapper_port), "-address", "127.0.0.1"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def _environment(self) -> dict[str, str]:
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

    def _answers(self) -> bool:
        """Whether it speaks the protocol."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(HEADER)
                return connection.recv(1) == b"\x01"
        except OSError:
            return False

    def _end(self, signal_number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal_number)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(STOP_SECONDS)
        mapper, self._mapper = self._mapper, None
        if mapper is not None:
            mapper.kill()
            mapper.wait(STOP_SECONDS)


def server_program() -> Path:
    """Where the server's program is.

    Raises:
        ServerUnavailableError: it is not installed.
    """
    found = sorted(Path("/").glob(PROGRAMS.removeprefix("/")))
    if not found:
        raise ServerUnavailableError(
            f"no RabbitMQ: apt-get install rabbitmq-server, or set {ENVIRONMENT_URL}"
        )
    return found[-1]


@contextmanager
def private_rabbitmq() -> Iterator[PrivateRabbitMQ]:
    """A started server of one's own, gone with its data at the end.

    Raises:
        ServerUnavailableError: no server is installed that could be started.
    """
    program = server_program()
    with tempfile.TemporaryDirectory(prefix="zoho_sync_rabbitmq_", dir=in_memory()) as directory:
        server = PrivateRabbitMQ(program=program, workspace=Path(directory))
        try:
            server.start()
            yield server
        finally:
            server.kill()


@contextmanager
def available_rabbitmq() -> Iterator[RabbitMQServer]:
    """The server that the environment names, else a private one.

    Raises:
        ServerUnavailableError: there is neither.
    """
    url = os.environ.get(ENVIRONMENT_URL)
    if url:
        yield RabbitMQServer(address=url.partition("?")[0])
        return
    with private_rabbitmq() as server:
        yield server
