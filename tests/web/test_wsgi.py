"""The endpoint over WSGI: what servers say about a body, and the loops that it works in."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from tests.web.doors import MAX_BODY, Inside, door_to
from tests.web.hosts import over_wsgi
from tests.web.table import BODY, SIGNED, TOKEN, Asked, Given
from zoho_sync import HeaderToken, QueueUnavailable, ZohoSync
from zoho_sync.blocking import BlockingSync
from zoho_sync.events.outcome import Receipt, ReceiptStatus
from zoho_sync.exceptions import ConfigurationError
from zoho_sync.web.budget import Budget
from zoho_sync.web.door import Door
from zoho_sync.web.wsgi import WSGIReceiver

POST = Asked("POST", "/invoice", b"", (200, "accepted", 1), {})


class Loop:
    """Asks a door in a loop that is made for it."""

    def __init__(self, door: Door) -> None:
        self.door = door

    def __call__(self, work: Callable[[Door], Any]) -> Any:
        coroutine = work(self.door)
        with pytest.raises(StopIteration) as done:  # nothing in it waits
            coroutine.send(None)
        return done.value.value


class Slow(BytesIO):
    """Gives a byte at a time, each after a while."""

    def read(self, _: int | None = -1, /) -> bytes:
        time.sleep(0.01)
        return super().read(1)


class Breaking(BytesIO):
    """Breaks before its end."""

    def read(self, _: int | None = -1, /) -> bytes:
        raise ConnectionResetError


@pytest.fixture
def inside() -> Inside:
    return Inside()


def send(inside: Inside, body: BytesIO, door: Door | None = None, **environ: Any) -> Given:
    app = WSGIReceiver(Loop(door or door_to(inside)), "/zoho")
    return over_wsgi(app, POST, **{"wsgi.input": body, **environ})


def bodies(inside: Inside) -> list[bytes]:
    return [seen["body"] for seen in inside.seen]


def test_a_delivery_is_handed_over_whole(inside: Inside) -> None:
    given = send(
        inside,
        BytesIO(b"{}"),
        CONTENT_LENGTH="2",
        CONTENT_TYPE="text/json",
        HTTP_X_TOKEN="t\xe4",
        PATH_INFO="/zoho/invoice/\xc3\xa4 1",
        QUERY_STRING="a=%ff&b=\xc3\xa4",
        REQUEST_METHOD="PUT",
    )
    assert (given.status, json.loads(given.body)["event_ids"]) == (200, ["e1"])
    (seen,) = inside.seen
    headers = seen.pop("headers")
    assert (headers["content-type"], headers["x-token"]) == ("text/json", "t\xe4")
    assert seen == {
        "body": b"{}",
        "query": "a=%ff&b=ä",
        "entity": "invoice",
        "operation": None,
        "entity_id": "ä 1",
        "method": "PUT",
    }


@pytest.mark.parametrize("length", [None, "", "0"])
def test_without_a_length_there_is_no_body(inside: Inside, length: str | None) -> None:
    """A server need not end what it reads from: it would wait for the next request."""
    assert send(inside, BytesIO(b"next request"), CONTENT_LENGTH=length).status == 200
    assert bodies(inside) == [b""]


def test_no_more_is_read_than_was_announced(inside: Inside) -> None:
    rest = BytesIO(b"{}next request")
    assert send(inside, rest, CONTENT_LENGTH="2").status == 200
    assert (bodies(inside), rest.read()) == ([b"{}"], b"next request")


def test_a_server_that_ends_the_body_is_believed(inside: Inside) -> None:
    chunked: dict[str, Any] = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    assert send(inside, BytesIO(b"x" * MAX_BODY), **chunked).status == 200
    assert bodies(inside) == [b"x" * MAX_BODY]
    assert send(inside, BytesIO(b"x" * (MAX_BODY + 1)), **chunked).status == 413


@pytest.mark.parametrize(
    "told",
    [
        {"HTTP_TRANSFER_ENCODING": "chunked"},
        {"CONTENT_LENGTH": "-1"},
        {"CONTENT_LENGTH": "2, 2"},
        {"CONTENT_LENGTH": "2.0"},
        {"CONTENT_LENGTH": "²"},
    ],
)
def test_a_body_whose_end_is_not_known_is_not_taken_for_an_empty_one(
    inside: Inside, told: dict[str, str]
) -> None:
    app = WSGIReceiver(Loop(door_to(inside)))
    started: list[str] = []
    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/", "wsgi.input": BytesIO(b"{}"), **told}
    app(environ, lambda status, _: started.append(status))
    assert (started, inside.seen) == (["411 Length Required"], [])
    assert inside.unread == ["the server does not say where the body ends"]


@pytest.mark.parametrize("body", [BytesIO(b'{"invoice'), Breaking(b"x" * 20)])
def test_a_sender_that_goes_away_leaves_nothing(inside: Inside, body: BytesIO) -> None:
    door = door_to(inside, budget=Budget(small=100, large=100))
    assert send(inside, body, door, CONTENT_LENGTH="20").status == 408
    assert not inside.seen
    assert (door.budget.small, door.budget.large) == (100, 100)


def test_a_body_that_takes_too_long_is_not_waited_for(inside: Inside) -> None:
    door = door_to(inside, patience=0.05, budget=Budget(small=100, large=100))
    slow = Slow(b"x" * 90)
    assert send(inside, slow, door, CONTENT_LENGTH="90").status == 408
    assert len(slow.read()) == 1
    assert (door.budget.small, door.budget.large, inside.seen) == (100, 100, [])


def test_a_body_without_room_asks_the_sender_to_come_again(inside: Inside) -> None:
    door = door_to(inside, budget=Budget(small=5, large=0))
    rest = BytesIO(b"x" * 6)
    given = send(inside, rest, door, CONTENT_LENGTH="6")
    assert (given.status, given.headers["retry-after"], len(rest.read())) == (503, "30", 6)
    ended: dict[str, Any] = {"wsgi.input_terminated": True}
    assert send(inside, BytesIO(b"x" * 6), door, **ended).status == 503
    assert send(inside, BytesIO(b"x" * 5), door, **ended).status == 200
    assert (bodies(inside), door.budget.small) == ([b"x" * 5], 5)


def test_what_is_refused_before_is_not_read() -> None:
    inside = Inside(refusal=Receipt(ReceiptStatus.REFUSED, 401))
    given = send(inside, Breaking(b"{}"), CONTENT_LENGTH="2")
    assert (given.status, inside.seen) == (401, [])


def test_an_error_gives_back_what_was_taken(inside: Inside) -> None:
    inside.error = LookupError()
    door = door_to(inside, budget=Budget(small=100, large=100))
    loop: Any = lambda work: _raising(work(door))  # noqa: E731  # as short as that
    app = WSGIReceiver(loop)
    with pytest.raises(LookupError):
        over_wsgi(
            app, POST, **{"PATH_INFO": "/", "CONTENT_LENGTH": "2", "wsgi.input": BytesIO(b"{}")}
        )
    assert door.budget.small == 100
    inside.error = QueueUnavailable("away")
    assert send(inside, BytesIO(b"{}"), door, CONTENT_LENGTH="2").status == 503
    assert door.budget.small == 100


def _raising(coroutine: Any) -> Any:
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value


def test_the_application_answers_elsewhere(inside: Inside) -> None:
    def other(_: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"other"]

    app = WSGIReceiver(Loop(door_to(inside)), "/hooks", other)
    assert over_wsgi(app, POST).body == b"other"
    assert over_wsgi(app, POST, PATH_INFO="/hooks").status == 200
    assert over_wsgi(app, POST, PATH_INFO="/hooksx").body == b"other"


# Loops


def make_sync(url: str) -> ZohoSync:
    sessions = async_sessionmaker(create_async_engine(url), expire_on_commit=False)
    return ZohoSync(sessions, verifier=HeaderToken("X-Token", TOKEN))


ITEM = Asked("POST", "/item", BODY, (200, "accepted", 1), SIGNED)


def test_one_that_is_not_open_asks_the_sender_to_come_again(
    sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    sync = BlockingSync(lambda: make_sync(sqlite_url))
    app = sync.wsgi(path="/zoho")
    assert over_wsgi(app, ITEM).status == 503
    sync.start()
    assert over_wsgi(app, ITEM).status == 200
    sync.close()
    given = over_wsgi(app, ITEM)
    assert (given.status, given.headers["retry-after"]) == (503, "30")
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert ["not started" in said[0], "closed" in said[1], len(said)] == [True, True, 2]


def test_a_path_that_cannot_work_is_refused(sqlite_url: str) -> None:
    for sync in (make_sync(sqlite_url), BlockingSync(lambda: make_sync(sqlite_url))):
        with pytest.raises(ConfigurationError, match="slash"):
            sync.wsgi(path="zoho")


@pytest.fixture
def owned(sqlite_url: str) -> Iterator[ZohoSync]:
    """One that makes its loop itself."""
    sync = make_sync(sqlite_url)
    yield sync
    for started in sync._own_loop._by_process.values():
        started.thread().close()


def test_all_threads_and_applications_share_one_loop(owned: ZohoSync) -> None:
    apps = [owned.wsgi(path="/zoho"), owned.wsgi(path="/zoho")]
    with ThreadPoolExecutor(8) as threads:
        given = list(threads.map(lambda number: over_wsgi(apps[number % 2], ITEM), range(40)))
    words = [json.loads(each.body)["status"] for each in given]
    assert (words.count("accepted"), words.count("duplicate")) == (1, 39)
    assert [*owned._own_loop._by_process] == [os.getpid()]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_process_that_is_forked_has_a_loop_of_its_own(owned: ZohoSync) -> None:
    app = owned.wsgi(path="/zoho")
    child = os.fork()
    if child == 0:
        given = over_wsgi(app, ITEM)
        os._exit(given.status // 100)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 2
    assert json.loads(over_wsgi(app, ITEM).body)["status"] == "duplicate"
