"""The stream and the consumer of a queue in JetStream: how they are made, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from zoho_sync.exceptions import ConfigurationError
from zoho_sync.queues.nats.messages import nanoseconds
from zoho_sync.queues.nats.server import JetStreamError, NATSServer

__all__ = ["CONSUMER", "ensure_consumer", "ensure_stream", "subjects_of", "wait_of"]

CONSUMER: Final = "workers"
"""The consumer that all workers share."""

_WINDOW: Final = timedelta(minutes=2)
_BAD_REQUEST: Final = 400
_NAME_IN_USE: Final = 10058
_CONSUMER_EXISTS: Final = 10148


def subjects_of(stream: str) -> str:
    """Return the subjects that a stream takes in."""
    return f"{stream}.events.>"


async def ensure_stream(server: NATSServer, stream: str, *, replicas: int) -> None:
    """Make the stream, unless it is there.

    Raises:
        ConfigurationError: It is there, and would lose events; or it cannot be made.
    """
    wanted = {
        "name": stream,
        "subjects": [subjects_of(stream)],
        # What is acknowledged goes, and nothing else does: no limit is needed to make room.
        "retention": "workqueue",
        "storage": "file",
        "num_replicas": replicas,
        "duplicate_window": nanoseconds(_WINDOW),
        # Should somebody set a limit later, it refuses what is new, and deletes nothing.
        "discard": "new",
        "max_age": 0,
        "max_bytes": -1,
        "max_consumers": -1,
        "max_msgs": -1,
    }
    try:
        made = await server.ask(f"STREAM.CREATE.{stream}", wanted)
    except JetStreamError as error:
        if error.number != _NAME_IN_USE:
            raise _refused(error, f"stream {stream}") from error
        made = await server.ask(f"STREAM.INFO.{stream}")
    _refuse(f"stream {stream}", _problems_of_stream(stream, made["config"]))


async def ensure_consumer(server: NATSServer, stream: str, *, ack_wait: timedelta) -> None:
    """Make the consumer, unless it is there.

    Raises:
        ConfigurationError: It is there, and would lose events; or it cannot be made.
    """
    wanted = {
        "name": CONSUMER,
        "durable_name": CONSUMER,
        "filter_subject": subjects_of(stream),
        "deliver_policy": "all",
        "ack_policy": "explicit",
        "ack_wait": nanoseconds(ack_wait),
        # After the last of a limited number of deliveries a message would stay, and never come.
        "max_deliver": -1,
        "max_ack_pending": -1,
    }
    subject = f"CONSUMER.CREATE.{stream}.{CONSUMER}.{subjects_of(stream)}"
    asked = {"stream_name": stream, "config": wanted, "action": "create"}
    try:
        made = await server.ask(subject, asked)
    except JetStreamError as error:
        if error.number != _CONSUMER_EXISTS:
            raise _refused(error, f"consumer {CONSUMER} of stream {stream}") from error
        made = await server.ask(f"CONSUMER.INFO.{stream}.{CONSUMER}")
    problems = _problems_of_consumer(stream, made["config"])
    _refuse(f"consumer {CONSUMER} of stream {stream}", problems)


async def wait_of(server: NATSServer, stream: str) -> timedelta:
    """Return how long the consumer waits for an acknowledgement."""
    info = await server.ask(f"CONSUMER.INFO.{stream}.{CONSUMER}")
    return timedelta(microseconds=info["config"]["ack_wait"] // 1000)


def _problems_of_stream(stream: str, config: Mapping[str, Any]) -> list[str]:
    limits = [name for name in ("max_msgs", "max_bytes") if config.get(name, -1) > 0]
    makes_room = config.get("discard") != "new" and bool(limits)
    elsewhere = "which cannot be changed: name another stream at the end of the queue's URL"
    found = {
        f"its retention is {config['retention']!r}, {elsewhere}": config["retention"]
        != "workqueue",
        f"its storage is {config['storage']!r}, {elsewhere}": config["storage"] != "file",
        f"it mirrors another stream, {elsewhere}": bool(config.get("mirror")),
        f"it is sealed, {elsewhere}": bool(config.get("sealed")),
        "max_age deletes what waits too long: set it to 0": bool(config.get("max_age")),
        f"{' and '.join(limits)} deletes the oldest: set discard to new": makes_room,
        "max_msgs_per_subject deletes events: set it to -1": config.get("max_msgs_per_subject", -1)
        > 0,
        "max_msg_size refuses events: set it to -1": config.get("max_msg_size", -1) > 0,
        "no_ack accepts what is not stored: unset it": bool(config.get("no_ack")),
        "persist_mode async accepts what is not stored: unset it": config.get("persist_mode")
        == "async",
        f"it does not take in {subjects_of(stream)}: add that to its subjects": subjects_of(stream)
        not in config.get("subjects", ()),
    }
    return [problem for problem, is_so in found.items() if is_so]


def _problems_of_consumer(stream: str, config: Mapping[str, Any]) -> list[str]:
    elsewhere = "which cannot be changed: delete the consumer, and set up again"
    found = {
        f"its ack_policy is {config['ack_policy']!r}, {elsewhere}": config["ack_policy"]
        != "explicit",
        f"its deliver_policy is {config['deliver_policy']!r}, {elsewhere}": config["deliver_policy"]
        != "all",
        f"it is no pull consumer, {elsewhere}": bool(config.get("deliver_subject")),
        f"it keeps its state in memory, {elsewhere}": bool(config.get("mem_storage")),
        "max_deliver gives up on messages silently: set it to -1": config.get("max_deliver", -1)
        > 0,
        "headers_only leaves the events out: unset it": bool(config.get("headers_only")),
        "backoff overrides the leases: unset it": bool(config.get("backoff")),
        "inactive_threshold deletes it when no worker runs: set it to 0": bool(
            config.get("inactive_threshold")
        ),
        f"its filter is not {subjects_of(stream)}: set it to that": config.get("filter_subject")
        not in (None, "", ">", subjects_of(stream)),
    }
    return [problem for problem, is_so in found.items() if is_so]


def _refuse(what: str, problems: list[str]) -> None:
    if problems:
        raise ConfigurationError(f"{what} is not fit for a queue: {'; '.join(problems)}")


def _refused(error: JetStreamError, what: str) -> Exception:
    """Return what to raise: an outage, or a mistake that the host must mend."""
    if error.code != _BAD_REQUEST:
        return error
    return ConfigurationError(f"{what} cannot be made: {error}")
