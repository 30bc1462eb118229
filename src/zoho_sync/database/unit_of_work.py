"""Joins the transaction that is open, or begins, commits and ends one of its own.

Inside a transaction that the host opened, everything happens in a savepoint of the *connection*.
The session's own `begin_nested` would flush the host's half-built objects; the connection's does
not touch them.

Handlers may use the session as an ORM. What their code added to it is forgotten together with
their statements: an object that stayed behind would be written by the host's next flush.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakKeyDictionary

from sqlalchemy import Engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, AsyncTransaction
from sqlalchemy.orm import Session
from sqlalchemy.pool import Pool, StaticPool

from zoho_sync.database.cancellation import cancellations, finish, heed_cancellation
from zoho_sync.database.dialects import begin_immediately, in_driver_transaction, isolated
from zoho_sync.database.faults import Fault, classify
from zoho_sync.database.hiding import hiding_values
from zoho_sync.exceptions import HostTransactionLost, SessionBusy

__all__ = ["UnitOfWork", "one_snapshot", "savepoint", "unit_of_work"]

_OWNER: Final = "zoho_sync.task"
_COUNTER: Final = "_Connection__savepoint_seq"
"""Where SQLAlchemy counts a connection's savepoints; without it, each has a name of its own."""

# Sessions over a StaticPool share one connection: one transaction at a time. A lock belongs to an
# event loop. Weak keys: the locks go with the host's pool, and with the loop.
_Locks = WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock]
_shared_connections: WeakKeyDictionary[Pool, _Locks] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class UnitOfWork:
    """A transaction to work in.

    Attributes:
        joined: Whether the transaction is the host's; then nothing here commits.
        objects: What the session held before; None inside another unit, which looks after them.
    """

    session: AsyncSession
    connection: AsyncConnection
    joined: bool
    objects: _Objects | None = None

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """Run the body in a savepoint: an exception undoes the body, in the session as well.

        Raises:
            HostTransactionLost: There is nothing to go back to.
        """
        try:
            async with savepoint(self.connection):
                yield
        except BaseException as error:
            if self.objects is not None:
                if self.objects.flushed and not isinstance(error, HostTransactionLost):
                    # The session takes for written what the savepoint has taken back.
                    await _lose(self.connection, error)
                self.objects.restore()
            raise

    async def flush(self) -> None:
        """Write what a handler's own code added to the session, so that its error is that code's.

        The host's own transaction may hold half-built objects: what is there is flushed by it.
        """
        if not self.joined and (self.session.new or self.session.dirty or self.session.deleted):
            await self.session.flush()


@asynccontextmanager
async def unit_of_work(session: AsyncSession) -> AsyncIterator[UnitOfWork]:
    """Give a transaction: a savepoint in the session's open one, or a new one that is committed.

    An exception in the body rolls back what the body did, and only that.

    Raises:
        SessionBusy: Another task is using the session.
        HostTransactionLost: The database ended the host's transaction.
    """
    with hiding_values(), _exclusive(session) as outermost:
        if not outermost:
            # Of a handler, inside its `sync`: whoever began looks after the session.
            work = UnitOfWork(session, await session.connection(), joined=True)
            async with work.savepoint():
                yield work
            return
        with _watched(session.sync_session) as objects:
            if session.in_transaction():
                connection = await session.connection()
                work = UnitOfWork(session, connection, joined=True, objects=objects)
                async with work.savepoint():
                    yield work
            else:
                async with _serialized(session), _owned(session, objects) as work:
                    yield work


@asynccontextmanager
async def one_snapshot(sessions: Callable[[], AsyncSession]) -> AsyncIterator[AsyncConnection]:
    """Give a connection whose statements all read one state of the database.

    PostgreSQL and MariaDB otherwise show each statement what was committed before it. A session
    that is bound to a connection, and not to an engine, reads as that one's transaction does.
    """
    async with sessions() as session:
        bind = session.get_bind()
        if isinstance(bind, Engine) and bind.dialect.name != "sqlite":
            await session.begin()
            await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        elif isinstance(bind, Engine) and not isinstance(bind.pool, StaticPool):
            # Without the lock to write, which a worker may hold for as long as it likes.
            await session.begin()
            connection = await session.connection()
            if not await in_driver_transaction(connection):
                await connection.exec_driver_sql("BEGIN")
        async with unit_of_work(session) as work:
            yield work.connection


@asynccontextmanager
async def savepoint(connection: AsyncConnection) -> AsyncIterator[None]:
    """Run the body in a savepoint: an exception undoes the body and leaves the transaction usable.

    Raises:
        HostTransactionLost: The transaction itself is gone, so there is nothing to go back to.
    """
    point: AsyncTransaction | None = None
    try:
        with _same_names(connection):
            async with _cancellable(connection):
                await begin_immediately(connection)
                point = await connection.begin_nested()
                yield
                await point.commit()
    except BaseException as error:
        if not await _undone(connection, point, error):
            await _lose(connection, error)
        raise


@contextmanager
def _same_names(connection: AsyncConnection) -> Iterator[None]:
    """Let the next savepoint have the name of this one, which has ended by then.

    SQLAlchemy counts them, so that each would be a statement that no driver has prepared yet: on
    asyncpg that is twice the round trips. Names of savepoints that are open stay different.
    """
    counter = connection.sync_connection
    number = getattr(counter, _COUNTER, None)
    try:
        yield
    finally:
        if number is not None:
            setattr(counter, _COUNTER, number)


