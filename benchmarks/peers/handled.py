"""Counts what a peer's handlers have done, so that its worker can be stopped at the last event."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.events import Kind
from benchmarks.writers import Writer

__all__ = ["Handled"]


class Handled:
    """Applies events, and knows how many are left.

    Workers of job queues run for ever, or notice only after a while that nothing is left; that
    while is not counted against them.

    Attributes:
        writer: Applies one event.
        at_end: Called when the last event is applied.
    """

    def __init__(self, writer: Writer, events: int) -> None:
        self.writer = writer
        self.at_end: Callable[[], object] = lambda: None
        self._left = events

    async def handle(self, kind: Kind, text: str) -> None:
        """Apply one event; after an error the worker stops, and its rows tell."""
        try:
            await self.writer.write(kind, text)
        except Exception:
            self.at_end()
            raise
        self._left -= 1
        if self._left == 0:
            self.at_end()
