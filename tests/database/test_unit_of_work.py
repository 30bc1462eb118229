"""The unit of work by itself: savepoints, steps that must end, objects that must be forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any, ClassVar

import pytest
from sqlalchemy import Insert, String, event, func, insert, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, PendingRollbackError
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    create_async_engine,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from zoho_sync import HostTransactionLost, SessionBusy
from zoho_sync.database import cancellation
from zoho_sync.database.cancellation import finish
from zoho_sync.database.unit_of_work import UnitOfWork, unit_of_work

pytestmark = [
    pytest.mark.databases("sqlite", "postgresql", "psycopg", "mariadb"),
    pytest.mark.every_line,
    pytest.mark.breaks_connections,
]


class Base(DeclarativeBase):
    # MariaDB's texts have a length, or no index.
    type_annotation_map: ClassVar[Any] = {str: String(255)}


class Thing(Base):
    __tablename__ = "thing"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


@pytest.fixture
async def session(engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with AsyncSession(engine, expire_on_commit=False) as session:
        yield session


def adding(name: str | None) -> Insert:
    return insert(Thing).values(name=name)


async def spoiled(
    session: AsyncSession, body: Callable[[UnitOfWork], Awaitable[None]], *, fails: bool = True
) -> None:
    """Do something in a unit of work, and then fail."""
    async with unit_of_work(session) as work:
        await body(work)
        if fails:
            raise ZeroDivisionError


async def names(engine: AsyncEngine) -> list[str]:
    async with engine.connect() as connection:
        return sorted(await connection.scalars(select(Thing.name)))


async def test_a_transaction_of_its_own_commits(session: AsyncSession, engine: AsyncEngine) -> None:
    async with unit_of_work(session) as work:
        assert not work.joined
        await work.connection.execute(adding("a"))
    assert not session.in_transaction()
    assert await names(engine) == ["a"]


async def test_a_unit_inside_a_unit_joins_it(session: AsyncSession, engine: AsyncEngine) -> None:
    async with unit_of_work(session) as outer:
        await outer.connection.execute(adding("outer"))
        with pytest.raises(ZeroDivisionError):
            await spoiled(session, _adds)
        with pytest.raises(IntegrityError):
            await spoiled(session, _is_refused)
        async with unit_of_work(session) as inner:
            await inner.connection.execute(adding("again"))
        assert await names(engine) == []
    assert await names(engine) == ["again", "outer"]
    assert not session.info


async def test_tasks_of_one_unit_may_not_share_its_session(session: AsyncSession) -> None:
    async def use() -> None:
        async with unit_of_work(session):
            pytest.fail("two tasks were let in")

    async with unit_of_work(session):
        with pytest.raises(SessionBusy):
            await asyncio.create_task(use())


async def _adds(work: UnitOfWork) -> None:
    await work.connection.execute(adding("inner"))


async def _is_refused(work: UnitOfWork) -> None:
    await work.connection.execute(adding(None))


async def _rolls_back(work: UnitOfWork) -> None:
    await _adds(work)
    await work.session.rollback()


async def _commits(work: UnitOfWork) -> None:
    await _adds(work)
    await work.session.commit()


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("body", [_rolls_back, _commits])
async def test_a_body_that_ends_the_transaction_loses_it(
    session: AsyncSession, body: Callable[[UnitOfWork], Awaitable[None]], *, fails: bool
) -> None:
    """What follows would be in another transaction, and half of the event in this one."""
    await session.begin()
    with pytest.raises(HostTransactionLost):
        await spoiled(session, body, fails=fails)
    async with unit_of_work(session) as outer:
        # As a handler does, in the worker's transaction.
        with pytest.raises(HostTransactionLost):
            await spoiled(outer.session, body, fails=fails)
    assert not session.in_transaction()


async def test_sqlite_may_end_the_transaction_by_itself(sqlite_url: str) -> None:
    """It does on a full disk; the savepoint is gone then, and what follows would stand alone."""
    engine = create_async_engine(sqlite_url)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with AsyncSession(engine) as session:
        await session.execute(adding("host's"))
        with pytest.raises(HostTransactionLost):
            await spoiled(session, _rolled_back_behind_its_back)
        with pytest.raises(PendingRollbackError):
            await session.commit()
    assert await names(engine) == []
    await engine.dispose()


async def _rolled_back_behind_its_back(work: UnitOfWork) -> None:
    raw = await work.connection.get_raw_connection()
    driver = raw.driver_connection
    assert driver is not None
    await driver.rollback()


async def test_a_savepoint_that_is_refused_is_not_a_connection_that_is_lost(
    postgres_url: str,
) -> None:
    """PostgreSQL refuses everything once a statement of the host's own has failed."""
    engine = create_async_engine(postgres_url)
    async with AsyncSession(engine) as session:
        with pytest.raises(DBAPIError):
            await session.execute(text("SELECT nothing"))
        with pytest.raises(DBAPIError, match="aborted"):
            await spoiled(session, _adds)
    await engine.dispose()


