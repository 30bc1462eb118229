"""Opens the front door of a `ZohoSync` over ASGI and over WSGI."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from zoho_sync.database.sessions import engine_of
from zoho_sync.events.entities import EntityCatalog
from zoho_sync.intake.receiver import Receiver
from zoho_sync.web.asgi import ASGIApp, ReceiverApp
from zoho_sync.web.budget import Budget
from zoho_sync.web.door import Door, FrontDoor, checked_path
from zoho_sync.web.own_loop import OwnLoop
from zoho_sync.web.wsgi import WSGIApp, WSGIReceiver

__all__ = ["FrontDoors", "opened"]

_T = TypeVar("_T")


class FrontDoors:
    """What a `ZohoSync` has for web servers."""

    def __init__(
        self,
        receive: FrontDoor,
        receiver: Receiver,
        catalog: EntityCatalog,
        opening: Callable[[], AbstractAsyncContextManager[object]],
    ) -> None:
        self._door = Door(
            receive,
            receiver.preview,
            receiver.refusals.note,
            max_body=receiver.max_body,
            knows=catalog.knows,
            names=catalog.names,
            budget=Budget.fitting(receiver.max_body),
        )
        self._own_loop = OwnLoop(opening)

    def asgi(self, app: Callable[..., Awaitable[None]] | None = None, *, path: str = "") -> ASGIApp:
        """Return the front door as an ASGI application.

        It answers ``/``, ``/{entity}`` and ``/{entity}/{id}`` to POST, PUT and DELETE, relative to
        where a framework mounts it. Given the whole application and a path, it answers below the
        path, and the application everything else: ``app.add_middleware(sync.asgi, path=…)``.

        Args:
            app: Your application.
            path: Of the webhooks, ``"/webhooks/zoho"`` for example.

        Raises:
            ConfigurationError: The path is missing beside an application, or begins with no slash.
        """
        return ReceiverApp(self._door, checked_path(path, app), app)

    def wsgi(self, app: Callable[..., Iterable[bytes]] | None = None, *, path: str = "") -> WSGIApp:
        """Return the front door as a WSGI application, with the same answers.

        It works in an event loop in a thread of its own, one in each process, which the first
        request starts and the exit of the process ends. All else that this process does with the
        `ZohoSync` would have to happen in that loop; `BlockingSync.wsgi` lets it.

        Args:
            app: Your application, which answers what is not below the path.
            path: Of the webhooks, ``"/webhooks/zoho"`` for example.

        Raises:
            ConfigurationError: The path is missing beside an application, or begins with no slash.
        """

        def ask(work: Callable[[Door], Awaitable[_T]]) -> _T:
            return self._own_loop.call(lambda _: work(self._door))

        return WSGIReceiver(ask, checked_path(path, app), app)


@asynccontextmanager
async def opened(
    sync: AbstractAsyncContextManager[_T], sessions: Callable[[], AsyncSession]
) -> AsyncIterator[_T]:
    """Open a `ZohoSync` that has a loop of its own; in the end close it, and dispose of its engine.

    Args:
        sync: What is opened.
        sessions: Its own, on an engine that is used in this loop alone.
    """
    async with AsyncExitStack() as stack:
        engine = engine_of(sessions)
        if engine is not None:
            stack.push_async_callback(engine.dispose)
        yield await stack.enter_async_context(sync)
