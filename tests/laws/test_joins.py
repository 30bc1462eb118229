"""Law 2: inside the host's transaction the library works in a savepoint, and ends nothing of its.

Every combination of how a host makes its sessions, where it stands when it calls the library, and
how its transaction ends, on every database.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeVar

import pytest
from sqlalchemy import StaticPool, String, event, func, insert, inspect, select, text, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from tests.amounts import is_core
from tests.hosts import documents
from tests.hosts.handlers import CLIENTS
from tests.hosts.tables import ClientTable
from zoho_sync import (
    ConfigurationError,
    HandlerRegistry,
    HostTransactionLost,
    Outcome,
    PayloadError,
    RowRejected,
    SessionBusy,
    SyncEvent,
    SyncResult,
    ZohoSync,
)
from zoho_sync.database.creation import create_missing
from zoho_sync.handlers import CustomerHandler
from zoho_sync.store.tables import library_tables

pytestmark = [
    pytest.mark.databases("sqlite", "postgresql", "psycopg", "mariadb"),
    pytest.mark.every_line,
    pytest.mark.breaks_connections,
]

LIBRARY = library_tables()
_T = TypeVar("_T")


class Base(DeclarativeBase):
    """The host's tables."""

    # MariaDB's texts have a length, or no index.
    type_annotation_map: ClassVar[Any] = {str: String(255)}


class Client(ClientTable, Base):
    created_by: Mapped[str] = mapped_column(default="host")


class Note(Base):
    """What the host writes, in the same transactions."""

    __tablename__ = "note"

    id: Mapped[int] = mapped_column(primary_key=True)
    words: Mapped[str]


class Clients(CustomerHandler):
    """Maps customers to the host's clients."""

    mapping = replace(CLIENTS, table=Client, on_delete="ignore", deleted_column=None)


class HostSession(AsyncSession):
    """A host's own subclass."""


@dataclass(frozen=True)
class Style:
    """How a host makes its sessions."""

    expire_on_commit: bool
    autobegin: bool
    autoflush: bool
    subclass: bool

    def __str__(self) -> str:
        said = (f"{'' if on else 'no-'}{name}" for name, on in vars(self).items())
        return " ".join(said)

    def factory(self, engine: AsyncEngine) -> async_sessionmaker[AsyncSession]:
        """Return the session factory of such a host."""
        return async_sessionmaker(
            engine,
            class_=HostSession if self.subclass else AsyncSession,
            expire_on_commit=self.expire_on_commit,
            autobegin=self.autobegin,
            autoflush=self.autoflush,
        )


STYLES = [Style(*each) for each in itertools.product([True, False], repeat=4)]
# Of any three habits every combination: what a habit does is done in Python, on every database.
STYLES_ON_SERVERS = [each for each in STYLES if sum(vars(each).values()) % 2 == 0]
# The core run tries the others on SQLite, so that it has met each of them.
OTHER_STYLES = [each for each in STYLES if each not in STYLES_ON_SERVERS]
STYLES_ON_SQLITE = OTHER_STYLES if is_core() else STYLES

Place = Callable[[AsyncSession], Awaitable[Any]]


async def outside(session: AsyncSession) -> None:
    """Nothing is open."""


async def begun(session: AsyncSession) -> None:
    """A transaction was begun, and no statement sent: on SQLite the savepoint would come first."""
    await session.begin()


async def after_a_read(session: AsyncSession) -> None:
    """A read has begun the transaction, whether the host knows it or not."""
    if not session.sync_session.autobegin:
        await session.begin()
    await session.execute(select(Note.id))


async def after_a_write(session: AsyncSession) -> None:
    """The host has changed something."""
    await begun(session)
    await session.execute(insert(Note).values(words="the host's"))


async def in_a_savepoint(session: AsyncSession) -> None:
    """The host is in a savepoint of its own."""
    await after_a_write(session)
    await session.begin_nested()


