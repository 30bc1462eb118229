"""The MariaDB that the tests run on starts, answers, survives a crash and goes away."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import asyncmy
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from tests.servers import ServerUnavailableError, skip_or_fail
from tests.servers import mariadb as maria
from tests.servers.mariadb import MariaDBServer, PrivateMariaDB, available_mariadb, private_mariadb


@pytest.fixture(scope="module")
def private_maria() -> Iterator[PrivateMariaDB]:
    try:
        with private_mariadb() as server:
            yield server
    except ServerUnavailableError as reason:
        skip_or_fail(reason)


def test_mariadb_outlives_a_kill_and_a_restart(private_maria: PrivateMariaDB) -> None:
    name = private_maria.create_database()
    private_maria.execute(f"CREATE TABLE {name}.kept AS SELECT 7 AS id")
    private_maria.kill()
    with pytest.raises(asyncmy.errors.OperationalError):
        private_maria.execute("SELECT 1")
    private_maria.start()
    private_maria.restart()
    assert private_maria.execute(f"SELECT id FROM {name}.kept") == [(7,)]  # noqa: S608  # ours
    private_maria.drop_database(name)


def test_mariadb_drops_databases_under_open_connections(mariadb_server: MariaDBServer) -> None:
    name = mariadb_server.create_database()

    async def drop() -> None:
        engine = create_async_engine(mariadb_server.url(name))
        async with engine.connect() as connection:
            await connection.execute(text("CREATE TABLE held (id INTEGER)"))
            await connection.execute(text("SELECT id FROM held"))
            await asyncio.to_thread(mariadb_server.drop_database, name)
            await connection.invalidate()
        await engine.dispose()

    asyncio.run(drop())
    assert (name,) not in mariadb_server.execute("SHOW DATABASES")


def test_mariadb_listens_on_a_free_port_of_loopback_and_leaves_nothing(
    private_maria: PrivateMariaDB,
) -> None:
    with private_mariadb() as other:
        assert other.address.port != private_maria.address.port
        assert other.execute("SELECT @@bind_address") == [("127.0.0.1",)]
        workspace = other.workspace
        # Where servers share it, one that starts deletes the temporary tables of the others.
        assert other.execute("SELECT @@tmpdir") == [(str(workspace / "tmp"),)]
    assert not workspace.exists()


def test_the_environment_names_a_mariadb(
    monkeypatch: pytest.MonkeyPatch, private_maria: PrivateMariaDB
) -> None:
    monkeypatch.setenv(maria.ENVIRONMENT_URL, private_maria.url("mysql"))
    with available_mariadb() as server:
        assert not isinstance(server, PrivateMariaDB)
        server.drop_database(server.create_database())


def test_without_mariadb_a_test_skips_and_names_the_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(maria.ENVIRONMENT_URL, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(maria, "PLACES", ())
    with (
        pytest.raises(ServerUnavailableError, match="apt-get install mariadb-server"),
        available_mariadb(),
    ):
        pass
