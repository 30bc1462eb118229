"""A process whose clock is wrong: what Python says of the time, everywhere in the library."""

from __future__ import annotations

import datetime as dt
import sys
import time
from typing import Any

__all__ = ["shift_clocks"]


def shift_clocks(seconds: float) -> None:
    """Let the time of this process be off from now on, in all modules that are loaded."""
    right, shift = time.time, dt.timedelta(seconds=seconds)
    time.time = lambda: right() + seconds

    class Kind(type):
        """Takes the times that others made for its own."""

        def __instancecheck__(cls, instance: Any) -> bool:
            return isinstance(instance, dt.datetime)

    class Shifted(dt.datetime, metaclass=Kind):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> Any:
            return dt.datetime.now(tz) + shift

    for name, module in list(sys.modules.items()):
        if name.startswith("zoho_sync") and getattr(module, "datetime", None) is dt.datetime:
            vars(module)["datetime"] = Shifted
