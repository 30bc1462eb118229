"""Tests what every queue engine promises; its author runs it.

An engine proves itself in ten lines::

    class TestMine(QueueSuite):
        @asynccontextmanager
        async def opened(self):
            queue = MyQueue(...)
            await queue.setup()
            yield queue
            await queue.close()

A check is skipped only where the engine's `Capabilities` say that it cannot do what is checked, and
what they say is checked as well, as far as it can be seen. Each check runs in an event loop of its
own, so that no plugin is needed.

Some checks look at a whole `ZohoSync` that works with the engine. Its database is a file of SQLite
that they make themselves, which needs the extra ``sqlite``. An engine that takes part in the
host's transactions brings its own, by overriding `database`, and keeps time by `clock`.
"""

from __future__ import annotations

from zoho_sync.testing.fault_checks import FaultChecks
from zoho_sync.testing.joining_checks import JoiningChecks
from zoho_sync.testing.lease_checks import LeaseChecks
from zoho_sync.testing.storing_checks import StoringChecks
from zoho_sync.testing.work_checks import WorkChecks

__all__ = ["QueueSuite"]


class QueueSuite(StoringChecks, LeaseChecks, FaultChecks, JoiningChecks, WorkChecks):
    """The contract of `QueueBackend`, for a subclass that opens an engine.

    Override `opened`, and where it is possible `elapse`, which lets time pass, `spoil`, which puts
    bytes into the engine, and `cut`, which breaks its connections.

    Attributes:
        lease: How long the leases of these tests are. Choose it long enough for the engine's clock
            and its way there, and short enough to be waited for.
        together: How many clients claim at once.
    """
