"""``zoho-sync queued``."""

from __future__ import annotations

from tests.cli.conftest import SECRET_TEXT, Call, in_database
from zoho_sync import ZohoSync


async def enqueue(sync: ZohoSync) -> None:
    for number in ("31", "32"):
        await sync.ingest({"item": {"item_id": number, "name": SECRET_TEXT}})
    await sync.ingest({"invoice": {"invoice_id": "33"}})
    await sync._runtime.queue.claim(1, lease=sync._runtime.lease)


def test_list_tells_what_waits_and_what_is_under_way(call: Call, sqlite_url: str) -> None:
    in_database(sqlite_url, enqueue)
    listed = call("queued", "list", "--database-url", sqlite_url, "--json")
    people = call("queued", "list", "--database-url", sqlite_url)
    assert (listed.code, people.code) == (0, 0)
    first, second, third = listed.json
    assert (first["entity_type"], first["entity_id"], first["operation"]) == (
        "product",
        "31",
        "upsert",
    )
    assert first["due_at"] < first["leased_until"]
    assert (second["leased_until"], second["attempts"], second["in_outbox"]) == (None, 0, False)
    assert third["entity_type"] == "invoice"
    assert first["id"] in people.out
    assert "under way" in people.out
    assert people.out.count("due") == 2
    assert "outside" not in people.out
    assert SECRET_TEXT not in listed.out + people.out


def test_list_filters_and_says_when_there_are_more(call: Call, sqlite_url: str) -> None:
    in_database(sqlite_url, enqueue)
    command = ("queued", "list", "--database-url", sqlite_url)
    assert [
        each["entity_id"] for each in call(*command, "--entity", "Invoices", "--json").json
    ] == ["33"]
    assert "There are no such queued events" in call(*command, "--entity", "bill").out
    assert "oldest 1" in call(*command, "--limit", "1").out
    assert call(*command, "--entity", "spaceship").code == 2


def test_list_says_that_a_queue_outside_shows_nothing(call: Call, sqlite_url: str) -> None:
    outside = ("--database-url", sqlite_url, "--queue-url", "memory://")
    assert "What is in the queue outside it" in call("queued", "list", *outside).out
