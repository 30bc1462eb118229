"""Queues first attempts in a stream of NATS JetStream; the extra ``nats`` brings its client."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from zoho_sync.abc import Capabilities, Depth, Enqueued, Job
from zoho_sync.database.dialects import chunks
from zoho_sync.events.event import Arrival, SyncEvent
from zoho_sync.events.version import arrival_of
from zoho_sync.exceptions import LeaseLost, PayloadError, QueueUnavailable
from zoho_sync.queues.broker import Broker, job_of, together
from zoho_sync.queues.nats.messages import ACK, PROGRESS, Delivery, digest, nak
from zoho_sync.queues.nats.server import Address, JetStreamError, NATSServer, address_of
from zoho_sync.queues.nats.stream import (
    CONSUMER,
    ensure_consumer,
    ensure_stream,
    subjects_of,
    wait_of,
)
from zoho_sync.queues.wire import decode, encode
from zoho_sync.store.event_rows import dedupe_key

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

__all__ = ["NATSQueue"]

_STREAM: Final = "zoho_sync"
_ONLY_IF_NONE: Final = "Nats-Expected-Last-Subject-Sequence"
_MESSAGE_ID: Final = "Nats-Msg-Id"
_TAKEN: Final = (10071, 10164)
_LOOKS: Final = 5
_AT_ONCE: Final = 100
_HEADERS: Final = 512  # bytes, more than those that are sent
_OF_STREAM: Final = -1
"""In a message: the stream's own number of it is its arrival's sequence."""


class NATSQueue(Broker):
    """A queue in a stream of NATS JetStream, with a pull consumer that all workers share.

    Promised: what `enqueue` has answered is in a file of the server, and stays until it is
    acknowledged; deliveries are never limited; an event whose equal waits or is being worked on is
    recognised, however long that takes; leases are the server's, of any length. Messages that are
    given back come again at the end of the queue, and look as if they had never been claimed.

    Not promised: a server writes its files to the disk every two minutes unless ``sync_interval``
    says ``always``, so a single one can lose that much when its machine loses power; with
    ``replicas=3`` a cluster does not. JetStream takes an acknowledgement under any lease: a late
    one is refused by the worker's own reckoning of the lease only, hence ``fenced=False``. The
    outcome of what is acknowledged is committed, so nothing is lost by it. Delays are taken, but
    counted as leased, hence ``delays=False``; a lease that has ended is counted as leased until the
    message is claimed again. A bulk of which some was stored when the server went away raises, and
    what was stored is recognised when it is sent again. An event that is larger than the server's
    ``max_payload`` is refused with a `PayloadError`, and none of its bulk is stored; an application
    queues it in its database then.

    Args:
        server: ``nats://user:password@first:4222,second:4222/stream``, or a connected client of
            nats-py, which is not closed.
        stream: The stream's name; the URL's, or ``zoho_sync``.
        ack_wait: How long the consumer waits, where it is made. Choose it equal to the workers'
            leases: a claim with another lease costs one message more for each job.
        replicas: How many servers of a cluster keep each message, where the stream is made.
        timeout: How long to wait for an answer of the server.

    Raises:
        MissingExtra: A URL is given, and nats-py is not installed.
        ConfigurationError: The URL cannot be read.
    """

    def __init__(
        self,
        server: str | Client,
        *,
        stream: str | None = None,
        ack_wait: timedelta = timedelta(seconds=60),
        replicas: int = 1,
        timeout: timedelta = timedelta(seconds=5),
    ) -> None:
        target = address_of(server) if isinstance(server, str) else server
        named = target.stream if isinstance(target, Address) else ""
        self._server = NATSServer(target, timeout=timeout.total_seconds())
        self._stream = stream or named or _STREAM
        self._ack_wait, self._replicas = ack_wait, replicas
        self._waits: timedelta | None = None

    @property
    def capabilities(self) -> Capabilities:
        """It has no fence, and cannot tell what is delayed from what is leased."""
        return Capabilities(delays=False, fenced=False)

    async def setup(self) -> None:
        """Make the stream and its consumer; see `QueueBackend.setup`.

        Raises:
            ConfigurationError: They are there, with settings under which events would be lost.
        """
        await ensure_stream(self._server, self._stream, replicas=self._replicas)
        await ensure_consumer(self._server, self._stream, ack_wait=self._ack_wait)
        self._waits = None

    async def _store(self, events: Sequence[SyncEvent]) -> list[Enqueued]:
        info = await self._server.ask(f"STREAM.INFO.{self._stream}")
        own = Arrival(datetime.fromisoformat(info["ts"]), _OF_STREAM)
        arrived = [replace(event, arrival=event.arrival or own) for event in events]
        largest = await self._server.max_payload() - _HEADERS
        bodies = [_encoded(event, largest) for event in arrived]
        stored: list[Enqueued] = []
        for puts in chunks(zip(arrived, bodies, strict=True), _AT_ONCE):
            stored += await together([self._put(event, body) for event, body in puts])
        return stored

    async def extend(self, jobs: Sequence[Job], *, lease: timedelta) -> list[Job]:
        """Lengthen leases; see `QueueBackend.extend`."""
        # JetStream lengthens by its own time alone. But it delays what is refused by any time, and
        # what is refused can be acknowledged until it is delivered again: a lease of that length.
        delayed = nak(lease)
        order = PROGRESS if lease == await self._waiting() else delayed
        kept = await together([self._extended(job.handle, order, lease) for job in jobs])
        return [job for job, is_kept in zip(jobs, kept, strict=True) if not is_kept]

    async def ack(self, jobs: Sequence[Job], *, connection: Any = None) -> None:  # noqa: ARG002  # the contract's
        """Acknowledge settled messages, all that are held; see `QueueBackend.ack`."""
        lost = [job.event.id for job in jobs if not job.handle.is_live]
        held = [job.handle for job in jobs if job.handle.is_live]
        await together([self._finish(delivery, ACK) for delivery in held])
        if lost:
            raise LeaseLost(lost)

    async def release(self, jobs: Sequence[Job], *, delay: timedelta = timedelta(0)) -> None:
        """Give messages back; see `QueueBackend.release`."""
        held = [job for job in jobs if job.handle.is_live]
        await together([self._release(job, delay) for job in held])

    async def depth(self, *, connection: Any = None) -> Depth:  # noqa: ARG002  # the contract's
        """Return how much is in the queue; see `QueueBackend.depth`."""
        # The consumer hears of a new message a little later than who published it.
        asked = (f"CONSUMER.INFO.{self._stream}.{CONSUMER}", f"STREAM.INFO.{self._stream}")
        info, stream = await together(self._server.ask(subject) for subject in asked)
        leased = info["num_ack_pending"]
        ready = max(0, stream["state"]["messages"] - leased)
        oldest = claimable_since = None
        if ready:
            first = info["delivered"]["stream_seq"] + 1
            found = await self._message(seq=first, next_by_subj=subjects_of(self._stream))
            if found is not None:
                claimable_since = datetime.fromisoformat(found["time"])
                event = _decoded(found)
                oldest = arrival_of(event).time if event is not None else claimable_since
        return Depth(ready, 0, leased, oldest=oldest, claimable_since=claimable_since)

    async def close(self) -> None:
        """Close the connection, unless it is the host's; the next call opens it again."""
        await self._server.close()

    async def _put(self, event: SyncEvent, body: bytes) -> Enqueued:
        subject = self._subject(event)
        headers = {_ONLY_IF_NONE: "0", _MESSAGE_ID: digest(event.id)}
        for _ in range(_LOOKS):
            try:
                answer = await self._server.publish(subject, body, headers)
            except JetStreamError as error:
                if error.number not in _TAKEN:
                    raise
            else:
                if answer.get("duplicate"):
                    return Enqueued(event.id, None, duplicate=True)
                return Enqueued(event.id, self._arrival(event, answer["seq"]))
            found = await self._message(last_by_subj=subject)
            equal = _decoded(found) if found is not None else None
            if equal is not None:
                return Enqueued(equal.id, None, duplicate=True)
            # Its equal was acknowledged meanwhile, or is no event and goes with the next claim.
        raise QueueUnavailable(f"JetStream: {subject} is taken and free by turns")

    def _subject(self, event: SyncEvent) -> str:
        # Of its own for each change: the stream finds an equal by it, as long as that is there.
        return f"{self._stream}.events.{dedupe_key(event) or digest(event.id)}"

    @staticmethod
    def _arrival(event: SyncEvent, sequence: int) -> Arrival:
        arrival = arrival_of(event)
        return arrival._replace(sequence=sequence) if arrival.sequence == _OF_STREAM else arrival

    async def _claim(self, limit: int, lease: timedelta, claimed: list[Job]) -> None:
        waits = await self._waiting()
        token, ends = uuid4().hex, time.monotonic() + waits.total_seconds()
        subject = f"CONSUMER.MSG.NEXT.{self._stream}.{CONSUMER}"
        messages = await self._server.pull(subject, limit)
        claimed += [self._job(message, token, ends) for message in messages]
        if lease != waits:
            lost = await self.extend(claimed, lease=lease)
            claimed[:] = [job for job in claimed if job not in lost]

    def _job(self, message: Msg, token: str, ends: float) -> Job:
        sequence = message.metadata.sequence.stream
        delivery = Delivery(message.subject, message.reply, sequence, ends)

        def arrived(event: SyncEvent) -> SyncEvent:
            return replace(event, arrival=self._arrival(event, sequence))

        return job_of(delivery, message.data, token, message.metadata.num_delivered, arrived)

    async def _waiting(self) -> timedelta:
        if self._waits is None:
            self._waits = await wait_of(self._server, self._stream)
        return self._waits

    async def _extended(self, delivery: Delivery, order: bytes, lease: timedelta) -> bool:
        if not delivery.is_live:
            return False
        sent = time.monotonic()
        await self._server.request(delivery.reply, order)
        if not delivery.is_live:
            # Who knows whether it was delivered to somebody else before the server heard of it.
            return False
        delivery.ends = sent + lease.total_seconds()
        return True

    async def _finish(self, delivery: Delivery, order: bytes) -> None:
        await self._server.request(delivery.reply, order)
        delivery.ends = 0

    async def _release(self, job: Job, delay: timedelta) -> None:
        delivery: Delivery = job.handle
        if delay or job.deliveries > 1:
            await self._finish(delivery, nak(delay))
            return
        # Refused, it would come again as one that was left behind by a worker that died. A copy
        # comes as new; under its own id, so that one that is given back twice is copied once.
        body = encode(job.event) if job.undecodable is None else job.undecodable
        headers = {_MESSAGE_ID: f"{digest(job.event.id)}-{delivery.sequence}"}
        await self._server.publish(delivery.subject, body, headers)
        await self._finish(delivery, ACK)

    async def _message(self, **asked: Any) -> dict[str, Any] | None:
        try:
            answer = await self._server.ask(f"STREAM.MSG.GET.{self._stream}", asked)
        except JetStreamError as error:
            if error.not_found:
                return None
            raise
        found: dict[str, Any] = answer["message"]
        return found


def _encoded(event: SyncEvent, largest: int) -> bytes:
    body = encode(event)
    if len(body) > largest:
        problem = f"{len(body)} bytes are more than the server's max_payload lets through"
        raise PayloadError("message", problem)
    return body


def _decoded(found: Mapping[str, Any]) -> SyncEvent | None:
    """Return the event of a message that the stream holds; None if it is none of ours."""
    try:
        return decode(base64.b64decode(found.get("data", "")))
    except PayloadError:
        return None
