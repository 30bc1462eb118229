"""Every example runs as its users run it, in a process of its own, and prints what it should."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.depends_on_sqlalchemy

REPOSITORY = Path(__file__).parent.parent
EXAMPLES = REPOSITORY / "examples"

OUTPUT = {
    "quickstart.py": """\
unsigned: refused, HTTP 401
signed: accepted, HTTP 200
signed: duplicate, HTTP 200
applied: 1
accepted: 1, healthy: True
INV-000031 of 2026-03-02: 149.90
  2 x Desk lamp at 74.95
""",
    "custom_entity.py": """\
the correction: applied 1
the shipment: applied 1
1Z-4711 of 2026-03-04
  4 x Bulb
""",
    "custom_queue.py": """\
in the folder: accepted 1
applied: 1 left: 0
total: 149.90
""",
    "orm_handler.py": """\
mail: Dear Hotel Meridian, thank you
invoice: accepted; applied 1
invoice, once more: duplicate; nothing to do
older state: accepted; stale 1
Hotel Meridian owes 149.90
in the cache: 0
""",
    "flask_host.py": """\
a delivery, unsigned: HTTP 401
a delivery, signed: HTTP 200, accepted
an order: HTTP 201
the same order again: HTTP 409
applied by the worker: 2
orders: SO-00017
from Zoho: Desk lamp at 74.95
from Zoho: SO-00017 of 149.90
""",
}
LEFT_BEHIND = {"quickstart.py": ["erp.db"]}
"""What is there in the end, for whoever has run it to look at."""
ELSEWHERE = {
    "erp_awkward": "tests/app/test_erp_awkward.py",
    "erp_host": "tests/web/test_erp_host.py",
}
"""What is a package of its own, and the test that runs it."""


@pytest.mark.parametrize("name", OUTPUT)
def test_an_example_prints_what_it_should(name: str, tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / name)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONDEVMODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (0, OUTPUT[name]), ran.stderr
    assert "Traceback" not in ran.stderr
    assert "Warning" not in ran.stderr
    assert [path.name for path in tmp_path.iterdir()] == LEFT_BEHIND.get(name, [])


def test_no_example_is_forgotten() -> None:
    found = {path.name for path in EXAMPLES.iterdir() if path.name[0] not in "_."}
    assert found == OUTPUT.keys() | ELSEWHERE.keys()
    assert all((REPOSITORY / test).is_file() for test in ELSEWHERE.values())


def stripped(output: str) -> str:
    """Output without the blanks around its lines."""
    return "\n".join(line.strip() for line in output.splitlines())


@pytest.fixture(scope="module")
def demonstration(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the demonstration prints."""
    ran = subprocess.run(
        [Path(sys.executable).with_name("zoho-sync"), "demo"],
        cwd=tmp_path_factory.mktemp("demo"),
        env={**os.environ, "COLUMNS": "100", "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=100,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return stripped(ran.stdout).strip()


@pytest.mark.parametrize("name", ["README.md", "docs/index.md"])
def test_the_readme_shows_what_the_demo_prints(name: str, demonstration: str) -> None:
    page = (REPOSITORY / name).read_text(encoding="utf-8")
    shown = stripped(page.partition("```text\n")[2].partition("```")[0])
    parts = [part.strip("\n") for part in shown.split("\n…\n")]  # an ellipsis marks each cut
    assert len(parts) > 1
    assert [part for part in parts if part not in demonstration] == []
    assert demonstration.endswith(parts[-1])
