"""A project that uses the library type-checks at mypy's strictest, with the types it expects."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy

pytestmark = pytest.mark.depends_on_sqlalchemy

PROJECT = Path(__file__).parent / "downstream"
PACKAGE = "tests.typing.downstream"
CONFIGURATION = """
[mypy]
strict = True
enable_error_code = ignore-without-code, redundant-expr, truthy-bool
"""
# 2.0 types a row as one tuple, of which only a single column can be seen through Result.
ON_2_0 = ["host.py", "shipments.py"]
GATED = ON_2_0 if sqlalchemy.__version__.startswith("2.0.") else [*ON_2_0, "rows.py"]


WRONG = {
    "coroutine.py": f"""\
from sqlalchemy import select
from {PACKAGE}.shipments import Shipment, ShipmentHandler
async def wrong(handler: ShipmentHandler) -> str:
    handler.sync(1)
    ids = await handler.execute_with_context(select(Shipment.id))
    return ids.scalar_one()
""",
    "blocked.py": """\
from zoho_sync.blocking.sync import BlockingSync
def wrong(sync: BlockingSync) -> str:
    sync.receive('text')
    sync.receive(b'', heders={})
    sync.receive()
    sync.drain(3)
    sync.dead_letters.resolve('1', 'a reason by position')
    sync.parked.list(waiting_for='customer')
    return sync.check()
""",
}
"""Modules with mistakes. Without them a library whose types are all Any would do as well."""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What mypy says of the project, as its authors would run it: away from the library's sources.

    One run serves all tests of it: what it checks most is what the project imports.
    """
    folder = tmp_path_factory.mktemp("typing")
    for name in ("tests", "tests/typing", "tests/typing/downstream"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").touch()
    for module in GATED:
        shutil.copy(PROJECT / module, folder / "tests/typing/downstream")
    for module, text in WRONG.items():
        (folder / "tests/typing/downstream" / module).write_text(text)
    (folder / "mypy.ini").write_text(CONFIGURATION)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "-p", PACKAGE],
        cwd=folder,
        env={key: value for key, value in os.environ.items() if key != "MYPYPATH"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    *lines, end = done.stdout.splitlines()
    assert end.startswith("Found"), done.stdout + done.stderr
    return lines


def of(module: str, told: list[str]) -> list[str]:
    """Return what was said of a module, from the number of its line on."""
    return [line.partition(f"{module}:")[2] for line in told if f"{module}:" in line]


@pytest.mark.timeout(300)
def test_a_downstream_project_is_clean(told: list[str]) -> None:
    assert [line for line in told if not any(module in line for module in WRONG)] == []


@pytest.mark.timeout(300)
def test_a_downstream_project_is_told_its_mistakes(told: list[str]) -> None:
    lines = of("coroutine.py", told)
    assert {line.partition(":")[0] for line in lines} == {"4", "6"}
    assert 'got "int", expected "str"' in lines[-1]


@pytest.mark.timeout(300)
def test_a_synchronous_host_is_told_its_mistakes(told: list[str]) -> None:
    lines = of("blocked.py", told)
    assert [line.partition(":")[0] for line in lines] == ["3", "4", "5", "6", "7", "8", "9"]
    assert 'incompatible type "str"; expected "bytes"' in lines[0]
    assert 'did you mean "headers"' in lines[1]
    assert "Too few arguments" in lines[2]
    assert 'got "list[str]", expected "str"' in lines[6]
