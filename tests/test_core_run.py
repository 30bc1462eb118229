"""Proves that the core run leaves out repetitions alone, and that what is named runs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Hashable, Iterable

import pytest

from tests.core_run import (
    ELSEWHERE,
    CoreRun,
    Plan,
    behaviour,
    function_of,
    is_tried_on_both,
    places,
)


@pytest.fixture
def collected(request: pytest.FixtureRequest) -> tuple[pytest.Item, ...]:
    """The tests that this run has found, those that it leaves out as well."""
    plugin = request.config.pluginmanager.get_plugin("core_run")
    assert isinstance(plugin, CoreRun)
    return plugin.collected


def is_core(item: pytest.Item) -> bool:
    return item.get_closest_marker("core") is not None


def can_be(item: pytest.Item) -> bool:
    """Whether the core run has the servers that a test asks for."""
    return not ELSEWHERE & {*places(item)}


def test_every_behaviour_is_in_the_core_run(collected: tuple[pytest.Item, ...]) -> None:
    possible = {behaviour(item) for item in collected if can_be(item)}
    assert possible == {behaviour(item) for item in collected if is_core(item)}


def test_every_function_is_in_the_core_run_or_asks_for_a_server_that_it_has_not(
    collected: tuple[pytest.Item, ...],
) -> None:
    by_function: defaultdict[str, list[pytest.Item]] = defaultdict(list)
    for item in collected:
        by_function[function_of(item)].append(item)
    hidden = {name for name, items in by_function.items() if not any(map(is_core, items))}
    asking = {name for name in hidden if not any(map(can_be, by_function[name]))}
    assert hidden == asking


def test_every_law_is_tried_on_both_databases(collected: tuple[pytest.Item, ...]) -> None:
    """And so is every test that differs by database, and says so itself."""

    def tried(items: Iterable[pytest.Item]) -> set[tuple[Hashable, str]]:
        return {
            (behaviour(item), place)
            for item in items
            if is_tried_on_both(item)
            for place in places(item)[:1]
        }

    assert tried(collected) == tried(filter(is_core, collected))


def test_no_server_is_started_that_the_core_run_does_without(
    collected: tuple[pytest.Item, ...],
) -> None:
    assert [item.nodeid for item in collected if is_core(item) and not can_be(item)] == []


def test_seconds_never_hide_a_behaviour(collected: tuple[pytest.Item, ...]) -> None:
    """If all tests took forever, there were fewer repetitions, and the same behaviours."""
    plan = Plan(collected, {item.name: 1e6 for item in collected})
    assert {behaviour(item) for item in plan.core} == {
        behaviour(item) for item in collected if is_core(item)
    }
    assert len(plan.core) <= sum(map(is_core, collected))


def test_what_is_named_on_the_command_line_runs(
    request: pytest.FixtureRequest, collected: tuple[pytest.Item, ...]
) -> None:
    left_out = next((item for item in collected if not is_core(item)), None)
    if left_out is None:
        pytest.skip("none of the tests that were found is left out of the core run")
    command = (sys.executable, "-m", "pytest", "-n0", "--collect-only", "-q")
    for named in (left_out.nodeid, left_out.nodeid.partition("::")[0]):
        listed = subprocess.run(
            (*command, named),
            cwd=request.config.rootpath,
            env={**os.environ, "PYTEST_ADDOPTS": ""},
            capture_output=True,
            text=True,
            check=False,
        )
        assert left_out.nodeid in listed.stdout.splitlines(), listed.stdout
