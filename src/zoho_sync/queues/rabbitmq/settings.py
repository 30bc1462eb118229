"""Chooses the settings of a queue in RabbitMQ, and reads from a refusal what is wrong with one."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["arguments_for", "has_the_servers_limit", "limit_of", "problem_of", "without_limit"]

_LIMIT: Final = "x-delivery-limit"
_NONE: Final = -1
_LIMITS_BY_ITSELF: Final = 4
_DIFFERENT: Final = re.compile(r"inequivalent arg '([^']+)'")
_TOO_LARGE: Final = re.compile(r"larger than (?:configured )?max size (\d+)")
_ELSEWHERE: Final = (
    "which cannot be changed: delete the queue when it is empty and set up again, or name another"
)
_WHY: Final = {
    "auto_delete": "auto_delete deletes it when its last consumer goes",
    "durable": "it is not durable: a restart of the server deletes it",
    "x-dead-letter-exchange": "x-dead-letter-exchange moves events elsewhere",
    _LIMIT: f"{_LIMIT} deletes what was delivered that often",
    "x-expires": "x-expires deletes it when nobody uses it",
    "x-max-length": "x-max-length bounds it",
    "x-max-length-bytes": "x-max-length-bytes bounds it",
    "x-message-ttl": "x-message-ttl deletes what waits too long",
    "x-overflow": "its x-overflow is not reject-publish: a full queue would delete the oldest",
    "x-queue-type": "its x-queue-type is not quorum",
    "x-single-active-consumer": "x-single-active-consumer lets one worker claim alone",
}

Arguments = dict[str, str | int]


def arguments_for(version: str) -> Arguments:
    """Return what a queue is declared with on a server of a version."""
    arguments: Arguments = {
        "x-queue-type": "quorum",
        # Should a policy set a length some day, what is new is refused, and nothing deleted.
        "x-overflow": "reject-publish",
    }
    major = version.partition(".")[0]
    if major.isdecimal() and int(major) >= _LIMITS_BY_ITSELF:
        # Left out it is 20 there. Older servers have none then, and refuse this one.
        arguments[_LIMIT] = _NONE
    return arguments


def without_limit(arguments: Arguments) -> Arguments:
    """Return arguments that leave the delivery limit to the server."""
    return {name: value for name, value in arguments.items() if name != _LIMIT}


def has_the_servers_limit(refusal: str) -> bool:
    """Whether a queue differs by leaving the delivery limit to the server.

    One that an older server has made does.
    """
    found = _DIFFERENT.search(refusal)
    return found is not None and found[1] == _LIMIT and "but current is none" in refusal


def problem_of(refusal: str) -> str | None:
    """Return what the server says is wrong with a queue that is there, and the remedy, or None."""
    found = _DIFFERENT.search(refusal)
    return found and f"{_WHY.get(found[1], f'{found[1]} is set')}, {_ELSEWHERE}"


def limit_of(refusal: str) -> int | None:
    """Return how large messages may be, in bytes, from the refusal of one; None if by another."""
    found = _TOO_LARGE.search(refusal)
    return None if found is None else int(found[1])
