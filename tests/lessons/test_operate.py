"""Does as operators do: counts dead letters, replays them, and reads alarms."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from tests.hosts.application import Host, open_host
from tests.hosts.documents import customer, item
from tests.hosts.handlers import HANDLERS, Clients
from tests.hosts.sql import Sessions
from zoho_sync import Outcome, RetryPolicy, SyncEvent, SyncResult
from zoho_sync.events.outcome import DeadLetterKind
from zoho_sync.operate.dead_letters import DeadLetterFilter

OURS = "19"


@pytest.mark.breaks_connections
async def test_lesson_38_poison_stays_in_the_dead_letters(erp: Host) -> None:
    """It would be back if a dead letter went back by itself, or a replay forgot its history."""
    assert await erp.take(customer(email=["x"])) == {Outcome.DEAD_LETTER: 1}
    assert await erp.sync.drain() == {}
    (letter,) = await erp.sync.dead_letters.list()
    for failures in (2, 3):
        replayed = await erp.sync.dead_letters.replay(letter.id)
        assert replayed.queued == (letter.id,)
        assert await erp.sync.drain() == {Outcome.DEAD_LETTER: 1}
        (again,) = await erp.sync.dead_letters.list()
        assert (again.id, again.arrived_at) == (letter.id, letter.arrived_at)
        assert len(again.history) == failures
    assert (await erp.sync.status()).queue.total == 0


@pytest.mark.breaks_connections
async def test_lesson_39_dead_letters_are_counted_where_they_live(erp: Host) -> None:
    """It would be back if the status counted something else than the list holds."""
    await erp.take(customer("1", email=["x"]), customer("2", email=["x"]), b"{not json")
    report = await erp.sync.status()
    assert report.dead_letters == len(await erp.sync.dead_letters.list()) == 3
    assert report.recent == {Outcome.DEAD_LETTER: 3}
    assert not report.healthy


class _Fragile(Clients):
    """Fails as code does that has a mistake, for one client."""

    async def after_apply(self, event: SyncEvent, result: SyncResult) -> None:
        await super().after_apply(event, result)
        if event.entity_id == OURS:
            raise LookupError("a mistake of ours")


@pytest.mark.databases("sqlite", "postgresql", "mariadb")
async def test_lesson_60_alarm_is_not_drowned_by_users_errors(sessions: Sessions) -> None:
    """It would be back if what users get wrong could not be told from what we get wrong."""
    host = await open_host(sessions, [_Fragile, *HANDLERS[1:]], retry=RetryPolicy(max_attempts=1))
    good = [customer(f"1{number}") for number in range(9)]
    taken = {**item("41")["item"], "sku": "S1"}
    await host.take(*good, {"item": taken})
    wrong = [
        customer("61", email=["x"]),  # cannot be read
        customer("62", contact_name="x" * 101),  # too long, unless the database does not mind
        {"item": taken | {"item_id": "42"}},  # another one has the number
        b"{not json",
    ]
    await host.take(*wrong)
    report = await host.sync.status()
    assert report.dead_letters >= 3
    assert (report.failures, report.problems) == (0, ())
    await host.take(customer(OURS))
    report = await host.sync.status()
    assert report.failures == 1
    assert report.problems == (
        "1 event(s) are dead letters since the application failed: LookupError",
    )
    (letter,) = await host.sync.dead_letters.list(DeadLetterFilter(kind=DeadLetterKind.FAILURE))
    assert (letter.entity_id, letter.kind) == (OURS, DeadLetterKind.FAILURE)
    users = await host.sync.dead_letters.list(DeadLetterFilter(kind=DeadLetterKind.DATA))
    assert len(users) == report.dead_letters - 1
    await host.sync.dead_letters.purge(DeadLetterFilter(kind=DeadLetterKind.DATA))
    assert (await host.sync.status()).dead_letters == 1


@pytest.mark.databases("sqlite", "postgresql", "mariadb")
async def test_lesson_60_a_schema_that_is_ours_is_no_users_error(erp: Host) -> None:
    """It would be back if a column that a deployment forgot looked like a customer's typing."""
    await erp.write(text("ALTER TABLE clients RENAME COLUMN email TO mail"))
    worker = erp.sync._worker  # `drain` would refuse the mapping; a worker is running already
    await erp.receive(customer(email="a@b.c"))
    assert await worker.drain() == {Outcome.DEAD_LETTER: 1}
    (letter,) = await erp.sync.dead_letters.list()
    assert letter.kind is DeadLetterKind.FAILURE
