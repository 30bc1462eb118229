"""Stops this process when the one that started it lets go of its standard input, or ends.

The parent alone holds the other end of the pipe, so that the system closes it however the parent
ends. That works on every system; what tells a process of its parent's end elsewhere does not.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Final

from zoho_sync.cli.running import FAILED

__all__ = ["Parent"]

_GRACE: Final = 60.0
"""Seconds to stop in; then the process ends with what it has not given back."""


class Parent:
    """The process that holds the other end of this one's standard input."""

    def __init__(self) -> None:
        self.is_gone = False
        """Whether it has asked this process to stop, or has ended."""
        self.is_stopping = False
        """Whether this process stops already, so that the parent's wish is no news."""

    def watch(self) -> None:
        """Have this process told to stop by SIGTERM when the parent lets go.

        Standard input is taken away for that: what reads it finds nothing.
        """
        end = os.dup(0)  # not inherited, as standard input would be
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        threading.Thread(
            target=self._wait, args=(end,), name="zoho-sync-parent", daemon=True
        ).start()

    def _wait(self, end: int) -> None:
        while os.read(end, 1):
            pass  # nobody writes; whatever came would mean nothing
        self.is_gone = True
        if not self.is_stopping:
            # Without a handler of it, nothing is under way yet, and the process may end at once.
            signal.raise_signal(signal.SIGTERM)
        time.sleep(_GRACE)
        os._exit(FAILED)  # a handler blocks the loop: its lease ends by itself
