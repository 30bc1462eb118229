"""Queues first attempts in a stream of a Redis or Valkey server."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import uuid4

from zoho_sync.abc import Capabilities, Depth, Enqueued, Job
from zoho_sync.events.event import Arrival, SyncEvent
from zoho_sync.events.version import from_microseconds
from zoho_sync.exceptions import ConfigurationError, LeaseLost
from zoho_sync.queues.broker import Broker, job_of
from zoho_sync.queues.redis.scripts import ACK, CLAIM, DEPTH, ENQUEUE, EXTEND, RELEASE
from zoho_sync.queues.redis.server import RedisServer
from zoho_sync.queues.wire import encode
from zoho_sync.store.event_rows import dedupe_key

__all__ = ["RedisQueue"]

_log = logging.getLogger(__name__)

_OLDEST: Final = (7, 0)
_MILLISECOND: Final = timedelta(milliseconds=1)
_HERE: Final = "here"
_GIVEN: Final = "given"
_UNKNOWN: Final = Arrival(datetime(1970, 1, 1, tzinfo=UTC), 0)
"""Stands in the message for an arrival that the server gives it."""


class _Entry(NamedTuple):
    """The engine's name for a message: its place in the stream, and its key beside it."""

    id: str
    key: bytes


class RedisQueue(Broker):
    """A queue on a server of Redis 7 or later, or of Valkey, in one stream and keys beside it.

    Promised:

    - Each step is one script on the server: it happens as a whole or not at all.
    - Leases are measured by the server's clock, and what is done under a lost lease is refused.
    - An event that equals one in the queue is recognised for as long as that one is there; one
      that was settled, or moved to the database, is not: the ledger knows it then.
    - Nothing is trimmed and nothing expires: a message leaves when it is acknowledged.
    - A server that comes back, with its data or without, is used again without a restart.

    Not promised:

    - What the server accepted survives its crash only with ``appendonly yes`` and ``appendfsync
      always``; with ``everysec`` the last second may be lost. `setup` warns.
    - Replication is asynchronous: a failover may lose what was accepted last, or undo an
      acknowledgement; the message comes once more then, and is known.
    - Nothing commits together with the host's transaction: see `OutsideQueue`.

    Args:
        server: A URL (``redis://``, ``rediss://``, ``valkey://``, ``valkeys://``), or an
            asynchronous client of redis-py or valkey-py, also for Sentinel or a cluster. Such a
            client stays open; its timeouts are its own.
        prefix: What the names of all keys begin with, in braces, so that a cluster keeps them
            together. Two applications on one server need two.

    Raises:
        ConfigurationError: The URL, the client or the prefix cannot be used.
        MissingExtra: A URL was given, and redis-py is not installed.
    """

    def __init__(self, server: Any, *, prefix: str = "zoho_sync") -> None:
        if not prefix or set(prefix) & set("{}"):
            message = f"the prefix {prefix!r} cannot be used: give it a name without braces"
            raise ConfigurationError(message)
        names = ("events", "leases", "released", "keys")
        self._server = RedisServer(server, [f"{{{prefix}}}:{name}" for name in names])

    @property
    def capabilities(self) -> Capabilities:
        """It can do everything but take part in the host's transaction."""
        return Capabilities()

    async def setup(self) -> None:
        """Make the stream and its group, and check that the server keeps what it is given.

        Raises:
            ConfigurationError: The server is too old, or may evict the queue.
            QueueUnavailable: It does not answer.
        """
        settings = await self._server.settings()
        _refuse_unfit(settings)
        _warn_of_losses(settings)
        await self._server.make_group()

    async def _store(self, events: Sequence[SyncEvent]) -> list[Enqueued]:
        given = [argument for event in events for argument in _stored(event)]
        answers = await self._server.run(ENQUEUE, uuid4().hex, *given)
        return [_answer(event, *answer) for event, answer in zip(events, answers, strict=True)]

    async def extend(self, jobs: Sequence[Job], *, lease: timedelta) -> list[Job]:
        """Lengthen leases; see `QueueBackend.extend`."""
        lost = await self._server.run(EXTEND, _milliseconds(lease), *_named(jobs))
        return _among(jobs, lost)

    async def ack(self, jobs: Sequence[Job], *, connection: Any = None) -> None:  # noqa: ARG002  # the contract's
        """Forget settled messages, all of them or none; see `QueueBackend.ack`."""
        lost = await self._server.run(ACK, *_named(jobs))
        if lost:
            raise LeaseLost(job.event.id for job in _among(jobs, lost))

    async def release(self, jobs: Sequence[Job], *, delay: timedelta = timedelta(0)) -> None:
        """Give messages back; see `QueueBackend.release`."""
        await self._server.run(RELEASE, _milliseconds(delay), *_named(jobs))

    async def depth(self, *, connection: Any = None) -> Depth:  # noqa: ARG002  # the contract's
        """Return how much is in the queue; see `QueueBackend.depth`."""
        ready, delayed, leased, oldest, since = await self._server.run(DEPTH)
        return Depth(ready, delayed, leased, _moment(oldest), _moment(since))

    async def close(self) -> None:
        """Close the connections, unless the client is the host's."""
        await self._server.close()

    async def _claim(self, limit: int, lease: timedelta, claimed: list[Job]) -> None:
        if limit < 1:
            return
        token = uuid4().hex
        entries, gone = await self._server.run(CLAIM, token, limit, _milliseconds(lease))
        claimed += [_job(token, *entry) for entry in entries]
        if gone:
            _log.error("%d message(s) were deleted from the queue by somebody else", gone)


