"""Every lesson of which this package speaks has a test that carries its number."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
NAME = re.compile(r"^(?:async )?def test_lesson_(\d+)_", re.MULTILINE)

INCIDENT = range(1, 6)
HANDLERS = range(6, 24)
INGEST = range(24, 32)
QUEUE_AND_WORKER = (*range(33, 41), *range(43, 48))
TRACKERS = (*range(48, 61), 62, 63)


def test_every_lesson_has_a_test() -> None:
    """A lesson whose test is renamed or removed is missing here."""
    found = {
        int(number) for path in TESTS.rglob("*.py") for number in NAME.findall(path.read_text())
    }
    expected = {*INCIDENT, *HANDLERS, *INGEST, *QUEUE_AND_WORKER, *TRACKERS}
    assert expected - found == set()


def test_numbers_have_two_digits() -> None:
    """So that they sort, and one search finds them."""
    names = [
        number
        for path in Path(__file__).parent.glob("*.py")
        for number in NAME.findall(path.read_text())
    ]
    assert names
    assert all(len(number) == 2 for number in names)
