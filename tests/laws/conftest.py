"""The laws of a queue on every engine: those in the database, and those outside of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.conftest import FEWER_DATABASES, databases
from tests.laws.engines import DATABASES, QueueEngine, engine_of


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
    # What an engine outside does has nothing to do with the line of SQLAlchemy.
    chosen = inside or outside[:1] if FEWER_DATABASES else [*inside, *outside]
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
