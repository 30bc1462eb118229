"""Says with how many examples a property is tried: with fewer in the core run."""

from __future__ import annotations

import os
from typing import Final

__all__ = ["RUN", "examples"]

RUN: Final = "ZOHO_SYNC_TEST_RUN"
"""Set by pytest's configuration, to `core` or `everything`, before the tests are imported."""
EXAMPLES: Final = "ZOHO_SYNC_PROPERTY_EXAMPLES"
"""Set by hand, for a long run."""


def examples(*, core: int, everything: int) -> int:
    """Return how many examples this run tries."""
    by_hand = int(os.environ.get(EXAMPLES, "0"))
    return by_hand or (core if os.environ.get(RUN) == "core" else everything)
