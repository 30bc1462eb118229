"""Bounds what the front door holds in memory of bodies that nobody has verified yet.

Bytes count from when they are there, and not from when they are announced: a connection that sends
nothing takes nothing from others. Small bodies have a budget that larger ones cannot use up.
"""

from __future__ import annotations

import threading
from typing import Final, Self

from zoho_sync.intake.receiver import LARGE

__all__ = ["Budget", "NoRoomError", "Share"]

_SMALL_ONES: Final = 16 * 1024 * 1024
_LARGE_ONES: Final = 16 * 1024 * 1024


class NoRoomError(Exception):
    """Too many bodies are being read at once."""


class Budget:
    """How many bytes there may be at once; safe in several threads.

    Args:
        small: Of bodies up to 64 KB, all together.
        large: Of larger ones.

    Attributes:
        small: How many of these are left.
        large: The same.
    """

    def __init__(self, *, small: int = _SMALL_ONES, large: int = _LARGE_ONES) -> None:
        self.small, self.large = small, large
        self._lock = threading.Lock()

    @classmethod
    def fitting(cls, max_body: int) -> Self:
        """Return a budget in which at least one of the largest bodies has room."""
        return cls(large=max(_LARGE_ONES, max_body))

    def share(self, announced: int | None) -> Share:
        """Return the share of one body, which takes nothing yet.

        Args:
            announced: The size that its sender has announced.

        Raises:
            NoRoomError: So much is not left.
        """
        size = announced or 0
        if size > (self.large if size > LARGE else self.small):
            raise NoRoomError
        return Share(self, is_large=size > LARGE)

    def take(self, *, small: int, large: int) -> None:
        """Take so many bytes; less than none gives back.

        Raises:
            NoRoomError: So many are not left, and none were taken.
        """
        with self._lock:
            # What gives back must succeed, whatever is left.
            if (small > 0 and small > self.small) or (large > 0 and large > self.large):
                raise NoRoomError
            self.small -= small
            self.large -= large


class Share:
    """What one body holds of a budget, until the end of its `with` block."""

    def __init__(self, budget: Budget, *, is_large: bool) -> None:
        self._budget, self._is_large = budget, is_large
        self._small = self._large = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._budget.take(small=-self._small, large=-self._large)
        self._small = self._large = 0

    def grow(self, by: int) -> None:
        """Take room for so many bytes more; what is no small body any more moves.

        Raises:
            NoRoomError: There is none.
        """
        size = self._small + self._large + by
        self._is_large = self._is_large or size > LARGE
        small, large = (0, size) if self._is_large else (size, 0)
        self._budget.take(small=small - self._small, large=large - self._large)
        self._small, self._large = small, large
