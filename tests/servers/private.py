"""Starts the servers that belong to the tests, and sees to it that none outlives them."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

START_ATTEMPTS = 5
STOP_SECONDS = 30.0
POLL_SECONDS = 0.01
LOG_TAIL = 4000

# Waits until the tests' process is gone, however it ended: its end of the pipe closes then. Servers
# that stand still hear of a signal when they go on.
WATCH = """
read -r _
kill -s "$2" -- "-$1"
kill -s CONT -- "-$1"
shift 2
sleep 1
rm -rf -- "$@"
"""

_S = TypeVar("_S")
_P = TypeVar("_P", bound="PrivateServer")


@dataclass(kw_only=True)
class PrivateServer(ABC):
    """A server that belongs to these tests, so that they may stop and kill it.

    Attributes:
        workspace: A directory of its own, for its configuration and its log.
        user: The account that runs it; None for the one that runs the tests.
        port: Where it listens on this machine.
    """

    name: ClassVar[str]
    start_seconds: ClassVar[float] = 30.0
    stopping: ClassVar[signal.Signals] = signal.SIGTERM
    killing: ClassVar[signal.Signals] = signal.SIGKILL

    workspace: Path
    user: str | None = None
    port: int = field(init=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)
    _watch: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self.listen_at(free_port())

    @property
    def folders(self) -> Sequence[Path]:
        """What is gone when it is."""
        return [self.workspace]

    @property
    def log(self) -> Path:
        """What it has said since it was started."""
        return self.workspace / "server.log"

    @property
    def pid(self) -> int:
        """The process that was started; 0 while there is none."""
        return self._process.pid if self._process is not None else 0

    @property
    def environment(self) -> Mapping[str, str] | None:
        """Its variables; None for those of the tests."""
        return None

    @abstractmethod
    def listen_at(self, port: int) -> None:
        """Choose the port of the next start, and say so in the address."""

    @abstractmethod
    def command(self) -> list[str]:
        """Write the configuration, and return the command line."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether it serves clients."""

    def start(self) -> None:
        """Start the server and wait until it answers; a port that somebody took is replaced.

        Raises:
            RuntimeError: it does not start; the message ends with the server's log.
        """
        for _ in range(START_ATTEMPTS):
            if self._started():
                return
            self.listen_at(free_port())
        log = self.log.read_text(errors="replace")[-LOG_TAIL:]
        raise RuntimeError(f"{self.name} does not start:\n{log}")

    def stop(self) -> None:
        """Shut down cleanly, ending open connections."""
        self._end(self.stopping)

    def kill(self) -> None:
        """End it at once, as in a crash: nothing is flushed, the next start recovers."""
        self._end(self.killing)

    def restart(self) -> None:
        """Shut down cleanly and start again, at the same port unless somebody took it."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Let it run no further, with its connections open: it takes new ones, and is silent."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGSTOP)
            # One that has several threads stops a little later.
            os.waitpid(self._process.pid, os.WUNTRACED)

    def thaw(self) -> None:
        """Let it run on."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGCONT)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let it stand still while the body runs."""
        self.freeze()
        try:
            yield
        finally:
            self.thaw()

    def said(self, greeting: bytes = b"") -> bytes:
        """Return the first bytes that its port answers to a greeting; none if nobody is there."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(greeting)
                return connection.recv(64)
        except OSError:
            return b""

    def _started(self) -> bool:
        with self.log.open("wb") as output:
            process = self._process = subprocess.Popen(
                self.command(),
                cwd=self.workspace,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # A group of its own, out of reach of the terminal's Ctrl-C.
                start_new_session=True,
                **as_user(self.user),
            )
        self._watch = watch(process.pid, self.killing, self.folders)
        deadline = time.monotonic() + self.start_seconds
        while process.poll() is None and time.monotonic() < deadline:
            if self.is_ready():
                return True
            time.sleep(POLL_SECONDS)
        self.kill()
        return False

    def _end(self, signal_number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal_number)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(STOP_SECONDS)
        watching, self._watch = self._watch, None
        if watching is not None:
            with watching:
                watching.kill()


@contextmanager
def running(server: _P) -> Iterator[_P]:
    """Start a server, and end it with the body: its data go with it, so it need not keep them."""
    try:
        server.start()
        yield server
    finally:
        server.kill()


@contextmanager
def available(
    variable: str, named: Callable[[str], _S], private: Callable[[], AbstractContextManager[_S]]
) -> Iterator[_S]:
    """Give the server that the environment names, else a private one.

    Raises:
        ServerUnavailableError: there is neither.
    """
    url = os.environ.get(variable)
    if url:
        yield named(url)
        return
    with private() as server:
        yield server


def watch(
    group: int, signal_number: signal.Signals, folders: Sequence[Path]
) -> subprocess.Popen[bytes]:
    """Start who ends a group of processes, and deletes folders, once this process is gone."""
    name = signal_number.name.removeprefix("SIG")
    return subprocess.Popen(
        ["/bin/sh", "-c", WATCH, "watch", str(group), name, *map(str, folders)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def run(command: Sequence[str], cwd: Path, user: str | None) -> None:
    """Run a command to its end as a server's user, and raise with its output if it fails."""
    done = subprocess.run(
        command,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        **as_user(user),
    )
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}:\n{done.stdout}")


def as_user(user: str | None) -> dict[str, Any]:
    """Return what lets a process be an account's, and no part of who starts it."""
    if user is None:
        return {}
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}


def user_unless_root(*names: str) -> str | None:
    """Return the first of these accounts that exists, for a server that refuses to be root's."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in names if name in known), "nobody")


def give(folder: Path, user: str | None) -> None:
    """Let a server's user own a folder and what is in it."""
    if user is not None:
        for path in (folder, *folder.rglob("*")):
            shutil.chown(path, user)


def program_at(name: str, *places: str) -> Path | None:
    """Return where a program is: on the path, or in one of more places."""
    found = shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), *places)))
    return None if found is None else Path(found)


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
