"""Breaks the library on purpose, in one place at a time, and says which test notices.

``python -m tests.mutants --seed 20261130 --count 30 --run core`` draws mutants, the same for the
same seed and code, and runs the tests on a copy of the checkout with each: first those that
name the broken module, then the rest. ``--list`` only shows what was drawn.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.mutations import Mutant, mutants_of

REPOSITORY: Final = Path(__file__).resolve().parent.parent
SOURCE: Final = Path("src/zoho_sync")
ROOMS: Final = ("apply", "worker", "intake", "queues", "store", "database")
"""The rooms that mutants are drawn from."""
LEFT_OUT: Final = ("rabbitmq/*.py",)
"""The core run starts no RabbitMQ, and cannot notice what breaks there."""
RUNS: Final = {"core": ["-m", "core"], "everything": ["--everything"]}
NOT_COPIED: Final = (".git", ".venv*", "_build", "__pycache__", ".*_cache", ".tox", "*.egg-info")
PATIENCE: Final = 3600
"""Seconds that all tests may take with one mutant: whoever hangs has been noticed."""


@dataclass(frozen=True)
class Verdict:
    """What the tests said of a mutant.

    Attributes:
        noticed: Whether a test failed that passes without it.
        by: The test, or how else it showed.
        seconds: How long that took.
    """

    noticed: bool
    by: str
    seconds: float = 0.0


def say(line: str) -> None:
    """Print a line at once: a run takes long."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def sources(room: str) -> list[Path]:
    """Return the modules of a room, below the repository."""
    found = (REPOSITORY / SOURCE / room).rglob("*.py")
    relative = (path.relative_to(REPOSITORY) for path in found)
    return sorted(path for path in relative if not any(map(path.match, LEFT_OUT)))


def drawn(seed: int, count: int) -> list[Mutant]:
    """Return mutants, from each room in turn, the same for the same seed and code."""
    dice = random.Random(seed)  # noqa: S311  # repeatable, not secret
    decks: list[list[Mutant]] = []
    for room in ROOMS:
        deck = [
            mutant
            for path in sources(room)
            for mutant in mutants_of(path, (REPOSITORY / path).read_bytes())
        ]
        dice.shuffle(deck)
        decks.append(deck)
    dealt = (deck[turn] for turn in range(count) for deck in decks if turn < len(deck))
    return [mutant for mutant, _ in zip(dealt, range(count), strict=False)]


def close_tests(path: Path) -> list[str]:
    """Return the test files that name a module, or lie in a folder that is called like its room."""
    module = ".".join(path.relative_to("src").with_suffix("").parts)
    parent, _, name = module.rpartition(".")
    naming = re.compile(
        rf"\b{re.escape(module)}\b|from {re.escape(parent)} import [^#]*\b{re.escape(name)}\b"
    )
    folder = REPOSITORY / "tests" / path.parent.name
    return [
        str(test.relative_to(REPOSITORY))
        for test in sorted((REPOSITORY / "tests").rglob("test_*.py"))
        if test.is_relative_to(folder) or naming.search(test.read_text(encoding="utf-8"))
    ]


class Checkout:
    """A copy of the checkout, in which the library may be broken.

    Args:
        folder: Where it is.
        options: Of pytest.
        workers: How many tests run at once.
    """

    def __init__(self, folder: Path, options: Sequence[str], workers: str) -> None:
        self._folder = folder
        self._options = [*options, "-x", "-q", "-n", workers, "-p", "no:cacheprovider"]
        shutil.copytree(REPOSITORY, folder, ignore=shutil.ignore_patterns(*NOT_COPIED))

    def judged(self, mutant: Mutant, chosen: Sequence[str]) -> Verdict:
        """Return what the tests say of a mutant.

        Args:
            mutant: What to break.
            chosen: Tests that are to judge it; without any all are, the closest ones first.
        """
        stages = [[*chosen]] if chosen else [close_tests(mutant.path), []]
        began = time.monotonic()
        for stage in stages:
            if not stage and stage is not stages[-1]:
                continue
            verdict = self._stage(mutant, stage)
            if verdict.noticed:
                break
        return Verdict(verdict.noticed, verdict.by, time.monotonic() - began)

    def _stage(self, mutant: Mutant, tests: Sequence[str]) -> Verdict:
        path = self._folder / mutant.path
        whole = path.read_bytes()
        path.write_bytes(mutant.applied(whole))
        try:
            code, said = self._run(tests)
        except subprocess.TimeoutExpired:
            return Verdict(noticed=True, by="the tests did not end")
        finally:
            path.write_bytes(whole)
        failed = re.search(r"^(?:FAILED|ERROR) (\S.*?)(?: - .*)?$", said, re.MULTILINE)
        if code in {0, 5}:  # nothing failed; none was chosen
            return Verdict(noticed=False, by="no test")
        if failed is None or "::" not in failed[1]:
            return Verdict(noticed=True, by=failed[1] if failed else said.strip()[-300:])
        # A test that fails without the mutant has not noticed it.
        if self._run([failed[1]])[0] == 0:
            return Verdict(noticed=True, by=failed[1])
        return Verdict(noticed=False, by=f"{failed[1]}, which fails without it as well: run again")

    def _run(self, tests: Sequence[str]) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *self._options, *tests],
            cwd=self._folder,
            env={**os.environ, "PYTHONPATH": str(self._folder / "src"), "PYTEST_ADDOPTS": ""},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr


def arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=20261130)
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--run", choices=RUNS, default="core", help="which tests judge them")
    parser.add_argument("--only", type=int, nargs="+", help="numbers of those that were drawn")
    parser.add_argument("--tests", nargs="+", default=[], help="files and tests, in place of all")
    parser.add_argument("--workers", default="auto", help="how many tests run at once")
    parser.add_argument("--list", action="store_true", help="show what is drawn, and run nothing")
    return parser.parse_args()


def judging(given: argparse.Namespace) -> Iterator[tuple[int, Mutant, Verdict | None]]:
    """Yield each mutant with its number, and with the verdict unless they are only shown."""
    with tempfile.TemporaryDirectory(prefix="zoho_sync_mutants_") as folder:
        checkout = None
        for number, mutant in enumerate(drawn(given.seed, given.count), 1):
            if given.only and number not in given.only:
                continue
            if given.list:
                yield number, mutant, None
                continue
            checkout = checkout or Checkout(
                Path(folder) / "checkout", RUNS[given.run], given.workers
            )
            yield number, mutant, checkout.judged(mutant, given.tests)


def main() -> int:
    """Judge what was drawn; the exit code is 1 if nobody noticed one of them."""
    unnoticed: list[int] = []
    for number, mutant, verdict in judging(arguments()):
        say(f"{number:3} {mutant}")
        if verdict is None:
            continue
        found = "noticed" if verdict.noticed else "UNNOTICED"
        say(f"    {found}, {verdict.seconds:.0f} s: {verdict.by}")
        if not verdict.noticed:
            unnoticed.append(number)
    if unnoticed:
        say(f"unnoticed: {', '.join(map(str, unnoticed))}")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
