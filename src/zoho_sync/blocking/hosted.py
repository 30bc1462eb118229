"""Keeps what lives in the loop of a `BlockingSync`: the host's `ZohoSync`, engine and worker."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from zoho_sync.app.sync import ZohoSync
from zoho_sync.database.faults import is_of_database, without_values
from zoho_sync.database.sessions import engine_of
from zoho_sync.exceptions import ConfigurationError

__all__ = ["Hosted", "hosted"]

_log = logging.getLogger(__name__)


class Hosted:
    """A `ZohoSync`, and the worker that runs beside its callers."""

    def __init__(self, sync: ZohoSync) -> None:
        self.sync = sync
        self._worker: asyncio.Task[None] | None = None
        self._changing = asyncio.Lock()

    async def start_worker(self) -> None:
        """Run the worker in a task, unless it runs; what it refuses is raised here."""
        async with self._changing:
            if self._worker is not None and not self._worker.done():
                return
            try:
                await self.sync._parts.mappings.once()  # noqa: SLF001  # in a task, nobody would hear it
            except Exception as error:
                # `run` waits for a database that does not answer.
                if not is_of_database(error):
                    raise
            self._worker = asyncio.create_task(self.sync.run(), name="zoho_sync run")
            # It refuses a pool that is too small before it first waits.
            await asyncio.sleep(0)
            if self._worker.done():
                self._worker.result()
            self._worker.add_done_callback(_report)

    async def stop_worker(self) -> None:
        """Cancel the worker, if it runs, and wait for its end."""
        async with self._changing:
            worker, self._worker = self._worker, None
            if worker is not None:
                worker.cancel()
                await asyncio.wait({worker})


@asynccontextmanager
async def hosted(factory: Callable[[], ZohoSync]) -> AsyncIterator[Hosted]:
    """Make a `ZohoSync`; in the end stop its worker, close it, and dispose of its engine.

    Raises:
        ConfigurationError: The factory makes something else.
    """
    sync = factory()
    if not isinstance(sync, ZohoSync):
        message = f"the factory of a BlockingSync gives {type(sync).__name__}, not a ZohoSync"
        raise ConfigurationError(message)
    async with AsyncExitStack() as stack:
        engine = engine_of(sync._runtime.sessions)  # noqa: SLF001  # the sessions are the factory's
        if engine is not None:
            stack.push_async_callback(engine.dispose)
        await stack.enter_async_context(sync)
        made = Hosted(sync)
        stack.push_async_callback(made.stop_worker)
        yield made


def _report(worker: asyncio.Task[None]) -> None:
    if not worker.cancelled() and (error := worker.exception()) is not None:
        _log.error("the worker has ended: %s", without_values(error))  # a traceback quotes values
