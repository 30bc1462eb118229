"""Says how many examples or events a test is tried with: fewer in the core run."""

from __future__ import annotations

import os
from typing import Final

__all__ = ["RUN", "amount", "examples", "is_core"]

RUN: Final = "ZOHO_SYNC_TEST_RUN"
"""Set by pytest's configuration, to `core` or `everything`, before the tests are imported."""
EXAMPLES: Final = "ZOHO_SYNC_PROPERTY_EXAMPLES"
"""Set by hand, for a long run."""


def is_core() -> bool:
    """Return whether this is the core run."""
    return os.environ.get(RUN) == "core"


def amount(*, core: int, everything: int) -> int:
    """Return which of two amounts this run takes."""
    return core if is_core() else everything


def examples(*, core: int, everything: int) -> int:
    """Return how many examples of a property this run tries."""
    return int(os.environ.get(EXAMPLES, "0")) or amount(core=core, everything=everything)
