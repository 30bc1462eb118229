"""``zoho-sync worker --processes``: who ends is replaced, and nobody outlives the supervisor."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.cli.conftest import in_database
from tests.cli.test_worker import (
    PATIENCE,
    enqueue,
    enqueue_item,
    running,
    slow,
    wait_for,
    wait_until_idle,
)
from zoho_sync import ZohoSync
from zoho_sync.cli import parent
from zoho_sync.cli.processes import Replacing, supervise

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are sent to processes")

QUICK = Replacing(first=0.001, longest=0.004, settled=600, ends=4)


def started(process: subprocess.Popen[str], count: int) -> list[int]:
    """Return the numbers of processes that a supervisor's log tells of next."""
    found: list[int] = []
    assert process.stderr is not None
    while len(found) < count:
        line = process.stderr.readline()
        assert line, "it ended before it had started them"
        if " is process " in line:
            found.append(int(line.rpartition(" ")[2]))
    return found


def lives(process: int) -> bool:
    """Whether a process runs; one that has ended and is not waited for does not."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{process}/stat")
    with suppress(FileNotFoundError):
        return status.read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    return not Path("/proc/self").exists()


def wait_until_ended(*processes: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while any(lives(each) for each in processes):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextmanager
def supervised(*arguments: str, cwd: Path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """Run two workers; none is left behind, whatever the test found."""
    workers: list[int] = []
    with running(*arguments, "--processes", "2", cwd=cwd) as process:
        try:
            workers.extend(started(process, 2))
            yield process, workers
        finally:
            process.kill()
            for each in workers:
                with suppress(ProcessLookupError):
                    os.kill(each, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_one_that_ends_is_replaced_however_it_ended(
    sqlite_url: str, tmp_path: Path, number: signal.Signals
) -> None:
    in_database(sqlite_url, enqueue)
    with supervised("--database-url", sqlite_url, cwd=tmp_path) as (process, workers):
        wait_until_idle(sqlite_url)
        os.kill(workers[0], number)
        workers.extend(started(process, 1))
        assert len(set(workers)) == 3
        in_database(sqlite_url, enqueue_item)
        wait_until_idle(sqlite_url)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=PATIENCE)
        wait_until_ended(*workers)
    assert process.returncode == 0, err
    assert "SIGTERM: stopping 2 worker(s)" in err


def test_workers_end_with_a_supervisor_that_is_killed(postgres_url: str, tmp_path: Path) -> None:
    in_database(postgres_url, enqueue_item)
    slow(postgres_url, tmp_path, "pass")
    with supervised("--app", "slow_host:sync", cwd=tmp_path) as (process, workers):
        wait_for(tmp_path / "begun")
        process.kill()
        process.communicate(timeout=PATIENCE)
        wait_until_ended(*workers)
    assert in_database(postgres_url, ready_and_leased) == (1, 0)


async def ready_and_leased(sync: ZohoSync) -> tuple[int, int]:
    depth = (await sync.status()).queue
    return depth.ready, depth.leased


def test_a_signal_to_the_whole_group_is_one_signal(postgres_url: str, tmp_path: Path) -> None:
    """A service manager tells all processes; the supervisor's own word must not be the second."""
    in_database(postgres_url, enqueue_item)
    until_told = 'Path("ending").touch()\n            while not Path("go").exists(): '
    slow(postgres_url, tmp_path, until_told + "await asyncio.sleep(0.01)")
    with supervised("--app", "slow_host:sync", cwd=tmp_path) as (process, workers):
        wait_for(tmp_path / "begun")
        for each in workers:
            os.kill(each, signal.SIGTERM)
        wait_for(tmp_path / "ending")
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        assert any("SIGTERM: stopping" in line and "worker(s)" in line for line in process.stderr)
        (tmp_path / "go").touch()
        process.communicate(timeout=PATIENCE)
        wait_until_ended(*workers)
    assert process.returncode == 0
    assert in_database(postgres_url, ready_and_leased) == (1, 0)


