"""Databases for the tests: one of its own for each test, on every database that is supported."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import warnings
from collections.abc import AsyncIterator, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from tests.core_run import CoreRun
from tests.engines import warm_engine
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
"""Where a test runs whose marker `databases` says nothing else."""

if (memory := in_memory()) is not None:
    # Where pytest makes the folders of tests, and with them the files of SQLite.
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", memory)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer the whole matrix, and the recording of how long its tests take."""
    group = parser.getgroup("zoho_sync")
    group.addoption(
        "--everything",
        action="store_true",
        help="run every test on all its databases and engines, and with all seeds",
    )
    group.addoption(
        "--record-seconds",
        action="store_true",
        help="write how long the dearer tests took to tests/seconds.json",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Let the core run be chosen, unless everything runs."""
    config.pluginmanager.register(CoreRun(config), "core_run")
    # Tests start a hundred processes, each of which would compile the library and its host anew.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Start two workers on each core: half of what tests do is waiting for servers and leases."""
    return 2 * (os.cpu_count() or 1)


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


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Collect the connections that a test has broken before the next test is blamed for them.

    A driver that is cancelled while it connects leaves a socket to the garbage collector.
    """
    result = yield
    if item.get_closest_marker("breaks_connections"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
        # Else each collection would look again at all that stays, and take longer than most tests.
        gc.freeze()
    return result


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
    """Return the databases that a test runs on: its marker's, or its module's or folder's."""
    marker = definition.get_closest_marker("databases")
    return [name for name in FIXTURES if name in (marker.args if marker else DATABASES)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test on every database that it is meant for."""
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
    engine = warm_engine(database_url)
    yield engine
    await engine.dispose()


@pytest.fixture
def sessions(engine: AsyncEngine) -> async_sessionmaker[AsyncSession]:
    """The session factory that a host would hand over."""
    return async_sessionmaker(engine, expire_on_commit=False)
