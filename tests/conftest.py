"""Databases for the tests: one of its own for each test, on every database that is supported."""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from tests.servers import ServerUnavailableError, in_memory, skip_or_fail
from tests.servers.mariadb import MariaDBServer, available_mariadb
from tests.servers.nats import NATSServer, available_nats
from tests.servers.postgres import PostgresServer, available_postgres
from tests.servers.rabbitmq import RabbitMQServer, available_rabbitmq
from tests.servers.redis import RedisServer, available_redis

FIXTURES = {
    "sqlite": "sqlite_url",
    "postgresql": "postgres_url",
    "psycopg": "psycopg_url",
    "mariadb": "mariadb_url",
}
DATABASES = ("sqlite", "postgresql")
# The laws run on MariaDB as well, and what stands on what databases do differently: conflict
# clauses, locks, types, errors. The rest is the same code on every database, and would cost as many
# minutes again.
ON_MARIADB = {
    "test_column_types",
    "test_dead_letters",
    "test_dialects",
    "test_exactness",
    "test_executor",
    "test_foreign_keys",
    "test_handlers",
    "test_maintenance",
    "test_many_rows",
    "test_mirror_tables",
    "test_outbox_faults",
    "test_references",
    "test_row_values",
    "test_rulings",
    "test_servers",
    "test_sql_queue",
    "test_status",
    "test_trackers",
    "test_unique_values",
    "test_unit_of_work",
    "test_worker",
}
# Its ERP has a schema of its own and indexes on expressions, which MariaDB has not.
ONLY_ON_TWO = {"test_converges_awkward"}
# The database is PostgreSQL: what may differ is what the driver gives, takes and raises.
ON_PSYCOPG = {
    "test_absent_null_empty",
    "test_atomic",
    "test_fails_closed",
    "test_host_owns",
    "test_joins",
    "test_column_types",
    "test_exactness",
    "test_row_values",
    "test_sql_queue",
    "test_status",
    "test_trackers",
    "test_unique_values",
}

if (memory := in_memory()) is not None:
    # Where pytest makes the folders of tests, and with them the files of SQLite.
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", memory)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Hide what the imports made from the garbage collector: collections are quick then."""
    del session
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the tests that break connections on purpose do so without a warning."""
    for item in items:
        if item.get_closest_marker("breaks_connections"):
            item.add_marker(pytest.mark.filterwarnings("ignore::ResourceWarning"))


@pytest.fixture(autouse=True)
def no_broken_connections(request: pytest.FixtureRequest) -> Iterator[None]:
    """Collect the connections that a test has broken before the next test is blamed for them.

    A driver that is cancelled while it connects leaves a socket to the garbage collector.
    """
    yield
    if request.node.get_closest_marker("breaks_connections"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The PostgreSQL server of this test process."""
    try:
        with available_postgres() as server:
            yield server
    except ServerUnavailableError as reason:
        skip_or_fail(reason)


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaDBServer]:
    """The MariaDB server of this test process."""
    try:
        with available_mariadb() as server:
            yield server
    except ServerUnavailableError as reason:
        skip_or_fail(reason)


@pytest.fixture(scope="session")
def nats_server() -> Iterator[NATSServer]:
    """The NATS server of this test process."""
    try:
        with available_nats() as server:
            yield server
    except ServerUnavailableError as reason:
        skip_or_fail(reason)


@pytest.fixture(scope="session")
def rabbitmq_server() -> Iterator[RabbitMQServer]:
    """The RabbitMQ server of this test process."""
    try:
        with available_rabbitmq() as server:
            yield server
    except ServerUnavailableError as reason:
        skip_or_fail(reason)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """The Redis or Valkey server of this test process."""
    try:
        with available_redis() as server:
            yield server
    except ServerUnavailableError as reason:
        skip_or_fail(reason)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """An SQLite database in a file of its own."""
    return f"sqlite+aiosqlite:///{tmp_path / 'test.db'}"


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """An empty PostgreSQL database, dropped after the test."""
    name = postgres_server.create_database()
    yield postgres_server.url(name)
    postgres_server.drop_database(name)


@pytest.fixture
def psycopg_url(postgres_url: str) -> str:
    """An empty PostgreSQL database, through its other driver."""
    return postgres_url.replace("+asyncpg", "+psycopg")


@pytest.fixture
def mariadb_url(mariadb_server: MariaDBServer) -> Iterator[str]:
    """An empty MariaDB database, dropped after the test."""
    name = mariadb_server.create_database()
    yield mariadb_server.url(name)
    mariadb_server.drop_database(name)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test on every database that its module is meant for."""
    if "database_url" in metafunc.fixturenames:
        path = metafunc.definition.path
        laws = path.parent.name == "laws" and path.stem not in ONLY_ON_TWO
        databases = (
            *DATABASES,
            *(["psycopg"] if path.stem in ON_PSYCOPG else []),
            *(["mariadb"] if laws or path.stem in ON_MARIADB else []),
        )
        metafunc.parametrize("database_url", databases, indirect=True)


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> str:
    """An empty database; the test runs once on each that is supported."""
    url: str = request.getfixturevalue(FIXTURES[request.param])
    return url


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    """An engine with its default pool, disposed after the test."""
    engine = create_async_engine(database_url)
    yield engine
    await engine.dispose()


@pytest.fixture
def sessions(engine: AsyncEngine) -> async_sessionmaker[AsyncSession]:
    """The session factory that a host would hand over."""
    return async_sessionmaker(engine, expire_on_commit=False)
