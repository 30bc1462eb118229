"""`QueueSuite`: what every queue engine promises, as tests that its author runs.

An engine proves itself in ten lines::

    class TestMine(QueueSuite):
        @asynccontextmanager
        async def opened(self):
            queue = MyQueue(...)
            await queue.setup()
            yield queue
            await queue.close()

A check is skipped only where the engine's `Capabilities` say that it cannot do what is checked.
Each runs in an event loop of its own, so that no plugin is needed.
"""

from __future__ import annotations

from zoho_sync.testing._lease_checks import LeaseChecks
from zoho_sync.testing._storing_checks import StoringChecks

__all__ = ["QueueSuite"]


class QueueSuite(StoringChecks, LeaseChecks):
    """The contract of `QueueBackend`, for a subclass that opens an engine.

    Attributes:
        lease: How long the leases of these tests are. Choose it long enough for the engine's clock
            and its way there, and short enough to be waited for.
        together: How many clients claim at once.
    """