PLACES: list[Place] = [outside, begun, after_a_read, after_a_write, in_a_savepoint]


@pytest.fixture
async def engine(engine: AsyncEngine) -> AsyncEngine:
    """The engine of a database with the host's tables and the library's."""
    await create_tables(engine)
    return engine


async def create_tables(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(create_missing, LIBRARY.metadata)
        await connection.run_sync(create_missing, Base.metadata)
        await connection.execute(insert(Note).values(words="from before"))


def customer(number: int | str = 1, name: str = "Ada") -> dict[str, Any]:
    return dict(documents.customer(str(number), contact_name=name)["contact"])


def customer_event(number: int | str = 1) -> SyncEvent:
    return SyncEvent("customer", str(number), customer(number))


async def counts(engine: AsyncEngine) -> dict[str, int]:
    """Count what others see in every table that matters."""
    tables = {
        "clients": Client.__table__,
        "ledger": LIBRARY.ledger,
        "journal": LIBRARY.journal,
        "jobs": LIBRARY.jobs,
        "notes": Note.__table__,
    }
    async with engine.connect() as connection:
        return {
            name: await connection.scalar(select(func.count()).select_from(table)) or 0
            for name, table in tables.items()
        }


NOTHING = {"clients": 0, "ledger": 0, "journal": 0, "jobs": 0, "notes": 1}


async def assert_nothing_is_open(engine: AsyncEngine) -> None:
    """No connection is out, and none in the pool is inside a transaction."""
    assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # a QueuePool
    async with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            raw = await connection.get_raw_connection()
            assert not raw.driver_connection.in_transaction  # type: ignore[union-attr]
            return
        # A server takes a moment to notice that a client is gone, and MariaDB to tell of it.
        deadline = time.monotonic() + 10
        while open_transactions := await count_open(connection):
            assert time.monotonic() < deadline, f"{open_transactions} transactions are open"
            # PostgreSQL tells one transaction the same all the time.
            await connection.rollback()
            await asyncio.sleep(0.05)


async def count_open(connection: AsyncConnection) -> int:
    """Count the transactions in this database that wait for their clients."""
    if connection.dialect.name == "postgresql":
        idle = (
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE state LIKE 'idle in transaction%' AND datname = current_database()"
        )
        return await connection.scalar(text(idle)) or 0
    ours = await connection.scalar(text("SELECT database()"))
    threads = (await connection.execute(text("SHOW PROCESSLIST"))).mappings()
    mine = {thread["Id"] for thread in threads if thread["db"] == ours}
    every = text("SELECT trx_mysql_thread_id FROM information_schema.innodb_trx")
    return len(mine.intersection(await connection.scalars(every)))


@contextmanager
def statements(engine: AsyncEngine) -> Iterator[list[str]]:
    """Record the statements that are sent."""
    sent: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", note)


@contextmanager
def session_untouched(session: AsyncSession) -> Iterator[None]:
    """The session's own state is what it was: nothing expired, flushed, begun, ended or added."""

    def state() -> tuple[Any, ...]:
        inside = session.sync_session
        objects = [inspect(each) for each in inside.identity_map.values()]
        return (
            inside.get_transaction(),
            inside.get_nested_transaction(),
            set(inside.new),
            set(inside.dirty),
            {each.key: set(each.expired_attributes) for each in objects},
            inside.expire_on_commit,
            inside.autoflush,
            session.info,
        )

    def refuse(_: Session, transaction: Any) -> None:
        assert not transaction.nested, "the session's own savepoint flushes the host's objects"

    event.listen(session.sync_session, "after_transaction_create", refuse)
    before = state()
    try:
        yield
        assert state() == before
    finally:
        event.remove(session.sync_session, "after_transaction_create", refuse)


async def everything(sync: ZohoSync, session: AsyncSession) -> list[SyncResult]:
    """Do all that the library does on a session of the host's, the failing things too."""
    handler = Clients(session)
    with session_untouched(session):
        results = [await handler.sync(customer())]
    with session_untouched(session), pytest.raises(RowRejected):
        await handler.sync(customer(2, name=""))
    with session_untouched(session):
        results.append(await handler.sync(customer(1, "Grace") | {"notes": "later"}))
    with session_untouched(session), pytest.raises(PayloadError):
        await handler.sync(customer(3) | {"last_modified_time": "yesterday"})
    with session_untouched(session), pytest.raises(IntegrityError):
        await handler.execute_with_context(insert(Client).values(zoho_id="1", name="again"))
    with session_untouched(session):
        names = await handler.execute_with_context(select(Client.name).order_by(Client.id))
        assert names.scalars().all() == ["Grace"]
        assert await handler.resolve("customer", "1") is not None
        if session.in_transaction():
            await sync.enqueue([customer_event(4)], session=session)
    return results


async def with_every_style(engine: AsyncEngine, check: Callable[[Style], Awaitable[None]]) -> None:
    """Run a check for every way to make sessions, each from the same start."""
    for style in STYLES_ON_SQLITE if engine.dialect.name == "sqlite" else STYLES_ON_SERVERS:
        async with engine.begin() as connection:
            for table in (*Base.metadata.sorted_tables, *LIBRARY.metadata.sorted_tables):
                await connection.execute(table.delete())
            await connection.execute(insert(Note).values(words="from before"))
        try:
            await check(style)
        except BaseException as error:
            error.add_note(f"sessions with {style}")
            raise


@pytest.mark.parametrize("ending", ["commit", "rollback"])
@pytest.mark.parametrize("place", PLACES)
async def test_joins_what_is_open_and_ends_only_its_own(
    engine: AsyncEngine, place: Place, ending: str
) -> None:
    async def check(style: Style) -> None:
        factory = style.factory(engine)
        sync = ZohoSync(factory, registry=HandlerRegistry([Clients]))
        async with factory() as session:
            await place(session)
            joined = session.in_transaction()
            results = await everything(sync, session)
            assert [each.committed for each in results] == [not joined] * 2
            assert session.in_transaction() is joined
            if joined:
                assert await counts(engine) == NOTHING
                await _end(session, ending)
        hosts = 2 if place in {after_a_write, in_a_savepoint} else 1
        done = {"clients": 1, "ledger": 1, "journal": 2, "jobs": int(joined), "notes": hosts}
        kept = ending == "commit" or not joined
        assert await counts(engine) == (done if kept else NOTHING)
        await assert_nothing_is_open(engine)

    await with_every_style(engine, check)


async def _end(session: AsyncSession, ending: str) -> None:
    while (nested := session.get_nested_transaction()) is not None:
        await (nested.commit() if ending == "commit" else nested.rollback())
    await (session.commit() if ending == "commit" else session.rollback())


@pytest.mark.parametrize("place", PLACES[1:])
async def test_half_built_objects_stay_the_hosts(engine: AsyncEngine, place: Place) -> None:
    """A pending object that could not be flushed, and a changed one, survive all that is done."""

    async def check(style: Style) -> None:
        factory = style.factory(engine)
        sync = ZohoSync(factory, registry=HandlerRegistry([Clients]))
        async with factory() as session:
            await place(session)
            changed = (await session.scalars(select(Note).where(Note.words == "from before"))).one()
            changed.words = "changed"
            pending = Note()
            session.add(pending)
            with statements(engine) as sent:
                await everything(sync, session)
            assert not [each for each in sent if "note" in each]
            assert changed.words == "changed"
            pending.words = "complete"
            await _end(session, "commit")
        async with engine.connect() as connection:
            words = set((await connection.scalars(select(Note.words))).all())
        assert words >= {"changed", "complete"}

    await with_every_style(engine, check)


async def test_loaded_objects_are_as_readable_as_before(engine: AsyncEngine) -> None:
    """Outside a transaction too: our commit and our rollback expire nothing that was loaded."""

    async def check(style: Style) -> None:
        factory = style.factory(engine)
        sync = ZohoSync(factory, registry=HandlerRegistry([Clients]))
        async with factory() as session:
            await after_a_read(session)
            loaded = (await session.scalars(select(Note))).one()
            await _end(session, "commit")
            assert bool(inspect(loaded).expired_attributes) is style.expire_on_commit
            await everything(sync, session)
            assert bool(inspect(loaded).expired_attributes) is style.expire_on_commit
            if not style.expire_on_commit:
                assert loaded.words == "from before"

    await with_every_style(engine, check)


async def test_a_failure_leaves_loaded_objects_readable(engine: AsyncEngine) -> None:
    """SQLAlchemy's own rollback expires every instance, with expire_on_commit=False as well."""
    async with async_sessionmaker(engine, expire_on_commit=False)() as session:
        loaded = (await session.scalars(select(Note))).one()
        await session.commit()
        with pytest.raises(RowRejected):
            await Clients(session).sync(customer(name=""))
        assert not session.in_transaction()
        assert loaded.words == "from before"


@pytest.mark.parametrize("ending", ["commit", "rollback"])
async def test_the_hosts_savepoint_takes_along_what_was_done_in_it(
    engine: AsyncEngine, ending: str
) -> None:
    async with AsyncSession(engine) as session, session.begin():
        await Clients(session).sync(customer(1))
        nested = await session.begin_nested()
        await Clients(session).sync(customer(2))
        await getattr(nested, ending)()
        await Clients(session).sync(customer(3))
    found = await counts(engine)
    assert found["clients"] == found["ledger"] == (3 if ending == "commit" else 2)


async def test_what_is_enqueued_inside_is_seen_after_the_commit(engine: AsyncEngine) -> None:
    factory = async_sessionmaker(engine)
    sync = ZohoSync(factory, registry=HandlerRegistry([Clients]))
    async with factory() as session:
        async with session.begin():
            await sync.enqueue([customer_event()], session=session)
            assert await counts(engine) == NOTHING
        assert (await counts(engine))["jobs"] == 1
        await session.begin()
        await sync.enqueue([customer_event(2)], session=session)
        await session.rollback()
    assert (await counts(engine))["jobs"] == 1
    assert await sync.drain() == {Outcome.APPLIED: 1}


async def test_a_session_on_the_hosts_connection_joins_its_outer_transaction(
    engine: AsyncEngine,
) -> None:
    """How hosts run their own tests: everything is taken back when the connection is."""
    async with engine.connect() as connection, connection.begin() as outer:
        await connection.execute(insert(Note).values(words="the test's"))
        mode: Any = "create_savepoint"
        factory = async_sessionmaker(bind=connection, join_transaction_mode=mode)
        async with factory() as session:
            await everything(ZohoSync(factory, registry=HandlerRegistry([Clients])), session)
        async with factory() as session:
            assert (await session.scalars(select(Client.name))).all() == ["Grace"]
        await outer.rollback()
    assert await counts(engine) == NOTHING


# --- Handlers that use the host's session as an ORM -------------------------------------------


class WritesByTheOrm(Clients):
    """Adds an object, changes one of the host's, maybe flushes, and maybe fails."""

    flushes = False
    fails = False

    async def upsert(self, payload: Any) -> int | None:
        client = Client(zoho_id=payload.entity_id, name=payload.contact_name)
        self.session.add(client)
        note = (await self.execute_with_context(select(Note))).scalars().first()
        assert note is not None
        note.words = "the handler's"
        if self.flushes:
            await self.session.flush()
        if self.fails:
            raise ZeroDivisionError
        return client.id if self.flushes else None


@pytest.mark.parametrize("flushes", [False, True])
@pytest.mark.parametrize("place", PLACES)
async def test_what_a_failed_handler_did_to_the_session_is_forgotten(
    engine: AsyncEngine, place: Place, *, flushes: bool
) -> None:
    """Otherwise the host's next flush would write half of what failed."""
    async with async_sessionmaker(engine, expire_on_commit=False)() as session:
        await place(session)
        handler = WritesByTheOrm(session)
        handler.flushes, handler.fails = flushes, True
        with pytest.raises(ZeroDivisionError):
            await handler.sync(customer())
        assert not session.new
        assert not session.dirty
        await _end(session, "commit")
    hosts = 2 if place in {after_a_write, in_a_savepoint} else 1
    assert await counts(engine) == NOTHING | {"notes": hosts}
    async with engine.connect() as connection:
        words = (await connection.scalars(select(Note.words))).all()
    assert "the handler's" not in words


@pytest.mark.parametrize("flushes", [False, True])
@pytest.mark.parametrize("place", PLACES)
async def test_what_a_handler_did_to_the_session_is_written(
    engine: AsyncEngine, place: Place, *, flushes: bool
) -> None:
    async with async_sessionmaker(engine, expire_on_commit=False)() as session:
        await place(session)
        handler = WritesByTheOrm(session)
        handler.flushes = flushes
        await handler.sync(customer())
        await _end(session, "commit")
    assert (await counts(engine))["clients"] == 1
    async with engine.connect() as connection:
        assert "the handler's" in (await connection.scalars(select(Note.words))).all()


@pytest.mark.parametrize("flushes", [False, True])
async def test_an_object_of_the_hosts_that_a_failed_handler_changed(
    engine: AsyncEngine, *, flushes: bool
) -> None:
    """What was not flushed is undone; a flush of the host's objects loses the transaction."""
    async with AsyncSession(engine) as session:
        held = (await session.scalars(select(Note))).one()
        handler = WritesByTheOrm(session)
        handler.flushes, handler.fails = flushes, True
        with pytest.raises(HostTransactionLost if flushes else ZeroDivisionError):
            await handler.sync(customer())
        if flushes:
            with pytest.raises(SQLAlchemyError):
                await session.commit()
            await session.rollback()
        assert not session.dirty
        await session.refresh(held)
        assert held.words == "from before"
        await session.commit()
    assert await counts(engine) == NOTHING


async def test_a_failed_flush_in_the_hosts_transaction_loses_it(engine: AsyncEngine) -> None:
    """SQLAlchemy ends a session's transaction when a flush fails; nothing may follow in it."""
    async with AsyncSession(engine) as session:
        await after_a_write(session)
        handler = WritesByTheOrm(session)
        handler.flushes = True
        with pytest.raises(HostTransactionLost):
            await handler.sync(customer(name=""))
        with pytest.raises(SQLAlchemyError):
            await session.commit()
    assert await counts(engine) == NOTHING


@pytest.mark.parametrize("flushes", [False, True])
async def test_a_failed_flush_in_our_own_transaction_is_a_rejected_row(
    engine: AsyncEngine, *, flushes: bool
) -> None:
    async with AsyncSession(engine) as session:
        handler = WritesByTheOrm(session)
        handler.flushes = flushes
        with pytest.raises(RowRejected):
            await handler.sync(customer(name=""))
        assert not session.in_transaction()
        assert not session.new
    assert await counts(engine) == NOTHING


# --- Statements of the host's own ------------------------------------------------------------


async def test_results_are_readable_after_their_commit(engine: AsyncEngine) -> None:
    await with_every_style(engine, lambda style: _reads_results(style.factory(engine)))


async def _reads_results(factory: async_sessionmaker[AsyncSession]) -> None:
    async with factory() as session:
        handler = Clients(session)
        rows = [{"zoho_id": str(number), "name": f"n{number}"} for number in range(3)]
        await handler.execute_with_context(insert(Client), rows)
        made = await handler.execute_with_context(
            insert(Client).returning(Client), {"zoho_id": "3", "name": "n3"}
        )
        entities = await handler.execute_with_context(select(Client).order_by(Client.id))
        columns = await handler.execute_with_context(select(Client.id, Client.name))
        plain = await handler.execute_with_context(
            text("SELECT name FROM clients WHERE zoho_id=:i"), {"i": "2"}
        )
        changed = await handler.execute_with_context(update(Client).values(name="all"))
        assert not session.in_transaction()
        assert made.scalar_one().zoho_id == "3"
        assert [each.zoho_id for each in entities.scalars()] == ["0", "1", "2", "3"]
        assert len(columns.all()) == 4
        assert plain.scalar_one() == "n2"
        assert changed.rowcount == 4  # type: ignore[attr-defined]  # a CursorResult


async def test_a_failing_statement_outside_leaves_the_session_usable(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session:
        handler = Clients(session)
        with pytest.raises(SQLAlchemyError):
            await handler.execute_with_context(text("SELECT nothing FROM nowhere"))
        assert not session.in_transaction()
        await handler.execute_with_context(insert(Client).values(zoho_id="1", name="Ada"))
    assert (await counts(engine))["clients"] == 1


# --- Cancellation ------------------------------------------------------------------------------


class CancelledAt(Awaitable[_T]):
    """Awaits something, and cancels the task at one of its suspensions."""

    def __init__(self, work: Awaitable[_T], step: int) -> None:
        self._work = work
        self._step = step
        self.fired = False

    def __await__(self) -> Generator[Any, Any, _T]:
        inside = self._work.__await__()
        task = asyncio.current_task()
        assert task is not None
        send: Callable[[], Any] = inside.__next__
        for step in itertools.count(1):
            try:
                waited_for = send()
            except StopIteration as stop:
                task.uncancel()
                result: _T = stop.value
                return result
            if step == self._step:
                self.fired = True
                task.cancel()
            try:
                yield waited_for
            except BaseException as error:  # noqa: BLE001  # whatever it is goes inside
                send = _thrower(inside, error)
            else:
                send = inside.__next__
        raise AssertionError


def _thrower(inside: Any, error: BaseException) -> Callable[[], Any]:
    return lambda: inside.throw(error)


async def cancelled_at(step: int, work: Awaitable[Any]) -> bool:
    """Run something with a cancellation at its n-th suspension; False once it has fewer."""
    wrapped = CancelledAt(work, step)

    async def run() -> None:
        await wrapped

    task = asyncio.create_task(run())
    await asyncio.wait({task})
    if not task.cancelled():
        task.result()
        assert not wrapped.fired, "the cancellation was swallowed"
    return wrapped.fired


async def whole(engine: AsyncEngine, number: int) -> bool:
    """Return whether an event is there with everything that belongs to it; half fails."""
    async with engine.connect() as connection:
        found = {
            await connection.scalar(select(func.count()).where(condition))
            for condition in (
                Client.zoho_id == str(number),
                LIBRARY.ledger.c.entity_id == str(number),
                LIBRARY.journal.c.entity_id == str(number),
            )
        }
    assert found in ({0}, {1})
    return found == {1}


async def test_cancelled_anywhere_outside_it_is_whole_or_nothing(engine: AsyncEngine) -> None:
    factory = async_sessionmaker(engine)
    for step in itertools.count(1):
        async with factory() as session:
            fired = await cancelled_at(step, Clients(session).sync(customer(step)))
            assert not session.in_transaction()
            assert not session.info
        await assert_nothing_is_open(engine)
        done = await whole(engine, step)
        if not fired:
            break
    assert done
    assert step > 10


async def test_cancelled_anywhere_inside_the_host_keeps_or_loses_all(engine: AsyncEngine) -> None:
    """After it the host either goes on and commits, or its commit fails and nothing is there."""
    factory = async_sessionmaker(engine)
    for step in itertools.count(1):
        async with factory() as session:
            await after_a_read(session)
            await session.execute(insert(Note).values(words=f"at {step}"))
            fired = await cancelled_at(step, Clients(session).sync(customer(step)))
            try:
                await session.commit()
                kept = True
            except SQLAlchemyError:
                await session.rollback()
                kept = False
        await assert_nothing_is_open(engine)
        async with engine.connect() as connection:
            noted = await connection.scalar(select(func.count()).where(Note.words == f"at {step}"))
        assert bool(noted) is kept
        assert await whole(engine, step) in ({not fired} if kept and not fired else {False, kept})
        if not fired:
            break
    assert step > 10


async def test_cancelled_anywhere_a_statement_returns_a_clean_connection(
    engine: AsyncEngine,
) -> None:
    factory = async_sessionmaker(engine)
    for step in itertools.count(1):
        async with factory() as session:
            statement = insert(Client).values(zoho_id=str(step), name="Ada")
            fired = await cancelled_at(step, Clients(session).execute_with_context(statement))
        await assert_nothing_is_open(engine)
        if not fired:
            break
    assert step > 3


async def test_cancelled_anywhere_several_rows_return_a_clean_connection(
    engine: AsyncEngine,
) -> None:
    """On a busy loop psycopg lets others run before its pipeline, and is cancelled there badly."""

    def be_busy(*_: Any) -> None:
        time.sleep(0.03)

    event.listen(engine.sync_engine, "before_cursor_execute", be_busy)
    factory = async_sessionmaker(engine)
    for step in itertools.count(1):
        rows = [{"zoho_id": f"{step}.{number}", "name": "Ada"} for number in range(2)]
        async with factory() as session:
            work = Clients(session).execute_with_context(insert(Client), rows)
            fired = await cancelled_at(step, work)
            assert not session.in_transaction()
        await assert_nothing_is_open(engine)
        async with engine.connect() as connection:
            mine = select(func.count()).where(Client.zoho_id.startswith(f"{step}."))
            assert await connection.scalar(mine) in ({0, 2} if fired else {2})
        if not fired:
            break
    assert step > 2


# --- A transaction that is lost ----------------------------------------------------------------


async def kill(engine: AsyncEngine, session: AsyncSession) -> None:
    """End the session's connection from the server's side."""
    pid = await session.scalar(text("SELECT pg_backend_pid()"))
    async with engine.connect() as other:
        await other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})


