"""Opens a connection to a RabbitMQ server when it is needed, and tells an outage as one error."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from zoho_sync.exceptions import QueueUnavailable, ZohoSyncError
from zoho_sync.queues.broker import needing

if TYPE_CHECKING:
    from aio_pika.abc import AbstractConnection as HostsConnection
    from aiormq.abc import AbstractChannel, AbstractConnection

__all__ = ["MADE_BY", "Refusal", "ServerConnection", "require_client"]

MADE_BY: Final = "ZohoSync.create_tables() makes the queue"
_NOT_FOUND: Final = "NOT_FOUND"
_BLOCKED: Final = "RabbitMQ takes no messages now: its memory or its disk is nearly full"
_AT_ONCE: Final = 0.01
_CLOSING: Final = 5.0  # seconds; the client waits 2 for a server that does not answer
_HIGHEST: Final = 65535  # the protocol's
_numbers: Final = itertools.count()


class Refusal(QueueUnavailable):
    """The server refuses what was asked, by a text, and has closed the channel."""

    def __init__(self, text: str) -> None:
        self.text = text
        hint = f"; {MADE_BY}" if text.startswith(_NOT_FOUND) else ""
        super().__init__(f"RabbitMQ: {text}{hint}")


class ServerConnection:
    """A connection and a channel, opened when they are needed, and again when they are lost.

    Args:
        target: A URL, or a connection of aio-pika that the host has opened, and closes itself.
        timeout: Seconds to wait for an answer.
    """

    def __init__(self, target: str | HostsConnection, *, timeout: float) -> None:
        self._url = target if isinstance(target, str) else None
        self._hosts = None if isinstance(target, str) else target
        self._timeout = timeout
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._opening = asyncio.Lock()
        self._endings: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def answered(self, *, asks: bool = False) -> AsyncIterator[None]:
        """Wait no longer for an answer than is allowed, and tell every outage as one.

        With ``asks``, something is asked over this connection's own channel, which the client
        closes when an answer is not waited for.
        """
        try:
            async with asyncio.timeout(self._timeout):
                yield
        except TimeoutError as error:
            if asks:
                self._channel = None
            raise await self._silence() from error
        except asyncio.CancelledError as error:
            if _is_cancelled():
                if asks:
                    self._channel = None
                raise
            # The client tells so of a connection that ends while it is waited for.
            raise QueueUnavailable("the connection to RabbitMQ was lost") from error
        except ZohoSyncError:
            raise
        except Exception as error:  # the client rejects what waits with this very class too
            raise _outage(error) from error

    async def channel(self) -> AbstractChannel:
        """Return its channel, which is open."""
        async with self._opening:
            channel = self._channel
            if channel is None or channel.is_closed or not channel.connection.is_opened:
                connection = await self._connected()
                channel = self._channel = await connection.channel(_number(connection))
            return channel

    @asynccontextmanager
    async def another_channel(self) -> AsyncIterator[AbstractChannel]:
        """Give a channel for what the server may refuse: it closes the channel then."""
        async with self._opening:
            connection = await self._connected()
        channel = await connection.channel(_number(connection))
        try:
            yield channel
        finally:
            self._end(_channel_closed(channel))

    async def publishing(self) -> AbstractChannel:
        """Return its channel, unless the server takes no messages over it now."""
        if await _is_blocked(self._connection):
            raise QueueUnavailable(_BLOCKED)
        return await self.channel()

    async def close(self) -> None:
        """Close what was opened here."""
        self._drop()
        if self._endings:
            # A host's connection outlives them, and so may a channel that a silent server closes.
            await asyncio.wait(self._endings, timeout=2 * _CLOSING)

    async def _connected(self) -> AbstractConnection:
        if self._hosts is not None:
            transport = self._hosts.transport
            if transport is None or not transport.connection.is_opened:
                message = "the connection to RabbitMQ that was handed over is not open"
                raise QueueUnavailable(message)
            self._connection = transport.connection
        elif self._connection is None or not self._connection.is_opened:
            self._connection = await _opened(self._url or "")
        return self._connection

    async def _silence(self) -> QueueUnavailable:
        if await _is_blocked(self._connection):
            return QueueUnavailable(_BLOCKED)
        # Who knows what was lost on the way.
        self._drop()
        return QueueUnavailable("RabbitMQ does not answer in time")

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        channel, self._channel = self._channel, None
        if self._hosts is None and connection is not None:
            self._end(_closed(connection))
        elif channel is not None:
            self._end(_channel_closed(channel))

    def _end(self, closing: Coroutine[Any, Any, None]) -> None:
        """Close something without waiting for it."""
        task = asyncio.ensure_future(closing)
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)


async def _opened(url: str) -> AbstractConnection:
    import aiormq  # noqa: PLC0415  # an extra's

    # Without the client's own reconnection, which would bring channels back under jobs whose
    # deliveries are gone.
    connection: AbstractConnection = await aiormq.connect(url)
    return connection


def _number(connection: AbstractConnection) -> int:
    """Return a number for a channel: one that no channel has had for as long as possible.

    The client would take the lowest that is free. An answer to the channel that had it before, if
    it comes late, would close the new one here, and not on the server; the next to take the number
    would open there what is open, for which the server ends the connection.
    """
    highest = connection.connection_tune.channel_max or _HIGHEST
    for _ in range(highest):
        number = next(_numbers) % highest + 1
        if number not in connection.channels:
            return number
    raise QueueUnavailable("RabbitMQ: the connection has no channel to spare")


async def _is_blocked(connection: AbstractConnection | None) -> bool:
    if connection is None or not connection.is_opened:
        return False
    # The client says so by letting one wait.
    ready = asyncio.ensure_future(connection.ready())
    done, _ = await asyncio.wait({ready}, timeout=_AT_ONCE)
    ready.cancel()
    return not done


async def _closed(connection: AbstractConnection) -> None:
    with suppress(Exception, asyncio.CancelledError):
        async with asyncio.timeout(_CLOSING):
            await connection.close()


async def _channel_closed(channel: AbstractChannel) -> None:
    # The client that gives up waiting says it once more, for which the server may end the whole
    # connection. So a server that is slow is waited for; over a connection that is blocked it would
    # not be heard at all.
    if not await _is_blocked(channel.connection):
        with suppress(Exception, asyncio.CancelledError):
            await channel.close()


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _outage(error: Exception) -> QueueUnavailable:
    from aiormq.exceptions import AMQPConnectionError, ChannelClosed  # noqa: PLC0415  # an extra's

    if isinstance(error, ChannelClosed) and isinstance(error.args[-1], str):
        return Refusal(error.args[-1])
    # Texts that are the server's or the system's are shown.
    is_theirs = isinstance(error, (AMQPConnectionError, OSError))
    text = ", ".join(str(part) for part in error.args) if is_theirs else ""
    return QueueUnavailable(f"RabbitMQ does not answer: {type(error).__name__} {text}".rstrip())


def require_client() -> Any:
    """Return aio-pika's interfaces; `MissingExtra` says that it is not installed."""
    with needing("rabbitmq", "a queue in RabbitMQ"):
        from aio_pika import abc  # noqa: PLC0415  # an extra's
    return abc