def test_a_worker_that_cannot_stop_is_ended_all_the_same() -> None:
    """A handler that blocks the loop hears no signal."""
    program = (
        "import signal, time\n"
        "from zoho_sync.cli import parent\n"
        "parent._GRACE = 0.1\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "parent.Parent().watch()\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(PATIENCE) == 1


def test_what_a_parent_writes_means_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    exits: list[int] = []
    monkeypatch.setattr(os, "_exit", exits.append)
    monkeypatch.setattr(parent, "_GRACE", 0)
    end, other = os.pipe()
    os.write(other, b"stop?")
    os.close(other)
    watched = parent.Parent()
    watched.is_stopping = True
    watched._wait(end)
    os.close(end)
    assert watched.is_gone
    assert exits == [1]


def test_what_a_worker_starts_does_not_read_from_its_parent() -> None:
    program = (
        "import subprocess, sys\n"
        "from zoho_sync.cli.parent import Parent\n"
        "Parent().watch()\n"
        "subprocess.run([sys.executable, '-c', 'import sys; print(sys.stdin.read())'], check=True)"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.wait(PATIENCE) == 0
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Stands for the interpreter that runs a worker; a test writes what it does."""
    program = tmp_path / "program"
    monkeypatch.setattr(sys, "executable", str(program))
    return program


def does(program: Path, text: str) -> None:
    program.write_text(f"#!/bin/sh\necho came >>{program}.log\n{text}\n", encoding="utf-8")
    program.chmod(0o755)


def starts(program: Path) -> int:
    return len(Path(f"{program}.log").read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize(
    ("ending", "code", "told"),
    [
        ("exit 4", 4, "ended with exit code 4"),
        ("exit 2", 2, "ended with exit code 2"),
        ("exit 1", 1, "ended with exit code 1"),
        ("exit 0", 1, "ended with exit code 0"),
        ("exit 77", 1, "ended with exit code 77"),
        ("kill -9 $$", 1, "was killed by signal 9"),
    ],
)
def test_one_that_keeps_ending_is_given_up(
    program: Path, caplog: pytest.LogCaptureFixture, ending: str, code: int, told: str
) -> None:
    does(program, ending)
    caplog.set_level(logging.INFO, "zoho_sync")
    assert asyncio.run(supervise(1, [], QUICK)) == ("error", code)
    assert starts(program) == 4
    pauses = re.findall(rf"worker 0 {told}; it is replaced in ([\d.]+) s", caplog.text)
    assert pauses == ["0.001", "0.002", "0.004"]
    assert f"worker 0 {told}, 4 times in a row: giving up" in caplog.text


def test_no_exit_code_is_lost_where_processes_end_at_once(program: Path) -> None:
    # The first that is given up has the others told to stop, in the very moment in which they end.
    does(program, "exit 4")
    at_once = Replacing(first=0, settled=600, ends=2)
    assert {asyncio.run(supervise(8, [], at_once)) for _ in range(20)} == {("error", 4)}


def test_one_that_has_worked_for_a_while_begins_anew(
    program: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Ends that are far apart are no row of ends, however many there are."""
    does(program, f"[ $(wc -l <{program}.log) -lt 12 ] || exec cat")
    replacing = Replacing(first=0.001, settled=0, ends=2)

    async def until_told() -> tuple[str, int]:
        supervising = asyncio.create_task(supervise(1, [], replacing))
        while not Path(f"{program}.log").exists() or starts(program) < 12:  # noqa: ASYNC110, ASYNC240  # another process writes it
            await asyncio.sleep(0.01)
        signal.raise_signal(signal.SIGTERM)
        return await supervising

    assert asyncio.run(until_told()) == ("SIGTERM", 0)
    assert "giving up" not in caplog.text


def test_one_that_cannot_be_started_is_tried_again_and_given_up(
    program: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # The first to come stays; the second takes the program away, and is killed.
    does(
        program,
        f"if mkdir {tmp_path}/came; then echo $$ >{tmp_path}/id; exec cat; fi\n"
        f'until [ -s {tmp_path}/id ]; do sleep 0.01; done; rm "$0"; kill -9 $$',
    )
    assert asyncio.run(supervise(2, [], QUICK)) == ("error", 1)
    assert "cannot be started: No such file or directory" in caplog.text
    wait_until_ended(int((tmp_path / "id").read_text(encoding="utf-8")))


def test_an_unreachable_database_is_told_by_the_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["worker", "--database-url", "postgresql+asyncpg://nobody@127.0.0.1:1/none"]
    monkeypatch.chdir(tmp_path)
    assert asyncio.run(supervise(2, arguments, Replacing(first=0, ends=1))) == ("error", 4)
