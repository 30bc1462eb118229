"""Decides when to try again: exponential backoff with full jitter, as a pure function."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

__all__ = ["RetryPolicy"]


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often, and after what delay, a transient failure is tried again.

    Attributes:
        max_attempts: Attempts in all; after the last one the event is a dead letter.
        max_deaths: Worker processes that an event may take down with it before it is a dead letter.
        base_delay: Upper bound of the first delay.
        max_delay: Upper bound of every delay.
        parked_for: How long an event waits for another entity before it is a dead letter.
    """

    max_attempts: int = 8
    max_deaths: int = 3
    base_delay: timedelta = timedelta(seconds=1)
    max_delay: timedelta = timedelta(minutes=15)
    parked_for: timedelta = timedelta(hours=24)

    def __post_init__(self) -> None:
        if self.max_attempts < 1 or self.max_deaths < 1:
            message = "max_attempts and max_deaths must be at least 1"
            raise ValueError(message)
        if self.base_delay <= timedelta(0) or self.max_delay < self.base_delay:
            message = "base_delay must be positive, and max_delay not below it"
            raise ValueError(message)

    def ceiling(self, attempt: int) -> timedelta:
        """Return the longest delay after an attempt; it doubles each time.

        Args:
            attempt: The attempt that failed; 1 is the first.
        """
        doublings = min(max(attempt, 1) - 1, 62)
        seconds = self.base_delay.total_seconds() * 2.0**doublings
        return timedelta(seconds=min(seconds, self.max_delay.total_seconds()))

    def delay(
        self, attempt: int, *, jitter: float, retry_after: timedelta | None = None
    ) -> timedelta:
        """Return the delay after the given attempt.

        Args:
            attempt: The attempt that failed; 1 is the first.
            jitter: A random number from 0 to 1: full jitter takes that part of `ceiling`, so that
                a thousand events which failed together do not come back together.
            retry_after: What the other side asked for; the delay is never shorter.
        """
        delay = self.ceiling(attempt) * jitter
        return max(delay, retry_after) if retry_after is not None else delay

    def exhausted(self, attempts: int) -> bool:
        """Return whether no attempt is left after that many."""
        return attempts >= self.max_attempts
