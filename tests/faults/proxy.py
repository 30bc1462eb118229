"""A proxy between workers and their database that loses COMMITs, or the answers to them.

A document whose stamp begins with one of `WAYS` marks the transaction that writes it: the COMMIT of
that transaction is treated so, once for each stamp. All else passes.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Final, Self

from sqlalchemy import make_url

__all__ = ["PROTOCOLS", "WAYS", "CommitProxy"]

WAYS: Final = ("lose-before", "lose-after", "lose-unheard", "hold-before", "hold-after")
"""What may happen to a COMMIT.

``lose-before``: the connection breaks before the database has it, and it rolls back.
``lose-after``: the connection breaks once the database has answered, and the answer is lost.
``lose-unheard``: the connection breaks as soon as the COMMIT is sent. ``hold-before`` and
``hold-after``: the COMMIT, or its answer, is kept for as long as the worker lives.
"""

_MARK: Final = re.compile(rb"(%s)\.(\d+)" % "|".join(WAYS).encode())
_ENDS: Final = {b"COMMIT", b"ROLLBACK"}
# Requests for encryption: the client starts once more after the answer.
_NOT_YET: Final = {80877103, 80877104}
_COM_QUERY: Final = b"\x03"

Frames = AsyncIterator[tuple[bytes, bytes]]
"""What a client sends, message by message, and the statement in it, if that is plain text."""


async def _of_postgresql(reader: asyncio.StreamReader) -> Frames:
    while True:
        size = await reader.readexactly(4)
        body = await reader.readexactly(int.from_bytes(size) - 4)
        yield size + body, b""
        if int.from_bytes(body[:4]) not in _NOT_YET:
            break
    while True:
        head = await reader.readexactly(5)
        body = await reader.readexactly(int.from_bytes(head[1:]) - 4)
        yield head + body, body.rstrip(b"\x00;").upper() if head[:1] == b"Q" else b""


async def _of_mariadb(reader: asyncio.StreamReader) -> Frames:
    while True:
        head = await reader.readexactly(4)
        body = await reader.readexactly(int.from_bytes(head[:3], "little"))
        # A command begins a new count of messages.
        is_query = head[3] == 0 and body[:1] == _COM_QUERY
        yield head + body, body[1:].upper() if is_query else b""


PROTOCOLS: Final[dict[str, Callable[[asyncio.StreamReader], Frames]]] = {
    "postgresql": _of_postgresql,
    "mysql": _of_mariadb,
}
"""SQLAlchemy's name of a database → how what its clients send is read."""


class CommitProxy:
    """Listens on a port of its own, and hands on to a database.

    Args:
        url: SQLAlchemy's URL of the database.
        dialect: One of `PROTOCOLS`.
    """

    def __init__(self, url: str, dialect: str) -> None:
        self._target, self.frames = make_url(url), PROTOCOLS[dialect]
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.Task[None]] = set()
        self.met: list[str] = []
        """The stamps whose COMMIT was lost or held, in order."""

    @property
    def url(self) -> str:
        """The URL of the database, through this proxy."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        return self._target.set(port=port).render_as_string(hide_password=False)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for link in self._links:
            link.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._links.add(task)
        try:
            # Whoever goes away, and however: the other side is to see it.
            with suppress(OSError, asyncio.IncompleteReadError):
                await self._connect(reader, writer)
        finally:
            writer.transport.abort()
            self._links.discard(task)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = await asyncio.open_connection(self._target.host, self._target.port)
        link = _Link(self, reader, writer, *target)
        try:
            pumps = {asyncio.ensure_future(link.inward()), asyncio.ensure_future(link.outward())}
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
        finally:
            target[1].transport.abort()


class _Link:
    """One connection of a client, and the one to the database that belongs to it."""

    def __init__(
        self,
        proxy: CommitProxy,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        answers: asyncio.StreamReader,
        database: asyncio.StreamWriter,
    ) -> None:
        self._proxy, self._reader, self._writer = proxy, reader, writer
        self._answers, self._database = answers, database
        self._muted = False
        self._answered = asyncio.Event()

    async def inward(self) -> None:
        """Hand on what the database says."""
        while data := await self._answers.read(65536):
            if self._muted:
                self._answered.set()
                continue
            self._writer.write(data)
            await self._writer.drain()

    async def outward(self) -> None:
        """Hand on what the client says, until a COMMIT is lost."""
        marks: dict[str, str] = {}
        async for frame, statement in self._proxy.frames(self._reader):
            for way, number in _MARK.findall(frame):
                marks[f"{way.decode()}.{number.decode()}"] = way.decode()
            fresh = {stamp: way for stamp, way in marks.items() if stamp not in self._proxy.met}
            if statement == b"COMMIT" and fresh:
                self._proxy.met += fresh
                await self._lose(frame, next(iter(fresh.values())))
                return
            if statement in _ENDS:
                marks.clear()
            self._database.write(frame)
            await self._database.drain()

    async def _lose(self, commit: bytes, way: str) -> None:
        kind, _, when = way.partition("-")
        if when != "before":
            self._muted = True
            self._database.write(commit)
            await self._database.drain()
        if when == "after":
            await self._answered.wait()
        if kind == "hold":
            # Until the client is gone.
            await self._reader.read()
