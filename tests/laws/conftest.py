"""Runs the laws on all databases, and those of a queue on every engine as well."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import pytest

from tests.conftest import databases
from tests.laws.engines import DATABASES, QueueEngine, engine_of
from tests.laws.written import DRIVERS, Written

LAWS = (pytest.mark.law, pytest.mark.databases("sqlite", "postgresql", "mariadb"))


def pytest_collectstart(collector: pytest.Collector) -> None:
    """Mark the folder of a module, and with it the laws, unless the module says something else."""
    folder = collector.parent
    if isinstance(folder, pytest.Directory) and not folder.get_closest_marker("law"):
        for mark in LAWS:
            folder.add_marker(mark)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that asks for a queue engine on each of them, with a database behind it."""
    if "queue_engine" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker("databases")
    inside = [(each, "sql") for each in databases(metafunc.definition)]
    outside = [
        (database, name)
        for name, database in DATABASES.items()
        if not marker or {name, database} & {*marker.args}
    ]
    chosen = [*inside, *outside]
    metafunc.parametrize(
        ("database_url", "queue_engine"),
        chosen,
        indirect=True,
        ids=[database if name == "sql" else name for database, name in chosen],
    )


@pytest.fixture
def queue_engine(request: pytest.FixtureRequest) -> QueueEngine:
    """A queue engine; the test runs once on each."""
    return engine_of(request.param, request.getfixturevalue)


@pytest.fixture
async def queues(queue_engine: QueueEngine) -> AsyncIterator[QueueEngine]:
    """The same with an empty queue, which is gone afterwards."""
    await queue_engine.begin()
    yield queue_engine
    await queue_engine.end()


@pytest.fixture
def written(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> Written:
    """Hold everything that is written: the root logs at DEBUG, drivers at WARNING."""
    caplog.set_level(logging.DEBUG)
    for driver in DRIVERS:
        caplog.set_level(logging.WARNING, logger=driver)
    return Written(caplog, capsys)
