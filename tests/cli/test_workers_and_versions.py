"""What the commands say of workers, of an engine that is away, and of tables of another version."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update

from tests.cli.conftest import Call, in_database
from zoho_sync import ZohoSync
from zoho_sync.store.schema_version import SCHEMA_VERSION
from zoho_sync.store.tables import library_tables

VERSIONS = library_tables().versions


async def with_a_worker(sync: ZohoSync) -> None:
    """Leave the row of a worker that lives."""
    presence = sync._worker._presence
    presence.begin()
    presence.troubles["it"] = "the worker cannot work: QueueUnavailable"
    await presence.tell()


async def make_older(sync: ZohoSync) -> None:
    async with sync._runtime.sessions() as session, session.begin():
        await session.execute(update(VERSIONS).values(version=SCHEMA_VERSION - 1))


def test_status_lists_workers_and_their_troubles(call: Call, sqlite_url: str) -> None:
    in_database(sqlite_url, with_a_worker)
    answer = call("status", "--database-url", sqlite_url, "--json")
    (worker,) = answer.json["workers"]
    assert (worker["lives"], worker["busy_since"], answer.code) == (True, None, 1)
    assert answer.json["problems"] == [f"worker {worker['name']}: {worker['trouble']}"]
    assert "workers" in call("status", "--database-url", sqlite_url).out


def test_status_says_what_it_cannot_tell(call: Call, filled_url: str) -> None:
    """And tells all the rest."""
    away = ("--database-url", filled_url, "--queue-url", "redis://127.0.0.1:1")
    answer = call("status", *away, "--json")
    assert (answer.code, answer.json["accepted"]) == (1, 3)
    (unknown,) = answer.json["unknown"]
    assert unknown in answer.json["problems"]
    assert "! the queue's engine cannot be reached" in call("status", *away).out


@pytest.mark.parametrize(
    "command",
    [
        ("status",),
        ("worker", "--once"),
        ("worker",),
        ("tables", "create"),
        ("tables", "check"),
        ("dead-letters", "list"),
    ],
)
def test_tables_of_another_version_are_refused(
    call: Call, sqlite_url: str, command: tuple[Any, ...]
) -> None:
    in_database(sqlite_url, make_older)
    answer = call(*command, "--database-url", sqlite_url)
    assert answer.code in {1, 2}
    said = " ".join((answer.out + answer.err).split()).lower()
    assert f"the library's tables are of version {SCHEMA_VERSION - 1}, and zoho-sync" in said
    assert "nstall the release that made them" in said
