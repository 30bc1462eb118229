"""What a queue in RabbitMQ, its URL and its connection must be like, and what is told else."""

from __future__ import annotations

import asyncio
import logging
import sys
import traceback
from collections.abc import AsyncIterator
from typing import Any

import aio_pika
import pytest
from sqlalchemy.ext.asyncio import async_sessionmaker

from tests.queues.rabbitmq_queues import (
    MINUTE,
    channel_of,
    claimed,
    comes_again,
    deleted,
    new_name,
    own_queue,
)
from tests.servers.rabbitmq import PASSWORD, RabbitMQServer
from zoho_sync import ZohoSync
from zoho_sync.exceptions import (
    ConfigurationError,
    LeaseLost,
    MissingExtra,
    QueueUnavailable,
)
from zoho_sync.queues import RabbitMQQueue
from zoho_sync.queues.rabbitmq import server as machinery
from zoho_sync.queues.rabbitmq.address import Address, address_of
from zoho_sync.queues.rabbitmq.settings import arguments_for, limit_of, problem_of
from zoho_sync.testing.events import events_of, ids

pytestmark = pytest.mark.breaks_connections

FIT = {"x-queue-type": "quorum", "x-overflow": "reject-publish"}


@pytest.fixture
async def queue(rabbitmq_server: RabbitMQServer) -> AsyncIterator[RabbitMQQueue]:
    async with own_queue(rabbitmq_server) as queue:
        yield queue


