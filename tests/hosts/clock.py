"""Gives the library clocks that a test moves by hand."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

START = datetime(2024, 6, 1, 12, tzinfo=UTC)
"""Where a clock begins unless told; the documents of the tests are older."""


@dataclass
class Clock:
    """Stands still until it is moved."""

    now: datetime = START

    def __call__(self) -> datetime:
        """Return the time."""
        return self.now

    def move(self, **by: float) -> None:
        """Move the hands, by what `timedelta` takes."""
        self.now += timedelta(**by)


class Hands(Clock):
    """Moves by a microsecond for every look at it as well."""

    def __call__(self) -> datetime:
        """Return the time."""
        self.move(microseconds=1)
        return self.now
