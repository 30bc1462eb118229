"""Senders for tests of load: honest ones, whose answers are timed, and ones without the secret.

``python -m tests.web.load PORT SECONDS`` is the attack, in a process of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Iterator
from itertools import count
from typing import Final

from zoho_sync.web import SIGNATURE_HEADER, sign

__all__ = ["SECRET", "Honest"]

SECRET: Final = "abcdef123456"
WRONG: Final = "0" * 64
SIZE: Final = 5 * 1024 * 1024
PIECE: Final = 64 * 1024
LARGE: Final = 200
"""Connections that send bodies of 5 MB, one after the other."""
SLOW: Final = 60
"""Connections that send a byte now and then, or nothing at all."""
RATE: Final = 24 * 1024 * 1024
"""Bytes a second that all attackers send together: more would keep both cores busy with sending."""
PAUSE: Final = 1.0
"""Seconds from the end of an attacker's connection to its next one: see `RATE`."""

FORM: Final = "application/x-www-form-urlencoded"
BODIES: Final = (
    ("application/json", b'{"item": {"name": "' + b"x" * SIZE),
    (FORM, b"JSONString=" + b"%41" * SIZE),
    (FORM, b"JSONString=" + b"a%C3%A9b" * SIZE),
    ("application/json", b'{"item": {"name": "' + "é😀".encode() * SIZE),
)


class Honest:
    """Sends signed deliveries, one after the other on one connection, and times the answers."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._ids = count(time.time_ns())

    async def seconds(self, size: int, until: float) -> AsyncIterator[float]:
        """Yield how long each answer took, until a moment of the monotonic clock."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        while time.monotonic() < until:
            request = _delivery(str(next(self._ids)), size)
            began = time.perf_counter()
            writer.write(request)
            status, body = await _answer(reader)
            yield time.perf_counter() - began
            assert (status, json.loads(body)["status"]) == (200, "accepted"), (status, body)
            await asyncio.sleep(0.01)
        writer.close()


def _delivery(item_id: str, size: int) -> bytes:
    item = {"item_id": item_id, "last_modified_time": "2026-03-01T08:00:00Z", "description": ""}
    item["description"] = "x" * (size - len(json.dumps({"item": item})))
    body = json.dumps({"item": item}).encode()
    return _head("application/json", sign(SECRET, body), f"Content-Length: {len(body)}") + body


def _head(content_type: str, signature: str, length: str) -> bytes:
    lines = (
        "POST /item HTTP/1.1",
        "Host: host",
        f"Content-Type: {content_type}",
        f"{SIGNATURE_HEADER}: {signature}",
        length,
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
    return int(head.split()[1]), await reader.readexactly(length)


class Attack:
    """All attackers together."""

    def __init__(self, port: int, seconds: float) -> None:
        self._port = port
        self._until = time.monotonic() + seconds
        self._next = time.monotonic()

    async def run(self) -> None:
        """Attack until the time is up."""
        large = [self._again(self._send, number) for number in range(LARGE)]
        slow = [self._again(self._dawdle, number) for number in range(SLOW)]
        await asyncio.gather(*large, *slow)

    async def _again(self, send: object, number: int) -> None:
        # Not all at the same moment.
        await asyncio.sleep(number / LARGE * PAUSE)
        while time.monotonic() < self._until:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
                async with asyncio.timeout_at(
                    asyncio.get_running_loop().time() + self._until - time.monotonic()
                ):
                    reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                    try:
                        await send(number, reader, writer)  # type: ignore[operator]  # one of the two below
                    finally:
                        writer.transport.abort()
            await asyncio.sleep(PAUSE)

    async def _send(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        content_type, body = BODIES[number % len(BODIES)]
        chunked = number % 5 == 0
        length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {SIZE}"
        writer.write(_head(content_type, WRONG, length))
        answered = asyncio.ensure_future(_answer(reader))
        try:
            for piece in _pieces(body, chunked=chunked):
                if answered.done():
                    break
                await self._turn(len(piece))
                writer.write(piece)
                await writer.drain()
            await answered
        finally:
            answered.cancel()

    async def _dawdle(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if number % 3:
            writer.write(_head("application/json", WRONG, f"Content-Length: {SIZE >> number % 10}"))
        if number % 3 == 1:
            writer.write(b'{"item":')
        answered = asyncio.ensure_future(_answer(reader))
        try:
            while number % 3 == 1 and not answered.done():
                writer.write(b" ")
                await asyncio.sleep(0.2)
            await answered
        finally:
            answered.cancel()

    async def _turn(self, size: int) -> None:
        now = time.monotonic()
        self._next = max(self._next, now) + size / RATE
        await asyncio.sleep(self._next - now)


def _pieces(body: bytes, *, chunked: bool) -> Iterator[bytes]:
    for start in range(0, SIZE, PIECE):
        piece = body[start : start + PIECE]
        yield b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece
    if chunked:
        yield b"0\r\n\r\n"


if __name__ == "__main__":
    asyncio.run(Attack(int(sys.argv[1]), float(sys.argv[2])).run())
