"""What waits to be applied is listed, wherever in the database it waits, and each event once."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.hosts.sql import Sessions
from zoho_sync import HandlerRegistry, Outcome, RetryPolicy, ZohoSync
from zoho_sync.handlers import InvoiceHandler, ProductHandler
from zoho_sync.payloads import ProductPayload
from zoho_sync.queues import MemoryQueue, Outbox

pytestmark = pytest.mark.databases("sqlite")

LEASE = timedelta(seconds=60)


class Unlucky(ProductHandler):
    """Fails in a way that may pass."""

    mapping = None  # type: ignore[assignment]  # it writes by its own code

    async def upsert(self, payload: ProductPayload) -> None:
        raise TimeoutError(payload.item_id)


async def listed(sync: ZohoSync) -> list[str]:
    """Return the ids of what is listed; as many as the status counts, where all is in reach."""
    return [each.event.entity_id for each in await sync.queued.list()]


async def test_each_queued_event_is_listed_in_the_order_of_arrival(sessions: Sessions) -> None:
    sync = ZohoSync(sessions)
    assert await sync.queued.list() == []
    for number in ("3", "1", "2"):
        await sync.ingest({"item": {"item_id": number}})
    await sync.ingest({"invoice": {"invoice_id": "9"}})
    assert await listed(sync) == ["3", "1", "2", "9"]
    assert (await sync.status()).queue.total == 4
    assert [each.event.entity_id for each in await sync.queued.list(limit=2)] == ["3", "1"]
    (invoice,) = await sync.queued.list(entity_type="invoice")
    assert (invoice.entity_type, invoice.event.payload["invoice_id"]) == ("invoice", "9")
    assert (invoice.leased_until, invoice.attempts, invoice.in_outbox) == (None, 0, False)
    await sync.drain()
    assert await sync.queued.list() == []


async def test_it_tells_what_is_under_way_and_what_is_tried_again(sessions: Sessions) -> None:
    registry = HandlerRegistry([Unlucky, InvoiceHandler])
    retry = RetryPolicy(base_delay=timedelta(hours=1), max_delay=timedelta(hours=1))
    sync = ZohoSync(sessions, registry=registry, retry=retry)
    await sync.ingest({"item": {"item_id": "1"}})
    assert await sync.drain() == {Outcome.RETRY: 1}
    await sync.ingest({"invoice": {"invoice_id": "2"}})
    (job,) = await sync._runtime.queue.claim(9, lease=LEASE)
    failed, claimed = await sync.queued.list()
    assert failed.event.entity_id == "1"
    assert failed.attempts == 1
    assert failed.leased_until is None
    assert failed.due_at > claimed.due_at
    assert claimed.event.id == job.event.id
    assert claimed.leased_until is not None
    assert claimed.leased_until > claimed.due_at


async def test_priority_and_age_of_what_was_put_back_are_its_own(sessions: Sessions) -> None:
    sync = ZohoSync(
        sessions, retry=RetryPolicy(max_attempts=1), registry=HandlerRegistry([Unlucky])
    )
    await sync.ingest({"item": {"item_id": "1"}})
    assert await sync.drain() == {Outcome.DEAD_LETTER: 1}
    await sync.ingest({"item": {"item_id": "2"}})
    (letter,) = await sync.dead_letters.list()
    await sync.dead_letters.replay([letter.id])
    assert await listed(sync) == ["1", "2"]


async def test_what_is_in_an_outbox_is_listed_until_its_engine_has_it(sessions: Sessions) -> None:
    """What an engine outside holds, nobody can look at; the status counts it all the same."""
    sync = ZohoSync(sessions, queue=Outbox(MemoryQueue()))
    for number in ("1", "2"):
        await sync.ingest({"item": {"item_id": number}})
    assert await listed(sync) == ["1", "2"]
    assert all(each.in_outbox for each in await sync.queued.list())
    await sync._runtime.queue.relay(9, lease=LEASE)  # type: ignore[attr-defined]  # of an outbox
    assert await listed(sync) == []
    assert (await sync.status()).queue.total == 2
    await sync.ingest({"item": {"item_id": "3"}})
    assert [each.event.entity_id for each in await ZohoSync(sessions).queued.list()] == ["3"]
