"""A host without an event loop: what it calls has the arguments and answers of `ZohoSync`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import assert_type

from zoho_sync import Outcome, Receipt, SyncEvent, SyncResult
from zoho_sync.blocking.sync import BlockingSync
from zoho_sync.operate.dead_letters import DeadLetter, DeadLetterFilter, Replayed
from zoho_sync.operate.linking import LinkReport
from zoho_sync.operate.parked import ParkedEvent
from zoho_sync.operate.status import StatusReport


def deliveries(sync: BlockingSync, body: bytes) -> None:
    """Keywords keep their names and defaults."""
    assert_type(sync.receive(body), Receipt)
    assert_type(sync.receive(body, headers=[("a", "b")], query="a=b", method="DELETE"), Receipt)
    assert_type(sync.receive(body, entity="item", entity_id="1", operation="delete"), Receipt)
    assert_type(sync.ingest({"item_id": "1"}, entity="item", organization_id="20"), Receipt)


def work(sync: BlockingSync, event: SyncEvent) -> None:
    """Answers keep their types."""
    sync.create_tables()
    assert_type(sync.check(), list[str])
    assert_type(sync.enqueue([event], priority=1), list[Receipt])
    assert_type(sync.apply(event), SyncResult)
    assert_type(sync.drain(), dict[Outcome, int])
    assert_type(sync.pause(), bool)
    assert_type(sync.resume(), bool)
    assert_type(sync.status(), StatusReport)
    assert_type(sync.status(window=timedelta(hours=1)), StatusReport)
    assert_type(sync.link("item", iter([("1", 7)]), dry_run=True), LinkReport)
    assert_type(sync.call(lambda inner: inner.pause()), bool)


def operators(sync: BlockingSync, ids: Iterator[str]) -> None:
    """So do those of dead letters and of parked events."""
    assert_type(
        sync.dead_letters.list(DeadLetterFilter(entity_type="invoice"), limit=5), list[DeadLetter]
    )
    assert_type(sync.dead_letters.get("1"), DeadLetter | None)
    assert_type(sync.dead_letters.replay(ids), Replayed)
    assert_type(sync.dead_letters.resolve("1", reason="known"), int)
    assert_type(sync.dead_letters.purge(["1"]), int)
    assert_type(sync.parked.list(waiting_for=("customer", "1")), list[ParkedEvent])


def handed_on(sync: BlockingSync) -> None:
    """A method may be handed on as what it is."""
    check: Callable[[], list[str]] = sync.check
    replay: Callable[[Iterable[str]], Replayed] = sync.dead_letters.replay
    assert_type(replay(check()), Replayed)
