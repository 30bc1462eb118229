"""Says in the database that a worker lives, what it works with, and what keeps it busy."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final
from uuid import uuid4

from zoho_sync.abc import NotesClaims
from zoho_sync.database.cancellation import errors_alone, finish
from zoho_sync.database.dialects import database_time
from zoho_sync.database.hiding import without_values
from zoho_sync.database.transactions import transaction
from zoho_sync.exceptions import ConfigurationError
from zoho_sync.store.schema_version import RELEASE, refuse_other_version
from zoho_sync.store.worker_rows import WorkerRow, WorkerRows
from zoho_sync.worker.runtime import Runtime

__all__ = ["Presence"]

_log = logging.getLogger(__name__)

_SHARE: Final = 4
"""How often it says so within a lease."""

_SHORTEST: Final = 0.2
_MOMENT: Final = 2.0
_LONGEST_HOST: Final = 40
_LONGEST_TEXT: Final = 400


class Presence:
    """One worker's row, written a few times within each lease, whatever it does meanwhile.

    Attributes:
        troubles: What goes wrong now, by the part of the worker that it hinders. The loops set it.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._name = ""
        self._begun = 0.0
        self._claimed: float | None = None
        self.troubles: dict[str, str] = {}

    def claimed(self) -> None:
        """Note that the queue could be asked."""
        self._claimed = time.monotonic()

    def begin(self) -> None:
        """Take a name: of this process, which may be a fork of the one that made the worker."""
        host = socket.gethostname()[:_LONGEST_HOST]
        self._name = f"{host}:{os.getpid()}:{uuid4().hex[:6]}"
        self._begun, self._claimed = time.monotonic(), None
        self.troubles.clear()
        if isinstance(self._runtime.queue, NotesClaims):
            self._runtime.queue.claims_for(self._name)

    async def arrive(self) -> None:
        """Write the row before there is work: that may hold SQLite's lock from then on."""
        with suppress(Exception):
            async with asyncio.timeout(_MOMENT):
                await finish(self.tell())

    async def keep(self) -> None:
        """Say that the worker lives, until cancelled.

        Raises:
            ConfigurationError: The library's tables have become those of another version.
        """
        pause = max(self._runtime.lease.total_seconds() / _SHARE, _SHORTEST)
        while True:
            try:
                with errors_alone():
                    await self.tell()
            except ConfigurationError:
                raise
            except Exception as error:  # noqa: BLE001  # whatever it is, the next turn may succeed
                _log.info("the worker cannot say that it lives: %s", without_values(error))
            await asyncio.sleep(pause)

    async def tell(self) -> None:
        """Write the row."""
        runtime = self._runtime
        async with transaction(runtime.sessions, runtime.lease) as work:
            now = await database_time(work.connection, runtime.context.clock)
            tables = runtime.context.tables
            await refuse_other_version(work.connection, tables)
            await WorkerRows(work.connection, tables).write(self._row(now))

    async def leave(self) -> None:
        """Remove the row; where the database is away, others find that it is old."""
        with suppress(Exception):
            async with asyncio.timeout(_MOMENT):
                await finish(self._remove())

    async def _remove(self) -> None:
        runtime = self._runtime
        async with transaction(runtime.sessions, runtime.lease) as work:
            await WorkerRows(work.connection, runtime.context.tables).remove(self._name)

    def _row(self, now: datetime) -> WorkerRow:
        then = _clock(now)
        under_way = min(
            self._runtime.patience.under_way.values(), key=lambda each: each.since, default=None
        )
        busy = under_way and f"{under_way.event.entity_type} {under_way.event.entity_id}"
        return WorkerRow(
            name=self._name,
            release=RELEASE,
            fingerprints=self._fingerprints(),
            lease_milliseconds=round(self._runtime.lease.total_seconds() * 1000),
            started_at=then(self._begun),
            seen_at=now,
            claimed_at=None if self._claimed is None else then(self._claimed),
            busy_since=then(under_way.since) if under_way else None,
            busy_with=(busy or "")[:_LONGEST_TEXT],
            trouble="; ".join(self.troubles.values())[:_LONGEST_TEXT],
        )

    def _fingerprints(self) -> dict[str, str]:
        bindings = self._runtime.context.bindings
        return {
            name: bindings[name].fingerprint if name in bindings else ""
            for name in self._runtime.registry
        }


def _clock(now: datetime) -> Callable[[float], datetime]:
    """Return what tells a moment of `time.monotonic` by the database's clock."""
    here = time.monotonic()
    return lambda moment: now - timedelta(seconds=here - moment)
