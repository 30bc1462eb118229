"""From an exception to an exit code and one sentence."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import IntegrityError, OperationalError

from zoho_sync.cli.running import failure
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
