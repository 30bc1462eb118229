"""What a column is given is what comes back, on every database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, func, insert, select, text
from sqlalchemy.exc import StatementError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.schema import CreateTable

from zoho_sync.database.types import ExactDecimal, ExactJSON, UtcDateTime

pytestmark = [
    pytest.mark.databases("sqlite", "postgresql", "psycopg", "mariadb"),
    pytest.mark.every_line,
]

metadata = MetaData()
things = Table(
    "things",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("amount", ExactDecimal()),
    Column("short", ExactDecimal(5, 2)),
    Column("moment", UtcDateTime),
    Column("document", ExactJSON),
)
DUBAI = timezone(timedelta(hours=4))


async def stored(engine: AsyncEngine, column: str, *values: object) -> list[Any]:
    """What comes back for each value, in order."""
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
        for value in values:
            await connection.execute(insert(things).values({column: value}))
        rows = await connection.execute(select(things.c[column]).order_by(things.c.id))
        return list(rows.scalars())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Decimal("99999999999999.99"), "99999999999999.9900000000"),
        (Decimal("999999999999999999.9999999999"), "999999999999999999.9999999999"),
        (Decimal("-0.0000000001"), "-0.0000000001"),
        (Decimal("0.00000000005"), "0.0000000001"),
        (Decimal("0.00000000015"), "0.0000000002"),
        (Decimal("-0.00000000005"), "-0.0000000001"),
        (Decimal("-0.000000000001"), "0.0000000000"),
        (Decimal("1E+3"), "1000.0000000000"),
        (Decimal("1E-999999"), "0.0000000000"),
        (7, "7.0000000000"),
    ],
)
async def test_numbers_come_back_exactly(engine: AsyncEngine, value: object, expected: str) -> None:
    (found,) = await stored(engine, "amount", value)
    assert isinstance(found, Decimal)
    assert f"{found:f}" == expected


async def test_null_stays_null(engine: AsyncEngine) -> None:
    for column in ("amount", "moment", "document"):
        assert set(await stored(engine, column, None)) == {None}
    async with engine.connect() as connection:
        nulls = select(func.count()).where(things.c.document.is_(None))
        assert await connection.scalar(nulls) == 3


async def test_numbers_are_found_by_their_value(engine: AsyncEngine) -> None:
    await stored(engine, "amount", Decimal("1.50"))
    async with engine.connect() as connection:
        found = select(things.c.id).where(things.c.amount == Decimal("1.5"))
        assert await connection.scalar(found) == 1


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Decimal("999.995"), "more than 3 digits before the point"),
        (Decimal("1E+999999999"), "more than 3 digits before the point"),
        (Decimal("NaN"), "no NaN"),
        (Decimal("Infinity"), "no infinity"),
        (1.5, "not float"),
        (True, "not bool"),
        ("1.5", "not str"),
    ],
)
async def test_numbers_that_do_not_fit_are_refused(
    engine: AsyncEngine, value: object, message: str
) -> None:
    with pytest.raises((ValueError, TypeError, StatementError), match=message):
        await stored(engine, "short", value)


async def test_the_longest_number_fits(engine: AsyncEngine) -> None:
    assert await stored(engine, "short", Decimal("999.994")) == [Decimal("999.99")]


async def test_sums_never_go_through_floats(engine: AsyncEngine) -> None:
    await stored(engine, "amount", Decimal("0.1"), Decimal("0.2"))
    async with engine.connect() as connection:
        total = select(func.sum(things.c.amount))
        if engine.dialect.name == "sqlite":
            with pytest.raises(TypeError, match="not float"):
                await connection.scalar(total)
        else:
            assert await connection.scalar(total) == Decimal("0.3")


@pytest.mark.parametrize(
    "value",
    [
        datetime(2026, 1, 31, 9, 5, tzinfo=UTC),
        datetime(2026, 1, 31, 9, 5, 0, 1, tzinfo=DUBAI),
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    ],
)
async def test_times_come_back_aware_in_utc(engine: AsyncEngine, value: datetime) -> None:
    (found,) = await stored(engine, "moment", value)
    assert found == value
    assert found.utcoffset() == timedelta(0)


async def test_times_sort(engine: AsyncEngine) -> None:
    late = datetime(2026, 1, 31, 1, tzinfo=DUBAI)
    early = datetime(2026, 1, 30, 20, 59, 59, 999999, tzinfo=UTC)
    await stored(engine, "moment", late, early)
    async with engine.connect() as connection:
        rows = await connection.scalars(select(things.c.moment).order_by(things.c.moment))
        assert list(rows) == [early, late]
        later = select(things.c.id).where(things.c.moment > early)
        assert await connection.scalar(later) == 1


@pytest.mark.parametrize("value", [datetime(2026, 1, 31), "2026-01-31"])  # noqa: DTZ001  # naive is the point
async def test_naive_times_are_refused(engine: AsyncEngine, value: object) -> None:
    with pytest.raises((ValueError, StatementError), match="aware datetimes only"):
        await stored(engine, "moment", value)


async def test_the_databases_own_clock_is_read_as_utc(engine: AsyncEngine) -> None:
    await stored(engine, "moment")
    async with engine.begin() as connection:
        await connection.execute(
            text("INSERT INTO things (id, moment) VALUES (1, CURRENT_TIMESTAMP)")
        )
        found = await connection.scalar(select(things.c.moment))
    assert found is not None
    assert abs(found - datetime.now(UTC)) < timedelta(minutes=5)


@pytest.mark.parametrize(
    "value",
    [
        {"total": Decimal("99999999999999.990"), "name": "استند", "lines": [{"b": 1, "a": None}]},
        [],
        {},
        "",
        False,
    ],
)
async def test_documents_come_back_exactly(engine: AsyncEngine, value: object) -> None:
    (found,) = await stored(engine, "document", value)
    assert found == value
    assert str(found) == str(value)


async def test_documents_with_floats_are_refused(engine: AsyncEngine) -> None:
    with pytest.raises((TypeError, StatementError), match="float"):
        await stored(engine, "document", {"total": 1.5})


async def test_statements_with_these_types_are_cached() -> None:
    first = select(things.c.amount, things.c.moment, things.c.document)
    second = select(things.c.amount, things.c.moment, things.c.document)
    assert first._generate_cache_key() == second._generate_cache_key() is not None
    assert ExactDecimal(9, 2)._static_cache_key != ExactDecimal(9, 3)._static_cache_key


async def test_the_columns_as_declared(engine: AsyncEngine) -> None:
    declared = str(CreateTable(things).compile(dialect=engine.dialect))
    if engine.dialect.name == "sqlite":
        assert "amount TEXT" in declared
        assert "moment TEXT" in declared
    else:
        assert "amount NUMERIC(28, 10)" in declared
        times = {"postgresql": "TIMESTAMP WITH TIME ZONE", "mysql": "DATETIME(6)"}
        assert f"moment {times[engine.dialect.name]}" in declared
    text_type = "LONGTEXT" if engine.dialect.name == "mysql" else "TEXT"
    assert f"document {text_type}" in declared
