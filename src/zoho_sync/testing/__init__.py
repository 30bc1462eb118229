"""Tests the library's promises, and those of users' own engines in their continuous integration.

Beside the way of an event: it drives every stage from outside, and nothing of the library needs it.

Needs the extra ``testing``: ``pip install "zoho-sync[testing]"``.
"""

from __future__ import annotations

from pkgutil import iter_modules

import pytest

# Before they are imported: a check that fails then shows what it has compared.
pytest.register_assert_rewrite(*(f"{__name__}.{each.name}" for each in iter_modules(__path__)))

from zoho_sync.testing.queue_machine import QueueMachine  # noqa: E402  # as said above
from zoho_sync.testing.queue_suite import QueueSuite  # noqa: E402  # as said above

__all__ = ["QueueMachine", "QueueSuite"]