def _stored(event: SyncEvent) -> Iterator[bytes | str]:
    """Yield what the script is told about an event."""
    # Without a key of its own an event is recognised by its id: a host that did not hear the
    # answer enqueues it once more.
    yield dedupe_key(event) or _bytes(f"id:{event.id}")
    yield _bytes(event.id)
    yield _HERE if event.arrival is None else _GIVEN
    yield encode(replace(event, arrival=event.arrival or _UNKNOWN))


def _answer(event: SyncEvent, entry: bytes, first: bytes, duplicate: int) -> Enqueued:
    if duplicate:
        return Enqueued(first.decode("utf-8", "surrogatepass"), None, duplicate=True)
    return Enqueued(event.id, event.arrival or _arrival(entry.decode()))


def _job(token: str, entry: bytes, listed: Sequence[bytes], deliveries: int) -> Job:
    pairs = list(zip(listed[::2], listed[1::2], strict=True))
    fields = dict(pairs)
    handle = _Entry(entry.decode(), fields.get(b"key", b""))
    # What is no message of ours keeps whatever it has.
    message = fields.get(b"event") or b"\n".join(b"=".join(each) for each in pairs)

    def arrived(event: SyncEvent) -> SyncEvent:
        is_ours = fields.get(b"arrival") == _HERE.encode()
        return replace(event, arrival=_arrival(handle.id)) if is_ours else event

    return job_of(handle, message, token, deliveries, arrived)


def _named(jobs: Sequence[Job]) -> Iterator[bytes | str]:
    """Yield what the scripts are told about jobs."""
    for job in jobs:
        yield from (job.handle.id, job.lease_token, job.handle.key)


def _among(jobs: Sequence[Job], entries: Sequence[bytes]) -> list[Job]:
    return [job for job in jobs if job.handle.id.encode() in entries]


def _arrival(entry: str) -> Arrival:
    """Return when an entry was stored: the stream's own order, by the server's clock."""
    milliseconds, _, number = entry.partition("-")
    # 0 is the sequence of what came through no queue.
    return Arrival(from_microseconds(int(milliseconds) * 1000), int(number) + 1)


def _moment(milliseconds: int) -> datetime | None:
    return None if milliseconds < 0 else from_microseconds(milliseconds * 1000)


def _milliseconds(duration: timedelta) -> int:
    """Return a duration as the scripts count it; what is not nothing stays something."""
    return -(-duration // _MILLISECOND)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _refuse_unfit(settings: Mapping[str, Any]) -> None:
    version = str(settings.get("redis_version", "0"))
    if tuple(int(number) for number in re.findall(r"\d+", version)[:2]) < _OLDEST:
        message = f"the queue needs Redis 7.0 or later, or Valkey; this server is {version}"
        raise ConfigurationError(message)
    policy = settings.get("maxmemory_policy", "noeviction")
    if int(settings.get("maxmemory", 0)) and policy != "noeviction":
        message = (
            f"the server may delete the queue when its memory is full (maxmemory-policy {policy});"
            " set maxmemory-policy to noeviction, or give the queue a server of its own"
        )
        raise ConfigurationError(message)


def _warn_of_losses(settings: Mapping[str, Any]) -> None:
    if not int(settings.get("aof_enabled", 0)):
        _log.warning("the queue's server has appendonly off: a crash loses what it accepted")
    elif settings.get("appendfsync", "always") != "always":
        problem = "a crash of its machine loses what it accepted in the last second or more"
        _log.warning("the queue's server has appendfsync %s: %s", settings["appendfsync"], problem)
