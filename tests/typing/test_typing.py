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


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The project alone, away from the library's own configuration and sources."""
    for name in ("tests", "tests/typing", "tests/typing/downstream"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    for module in GATED:
        shutil.copy(PROJECT / module, tmp_path / "tests/typing/downstream")
    (tmp_path / "mypy.ini").write_text(CONFIGURATION)
    return tmp_path


def check(project: Path) -> subprocess.CompletedProcess[str]:
    """Run mypy on the project as its authors would."""
    return subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "-p", PACKAGE],
        cwd=project,
        env={key: value for key, value in os.environ.items() if key != "MYPYPATH"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.timeout(300)
def test_a_downstream_project_is_clean(project: Path) -> None:
    done = check(project)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(300)
def test_a_downstream_project_is_told_its_mistakes(project: Path) -> None:
    """Otherwise the test above would hold for a library whose types are all Any."""
    wrong = project / "tests/typing/downstream/wrong.py"
    wrong.write_text(
        "from sqlalchemy import select\n"
        f"from {PACKAGE}.shipments import Shipment, ShipmentHandler\n"
        "async def wrong(handler: ShipmentHandler) -> str:\n"
        "    handler.sync(1)\n"
        "    ids = await handler.execute_with_context(select(Shipment.id))\n"
        "    return ids.scalar_one()\n"
    )
    done = check(project)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "wrong.py:4" in done.stdout
    assert 'got "int", expected "str"' in done.stdout


@pytest.mark.timeout(300)
def test_a_synchronous_host_is_told_its_mistakes(project: Path) -> None:
    wrong = project / "tests/typing/downstream/wrong.py"
    wrong.write_text(
        "from zoho_sync.blocking.sync import BlockingSync\n"
        "def wrong(sync: BlockingSync) -> str:\n"
        "    sync.receive('text')\n"
        "    sync.receive(b'', heders={})\n"
        "    sync.receive()\n"
        "    sync.drain(3)\n"
        "    sync.dead_letters.resolve('1', 'a reason by position')\n"
        "    sync.parked.list(waiting_for='customer')\n"
        "    return sync.check()\n"
    )
    done = check(project)
    assert done.returncode == 1, done.stdout + done.stderr
    told = [line.partition("wrong.py:")[2] for line in done.stdout.splitlines()[:-1]]
    assert [line.partition(":")[0] for line in told] == ["3", "4", "5", "6", "7", "8", "9"]
    assert 'incompatible type "str"; expected "bytes"' in told[0]
    assert 'did you mean "headers"' in told[1]
    assert "Too few arguments" in told[2]
    assert 'got "list[str]", expected "str"' in told[6]
