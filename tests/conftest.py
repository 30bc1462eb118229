"""Databases for the tests: one of its own for each test, on every database that is supported."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import warnings
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
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
from zoho_sync import ZohoSync

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
    "test_conformance",
    "test_create_tables",
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
# Its ERP indexes expressions, which MariaDB cannot, and has triggers in two languages.
ONLY_ON_TWO = {"test_converges_awkward"}
# The database is PostgreSQL: what may differ is what the driver gives, takes and raises, and what
# becomes of its connections.
ON_PSYCOPG = {
    "test_atomic",
    "test_column_types",
    "test_conformance",
    "test_create_tables",
    "test_exactness",
    "test_fails_closed",
    "test_foreign_keys",
    "test_joins",
    "test_row_values",
    "test_sql_queue",
    "test_unique_values",
    "test_unit_of_work",
}
# On the second line of SQLAlchemy what the databases do need not be proved again: only what
# SQLAlchemy does differently with them and their drivers, and the laws.
FEWER_DATABASES = os.environ.get("ZOHO_SYNC_FEWER_DATABASES") == "1"
ON_EVERY_LINE = {
    "test_atomic",
    "test_column_types",
    "test_conformance",
    "test_create_tables",
    "test_joins",
    "test_sql_queue",
    "test_unit_of_work",
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


def create_tables(url: str) -> None:
    """Create the library's tables and the mirror, in a thread and an event loop of their own."""

    async def create() -> None:
        engine = create_async_engine(url)
        await ZohoSync(async_sessionmaker(engine)).create_tables()
        await engine.dispose()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, create()).result()


# The library's tables are the same whoever makes them, and that takes longer than many a test: they
# are copied, but for tests with the marker `without_tables`.


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite database with the library's tables."""
    path = tmp_path_factory.mktemp("template") / "template.db"
    create_tables(f"sqlite+aiosqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres_server: PostgresServer) -> Iterator[str]:
    """The name of a PostgreSQL database with the library's tables."""
    name = postgres_server.create_database()
    create_tables(postgres_server.url(name))
    yield name
    postgres_server.drop_database(name)


@pytest.fixture
def sqlite_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An SQLite database in a file of its own."""
    path = tmp_path / "test.db"
    if not request.node.get_closest_marker("without_tables"):
        shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
    return f"sqlite+aiosqlite:///{path}"


@pytest.fixture
def postgres_url(request: pytest.FixtureRequest, postgres_server: PostgresServer) -> Iterator[str]:
    """A PostgreSQL database, dropped after the test."""
    empty = request.node.get_closest_marker("without_tables")
    template = "template0" if empty else request.getfixturevalue("postgres_template")
    name = postgres_server.create_database(template)
    yield postgres_server.url(name)
    postgres_server.drop_database(name)


@pytest.fixture
def psycopg_url(postgres_url: str) -> str:
    """A PostgreSQL database, through its other driver."""
    return postgres_url.replace("+asyncpg", "+psycopg")


@pytest.fixture
def mariadb_url(mariadb_server: MariaDBServer) -> Iterator[str]:
    """An empty MariaDB database, dropped after the test; there are no templates."""
    name = mariadb_server.create_database()
    yield mariadb_server.url(name)
    mariadb_server.drop_database(name)


def databases(definition: pytest.Function) -> list[str]:
    """Return the databases that a test runs on, by its module, and by its marker if it has one."""
    path = definition.path
    is_law = path.parent.name == "laws"
    found = [*DATABASES]
    if path.stem in ON_PSYCOPG:
        found.append("psycopg")
    if path.stem in ON_MARIADB or (is_law and path.stem not in ONLY_ON_TWO):
        found.append("mariadb")
    marker = definition.get_closest_marker("databases")
    named = [each for each in found if not marker or each in marker.args]
    if FEWER_DATABASES and path.stem not in ON_EVERY_LINE:
        fewer = DATABASES if is_law else DATABASES[:1]
        # A test that is meant for one alone is not left out.
        return [each for each in named if each in fewer] or named[:1]
    return named


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test on every database that its module is meant for."""
    if "database_url" in metafunc.fixturenames and "queue_engine" not in metafunc.fixturenames:
        metafunc.parametrize("database_url", databases(metafunc.definition), indirect=True)


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> str:
    """A database with the library's tables; the test runs once on each that is supported."""
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
