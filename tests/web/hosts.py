"""Applications with the front door in them: seven frameworks, each in the ways that it knows."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from typing import Any
from urllib.parse import unquote_to_bytes
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import httpx2
from django.conf import empty, settings  # type: ignore[import-untyped]  # it has no annotations
from django.core.asgi import get_asgi_application  # type: ignore[import-untyped]  # as above
from django.core.wsgi import get_wsgi_application  # type: ignore[import-untyped]  # as above
from fastapi import FastAPI
from flask import Flask
from litestar import Litestar, asgi
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount, Route
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from tests.web.table import Asked, Given
from zoho_sync import ZohoSync
from zoho_sync.blocking import BlockingSync

__all__ = [
    "ASGI_HOSTS",
    "MOUNT",
    "REDIRECTING",
    "WSGI_HOSTS",
    "configured_django",
    "over_asgi",
    "over_wsgi",
]

MOUNT = "/zoho"


def _fastapi_mount(sync: ZohoSync) -> Any:
    app = FastAPI()
    app.mount(MOUNT, sync.asgi())
    return app


def _fastapi_wrapped(sync: ZohoSync) -> Any:
    app = FastAPI()
    app.add_middleware(sync.asgi, path=MOUNT)
    return app


def _fastapi_route(sync: ZohoSync) -> Any:
    app = FastAPI()
    app.add_route(MOUNT + "{rest:path}", sync.asgi(path=MOUNT))  # type: ignore[arg-type]  # any ASGI application
    return app


def _litestar_function(sync: ZohoSync) -> Any:
    inner = sync.asgi()

    async def zoho(scope: Any, receive: Any, send: Any) -> None:
        await inner(scope, receive, send)

    return Litestar([asgi(MOUNT, is_mount=True, copy_scope=True)(zoho)], openapi_config=None)


ASGI_HOSTS: dict[str, Callable[[ZohoSync], Any]] = {
    "plain": lambda sync: sync.asgi(path=MOUNT),
    "Starlette, mounted": lambda sync: Starlette(routes=[Mount(MOUNT, sync.asgi())]),
    "Starlette, mounted with a slash": lambda sync: Starlette(
        routes=[Mount(MOUNT + "/", sync.asgi())]
    ),
    "Starlette, as a route": lambda sync: Starlette(
        routes=[Route(MOUNT + "{rest:path}", sync.asgi(path=MOUNT))]
    ),
    "Starlette, wrapped": lambda sync: Starlette(
        middleware=[Middleware(sync.asgi, path=MOUNT + "/")]
    ),
    "FastAPI, mounted": _fastapi_mount,
    "FastAPI, as a route": _fastapi_route,
    "FastAPI, wrapped": _fastapi_wrapped,
    "Litestar, mounted": lambda sync: Litestar(
        [asgi(MOUNT, is_mount=True, copy_scope=True)(sync.asgi())],
        openapi_config=None,
    ),
    "Litestar, mounted as a function": _litestar_function,
    "Litestar, wrapped": lambda sync: sync.asgi(Litestar([]), path=MOUNT),
    "Django, wrapped": lambda sync: sync.asgi(get_asgi_application(), path=MOUNT),
}
REDIRECTING = {"Starlette, mounted", "Starlette, mounted with a slash", "FastAPI, mounted"}
"""Starlette's own mounts redirect a path that ends with the mount's name to one with a slash."""


def _flask_mount(sync: ZohoSync | BlockingSync) -> Any:
    app = Flask("host")
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {MOUNT: sync.wsgi()})  # type: ignore[method-assign]  # Flask's own way
    return app


def _flask_wrapped(sync: ZohoSync | BlockingSync) -> Any:
    app = Flask("host")
    app.wsgi_app = sync.wsgi(app.wsgi_app, path=MOUNT)  # type: ignore[method-assign, assignment]  # Flask's own way
    return app


WSGI_HOSTS: dict[str, Callable[[ZohoSync | BlockingSync], Any]] = {
    "plain": lambda sync: sync.wsgi(path=MOUNT),
    "Flask, mounted": _flask_mount,
    "Flask, wrapped": _flask_wrapped,
    "Django, wrapped": lambda sync: sync.wsgi(get_wsgi_application(), path=MOUNT),
}


@contextlib.contextmanager
def configured_django() -> Iterator[None]:
    """Let Django run without a project, and forget it in the end."""
    before = settings._wrapped
    settings._wrapped = empty
    try:
        settings.configure(
            ROOT_URLCONF=(), ALLOWED_HOSTS=["host", "127.0.0.1"], LOGGING_CONFIG=None
        )
        yield
    finally:
        settings._wrapped = before


async def over_asgi(app: Any, table: Sequence[Asked]) -> list[Given]:
    """Send requests to an ASGI application, one after the other."""
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://host") as client:
        answers = [
            await client.request(
                asked.method, MOUNT + asked.path, content=asked.body, headers=dict(asked.headers)
            )
            for asked in table
        ]
    return [Given(each.status_code, dict(each.headers), each.content) for each in answers]


def over_wsgi(app: Any, asked: Asked, **more: Any) -> Given:
    """Send a request to a WSGI application, which is watched by the validator of Python."""
    path, _, query = (MOUNT + asked.path).partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": asked.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "HTTP_HOST": "host",
        "wsgi.input": BytesIO(asked.body),
        **{
            f"HTTP_{name.upper().replace('-', '_')}": value for name, value in asked.headers.items()
        },
    }
    if asked.body:
        environ |= {"CONTENT_LENGTH": str(len(asked.body)), "CONTENT_TYPE": "application/json"}
    environ |= more
    setup_testing_defaults(environ)
    started: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], _: Any = None) -> Any:
        started[:] = [
            int(status.split(maxsplit=1)[0]),
            {name.lower(): value for name, value in headers},
        ]
        return started.append

    answer = validator(app)(
        {key: value for key, value in environ.items() if value is not None}, start_response
    )
    try:
        body = b"".join(answer)
    finally:
        answer.close()  # type: ignore[attr-defined]  # the validator's has it
    return Given(started[0], started[1], body)
