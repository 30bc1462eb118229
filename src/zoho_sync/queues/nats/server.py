"""Talks to a NATS server: sends requests, pulls messages, and tells an outage as one error."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from zoho_sync.database.cancellation import finish
from zoho_sync.exceptions import QueueUnavailable
from zoho_sync.queues.broker import needing, unreadable_url

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription

__all__ = ["Address", "JetStreamError", "NATSServer", "address_of"]

_log = logging.getLogger(__name__)

_FORM: Final = "nats://user:password@first:4222,second:4222/stream"
_STREAM_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NO_STREAM: Final = (
    "nobody answers: the server has no JetStream, or its cluster no leader now, or"
    " ZohoSync.create_tables() has not made the stream"
)
_NOBODY: Final = "503"
_ENDED: Final = ("404", "408")  # no more messages, and no more time
_NOT_FOUND: Final = 404
_JETSTREAM: Final = "$JS.ACK."


class JetStreamError(QueueUnavailable):
    """An answer of JetStream that refuses what was asked.

    Attributes:
        code: As in HTTP.
        number: Which error it is; see the list in the server's documentation.
        not_found: Whether what was asked for is not there.
    """

    def __init__(self, error: Mapping[str, Any]) -> None:
        self.code = error.get("code", 0)
        self.number = error.get("err_code", 0)
        self.not_found = self.code == _NOT_FOUND
        hint = "; ZohoSync.create_tables() makes it" if self.not_found else ""
        super().__init__(f"JetStream: {error.get('description', 'an error')}{hint}")


@dataclass(frozen=True)
class Address:
    """Where a queue is.

    Attributes:
        servers: One URL for each server of the cluster, without credentials.
        stream: The stream's name, or ``""``.
        token: What the client logs in with, where that is not a user.
    """

    servers: tuple[str, ...]
    stream: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)


def address_of(url: str) -> Address:
    """Return what a URL says.

    Raises:
        ConfigurationError: It is none; its text, which may hold a password, is not quoted.
    """
    login, _, places = url.removeprefix("nats://").rpartition("@")
    hosts, _, stream = places.partition("/")
    servers = tuple(f"nats://{host}" for host in hosts.split(","))
    readable = url.startswith("nats://") and "@" not in login and all(map(_is_server, servers))
    if not readable or (stream and not _STREAM_NAME.fullmatch(stream)):
        raise unreadable_url(_FORM)
    user, colon, password = (unquote(part) for part in login.partition(":"))
    if colon:
        return Address(servers, stream, user=user, password=password)
    return Address(servers, stream, token=user or None)


def _is_server(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False


class NATSServer:
    """A server or a cluster, connected to when it is needed, and again when that is lost.

    Every method raises `QueueUnavailable` where nobody answers.

    Args:
        target: An address, or a client that the host has connected, and closes itself.
        timeout: Seconds to wait for an answer.
    """

    def __init__(self, target: Address | Client, *, timeout: float) -> None:
        self._address = target if isinstance(target, Address) else None
        self._client = None if isinstance(target, Address) else target
        self._timeout = timeout
        self._connecting = asyncio.Lock()
        self._limits: set[asyncio.Timeout] = set()
        if self._address is not None:
            _require_client()

    async def max_payload(self) -> int:
        """Return how many bytes the server takes in one message."""
        return (await self._connected()).max_payload

    async def ask(self, subject: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Ask JetStream's interface, and return its answer; a `JetStreamError` refuses."""
        payload = json.dumps(body).encode() if body is not None else b""
        return _read(await self.request(f"$JS.API.{subject}", payload))

    async def publish(
        self, subject: str, payload: bytes, headers: Mapping[str, str]
    ) -> dict[str, Any]:
        """Publish a message, and return the stream's acknowledgement; raises as `ask`."""
        return _read(await self.request(subject, payload, headers))

    async def request(
        self, subject: str, payload: bytes, headers: Mapping[str, str] | None = None
    ) -> bytes:
        """Send a message, and return the bytes that answer it.

        What is begun is finished before a cancellation is heeded: the client's own waits can
        swallow one (before Python 3.12 `asyncio.wait_for` does, if the answer comes at that
        moment), and who is asked to stop would go on.
        """
        return await finish(self._request(subject, payload, headers))

    async def _request(
        self, subject: str, payload: bytes, headers: Mapping[str, str] | None
    ) -> bytes:
        client = await self._connected()
        sent = dict(headers) if headers else None
        with _outages():
            async with asyncio.timeout(self._timeout) as limit:
                self._limits.add(limit)
                try:
                    answer = await client.request(
                        subject, payload, timeout=self._timeout, headers=sent
                    )
                finally:
                    self._limits.discard(limit)
        return answer.data

    async def pull(self, subject: str, limit: int) -> list[Msg]:
        """Ask a consumer for what it has now, and return up to ``limit`` messages."""
        client = await self._connected()
        with _outages():
            # Without a limit of bytes: what the client drops, the server would count as delivered.
            inbox = await client.subscribe(client.new_inbox(), pending_bytes_limit=0)
            try:
                asked = json.dumps({"batch": limit, "no_wait": True}).encode()
                await client.publish(f"$JS.API.{subject}", asked, reply=inbox.subject)
                return await self._pulled(inbox, limit)
            finally:
                with suppress(Exception):
                    await inbox.unsubscribe()

    async def close(self) -> None:
        """Close the connection, unless it is the host's."""
        if self._address is not None and self._client is not None:
            client, self._client = self._client, None
            await client.close()

    async def _pulled(self, inbox: Subscription, limit: int) -> list[Msg]:
        messages: list[Msg] = []
        while len(messages) < limit:
            try:
                message = await inbox.next_msg(timeout=self._timeout)
            except (Exception, asyncio.CancelledError):
                if messages:
                    # They are leased to this worker, whatever happened to the rest: whoever is
                    # cancelled gives them back.
                    return messages
                raise
            if not message.reply.startswith(_JETSTREAM):
                headers = message.headers or {}
                status = headers.get("Status")
                if status in _ENDED or messages:
                    break
                description = _NO_STREAM if status == _NOBODY else headers.get("Description", "")
                raise QueueUnavailable(f"JetStream: {description}")
            messages.append(message)
        return messages

    async def _connected(self) -> Client:
        if self._address is None:
            assert self._client is not None  # noqa: S101  # it is the host's; tells mypy so
            if not self._client.is_connected:
                raise QueueUnavailable("the NATS client that was handed over is not connected")
            return self._client
        async with self._connecting:
            if self._client is None or not self._client.is_connected:
                self._client = await self._connect(self._address)
            return self._client

    async def _connect(self, address: Address) -> Client:
        client = _require_client()()
        try:
            with _outages():
                async with asyncio.timeout(self._timeout):
                    # Without the client's own reconnection, which would keep what is sent meanwhile
                    # and send it long after the caller was told that it was not accepted.
                    await client.connect(
                        list(address.servers),
                        error_cb=_heard,
                        closed_cb=self._lost,
                        allow_reconnect=False,
                        max_reconnect_attempts=1,
                        reconnect_time_wait=0,
                        user=address.user,
                        password=address.password,
                        token=address.token,
                    )
        except BaseException:
            with suppress(Exception):
                await client.close()
            raise
        return client

    async def _lost(self) -> None:
        """Let nobody wait for an answer over a connection that is gone."""
        for limit in self._limits:
            if not limit.expired():
                limit.reschedule(0)


async def _heard(error: Exception) -> None:
    # Its text is the server's or the system's; what it is says enough.
    _log.debug("NATS: %s", type(error).__name__)


def _read(answer: bytes) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(answer)
    if "error" in read:
        raise JetStreamError(read["error"])
    return read


def _require_client() -> type[Client]:
    with needing("nats", "a queue in NATS JetStream"):
        from nats.aio.client import Client  # noqa: PLC0415  # an extra's
    return Client


@contextmanager
def _outages() -> Iterator[None]:
    from nats.errors import Error, NoRespondersError  # noqa: PLC0415  # an extra's

    try:
        yield
    except NoRespondersError as error:
        raise QueueUnavailable(_NO_STREAM) from error
    except TimeoutError as error:
        raise QueueUnavailable("NATS does not answer in time") from error
    except (Error, OSError) as error:
        raise QueueUnavailable(f"NATS does not answer: {error}") from error
