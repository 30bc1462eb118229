"""Runs scripts on a Redis or Valkey server, and tells an outage as one error."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Final, TypeVar

from zoho_sync.database.cancellation import finish
from zoho_sync.exceptions import ConfigurationError, QueueUnavailable
from zoho_sync.queues.broker import needing, unknown_client, unreadable_url
from zoho_sync.queues.redis.scripts import GROUP, Script

__all__ = ["SCHEMES", "RedisServer"]

SCHEMES: Final = {"redis": "redis", "rediss": "rediss", "valkey": "redis", "valkeys": "rediss"}
"""The schemes of URLs, and what the client calls them."""

_T = TypeVar("_T")

_LIBRARIES: Final = ("redis", "valkey")
_CONNECTIONS: Final = 50
_SECONDS: Final = 10.0
_FORM: Final = "redis://user:password@host:6379/0"
_CODE: Final = re.compile(r"[A-Z]+(?= )")


class RedisServer:
    """Runs scripts on a server; whatever keeps it from that is `QueueUnavailable`.

    What is begun is finished before a cancellation is heeded. The client's own waits can swallow
    one (before Python 3.12 `asyncio.wait_for` does, if what it waits for is done at that moment),
    and who is asked to stop would go on.

    Args:
        where: A URL, or an asynchronous client of redis-py or valkey-py, which is not closed here.
        keys: The keys that the scripts work on; the first is the stream.

    Raises:
        ConfigurationError: The URL cannot be used, or the client is none.
        MissingExtra: A URL was given, and redis-py is not installed.
    """

    def __init__(self, where: Any, keys: Sequence[str]) -> None:
        self._own = isinstance(where, str)
        self._client: Any = _connected(where) if self._own else where
        self._keys = tuple(keys)
        library = _library_of(self._client)
        self._errors: Any = importlib.import_module(f"{library}.exceptions")
        # Messages are bytes, also for a client that decodes what it reads.
        never_decode: str = importlib.import_module(f"{library}.client").NEVER_DECODE
        self._as_bytes = {never_decode: True}
        self._outages = (
            self._errors.RedisError if library == "redis" else self._errors.ValkeyError,
            # Of clusters; not in the tree of the others.
            getattr(self._errors, f"{library.title()}ClusterException"),
            OSError,
        )

    async def run(self, script: Script, *arguments: bytes | str | int) -> Any:
        """Run a script, and return its answer.

        A group that is gone (the server lost its data) is made anew, from the beginning.
        """
        return await self._done(self._run(script, arguments))

    async def make_group(self) -> None:
        """Make the stream and its group, if they are not there."""
        await self._done(self._make_group())

    async def settings(self) -> Mapping[str, Any]:
        """Return what the server says about itself, and how often it writes to disk.

        ``appendfsync`` is left out where the server keeps its configuration to itself.
        """
        return await self._done(self._settings())

    async def close(self) -> None:
        """Close connections that were opened here."""
        if self._own:
            await self._client.aclose()

    async def _settings(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for section in ("server", "memory", "persistence"):
            found |= await self._client.info(section)
        try:
            answer = await self._client.config_get("appendfsync")
        except self._errors.ResponseError:
            answer = {}
        return found | {_text(name): _text(value) for name, value in answer.items()}

    async def _make_group(self) -> None:
        try:
            # From the beginning: a group that began at the end would skip what is there.
            await self._client.xgroup_create(self._keys[0], GROUP, id="0", mkstream=True)
        except self._errors.ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    async def _run(self, script: Script, arguments: Sequence[bytes | str | int]) -> Any:
        try:
            return await self._evaluate(script, arguments)
        except self._errors.ResponseError as error:
            if not str(error).startswith("NOGROUP"):
                raise
        await self._make_group()
        return await self._evaluate(script, arguments)

    async def _evaluate(self, script: Script, arguments: Sequence[bytes | str | int]) -> Any:
        given = (len(self._keys), *self._keys, *arguments)
        run = self._client.execute_command
        try:
            return await run("EVALSHA", script.sha, *given, **self._as_bytes)
        except self._errors.NoScriptError:
            return await run("EVAL", script.source, *given, **self._as_bytes)

    async def _done(self, step: Coroutine[Any, Any, _T]) -> _T:
        try:
            return await finish(step)
        except self._outages as error:
            name, code = type(error).__name__, _CODE.match(str(error))
            problem = f"{name}, {code[0]}" if code else name
            raise QueueUnavailable(f"the queue's server is not available: {problem}") from error


def _connected(url: str) -> Any:
    """Return a client of a URL; it connects when it is used first."""
    with needing("redis", "a queue on Redis or Valkey"):
        library: Any = importlib.import_module("redis.asyncio")
    scheme, _, rest = url.partition("://")
    if "@" in "".join(re.split("[/?#]", rest, maxsplit=1)[1:]):
        # Of a password with a / that nobody has escaped, the client would make a host, and name it.
        raise unreadable_url(_FORM)
    once_more = importlib.import_module("redis.asyncio.retry").Retry(
        importlib.import_module("redis.backoff").NoBackoff(), 1, (library.ConnectionError,)
    )
    try:
        pool = library.BlockingConnectionPool.from_url(
            f"{SCHEMES[scheme]}://{rest}",
            max_connections=_CONNECTIONS,
            timeout=_SECONDS,
            protocol=2,
            retry=once_more,
            socket_connect_timeout=_SECONDS,
            socket_timeout=_SECONDS,
        )
        # An option that does not exist would be found only by the first command.
        pool.connection_class(**pool.connection_kwargs)
    except (KeyError, TypeError, ValueError) as error:
        # Without the text of either: they may hold the password.
        problem = f"the URL of the queue cannot be used ({type(error).__name__})"
        remedy = f"it looks like {_FORM}"
        raise ConfigurationError(f"{problem}; {remedy}") from None
    return library.Redis.from_pool(pool)


def _library_of(client: Any) -> str:
    """Return whose asynchronous client an object is."""
    for base in type(client).__mro__:
        library = base.__module__.partition(".")[0]
        if library in _LIBRARIES and inspect.iscoroutinefunction(client.execute_command):
            return library
    raise unknown_client(client, "client", "a client of redis.asyncio or valkey.asyncio")


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