async def test_objects_that_a_failed_body_added_or_deleted_are_as_before(
    session: AsyncSession, engine: AsyncEngine
) -> None:
    session.add_all([Thing(name="kept"), Thing(name="changed")])
    await session.commit()
    kept, changed = (await session.scalars(select(Thing).order_by(Thing.id))).all()

    async def body(_: UnitOfWork) -> None:
        session.add(Thing(name="added"))
        await session.delete(kept)
        changed.name = "other"

    for joined in (True, False):
        assert session.in_transaction() is joined
        with pytest.raises(ZeroDivisionError):
            await spoiled(session, body)
        assert not session.new
        assert not session.deleted
        assert not session.dirty
        await session.refresh(changed)
        await session.commit()
        assert kept.name == "kept"
    assert await names(engine) == ["changed", "kept"]


async def test_objects_that_the_host_had_deleted_stay_deleted(
    session: AsyncSession, engine: AsyncEngine
) -> None:
    session.add_all([Thing(name="kept"), Thing(name="unwanted")])
    await session.commit()
    kept, unwanted = (await session.scalars(select(Thing).order_by(Thing.id))).all()
    await session.delete(unwanted)

    async def body(_: UnitOfWork) -> None:
        await session.delete(kept)

    with pytest.raises(ZeroDivisionError):
        await spoiled(session, body)
    assert list(session.deleted) == [unwanted]
    await session.commit()
    assert await names(engine) == ["kept"]


async def test_objects_that_were_flushed_in_vain_are_rolled_back_by_the_session(
    session: AsyncSession, engine: AsyncEngine
) -> None:
    """In a transaction of its own there is nothing of the host's to lose."""
    thing = Thing(name="before")
    session.add(thing)
    await session.commit()

    async def body(_: UnitOfWork) -> None:
        thing.name = "after"
        await session.flush()

    with pytest.raises(ZeroDivisionError):
        await spoiled(session, body)
    await session.refresh(thing)
    assert thing.name == "before"
    await session.rollback()
    assert await names(engine) == ["before"]


async def test_a_body_that_ended_its_own_transaction_leaves_nothing_to_abandon(
    session: AsyncSession,
) -> None:
    with pytest.raises(ZeroDivisionError):
        await spoiled(session, _rolls_back)
    assert not session.in_transaction()


async def test_a_cancelled_commit_is_done(session: AsyncSession, engine: AsyncEngine) -> None:
    async def work() -> None:
        async with unit_of_work(session) as unit:
            await unit.connection.execute(adding("a"))
            asyncio.get_running_loop().call_soon(task.cancel)

    task = asyncio.create_task(work())
    await asyncio.wait({task})
    assert task.cancelled()
    assert await names(engine) == ["a"]


async def _step(seconds: float, done: list[str], error: Exception | None = None) -> str:
    await asyncio.sleep(seconds)
    done.append("done")
    if error is not None:
        raise error
    return "result"


async def test_a_step_gives_its_result_or_its_error() -> None:
    assert await finish(_step(0, [])) == "result"
    with pytest.raises(ZeroDivisionError):
        await finish(_step(0, [], ZeroDivisionError()))


@pytest.mark.parametrize("error", [None, ZeroDivisionError()])
async def test_a_step_ends_before_its_cancellation_however_often(error: Exception | None) -> None:
    done: list[str] = []
    task = asyncio.create_task(finish(_step(0.05, done, error)))
    for _ in range(3):
        await asyncio.sleep(0)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == ["done"]


async def test_a_step_that_does_not_end_is_cancelled_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cancellation, "_GRACE", 0.01)
    done: list[str] = []
    task = asyncio.create_task(finish(_step(60, done)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == []


async def test_units_of_many_tasks_do_not_disturb_one_another(
    session: AsyncSession, engine: AsyncEngine
) -> None:
    async def add(number: int) -> None:
        async with AsyncSession(engine) as own, unit_of_work(own) as work:
            await work.connection.execute(adding(str(number)))

    await asyncio.gather(*(add(number) for number in range(5)))
    assert await session.scalar(select(func.count()).select_from(Thing)) == 5


async def test_a_cancellation_that_a_driver_swallows_still_counts(session: AsyncSession) -> None:
    async def cancelled() -> None:
        async with unit_of_work(session) as work:
            await work.connection.execute(adding("lost"))
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0)

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(cancelled())
    assert await session.scalar(select(func.count()).select_from(Thing)) == 0


async def test_savepoints_that_follow_each_other_have_one_name(
    session: AsyncSession, engine: AsyncEngine
) -> None:
    """A statement that comes again is prepared already; the open ones still differ."""
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("SAVEPOINT"):
            sent.append(statement)

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    async with session.begin(), session.begin_nested():  # the host's own
        for turn in range(3):
            async with unit_of_work(session) as work:
                await work.connection.execute(adding(f"outer {turn}"))
                with suppress(ZeroDivisionError):
                    async with work.savepoint():
                        await work.connection.execute(adding(f"inner {turn}"))
                        raise ZeroDivisionError
                async with work.savepoint(), work.connection.begin_nested():
                    await work.connection.execute(adding(f"other {turn}"))
    assert len(set(sent)) == 4
    assert sent == [sent[0], *sent[1:5] * 3]
    expected = sorted(f"{place} {turn}" for place in ("outer", "other") for turn in range(3))
    assert await names(engine) == expected
