"""Channels to RabbitMQ: a server that answers late, or twice, ends none but its own."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from aiormq import spec
from aiormq.abc import AbstractConnection
from pamqp import frame

from tests.queues.rabbitmq_queues import Way
from tests.servers.rabbitmq import RabbitMQServer
from zoho_sync.exceptions import QueueUnavailable
from zoho_sync.queues.rabbitmq import connection as machinery
from zoho_sync.queues.rabbitmq.connection import Refusal, ServerConnection


@pytest.fixture
async def way(rabbitmq_server: RabbitMQServer) -> AsyncIterator[Way]:
    way = Way(rabbitmq_server)
    async with way.open():
        yield way


@pytest.fixture
async def line(way: Way) -> AsyncIterator[ServerConnection]:
    line = ServerConnection(way.address, timeout=10)
    yield line
    await line.close()


async def another(line: ServerConnection) -> int:
    """Open a channel and close it again; return its number."""
    async with line.answered(), line.another_channel() as channel:
        number: int = channel.number
    return number


async def refused(line: ServerConnection) -> int:
    """Open a channel that the server closes; return its number."""
    numbers = []
    with suppress(Refusal):
        async with line.answered(), line.another_channel() as channel:
            numbers.append(channel.number)
            await channel.queue_declare("nowhere", passive=True)
            numbers.clear()
    (number,) = numbers
    return number


async def settled(line: ServerConnection) -> None:
    """Wait until what was to be closed is closed."""
    if line._endings:
        await asyncio.wait(line._endings)


def connection_of(line: ServerConnection) -> AbstractConnection:
    assert line._connection is not None
    return line._connection


async def test_a_number_is_not_taken_again(line: ServerConnection) -> None:
    numbers = []
    for _ in range(20):
        numbers += [await another(line), await refused(line)]
        await settled(line)
    assert len(set(numbers)) == 40


async def test_numbers_go_round_below_the_highest_that_the_server_takes(
    line: ServerConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machinery, "_numbers", itertools.count())
    channel = await line.channel()
    connection = connection_of(line)
    connection.connection_tune.channel_max = highest = 4
    numbers = set()
    for _ in range(2 * highest):
        numbers.add(await another(line))
        await settled(line)
    assert numbers == set(range(1, highest + 1)) - {channel.number}


async def test_a_connection_without_a_number_to_spare_is_no_place_for_a_queue(
    line: ServerConnection,
) -> None:
    await line.channel()
    connection = connection_of(line)
    connection.connection_tune.channel_max = 1
    connection.channels.setdefault(1, None)
    with pytest.raises(QueueUnavailable, match="no channel to spare"):
        await another(line)


async def test_a_close_that_is_confirmed_twice_ends_no_other_channel(
    line: ServerConnection, way: Way
) -> None:
    """The second confirmation comes when the next channel is open, as from a busy server."""
    await line.channel()
    number = await another(line)
    await settled(line)
    async with line.answered(), line.another_channel() as channel:
        way.answer(frame.marshal(spec.Channel.CloseOk(), number))
        await channel.queue_declare("", exclusive=True)
    await settled(line)
    connection = connection_of(line)
    await another(line)
    await another(line)
    assert connection_of(line) is connection
    assert connection.is_opened


async def test_a_server_that_confirms_late_is_told_once(
    line: ServerConnection,
    way: Way,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Told twice, it may end the connection."""
    monkeypatch.setattr(machinery, "_CLOSING", 0.05)
    channel = await line.channel()
    way.silent = True
    line._end(machinery._channel_closed(channel))
    await asyncio.sleep(0.2)
    assert line._endings
    assert "Closing channel" not in caplog.text
    way.silent = False
