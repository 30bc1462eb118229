"""Makes the stream and the consumer of a queue in JetStream, or refuses those that are there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
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
_NO_LIMIT: Final = -1


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


def _problems_of_stream(stream: str, config: Mapping[str, Any]) -> Iterator[str]:
    elsewhere = "which cannot be changed: name another stream at the end of the queue's URL"
    yield from _differing(config, elsewhere, retention="workqueue", storage="file")
    yield from _set(
        config,
        mirror=f"it mirrors another stream, {elsewhere}",
        sealed=f"it is sealed, {elsewhere}",
        max_age="max_age deletes what waits too long: set it to 0",
        max_msgs_per_subject="max_msgs_per_subject deletes events: set it to -1",
        max_msg_size="max_msg_size refuses events: set it to -1",
        no_ack="no_ack accepts what is not stored: unset it",
    )
    limits = [*_set(config, max_msgs="max_msgs", max_bytes="max_bytes")]
    if limits and config.get("discard") != "new":
        yield f"{' and '.join(limits)} deletes the oldest: set discard to new"
    if config.get("persist_mode") == "async":
        yield "persist_mode async accepts what is not stored: unset it"
    if subjects_of(stream) not in config.get("subjects", ()):
        yield f"it does not take in {subjects_of(stream)}: add that to its subjects"


def _problems_of_consumer(stream: str, config: Mapping[str, Any]) -> Iterator[str]:
    elsewhere = "which cannot be changed: delete the consumer, and set up again"
    yield from _differing(config, elsewhere, ack_policy="explicit", deliver_policy="all")
    yield from _set(
        config,
        deliver_subject=f"it is no pull consumer, {elsewhere}",
        mem_storage=f"it keeps its state in memory, {elsewhere}",
        max_deliver="max_deliver gives up on messages silently: set it to -1",
        headers_only="headers_only leaves the events out: unset it",
        backoff="backoff overrides the leases: unset it",
        inactive_threshold="inactive_threshold deletes it when no worker runs: set it to 0",
    )
    if config.get("filter_subject") not in (None, "", ">", subjects_of(stream)):
        yield f"its filter is not {subjects_of(stream)}: set it to that"


def _differing(config: Mapping[str, Any], remedy: str, **wanted: str) -> Iterator[str]:
    for name, value in wanted.items():
        if config[name] != value:
            yield f"its {name} is {config[name]!r}, {remedy}"


def _set(config: Mapping[str, Any], **problems: str) -> Iterator[str]:
    for name, problem in problems.items():
        if config.get(name) and config[name] != _NO_LIMIT:
            yield problem


def _refuse(what: str, problems: Iterable[str]) -> None:
    if problems := [*problems]:
        raise ConfigurationError(f"{what} is not fit for a queue: {'; '.join(problems)}")


def _refused(error: JetStreamError, what: str) -> Exception:
    """Return what to raise: an outage, or a mistake that the host must mend."""
    if error.code != _BAD_REQUEST:
        return error
    return ConfigurationError(f"{what} cannot be made: {error}")
