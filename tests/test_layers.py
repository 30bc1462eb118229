"""The layout holds: every module imports only what stands before it.

A module may import what stands on a line above its own, or left of it on its line, or its own
package. Nothing imports the package root, and nothing in the library imports `testing`, which
itself may import everything but the root. The value modules, the first line, import neither
SQLAlchemy nor asyncio. Workers stand above the queues: they know `abc.QueueBackend` and no engine.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = "zoho_sync"
SOURCE = Path(__file__).parent.parent / "src" / ROOT
LINES = (
    (
        "exceptions",
        "times",
        "exact_json",
        "entities",
        "events",
        "versions",
        "outcomes",
        "decisions",
        "retry",
        "_job",
    ),
    ("abc",),
    ("payloads", "mapping"),
    (
        "_callables",
        "_column_types",
        "_faults",
        "_dialects",
        "_insertion",
        "_unit_of_work",
        "_reserved",
        "_tables",
        "_schema",
        "_session_factory",
        "_mapping_shape",
        "_inheritance",
        "_foreign_keys",
        "_column_names",
        "_binding",
        "_host_keys",
        "_ledger",
        "_event_rows",
        "_journal",
        "_partners",
        "_job_rows",
        "_new_events",
        "_jobs",
        "_requeueing",
        "_pause",
        "_parked",
        "_places",
        "_outbox_rows",
        "_dead_letter_rows",
        "_transactions",
        "_untyped_values",
        "_row_values",
        "_rows",
        "_unique",
        "_debts",
        "_references",
        "_adoption",
        "_upsert",
        "_children",
    ),
    (
        "mirror",
        "handlers",
        "registry",
        "_dispatch",
        "_table_facts",
        "_mapping_report",
        "_mapping_sources",
        "_mapping_handlers",
        "_mapping_deletion",
        "_mapping_identity",
        "_mapping_rows",
        "_mapping_foreign_keys",
        "_mapping_references",
        "_mapping_check",
    ),
    (
        "dead_letters",
        "parked",
        "status",
        "_http",
        "signature",
        "_recognition",
        "_hints",
        "decoding",
        "receiver",
        "_intake",
        "_hand_made",
        "linking",
        "adoption",
        "reapplication",
        "provenance",
    ),
    (
        "_runtime",
        "_lease",
        "_settlement",
        "_attempt",
        "_executor",
        "_maintenance",
        "worker",
    ),
    ("queues",),
    ("web",),
    ("_wiring", "_parts", "app"),
    ("_loop_thread", "_hosted", "blocking"),
    ("cli",),
    ("__init__",),
    ("testing",),
    ("migrations",),
)
ORDER = [part for line in LINES for part in line]
NOT_FOR_VALUES = {"sqlalchemy", "asyncio"}


@dataclass(frozen=True)
class Module:
    """A module of the library: its path below the package's folder, and its text."""

    path: Path
    text: str

    @property
    def part(self) -> str:
        """The module or package of the layout that this module is or belongs to."""
        return self.path.with_suffix("").parts[0]

    def imports(self) -> Iterator[tuple[int, str]]:
        """Line number and absolute dotted name of everything that is imported, wherever it is."""
        for node in ast.walk(ast.parse(self.text)):
            if isinstance(node, ast.Import):
                yield from ((node.lineno, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield from self._imported_from(node)

    def _imported_from(self, node: ast.ImportFrom) -> Iterator[tuple[int, str]]:
        base = self._absolute(node)
        if base != ROOT:
            yield node.lineno, base
            return
        # A module of the package is imported, not what the package itself exports.
        for alias in node.names:
            yield node.lineno, f"{ROOT}.{alias.name}" if alias.name in ORDER else ROOT

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        package = (ROOT, *self.path.parent.parts)
        base = package[: len(package) - node.level + 1]
        return ".".join((*base, node.module) if node.module else base)


def library() -> list[Module]:
    """Every module in src."""
    return [
        Module(path.relative_to(SOURCE), path.read_text(encoding="utf-8"))
        for path in sorted(SOURCE.rglob("*.py"))
    ]


def violations(module: Module) -> list[str]:
    """What is wrong with a module's place or imports, one sentence each."""
    if module.part not in ORDER:
        return [f"{module.path}: {module.part} has no place in the layout"]
    found = ((line, name, objection(module.part, name)) for line, name in module.imports())
    return [f"{module.path}:{line}: {name}: {why}" for line, name, why in found if why]


def objection(part: str, imported: str) -> str | None:
    """Why a part of the layout may not import a dotted name, or None if it may."""
    top, _, below = imported.partition(".")
    if top != ROOT:
        values = top in NOT_FOR_VALUES and part in LINES[0]
        return f"a value module does without {top}" if values else None
    target = below.partition(".")[0]
    if not target:
        return "nothing imports the package root"
    if target not in ORDER:
        return f"{target} has no place in the layout"
    if target != part and ORDER.index(target) > ORDER.index(part):
        return f"{target} does not stand before {part}"
    return None


@pytest.mark.parametrize("module", library(), ids=lambda module: str(module.path))
def test_every_module_imports_only_what_stands_before_it(module: Module) -> None:
    assert not violations(module)


def test_no_part_stands_in_two_places() -> None:
    assert len(ORDER) == len(set(ORDER))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("app.py", "import zoho_sync.worker.loop"),
        ("app.py", "from zoho_sync.queues.sql import SqlQueue"),
        ("registry.py", "from zoho_sync.handlers.base import BaseEntityHandler"),
        ("handlers/builtin.py", "from zoho_sync.handlers.base import BaseEntityHandler"),
        ("handlers/builtin.py", "from . import base"),
        ("handlers/builtin.py", "from ..payloads import product"),
        ("abc.py", "import asyncio"),
        ("__init__.py", "from zoho_sync.app.sync import ZohoSync"),
        ("testing/contracts.py", "from zoho_sync.app.sync import ZohoSync"),
        ("events.py", "import datetime"),
    ],
)
def test_what_the_layout_allows(path: str, text: str) -> None:
    assert violations(Module(Path(path), text)) == []


