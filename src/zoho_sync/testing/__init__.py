"""What the library is tested with, for users' own continuous integration.

Needs the extra ``testing``: ``pip install "zoho-sync[testing]"``.
"""

from __future__ import annotations

import pytest

# Before they are imported: a check that fails then shows what it has compared.
for _name in (
    "_fault_checks",
    "_joining_checks",
    "_lease_checks",
    "_storing_checks",
    "_work_checks",
    "queue_machine",
):
    pytest.register_assert_rewrite(f"{__name__}.{_name}")

from zoho_sync.testing.queue_machine import QueueMachine  # noqa: E402  # as said above
from zoho_sync.testing.queue_suite import QueueSuite  # noqa: E402  # as said above

__all__ = ["QueueMachine", "QueueSuite"]