class TestSettings:
    @pytest.mark.parametrize(
        ("arguments", "problem"),
        [
            ({"x-message-ttl": 60_000}, "x-message-ttl deletes what waits too long"),
            ({"x-expires": 60_000}, "x-expires deletes it"),
            ({"x-max-length": 9}, "x-max-length bounds it"),
            ({"x-max-length-bytes": 9000}, "x-max-length-bytes bounds it"),
            ({"x-delivery-limit": 5}, "x-delivery-limit deletes"),
            ({"x-dead-letter-exchange": "x"}, "x-dead-letter-exchange moves"),
            ({"x-single-active-consumer": True}, "one worker claim alone"),
            ({"x-overflow": "drop-head"}, "x-overflow is not reject-publish"),
            ({"x-queue-type": "classic"}, "x-queue-type is not quorum"),
            ({"x-max-in-memory-length": 9}, "x-max-in-memory-length is set"),
        ],
    )
    async def test_a_queue_that_would_lose_events_is_refused(
        self, rabbitmq_server: RabbitMQServer, arguments: dict[str, Any], problem: str
    ) -> None:
        queue = RabbitMQQueue(rabbitmq_server.url(new_name()))
        async with channel_of(queue) as channel:
            await channel.queue_declare(
                queue._server.queue, durable=True, arguments=FIT | arguments
            )
        with pytest.raises(ConfigurationError, match=problem) as refused:
            await queue.setup()
        assert "delete the queue when it is empty and set up again" in str(refused.value)
        await deleted(queue)
        await queue.close()

    @pytest.mark.parametrize(
        ("named", "problem"),
        [({}, "it is not durable"), ({"durable": True, "auto_delete": True}, "auto_delete")],
    )
    async def test_a_classic_queue_that_goes_by_itself_is_refused(
        self, rabbitmq_server: RabbitMQServer, named: dict[str, Any], problem: str
    ) -> None:
        queue = RabbitMQQueue(rabbitmq_server.url(new_name()))
        async with channel_of(queue) as channel:
            await channel.queue_declare(queue._server.queue, **named)
        with pytest.raises(ConfigurationError, match=problem):
            await queue.setup()
        await deleted(queue)
        await queue.close()

    async def test_a_queue_that_is_fit_is_taken_and_ten_may_set_up_at_once(
        self, rabbitmq_server: RabbitMQServer
    ) -> None:
        name = new_name()
        queues = [RabbitMQQueue(rabbitmq_server.url(name)) for _ in range(10)]
        async with channel_of(queues[0]) as channel:
            await channel.queue_declare(name, durable=True, arguments=dict(FIT))
        await asyncio.gather(*(each.setup() for each in queues))
        await queues[0].enqueue(events_of(1))
        assert ids([await claimed(queues[1])]) == ["20"]
        await deleted(queues[0])
        for each in queues:
            await each.close()

    def test_newer_servers_have_a_limit_of_their_own_which_is_turned_off(self) -> None:
        assert arguments_for("3.10.8") == arguments_for("3.13.7") == arguments_for("") == FIT
        assert arguments_for("4.0.5") == arguments_for("10.0") == FIT | {"x-delivery-limit": -1}

    async def test_a_queue_of_an_older_server_is_taken_and_told_of(
        self,
        queue: RabbitMQQueue,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """What a new server answers about its default, an old one answers about any."""
        limited = FIT | {"x-delivery-limit": 7}
        monkeypatch.setattr(machinery, "arguments_for", lambda _: limited)
        await queue.setup()
        assert "set delivery-limit -1 by a policy" in caplog.text

    async def test_a_full_queue_refuses_and_loses_nothing(
        self, rabbitmq_server: RabbitMQServer
    ) -> None:
        queue = RabbitMQQueue(rabbitmq_server.url(new_name()))
        async with channel_of(queue) as channel:
            arguments: dict[str, Any] = FIT | {"x-max-length": 2}
            await channel.queue_declare(queue._server.queue, durable=True, arguments=arguments)
        stored: list[str] = []

        async def fill() -> None:
            while len(stored) < 99:
                (event,) = events_of(1, first=len(stored))
                await queue.enqueue([event])
                stored.append(event.entity_id)
                await asyncio.sleep(0.01)

        with pytest.raises(QueueUnavailable, match="takes nothing"):
            await fill()
        jobs = await queue.claim(99, lease=MINUTE)
        assert ids(jobs)[: len(stored)] == stored
        await deleted(queue)
        await queue.close()

    async def test_a_queue_that_is_not_there_is_an_outage_that_names_the_remedy(
        self, rabbitmq_server: RabbitMQServer
    ) -> None:
        queue = RabbitMQQueue(rabbitmq_server.url(new_name()))
        for call in (queue.enqueue(events_of(1)), queue.claim(1, lease=MINUTE), queue.depth()):
            with pytest.raises(QueueUnavailable, match=r"ZohoSync\.create_tables\(\) makes"):
                await call
        await queue.setup()
        await queue.enqueue(events_of(1))
        assert ids([await claimed(queue)]) == ["20"]
        await deleted(queue)
        await queue.close()

    async def test_a_queue_that_another_connection_has_for_itself_is_an_outage(
        self, queue: RabbitMQQueue, rabbitmq_server: RabbitMQServer
    ) -> None:
        name = new_name()
        other = RabbitMQQueue(rabbitmq_server.url(name))
        async with channel_of(queue) as channel:
            await channel.queue_declare(name, exclusive=True)
            with pytest.raises(QueueUnavailable, match="RESOURCE_LOCKED"):
                await other.setup()
        await other.close()

    def test_what_a_refusal_says(self) -> None:
        assert problem_of("ACCESS_REFUSED - access to queue 'x' in vhost '/' refused") is None
        assert limit_of("message size 9 is larger than configured max size 8") == 8
        assert limit_of("message size 9 is larger than max size 8") == 8
        assert limit_of("no reason") is None


class TestConnections:
    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("amqp://host", Address("amqp://host?name=zoho_sync", "")),
            ("amqps://h/v?queue=erp", Address("amqps://h/v?name=zoho_sync", "erp")),
            ("amqp://u:p%40@h:1/?name=a+b", Address("amqp://u:p%40@h:1/?name=a+b", "")),
            (
                "amqp://[::1]:2/%2Fv?queue=q&heartbeat=5",
                Address("amqp://[::1]:2/%2Fv?heartbeat=5&name=zoho_sync", "q"),
            ),
        ],
    )
    def test_what_a_url_says(self, url: str, expected: Address) -> None:
        assert address_of(url) == expected

    @pytest.mark.parametrize(
        "url",
        [
            "amqp://u:s3cret@x@host",
            "amqp://u:s3cret/x@host",
            "amqp://u:12/s3cret@host",
            "amqp://u:12?s3cret@host",
            "amqp://u:12#s3cret@host",
            "amqp://u:s3cret@host:99999",
            "amqp://u:s3cret@host:0",
            "amqp://u:s3cret@",
            "amqp:u:s3cret",
            "nats://u:s3cret@host",
        ],
    )
    def test_what_is_no_url_is_refused_without_its_text(self, url: str) -> None:
        with pytest.raises(ConfigurationError, match="it looks like amqp://") as refused:
            RabbitMQQueue(url)
        assert "s3cret" not in "".join(traceback.format_exception(refused.value))

    @pytest.mark.parametrize("name", ["amq.gen", "x" * 256, "\U0001f600" * 64])
    def test_a_name_that_no_queue_can_have_is_refused(self, name: str) -> None:
        with pytest.raises(ConfigurationError, match=r"255 bytes|RabbitMQ keeps"):
            RabbitMQQueue("amqp://host", queue=name)

    def test_the_name_is_the_arguments_or_the_urls(self) -> None:
        assert RabbitMQQueue("amqp://host")._server.queue == "zoho_sync"
        assert RabbitMQQueue("amqp://host?queue=a")._server.queue == "a"
        assert RabbitMQQueue("amqp://host?queue=a", queue="b")._server.queue == "b"

    @pytest.mark.parametrize("given", [object(), None, 5672])
    def test_what_is_no_connection_is_refused(self, given: Any) -> None:
        with pytest.raises(ConfigurationError, match=r"what aio_pika\.connect\(\) returns"):
            RabbitMQQueue(given)

    def test_a_missing_client_names_the_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "aio_pika", None)
        with pytest.raises(MissingExtra, match=r'pip install "zoho-sync\[rabbitmq\]"'):
            RabbitMQQueue("amqp://127.0.0.1")

    def test_an_unknown_scheme_is_told_which_there_are(self) -> None:
        with pytest.raises(ConfigurationError, match="amqp://, amqps://, nats://"):
            ZohoSync(async_sessionmaker(), queue="rabbit://host")

    async def test_no_secret_is_told(
        self, rabbitmq_server: RabbitMQServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        queue = RabbitMQQueue(rabbitmq_server.url(new_name()))
        await queue.setup()
        await deleted(queue)
        await queue.close()
        wrong = RabbitMQQueue(rabbitmq_server.address.replace(PASSWORD, "wr0ng"))
        nowhere = RabbitMQQueue(f"amqp://tests:{PASSWORD}@127.0.0.1:1/")
        told = repr(queue) + repr(address_of(rabbitmq_server.address))
        for each in (wrong, nowhere):
            for call in (each.setup(), each.enqueue(events_of(1)), each.claim(1, lease=MINUTE)):
                with pytest.raises(QueueUnavailable) as away:
                    await call
                told += "".join(traceback.format_exception(away.value)) + str(away.value)
            await each.close()
        assert "ACCESS_REFUSED" in told
        assert PASSWORD not in told + caplog.text
        assert "wr0ng" not in told + caplog.text

    @pytest.mark.parametrize("connect", [aio_pika.connect, aio_pika.connect_robust])
    async def test_the_hosts_connection_is_not_closed(
        self, rabbitmq_server: RabbitMQServer, connect: Any
    ) -> None:
        connection = await connect(rabbitmq_server.address)
        queue = RabbitMQQueue(connection, queue=new_name())
        await queue.setup()
        await queue.enqueue(events_of(2))
        await queue.release([await claimed(queue)])
        await queue.ack([await claimed(queue)])
        await deleted(queue)
        await queue.close()
        assert connection.transport.connection.is_opened
        assert connection.transport.connection.channels == {}
        await connection.close()
        with pytest.raises(QueueUnavailable, match="handed over is not open"):
            await queue.depth()

    async def test_a_connection_of_the_hosts_that_comes_back_is_used_again(
        self, rabbitmq_server: RabbitMQServer
    ) -> None:
        """Its channels come back under the same numbers: no old delivery is taken for a new one."""
        connection = await aio_pika.connect_robust(rabbitmq_server.address, reconnect_interval=0.05)
        queue = RabbitMQQueue(connection, queue=new_name())
        await queue.setup()
        await queue.enqueue(events_of(2))
        old = await queue.claim(2, lease=MINUTE)
        assert connection.transport is not None
        await connection.transport.connection.close(ConnectionError("lost"))
        with pytest.raises(LeaseLost):
            await queue.ack(old)
        for _ in range(200):
            transport: Any = connection.transport
            if transport is not None and transport.connection.is_opened:
                break
            await asyncio.sleep(0.02)
        jobs = await comes_again(queue, 2)
        assert {job.suspect for job in jobs} == {True}
        assert await queue.extend([*old, *jobs], lease=MINUTE) == old
        await deleted(queue)
        await queue.close()
        await connection.close()

    async def test_callers_at_once_share_connections(self, queue: RabbitMQQueue) -> None:
        await asyncio.gather(*(queue.enqueue(events_of(1)) for _ in range(9)))
        await asyncio.gather(*(queue.claim(1, lease=MINUTE) for _ in range(9)))
        lines = (queue._server._publishing, queue._server._receiving)
        connections = [line._connection for line in lines]
        await asyncio.gather(*(queue.enqueue(events_of(1)) for _ in range(9)))
        await asyncio.gather(*(queue.depth() for _ in range(9)))
        assert [line._connection for line in lines] == connections
        assert len(set(connections)) == 2

    async def test_closing_is_not_the_end(self, queue: RabbitMQQueue) -> None:
        await queue.enqueue(events_of(2))
        job = await claimed(queue)
        await queue.close()
        await queue.close()
        with pytest.raises(LeaseLost):
            await queue.ack([job])
        assert len(await comes_again(queue, 2)) == 2

    def test_the_next_event_loop_opens_connections_of_its_own(
        self, rabbitmq_server: RabbitMQServer
    ) -> None:
        queue = RabbitMQQueue(rabbitmq_server.url(new_name()))

        async def first() -> None:
            await queue.setup()
            await queue.enqueue(events_of(1))

        async def second() -> None:
            assert ids([await claimed(queue)]) == ["20"]
            await queue.enqueue(events_of(1))
            await deleted(queue)
            await queue.close()

        asyncio.run(first())
        asyncio.run(second())

    async def test_closing_waits_for_what_is_being_given_back(self, queue: RabbitMQQueue) -> None:
        await queue.enqueue(events_of(1))
        job = await claimed(queue)
        queue._expire(job.handle)
        await queue.close()
        assert not queue._ending
        assert (await comes_again(queue))[0].suspect
