"""A worker whose relay kills its process between publishing and emptying the outbox.

``python -m tests.queues.outbox_process DATABASE SERVER PREFIX LEASE``
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from zoho_sync import SyncEvent, ZohoSync
from zoho_sync.abc import DEFAULT_PRIORITY, Enqueued
from zoho_sync.queues import Outbox, RedisQueue


class Deadly(RedisQueue):
    """An engine whose answer nobody lives to hear."""

    async def enqueue(
        self,
        events: Sequence[SyncEvent],
        *,
        session: Any = None,
        fingerprints: Mapping[str, str] | None = None,
        priority: int = DEFAULT_PRIORITY,
    ) -> list[Enqueued]:
        """Store events, and end the process."""
        await super().enqueue(events, session=session, fingerprints=fingerprints, priority=priority)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


async def main(url: str, server: str, prefix: str, lease: str) -> None:
    """Work until killed."""
    sessions = async_sessionmaker(create_async_engine(url), expire_on_commit=False)
    queue = Outbox(Deadly(server, prefix=prefix))
    await ZohoSync(sessions, queue=queue, lease=timedelta(seconds=float(lease))).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
