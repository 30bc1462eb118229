"""``zoho-sync dead-letters``."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from tests.cli.conftest import SECRET_TEXT, Answer, Call, in_database
from zoho_sync import Outcome, ZohoSync
from zoho_sync.store.tables import library_tables

KEYS = {
    "id",
    "organization_id",
    "entity_type",
    "entity_id",
    "operation",
    "kind",
    "error_type",
    "path",
    "error",
    "attempts",
    "arrived_at",
    "deliveries",
    "last_arrived_at",
    "died_at",
    "age_seconds",
}


class Letters:
    """The dead-letter commands on one database."""

    def __init__(self, call: Call, url: str) -> None:
        self._call, self._url = call, url

    def __call__(self, *arguments: str, **options: Any) -> Answer:
        return self._call("dead-letters", *arguments, "--database-url", self._url, **options)

    def ids(self) -> list[str]:
        return [letter["id"] for letter in self("list", "--json").json]


@pytest.fixture
def letters(call: Call, filled_url: str) -> Letters:
    return Letters(call, filled_url)


def test_list_tells_everything_but_the_body(letters: Letters) -> None:
    listed = letters("list", "--json")
    people = letters("list")
    found = {letter["entity_type"]: letter for letter in listed.json}
    assert set(found) == {"bill", None}
    assert set(found["bill"]) == KEYS
    assert found["bill"]["path"] == "bill.date"
    assert "bill 21" in people.out
    assert "bill.date" in people.out
    for answer in (listed, people):
        assert answer.code == 0
        assert SECRET_TEXT not in answer.out + answer.err


def test_list_filters_by_any_name_of_the_type(letters: Letters) -> None:
    assert len(letters("list", "--entity", "Bills", "--json").json) == 1
    assert letters("list", "--older-than", "1d", "--json").json == []
    assert len(letters("list", "--kind", "data", "--json").json) == 2
    assert letters("list", "--kind", "failure", "--json").json == []
    assert "no such" in letters("list", "--error-type", "NoSuchError").out
    assert letters("list", "--entity", "spaceship").code == 2


def test_list_says_when_there_are_more(letters: Letters) -> None:
    assert "oldest 1" in letters("list", "--limit", "1").out


def test_show_tells_everything(letters: Letters) -> None:
    for letter_id in letters.ids():
        shown = letters("show", letter_id)
        assert shown.code == 0
        assert SECRET_TEXT in shown.out
        everything = letters("show", letter_id, "--json").json
        assert set(everything) > KEYS
        assert (everything["payload"] is None) != (everything["body"] is None)


def test_show_of_an_unknown_id_fails(letters: Letters) -> None:
    answer = letters("show", "nobody", "--json")
    assert answer.code == 1
    assert answer.out == ""


@pytest.mark.parametrize("command", ["replay", "resolve", "purge"])
def test_an_empty_filter_is_refused(letters: Letters, command: str) -> None:
    answer = letters(command)
    assert answer.code == 2
    assert "--entity" in answer.err
    assert len(letters.ids()) == 2


@pytest.mark.parametrize("command", ["replay", "resolve", "purge"])
def test_ids_and_a_filter_are_refused(letters: Letters, command: str) -> None:
    assert letters(command, letters.ids()[0], "--entity", "bill").code == 2


def test_replay_queues_what_is_understood(letters: Letters) -> None:
    answer = letters("replay", *letters.ids(), "unknown", "--json")
    assert answer.code == 1
    assert len(answer.json["queued"]) == 1
    assert len(answer.json["still_dead"]) == 1
    assert answer.json["unknown"] == ["unknown"]
    assert letters.ids() == answer.json["still_dead"]


def test_replay_by_filter(letters: Letters) -> None:
    answer = letters("replay", "--entity", "bill")
    assert answer.code == 0
    assert "1 queued again" in answer.out
    assert "no such" in letters("replay", "--entity", "bill").out


@pytest.mark.parametrize("command", ["resolve", "purge"])
def test_closing_asks(letters: Letters, command: str) -> None:
    answer = letters(command, "--entity", "bill", "--json", input="n\n")
    assert answer.code == 1
    assert "Close 1 dead letter" in answer.err
    assert answer.out.strip() == ""
    assert len(letters.ids()) == 2


def test_purge_closes_for_good(letters: Letters) -> None:
    assert letters("purge", "--entity", "bill", input="y\n").code == 0
    answer = letters("purge", *letters.ids(), "--yes", "--json")
    assert answer.code == 0
    assert answer.json == {"purged": 1}
    assert letters.ids() == []


def test_resolve_closes_and_says_why(letters: Letters, filled_url: str) -> None:
    reason = "corrected in Zoho"
    asked = letters("resolve", *letters.ids()[:1], "--reason", reason, input="y\n")
    assert (asked.code, asked.out) == (0, "1 dead letter closed\n")
    assert letters("resolve", *letters.ids(), "--yes", "--json").json == {"resolved": 1}
    assert letters.ids() == []

    async def reasons(sync: ZohoSync) -> list[str]:
        journal = library_tables().journal.c
        told = select(journal.reason).where(journal.outcome == Outcome.RESOLVED)
        async with sync._runtime.sessions() as session:
            return list(await session.scalars(told.order_by(journal.id)))

    assert in_database(filled_url, reasons) == [reason, "resolved by an operator"]


@pytest.mark.parametrize("command", ["resolve", "purge"])
def test_closing_an_unknown_id_fails(letters: Letters, command: str) -> None:
    assert letters(command, "unknown", "--yes", "--json").code == 1


def test_show_tells_bytes_and_lists(call: Call, sqlite_url: str) -> None:
    """A body that is no text is Base64, for people and for programs; a list has its own lines."""

    async def prepare(sync: ZohoSync) -> None:
        await sync.create_tables()
        await sync.ingest(b"\xff\xfe")
        await sync.ingest({"bill": {"bill_id": "1", "date": "30 Feb", "tags": ["a", {"b": 2}]}})
        await sync.drain()

    in_database(sqlite_url, prepare)
    letters = Letters(call, sqlite_url)
    raw, bill = letters.ids()
    everything = letters("show", raw, "--json").json
    assert (everything["body"], everything["body_base64"]) == (None, "//4=")
    assert "(Base64) //4=" in letters("show", raw).out
    lines = [line.strip() for line in letters("show", bill).out.splitlines()]
    first = lines.index('"tags": [')
    assert lines[first : first + 6] == ['"tags": [', '"a",', "{", '"b": 2', "}", "]"]
