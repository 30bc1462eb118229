"""Chooses what ``python -m pytest`` runs alone, and says at the end what it has left out.

The core run proves every behaviour once, and every law on SQLite and PostgreSQL; ``--everything``
repeats them on all databases and engines, and with all seeds. Where a test runs is read from what
it asks for: its fixtures, its parameters, and the markers of its module. Recorded seconds may leave
a repetition to ``--everything``, and never a behaviour.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from tests.amounts import RUN

__all__ = ["CoreRun", "Plan", "behaviour", "function_of", "is_tried_on_both", "places"]

SECONDS: Final = Path(__file__).with_name("seconds.json")
"""How long the dearer tests took; ``python -m pytest --everything --record-seconds`` writes it."""
ENOUGH: Final = 0.2
"""Seconds that the core run spends at most on the repetitions of one test function."""
RECORDED: Final = 0.2
"""Seconds from which on a test is recorded."""
QUICK: Final = 0.1
"""Seconds that one counts for which is not recorded."""

BY_FIXTURE: Final = {
    "sqlite_url": "sqlite",
    "postgres_server": "postgresql",
    "psycopg_url": "psycopg",
    "mariadb_server": "mariadb",
    "private_maria": "mariadb",
    "redis_server": "redis",
    "nats_server": "nats",
    "rabbitmq_server": "rabbitmq",
    "pooler": "pgbouncer",
}
"""A fixture that a test asks for, and where it runs therefore."""
PLACES_OF: Final = ("queue_engine", "stack_name", "suite_url", "database_url")
"""Parameters that say where a test runs, the most telling first; ``sql`` is in its database."""
SEEDS: Final = ("seed",)
"""Parameters of which another value repeats a behaviour on other random data."""
TITLES: Final = {
    "sqlite": "SQLite",
    "postgresql": "PostgreSQL",
    "psycopg": "psycopg",
    "mariadb": "MariaDB",
    "memory": "the queue in memory",
    "redis": "Redis",
    "nats": "NATS",
    "rabbitmq": "RabbitMQ",
    "outbox": "an outbox",
    "pgbouncer": "PgBouncer",
}
"""The places, each of which is a marker of the tests that run there."""
ELSEWHERE: Final = {"psycopg", "mariadb", "rabbitmq", "pgbouncer"}
"""What the core run does without: a second driver, and servers that no wheel brings."""
OF_LAWS: Final = {"sqlite", "postgresql"}
"""Where the core run tries each law."""
OUTSIDE: Final = {"redis", "nats", "rabbitmq", "outbox"}
"""Engines that work alike on every line of SQLAlchemy."""
MARKERS: Final = (
    *(f"{name}: runs on {title}; derived" for name, title in TITLES.items()),
    "core: is in the core run; derived",
    "law: is about a law, which the core run tries on SQLite and PostgreSQL",
    "repeats(name): a class with the tests of that class, on another engine",
    "runs_on(*names): runs on these as well, though no fixture says so",
    "every_line: runs on all its databases on every line of SQLAlchemy",
    "depends_on_sqlalchemy: may differ on another line of it; derived from what a test imports",
)


def parameters(item: pytest.Item) -> Mapping[str, Any]:
    """Return what a test is parametrised with."""
    callspec = getattr(item, "callspec", None)
    return {} if callspec is None else callspec.params


def places(item: pytest.Item) -> list[str]:
    """Return where a test runs: databases, drivers and engines, the most telling one first."""
    given = parameters(item)
    found = [str(given[name]) for name in PLACES_OF if given.get(name, "sql") != "sql"]
    found += [str(name) for mark in item.iter_markers("runs_on") for name in mark.args]
    # The parameter says more than the fixtures that it may call for.
    asked = getattr(item, "fixturenames", ())
    found += [place for fixture, place in BY_FIXTURE.items() if fixture in asked]
    return list(dict.fromkeys(found))


def is_tried_on_both(item: pytest.Item) -> bool:
    """Return whether a test is in the core run for this database, whatever it takes.

    So is every law, and every test that says by itself, and not by its module, where it runs.
    """
    by_itself = any(mark.name == "databases" for mark in item.own_markers)
    by_law = item.get_closest_marker("law") is not None
    return (by_itself or by_law) and {*places(item)[:1]} <= OF_LAWS


def function_of(item: pytest.Item) -> str:
    """Return a test's name without what it is parametrised with; of a repetition, the first's."""
    file, *names = item.nodeid.partition("[")[0].split("::")
    repeated = item.get_closest_marker("repeats")
    if repeated is not None:
        names[0] = repeated.args[0]
    return "::".join([file, *names])


def behaviour(item: pytest.Item) -> Hashable:
    """Return what a test proves: the same in all its places, and with all its seeds."""
    others = [
        (name, value if isinstance(value, str | int | Enum) else id(value))
        for name, value in parameters(item).items()
        if name not in PLACES_OF and name not in SEEDS
    ]
    return function_of(item), *others


def recorded_seconds() -> dict[str, float]:
    """Return how long tests took, by their names; the others were quick."""
    recorded: dict[str, float] = json.loads(SECONDS.read_text())
    return recorded


class Plan:
    """What the core run has of the tests that were collected.

    Args:
        items: All that were collected.
        seconds: How long the dearer ones took, by their names.

    Attributes:
        core: Its tests.
        once: The first test of each behaviour, wherever it runs.
    """

    def __init__(self, items: Iterable[pytest.Item], seconds: Mapping[str, float]) -> None:
        self._seconds = seconds
        self.core: set[pytest.Item] = set()
        self.once: set[pytest.Item] = set()
        repeated: defaultdict[Hashable, list[pytest.Item]] = defaultdict(list)
        for item in items:
            repeated[behaviour(item)].append(item)
        self._spent: defaultdict[str, float] = defaultdict(float)
        for group in repeated.values():
            at_hand = [item for item in group if not ELSEWHERE & {*places(item)}]
            firsts = [item for item in at_hand if item.get_closest_marker("repeats") is None]
            self.once.add([*at_hand, *group][0])
            self.core.update(self._chosen(firsts or at_hand))

    def _chosen(self, group: Sequence[pytest.Item]) -> list[pytest.Item]:
        """Return what the core run has of one behaviour."""
        kept: list[pytest.Item] = []
        met: set[str] = set()
        for item in group:
            place = next(iter(places(item)), "")
            is_new = place not in met and (is_tried_on_both(item) or not kept)
            differs = item.get_closest_marker("databases") is not None and place in OF_LAWS
            seconds = self._seconds.get(item.name, QUICK)
            function = function_of(item)
            is_near = place in met or differs
            is_cheap = self._spent[function] + seconds <= ENOUGH and is_near
            if is_new or is_cheap:
                kept.append(item)
                met.add(place)
                self._spent[function] += 0 if is_new else seconds
        return kept


class CoreRun:
    """The hooks that choose what runs, and count it.

    Args:
        config: pytest's.

    Attributes:
        collected: The tests that there are, whether they run or not.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._began = time.monotonic()
        os.environ[RUN] = "everything" if config.option.everything else "core"
        self._left_out: Counter[str] = Counter()
        self.collected: tuple[pytest.Item, ...] = ()
        for line in MARKERS:
            config.addinivalue_line("markers", line)

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left out: because of the option, or since tests are chosen by name."""
        option = self._config.option
        return bool(option.everything or option.keyword or option.markexpr)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Derive the markers of tests, and leave out what the run does without."""
        self.collected = tuple(items)
        plan = Plan(items, recorded_seconds())
        for item in items:
            _mark(item, plan)
        if self.is_whole:
            return
        named = self._named()
        left_out = [item for item in items if item not in plan.core and item.path not in named]
        self._left_out = Counter(map(_reason, left_out))
        self._config.hook.pytest_deselected(items=left_out)
        gone = {*left_out}
        items[:] = [item for item in items if item not in gone]

    def _named(self) -> set[Path]:
        """Return the files that the command line names, alone or with a test in them."""
        base = self._config.invocation_params.dir
        return {
            path
            for argument in self._config.args
            if (path := (base / argument.partition("::")[0]).resolve()).is_file()
        }

    def pytest_sessionfinish(self) -> None:
        """Tell the process that reports what this one has left out."""
        output = getattr(self._config, "workeroutput", None)
        if output is not None:
            output["left_out"] = dict(self._left_out)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Hear what a worker has left out, which is the same for all."""
        self._left_out = Counter(getattr(node, "workeroutput", {}).get("left_out", {}))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> Iterator[None]:
        """Say at the end how long it took, and what was left out; record seconds where asked to."""
        yield
        if self._config.option.collectonly:
            return
        if self._config.option.record_seconds:
            _record(terminalreporter)
        ran = sum(
            len(terminalreporter.stats.get(kind, ()))
            for kind in ("passed", "failed", "skipped", "xfailed", "xpassed")
        )
        minutes, seconds = divmod(round(time.monotonic() - self._began), 60)
        told = f"{ran:,} tests in {minutes}:{seconds:02}"
        if self._config.option.everything:
            terminalreporter.write_line(f"whole matrix: {told}")
        elif self._left_out:
            more = ", ".join(f"{count:,} {why}" for why, count in self._left_out.most_common())
            terminalreporter.write_line(
                f"core run: {told}; python -m pytest --everything runs"
                f" {self._left_out.total():,} more: {more}"
            )


def _mark(item: pytest.Item, plan: Plan) -> None:
    """Add the markers that follow from what a test asks for."""
    found = places(item)
    for place in found:
        item.add_marker(place)
    if item in plan.core:
        item.add_marker("core")
    if _may_differ_by_line(item, plan) and not OUTSIDE & {*found}:
        item.add_marker("depends_on_sqlalchemy")


def _may_differ_by_line(item: pytest.Item, plan: Plan) -> bool:
    """Return whether a test says what no other one says about another line of SQLAlchemy."""
    if item.get_closest_marker("every_line"):
        return True
    is_repetition = item not in plan.once and item not in plan.core
    if is_repetition or "own_servers" in getattr(item, "fixturenames", ()):
        return False
    return bool(places(item)) or _imports_sqlalchemy(getattr(item, "module", None))


@cache
def _imports_sqlalchemy(module: object) -> bool:
    """Return whether a module has something of SQLAlchemy among its names."""
    names = (
        getattr(each, "__module__", None) or getattr(each, "__name__", None)
        for each in getattr(module, "__dict__", {}).values()
    )
    return any(str(name).startswith("sqlalchemy") for name in names)


def _reason(item: pytest.Item) -> str:
    """Return why a test is left out, for the count."""
    found = places(item)
    elsewhere = [place for place in found if place in ELSEWHERE]
    place = [*elsewhere, *found, ""][0]
    return f"on {TITLES[place]}" if place in TITLES else "with other data"


def _record(terminalreporter: Any) -> None:
    """Write down how long the dearer tests took, by their names, wherever their files lie."""
    took: defaultdict[str, float] = defaultdict(float)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                took[report.nodeid] += report.duration
    dear: dict[str, float] = {}
    for nodeid, seconds in sorted(took.items()):
        name = nodeid[nodeid.partition("[")[0].rfind("::") + 2 :]
        if seconds >= max(RECORDED, dear.get(name, 0)):
            dear[name] = round(seconds, 1)
    SECONDS.write_text(json.dumps(dear, indent=1, ensure_ascii=False) + "\n")
