"""One table of requests and answers, over ASGI and WSGI, in seven frameworks, on real servers."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.validate import validator

import httpx2
import pytest
import uvicorn
import waitress  # type: ignore[import-untyped]  # it has no annotations
from sqlalchemy import NullPool
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from tests.web.hosts import (
    ASGI_HOSTS,
    MOUNT,
    REDIRECTING,
    WSGI_HOSTS,
    configured_django,
    over_asgi,
    over_wsgi,
)
from tests.web.table import AWAY, MAX_BODY, TABLE, TOKEN, Asked, Given, differences
from zoho_sync import HeaderToken, ZohoSync
from zoho_sync.blocking import BlockingSync


def make_sync(url: str) -> ZohoSync:
    sessions = async_sessionmaker(create_async_engine(url, poolclass=NullPool))
    return ZohoSync(sessions, verifier=HeaderToken("X-Token", TOKEN), max_body=MAX_BODY)


def asked_of(name: str, table: Sequence[Asked]) -> list[Asked]:
    """The requests of a table that reach the front door in a host."""
    return [each for each in table if name not in REDIRECTING or each.path[:1] == "/"]


@pytest.fixture(autouse=True)
def django() -> Iterator[None]:
    with configured_django():
        yield


@pytest.fixture
def empty_url(tmp_path: Any) -> str:
    """A database without the library's tables: nothing can be queued."""
    return f"sqlite+aiosqlite:///{tmp_path}/empty.db"


@pytest.mark.parametrize("name", ASGI_HOSTS)
async def test_over_asgi(name: str, sqlite_url: str, empty_url: str) -> None:
    for url, table in ((sqlite_url, TABLE), (empty_url, AWAY)):
        sync = make_sync(url)
        app = ASGI_HOSTS[name](sync)
        reaching = asked_of(name, table)
        answers = zip(reaching, await over_asgi(app, reaching), strict=True)
        assert [*filter(None, (differences(*each) for each in answers))] == []


@pytest.mark.parametrize("name", WSGI_HOSTS)
@pytest.mark.parametrize("blocking", [True, False], ids=["BlockingSync", "ZohoSync"])
def test_over_wsgi(name: str, sqlite_url: str, empty_url: str, *, blocking: bool) -> None:
    for url, table in ((sqlite_url, TABLE), (empty_url, AWAY)):
        with wsgi_sync(url, blocking=blocking) as sync:
            app = WSGI_HOSTS[name](sync)
            answers = [(each, over_wsgi(app, each)) for each in table]
        assert [*filter(None, (differences(*each) for each in answers))] == []


@contextlib.contextmanager
def wsgi_sync(url: str, *, blocking: bool) -> Iterator[ZohoSync | BlockingSync]:
    if blocking:
        with BlockingSync(lambda: make_sync(url)) as sync:
            yield sync
        return
    inner = make_sync(url)
    yield inner
    for started in inner._own_loop._by_process.values():
        started.thread().close()


# Real servers


@contextlib.contextmanager
def uvicorn_server(url: str) -> Iterator[int]:
    # With its protocol named: otherwise asyncio would not send small answers at once.
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(ASGI_HOSTS["FastAPI, wrapped"](make_sync(url)), log_config=None)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=lambda: server.run([listener]))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


@contextlib.contextmanager
def waitress_server(url: str) -> Iterator[int]:
    with BlockingSync(lambda: make_sync(url)) as sync:
        app = WSGI_HOSTS["Flask, wrapped"](sync)
        server: Any = waitress.create_server(app, host="127.0.0.1", port=0, threads=2)
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield server.effective_port
        finally:
            server.close()
            thread.join()


class Quiet(WSGIRequestHandler):
    """Writes nothing to the standard error output."""

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def wsgiref_server(url: str) -> Iterator[int]:
    with BlockingSync(lambda: make_sync(url)) as sync:
        app: Any = validator(WSGI_HOSTS["plain"](sync))
        with make_server("127.0.0.1", 0, app, handler_class=Quiet) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            try:
                yield server.server_port
            finally:
                server.shutdown()
                thread.join()


@pytest.mark.parametrize("serve", [uvicorn_server, waitress_server, wsgiref_server])
def test_on_a_real_server(
    serve: Callable[[str], contextlib.AbstractContextManager[int]], sqlite_url: str
) -> None:
    wrong = []
    with serve(sqlite_url) as port, httpx2.Client(timeout=20) as client:
        for asked in TABLE:
            answer = client.request(
                asked.method,
                f"http://127.0.0.1:{port}{MOUNT}{asked.path}",
                content=asked.body,
                headers=dict(asked.headers),
            )
            given = Given(answer.status_code, dict(answer.headers), answer.content)
            wrong.append(differences(asked, given))
    assert [*filter(None, wrong)] == []