@pytest.fixture
async def postgres(postgres_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(postgres_url)
    await create_tables(engine)
    yield engine
    await engine.dispose()


async def _sync(session: AsyncSession) -> None:
    await Clients(session).sync(customer())


async def _execute(session: AsyncSession) -> None:
    await Clients(session).execute_with_context(select(Client.id))


async def _enqueue(session: AsyncSession) -> None:
    factory = async_sessionmaker(session.bind)
    sync = ZohoSync(factory, registry=HandlerRegistry([Clients]))
    await sync.enqueue([customer_event()], session=session)


@pytest.mark.parametrize("call", [_sync, _execute, _enqueue])
async def test_a_killed_connection_loses_the_hosts_transaction_for_good(
    postgres: AsyncEngine, call: Callable[[AsyncSession], Awaitable[None]]
) -> None:
    async with AsyncSession(postgres) as session:
        await after_a_write(session)
        await kill(postgres, session)
        with pytest.raises(HostTransactionLost):
            await call(session)
        with pytest.raises(SQLAlchemyError):
            await session.execute(insert(Note).values(words="the other half"))
        with pytest.raises(SQLAlchemyError):
            await session.commit()
        await session.rollback()
        assert await counts(postgres) == NOTHING
        await call(session)
        await session.rollback()
    await assert_nothing_is_open(postgres)


class KilledHalfWay(Clients):
    """Loses its connection after its row was written."""

    async def after_apply(self, *_: Any) -> None:
        engine = self.session.bind
        assert isinstance(engine, AsyncEngine)
        await kill(engine, self.session)


@pytest.mark.parametrize("place", [begun, after_a_write, in_a_savepoint])
async def test_a_connection_killed_half_way_loses_everything(
    postgres: AsyncEngine, place: Place
) -> None:
    async with AsyncSession(postgres) as session:
        await place(session)
        with pytest.raises(HostTransactionLost):
            await KilledHalfWay(session).sync(customer())
        with pytest.raises(SQLAlchemyError):
            await session.commit()
    assert await counts(postgres) == NOTHING


async def test_a_connection_killed_in_our_own_transaction_is_not_the_hosts(
    postgres: AsyncEngine,
) -> None:
    """The error is the database's own, and the session is usable at once."""
    async with AsyncSession(postgres) as session:
        with pytest.raises(SQLAlchemyError):
            await KilledHalfWay(session).sync(customer())
        assert not session.in_transaction()
        assert (await Clients(session).sync(customer())).committed
    await assert_nothing_is_open(postgres)


# --- One session, one task; one connection, many sessions --------------------------------------


class Slow(Clients):
    """Waits, in the middle of its transaction, until it is told to go on."""

    reached: asyncio.Event
    go_on: asyncio.Event

    async def before_apply(self, _: SyncEvent) -> None:
        self.reached.set()
        await self.go_on.wait()


async def test_two_tasks_on_one_session_are_told_so(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session:
        slow = Slow(session)
        slow.reached, slow.go_on = asyncio.Event(), asyncio.Event()
        first = asyncio.create_task(slow.sync(customer(1)))
        await slow.reached.wait()
        for second in (
            Clients(session).sync(customer(2)),
            Clients(session).execute_with_context(select(Client.id)),
            Clients(session).resolve("customer", "1"),
        ):
            with pytest.raises(SessionBusy):
                await second
        slow.go_on.set()
        assert (await first).outcome is Outcome.APPLIED
        assert (await Clients(session).sync(customer(2))).outcome is Outcome.APPLIED
    assert (await counts(engine))["clients"] == 2


@asynccontextmanager
async def in_memory() -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine("sqlite+aiosqlite:///:memory:")
    assert isinstance(engine.pool, StaticPool)
    await create_tables(engine)
    yield engine
    await engine.dispose()


async def test_in_memory_transactions_do_not_run_into_one_another() -> None:
    """All sessions share one connection, so ours wait for one another."""
    async with in_memory() as engine:
        factory = async_sessionmaker(engine)
        sync = ZohoSync(factory, registry=HandlerRegistry([Clients]), batch_size=2, concurrency=4)
        await asyncio.gather(*(sync.apply(customer_event(number)) for number in range(1, 6)))
        await sync.enqueue([customer_event(number) for number in range(6, 11)])
        drained = await asyncio.gather(sync.drain(), sync.drain())
        assert sum(each.get(Outcome.APPLIED, 0) for each in drained) == 5
        assert (await counts(engine))["clients"] == 10


async def test_in_memory_there_is_no_worker_that_runs() -> None:
    async with in_memory() as engine:
        sync = ZohoSync(async_sessionmaker(engine), registry=HandlerRegistry([Clients]))
        with pytest.raises(ConfigurationError, match="drain"):
            await sync.run()


def test_the_lock_of_a_shared_connection_outlives_an_event_loop() -> None:
    """A host's test suite may have one engine and a new loop for each test."""
    engine = create_async_engine("sqlite+aiosqlite:///:memory:")
    asyncio.run(create_tables(engine))
    for number in (1, 3):

        async def both(number: int = number) -> None:
            async with AsyncSession(engine) as one, AsyncSession(engine) as two:
                await asyncio.gather(
                    Clients(one).sync(customer(number)), Clients(two).sync(customer(number + 1))
                )

        asyncio.run(both())
    assert asyncio.run(counts(engine))["clients"] == 4
    asyncio.run(engine.dispose())
