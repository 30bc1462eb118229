"""What the library is tested with, for users' own continuous integration.

Needs the extra ``testing``: ``pip install "zoho-sync[testing]"``.
"""

from __future__ import annotations

from zoho_sync.testing.queue_machine import QueueMachine
from zoho_sync.testing.queue_suite import QueueSuite

__all__ = ["QueueMachine", "QueueSuite"]
