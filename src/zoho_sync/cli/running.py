"""Runs a command's coroutine, and turns what it raises into an exit code and one sentence."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final, TypeVar

import click

from zoho_sync.database.faults import Fault, classify, is_of_database, primary_message
from zoho_sync.exceptions import (
    ConfigurationError,
    MappingError,
    PayloadError,
    QueueUnavailable,
    ZohoSyncError,
)
from zoho_sync.exceptions.wording import without_credentials

__all__ = ["FAILED", "REFUSED", "UNREACHABLE", "USAGE", "Failure", "at_signals", "reason", "run"]

_T = TypeVar("_T")

FAILED: Final = 1
USAGE: Final = 2
REFUSED: Final = 3
UNREACHABLE: Final = 4

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class Failure(click.ClickException):
    """A command that cannot be done: a sentence, and an exit code."""

    def __init__(self, message: str, exit_code: int = FAILED) -> None:
        super().__init__(without_credentials(message))
        # click declares it for the class, and reads it from the instance.
        self.exit_code = exit_code  # type: ignore[misc]


def run(work: Coroutine[Any, Any, _T]) -> _T:
    """Run a command's coroutine.

    Raises:
        Failure: What it raised, for people.
    """
    try:
        with asyncio.Runner(loop_factory=loop_factory(sys.platform)) as runner:
            return runner.run(work)
    except Exception as error:
        if isinstance(error, ZohoSyncError) or is_of_database(error):
            raise failure(error) from error
        raise


def loop_factory(system: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes the loop on a system; None for what the system has of itself.

    psycopg does not work in the loop that Windows has. The other one hears of a signal when it next
    wakes, which a worker does twice a second.
    """
    return asyncio.SelectorEventLoop if system == "win32" else None


@contextmanager
def at_signals(stop: Callable[[signal.Signals], None]) -> Iterator[None]:
    """Call a function in the loop at each SIGTERM and SIGINT, while the body runs."""
    loop = asyncio.get_running_loop()
    with ExitStack() as undoing:
        for number in _SIGNALS:
            try:
                loop.add_signal_handler(number, stop, number)
            except NotImplementedError:  # the loops of Windows have none
                before = signal.signal(number, _in_loop(loop, stop))
                undoing.callback(signal.signal, number, before)
            else:
                undoing.callback(loop.remove_signal_handler, number)
        yield


def _in_loop(
    loop: asyncio.AbstractEventLoop, stop: Callable[[signal.Signals], None]
) -> Callable[[int, object], None]:
    def received(number: int, frame: object) -> None:
        del frame
        loop.call_soon_threadsafe(stop, signal.Signals(number))

    return received


def failure(error: Exception) -> Failure:
    """Return an error as a sentence and an exit code."""
    if isinstance(error, QueueUnavailable):
        cause = error.__cause__
        behind = f": {reason(cause)}" if isinstance(cause, Exception) else ""
        return Failure(f"{error}{behind}", UNREACHABLE)
    if isinstance(error, PayloadError):
        return Failure(str(error), REFUSED)
    if isinstance(error, ConfigurationError):
        return Failure(str(error), FAILED if isinstance(error, MappingError) else USAGE)
    if isinstance(error, ZohoSyncError):
        return Failure(str(error))
    if isinstance(error, OSError) or classify(error) is Fault.CONNECTION:
        return Failure(f"the database cannot be reached: {reason(error)}", UNREACHABLE)
    return Failure(reason(error))


def reason(error: BaseException) -> str:
    """Return what is wrong, in one line, without statements and without credentials."""
    # Never the statement and its parameters: those hold documents.
    return without_credentials(primary_message(error)[0] or type(error).__name__)
