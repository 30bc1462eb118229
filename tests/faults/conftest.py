"""Stacks for the scenarios, and the table of what came of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.faults.report import table
from tests.faults.stacks import STACKS, Servers, Stack, open_stack
from tests.servers import ServerUnavailableError, skip_or_fail


@pytest.fixture(scope="session")
def own_servers() -> Iterator[Servers]:
    """Servers that a test may stop, whatever servers the environment names."""
    servers = Servers()
    yield servers
    servers.close()


@pytest.fixture
def opened(own_servers: Servers, tmp_path: Path) -> Iterator[Callable[[str], Stack]]:
    """Opens a stack by its name; its database is gone after the test."""
    with ExitStack() as ending:

        def opened_by_name(name: str) -> Stack:
            try:
                stack = open_stack(STACKS[name], own_servers, tmp_path)
            except ServerUnavailableError as reason:
                skip_or_fail(reason)
            ending.callback(stack.database.drop)
            return stack

        yield opened_by_name


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print what came of the scenarios, as Markdown."""
    found = [
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == "fault" and report.when == "call"
    ]
    if found:
        terminalreporter.section("faults")
        terminalreporter.write_line(table(found))
