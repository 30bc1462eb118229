"""What a `ZohoSync` cannot be made of is refused at once, with the remedy; organizations."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import create_engine, make_url
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, sessionmaker

from zoho_sync import ConfigurationError, Outcome, PayloadError, SyncEvent, ZohoSync

MEMORY = "sqlite+aiosqlite://"
ORGANIZATION = "60001"


@pytest.mark.parametrize(
    ("candidate", "found"),
    [
        (sessionmaker(), "a synchronous sessionmaker"),
        (create_engine("sqlite://"), "Engine, which is no session factory"),
        (create_async_engine(MEMORY), "AsyncEngine, which is no session factory"),
        (make_url(MEMORY), "URL, which is no session factory"),
        (MEMORY, "str, which is no session factory"),
        (AsyncSession(), "one session, not a factory"),
        (Session(), "one session, not a factory"),
        (None, "NoneType, which cannot be called"),
        (Session, "a callable that gives Session, not an AsyncSession"),
    ],
)
def test_what_is_no_session_factory_is_refused_with_one_that_is(candidate: Any, found: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        ZohoSync(candidate)
    assert found in str(refused.value)
    assert "session_factory = async_sessionmaker(engine" in str(refused.value)


@pytest.mark.parametrize("name", ["batch_size", "concurrency", "max_body"])
@pytest.mark.parametrize("value", [0, -1, "5", 1.5, None])
def test_numbers_are_whole_and_at_least_one(name: str, value: object) -> None:
    options: dict[str, Any] = {name: value}
    with pytest.raises(ConfigurationError, match=f"{name} must be a whole number of at least 1"):
        ZohoSync(async_sessionmaker(), **options)


@pytest.mark.parametrize("names", ["", " ", [], [ORGANIZATION, ""]])
def test_an_organization_has_a_name(names: Any) -> None:
    with pytest.raises(ConfigurationError, match="organization_id must be"):
        ZohoSync(async_sessionmaker(), organization_id=names)


async def test_an_event_of_the_hosts_own_is_of_the_one_organization(
    sessions: async_sessionmaker[AsyncSession],
) -> None:
    sync = ZohoSync(sessions, organization_id=ORGANIZATION)
    await sync.create_tables()
    await sync.enqueue([SyncEvent("user", "1", {"user_id": "1"})])
    told: list[str] = []
    again = ZohoSync(
        sessions,
        organization_id=ORGANIZATION,
        hooks=[lambda settled: told.append(settled.event.organization_id)],
    )
    assert await again.drain() == {Outcome.APPLIED: 1}
    assert told == [ORGANIZATION]
    stranger = SyncEvent("user", "2", {"user_id": "2"}, organization_id="60002")
    for call in (sync.enqueue([stranger]), sync.apply(stranger)):
        with pytest.raises(PayloadError) as refused:
            await call
        assert refused.value.path == "organization_id"
    assert (await sync.status()).accepted == 1