@pytest.mark.parametrize(
    ("path", "text", "reason"),
    [
        (
            "events.py",
            "from zoho_sync.events.version import Version",
            "does not stand before events",
        ),
        ("events.py", "import sqlalchemy.exc", "does without sqlalchemy"),
        ("events.py", "from asyncio import sleep", "does without asyncio"),
        ("worker.py", "def late():\n    from zoho_sync.queues import sql", "does not stand before"),
        ("_executor.py", "import zoho_sync.queues.sql", "does not stand before _executor"),
        ("_lease.py", "from .queues.sql import SqlQueue", "does not stand before _lease"),
        ("_maintenance.py", "from .queues import sql", "does not stand before _maintenance"),
        (
            "handlers/_batch.py",
            "from zoho_sync.handlers.registry import HandlerRegistry",
            "does not stand before",
        ),
        (
            "handlers/_recording.py",
            "from zoho_sync.worker.runtime import Runtime",
            "does not stand before",
        ),
        ("_dispatch.py", "from zoho_sync.worker.runtime import Runtime", "does not stand before"),
        ("_intake.py", "from zoho_sync.worker.runtime import Runtime", "does not stand before"),
        ("linking.py", "from zoho_sync.worker.runtime import Runtime", "does not stand before"),
        ("handlers/builtin.py", "from ..registry import HandlerRegistry", "does not stand before"),
        ("app.py", "import zoho_sync", "nothing imports the package root"),
        ("app.py", "from zoho_sync import ZohoSync", "nothing imports the package root"),
        ("app.py", "from zoho_sync import cli", "does not stand before app"),
        ("app.py", "from . import ZohoSync", "nothing imports the package root"),
        ("testing/contracts.py", "from zoho_sync import ZohoSync", "nothing imports"),
        ("__init__.py", "from zoho_sync.testing import contracts", "does not stand before"),
        ("app.py", "from zoho_sync.utils import chunked", "utils has no place"),
        ("utils.py", "", "utils has no place"),
    ],
)
def test_what_the_layout_forbids(path: str, text: str, reason: str) -> None:
    (violation,) = violations(Module(Path(path), text))
    assert reason in violation
