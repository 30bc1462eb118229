"""``zoho-sync pause`` and ``zoho-sync resume``."""

from __future__ import annotations

from tests.cli.conftest import Call


def test_a_pause_is_seen_and_ended(call: Call, filled_url: str) -> None:
    database = ("--database-url", filled_url)
    first = call("pause", *database)
    assert (first.code, "paused; what is being applied" in first.out) == (0, True)
    assert "paused already" in call("pause", *database).out
    status = call("status", *database)
    assert status.code == 1
    assert "! the queue has been paused since" in status.out
    assert call("status", *database, "--json").json["paused_since"] is not None
    # Lines are broken where the path of the database happens to end.
    assert "the workers go on" in " ".join(call("resume", *database).out.split())
    again = call("resume", *database)
    assert (again.code, "was not paused" in again.out) == (0, True)


def test_a_worker_has_nothing_to_do(call: Call, filled_url: str) -> None:
    database = ("--database-url", filled_url, "--json")
    paused = call("pause", *database).json
    assert paused["changed"] is True
    assert paused["paused_since"] is not None
    call("dead-letters", "replay", "--entity", "bill", *database)
    assert call("worker", "--once", *database).code == 0
    assert call("status", *database).json["queue"]["ready"] == 1
    assert call("resume", *database).json == {"changed": True, "paused_since": None}
    assert call("worker", "--once", *database).code == 0
    assert call("status", *database).json["queue"]["ready"] == 0
