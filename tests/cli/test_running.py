"""From an exception to an exit code and one sentence."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError, OperationalError

from zoho_sync.cli.running import at_signals, failure, loop_factory
from zoho_sync.exceptions import (
    ConfigurationError,
    Finding,
    LeaseLost,
    MappingError,
    PayloadError,
    QueueUnavailable,
)

HIDDEN = "hush-hush"


def away(cause: BaseException | None) -> QueueUnavailable:
    error = QueueUnavailable("the queue is away")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (away(None), 4, "the queue is away"),
        (
            away(OSError(f"amqp://me:{HIDDEN}@host")),
            4,
            "the queue is away: amqp://…@host",
        ),
        (PayloadError("bill.date", "not a date"), 3, "bill.date: not a date"),
        (ConfigurationError("no such thing"), 2, "no such thing"),
        (MappingError([Finding("a", "b.", "c.")]), 1, "1 problem(s) in the mapping:\n  - a: b. c."),
        (LeaseLost(["1"]), 1, "lease lost for 1 event(s)"),
        (
            OperationalError("SELECT", {"x": HIDDEN}, OSError("gone"), connection_invalidated=True),
            4,
            "the database cannot be reached: gone",
        ),
        (IntegrityError("INSERT", {"x": HIDDEN}, Exception("taken")), 1, "taken"),
    ],
)
def test_an_error_is_a_sentence_and_an_exit_code(error: Exception, code: int, message: str) -> None:
    told = failure(error)
    assert (told.exit_code, told.message) == (code, message)
    assert HIDDEN not in told.message


def test_on_windows_the_loop_is_one_that_every_driver_takes() -> None:
    assert loop_factory("win32") is asyncio.SelectorEventLoop
    assert loop_factory("linux") is loop_factory("darwin") is None


class LoopOfWindows(asyncio.SelectorEventLoop):
    """Has no signal handlers, as no loop on Windows has any."""

    def add_signal_handler(self, *_: Any) -> None:  # type: ignore[override]  # it takes none
        raise NotImplementedError

    def remove_signal_handler(self, *_: Any) -> bool:
        raise NotImplementedError


@pytest.mark.parametrize("loop", [asyncio.SelectorEventLoop, LoopOfWindows])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_are_heard_in_every_loop(loop: Any, number: signal.Signals) -> None:
    async def listen() -> None:
        heard = asyncio.get_running_loop().create_future()
        with at_signals(heard.set_result):
            signal.raise_signal(number)
            assert not heard.done()  # it is told in the loop, and not in the midst of anything
            assert await asyncio.wait_for(heard, 20) is number

    before = signal.getsignal(number)
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(listen())
    assert signal.getsignal(number) == before