@asynccontextmanager
async def _owned(session: AsyncSession, objects: _Objects) -> AsyncIterator[UnitOfWork]:
    asked = cancellations()
    await session.begin()
    try:
        connection = await session.connection()
        async with isolated(connection), _cancellable(connection):
            await begin_immediately(connection)
            yield UnitOfWork(session, connection, joined=False, objects=objects)
        heed_cancellation(asked)
        await finish(_commit(session))
    except BaseException as error:
        await finish(_abandon(session, objects))
        if isinstance(error, HostTransactionLost) and error.__cause__ is not None:
            # It was lost in a savepoint, but was no host's.
            raise error.__cause__ from None
        raise


async def _commit(session: AsyncSession) -> None:
    # What was read in this transaction stays readable after it: an expired instance would do its
    # next read outside the greenlet. Objects that the host loaded in earlier transactions were
    # expired, or kept, by its own commits.
    sync_session = session.sync_session
    expire, sync_session.expire_on_commit = sync_session.expire_on_commit, False
    try:
        await session.commit()
    finally:
        sync_session.expire_on_commit = expire


async def _abandon(session: AsyncSession, objects: _Objects) -> None:
    # Session.rollback() expires every instance that the host holds, also with
    # expire_on_commit=False. Where none of them was flushed, there is nothing for the session to
    # forget but what was added: ending its transaction is enough, and rolls the connection back.
    transaction = session.sync_session.get_transaction()
    if transaction is None:
        return
    if objects.flushed:
        await session.rollback()
        return
    try:
        await session.run_sync(lambda _: transaction.close())
    finally:
        objects.restore()


async def _undone(
    connection: AsyncConnection, point: AsyncTransaction | None, error: BaseException
) -> bool:
    """Go back to a savepoint; return whether the transaction that it is in goes on."""
    if point is None:
        return not connection.invalidated and classify(error) is not Fault.CONNECTION
    # It is invalidated by a savepoint inside this one. It is not active where a flush that failed
    # has rolled back the whole transaction: there is nothing to go back to, and what was sent next
    # would be in a transaction of its own.
    if connection.invalidated or not point.is_active:
        return False
    try:
        await finish(point.rollback())
        if connection.dialect.name == "sqlite" and not connection.invalidated:
            # It rolls the whole transaction back on some errors (disk full, I/O, out of memory).
            return await in_driver_transaction(connection)
    except SQLAlchemyError:
        return False
    return not connection.invalidated


@asynccontextmanager
async def _cancellable(connection: AsyncConnection) -> AsyncIterator[None]:
    """Let a cancellation through that a driver has answered with an error of its own.

    psycopg does, where it is cancelled while it begins to send several rows; its connection stays
    in pipeline mode then, and answers nothing from there on.
    """
    asked = cancellations()
    try:
        yield
    except Exception as error:
        if cancellations() <= asked:
            raise
        await _throw_away(connection)
        raise asyncio.CancelledError from error


async def _throw_away(connection: AsyncConnection) -> None:
    if not (connection.invalidated or connection.closed):
        await finish(connection.invalidate())


async def _lose(connection: AsyncConnection, error: BaseException) -> None:
    """Make sure that nothing commits half of a transaction that has lost a part."""
    await _throw_away(connection)
    # What a savepoint inside this one has lost is told already, with its cause.
    if isinstance(error, Exception) and not isinstance(error, HostTransactionLost):
        message = "the database ended the transaction; roll the session back and repeat it whole"
        raise HostTransactionLost(message) from error


class _Objects:
    """The ORM objects that a session held before a unit of work began."""

    def __init__(self, session: Session) -> None:
        self._session = session
        # Strong references: an object that is collected meanwhile could give its id to another.
        self._held = {id(each): each for each in (*session.new, *session.identity_map.values())}
        self._changed = {id(each) for each in (*session.dirty, *session.deleted)}
        self.flushed = False
        """Whether one of them was flushed since."""

    def note_flush(self, session: Session, *_: Any) -> None:
        changed = (*session.new, *session.dirty, *session.deleted)
        self.flushed = self.flushed or any(id(each) in self._held for each in changed)

    def restore(self) -> None:
        """Forget what was added since, and what was changed since and not flushed."""
        session = self._session
        for each in (*session.new, *session.identity_map.values()):
            if id(each) not in self._held:
                session.expunge(each)
        for each in session.deleted:
            if id(each) not in self._changed:
                session.add(each)
        for each in session.dirty:
            if id(each) not in self._changed:
                session.expire(each)


@contextmanager
def _watched(session: Session) -> Iterator[_Objects]:
    objects = _Objects(session)
    event.listen(session, "before_flush", objects.note_flush)
    try:
        yield objects
    finally:
        event.remove(session, "before_flush", objects.note_flush)


@contextmanager
def _exclusive(session: AsyncSession) -> Iterator[bool]:
    """Let one task in; give whether it was not in already."""
    owner, me = session.info.get(_OWNER), asyncio.current_task()
    if owner is me:
        yield False
        return
    if owner is not None:
        message = "two tasks use one session at once; give each task a session of its own"
        raise SessionBusy(message)
    session.info[_OWNER] = me
    try:
        yield True
    finally:
        del session.info[_OWNER]


@asynccontextmanager
async def _serialized(session: AsyncSession) -> AsyncIterator[None]:
    pool = getattr(session.get_bind(), "pool", None)
    if not isinstance(pool, StaticPool):
        yield
        return
    locks = _shared_connections.setdefault(pool, WeakKeyDictionary())
    async with locks.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
        yield
