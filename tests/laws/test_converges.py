"""Law 3: for any received events, in any order of application, one end.

A property makes a history, in the order in which it is received, and a way of applying it: in which
order, in batches of what size, where the worker dies or is cancelled, which events fail once and
are replayed from the dead letters, what is sent again past the front door. Whatever the way, the
tables must end as the oracle says, on tables of a host's own and on the mirror.

Arrivals are fixed at receipt; the order of application is another one, made with the priorities of
the queue, and on engines outside the database, which have none, by the order in which they are
given the events.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings

from tests.amounts import examples
from tests.hosts.clock import START, Hands
from tests.hosts.sql import Sessions, rows
from tests.laws.engines import QueueEngine
from tests.laws.histories import ERP_KINDS, Plan, Sent, Way, plans
from tests.laws.runs import Laboratory, opened_laboratory
from tests.laws.worlds import Erp, Mirror, World
from zoho_sync import Operation, SyncEvent, ZohoSync, mirror
from zoho_sync.events.outcome import Outcome, ReceiptStatus
from zoho_sync.exceptions import PayloadError

pytestmark = pytest.mark.breaks_connections

EXAMPLES: Final = examples(core=12, everything=25)


@pytest.fixture
def host(database_url: str, queue_engine: QueueEngine) -> Iterator[Laboratory]:
    """A host with tables of its own."""
    with opened_laboratory(database_url, queue_engine, Erp()) as laboratory:
        yield laboratory


@pytest.fixture
def mirrored(database_url: str, queue_engine: QueueEngine) -> Iterator[Laboratory]:
    """A host that keeps the mirror."""
    with opened_laboratory(database_url, queue_engine, Mirror()) as laboratory:
        yield laboratory


def _explore(laboratory: Laboratory, world: World, kinds: Sequence[str]) -> None:
    """Run plans of the world's entities; fewer on servers, where each takes longer."""
    served = laboratory.queues.is_outside or laboratory.engine.dialect.name != "sqlite"
    share = 3 if served else 1

    @settings(PROPERTY, max_examples=-(-EXAMPLES // share))
    @given(plans(kinds))
    def converges(plan: Plan) -> None:
        laboratory.run(world, plan)

    converges()


PROPERTY: Final = settings(
    deadline=None,
    # Every example is some hundred statements.
    suppress_health_check=[HealthCheck.too_slow],
)


def test_a_host_ends_where_its_events_in_version_order_would_have_led(host: Laboratory) -> None:
    _explore(host, Erp(), ERP_KINDS)


def test_the_mirror_ends_where_its_events_in_version_order_would_have_led(
    mirrored: Laboratory,
) -> None:
    _explore(mirrored, Mirror(), (*ERP_KINDS, "user"))


def _item(at: int | None, **fields: Any) -> Sent:
    return Sent("product", "41", at, fields)


def _invoice(at: int | None, **fields: Any) -> Sent:
    return Sent("invoice", "21", at, fields)


CLIENT: Final = Sent("customer", "11", 8, {"contact_name": "Acme"})
ITEM: Final = _item(8, name="Bolt")
HEAD: Final = {"invoice_number": "N1", "customer_id": "11"}
ONE: Final = [{"line_item_id": "21-1", "item_id": "41", "quantity": 1}]
TWO: Final = [*ONE, {"line_item_id": "21-2", "item_id": "41", "quantity": 2}]


def _plan(*history: Sent, order: Sequence[int] | None = None, **way: Any) -> Plan:
    return Plan(history, Way(way.pop("waves", ()), tuple(order or range(len(history))), **way))


PLANS: Final = {
    "a sparse newest event keeps the versions of what it lacks": _plan(
        _item(9, name="Bolt", sku="B"),
        _item(100, name="Nut"),
        _item(8, name="Old", sku="A"),
        batches=(1,),
    ),
    "a late event fills what nobody newer has carried": _plan(
        _item(9, name="Bolt"), _item(8, name="Old", sku="A"), batches=(1,)
    ),
    "a delete beats the edit of its second, though it was received first": _plan(
        Sent("product", "41", 8, deletes=True), ITEM, batches=(1,)
    ),
    "of equal moments the sequence decides": _plan(
        _item(8, name="Bolt"), _item(8, name="Nut"), order=(1, 0), batches=(1,)
    ),
    "a recognised return within one second ends as the state between": _plan(
        _item(8, name="Bolt"), _item(8, name="Nut"), _item(8, name="Bolt")
    ),
    "a resend past the front door outdates what was received before it": _plan(
        _item(8, name="Bolt"),
        _item(8, name="Nut"),
        waves=(1,),
        directly=frozenset({0}),
    ),
    "a resend under a delete outdates what was received before it": _plan(
        _item(8, name="Bolt"),
        Sent("product", "41", 100, deletes=True),
        _item(8, name="Nut"),
        waves=(2,),
        directly=frozenset({0}),
    ),
    "a late list does not take the lines of a newer one": _plan(
        CLIENT,
        ITEM,
        _invoice(100, **HEAD, line_items=TWO),
        _invoice(9, **HEAD, line_items=ONE, notes="A"),
        batches=(1,),
    ),
    "an emptied list takes all lines, an absent one none": _plan(
        CLIENT,
        ITEM,
        _invoice(8, **HEAD, line_items=TWO),
        _invoice(9, **HEAD, line_items=""),
        Sent("invoice", "22", 8, {**HEAD, "line_items": ONE}),
        Sent("invoice", "22", 9, HEAD),
        batches=(1,),
    ),
    "what arrives under its delete is made deleted": _plan(
        Sent("product", "41", 100, deletes=True), _item(8, name="Bolt", sku="A"), batches=(1,)
    ),
    "a hard delete is final, whatever its time": _plan(
        CLIENT,
        Sent("payment", "51", 100, {"amount": 10, "customer_id": "11"}),
        Sent("payment", "51", 8, deletes=True),
        Sent("payment", "51", 610, {"amount": 20, "customer_id": "11"}),
        batches=(1,),
    ),
    "of two equal events that wake together the later one counts": _plan(
        Sent("customer", "12", 8, {"contact_name": "Emca"}),
        CLIENT,
        # Too little for a row: it waits, and so does its equal that comes past the front door.
        _invoice(8, customer_id="11", total=0),
        _invoice(8, invoice_number="N1", customer_id="12", total=1),
        failing={0: "before"},
        directly=frozenset({2}),
        strict=True,
    ),
}
"""What a property finds only now and then."""


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS.keys())
def test_one_end(host: Laboratory, plan: Plan) -> None:
    host.run(Erp(), plan)


# Events that a host makes itself come past the front door, and are understood no worse.


async def test_a_contact_that_a_host_enqueues_is_decided_by_its_document(
    sessions: Sessions,
) -> None:
    sync = ZohoSync(sessions)
    await sync.create_tables()
    told = {"contact_id": "11", "contact_type": "vendor", "contact_name": "Acme"}
    await sync.enqueue([SyncEvent("contact", "11", told)])
    assert await sync.drain() == {Outcome.APPLIED: 1}
    assert [row["contact_name"] for row in await rows(sessions, mirror.vendors)] == ["Acme"]
    undecided = SyncEvent("contact", "12", {"contact_id": "12", "contact_name": "Emca"})
    with pytest.raises(PayloadError, match="customer or a vendor"):
        await sync.enqueue([undecided])


async def test_an_event_of_a_host_from_the_future_is_a_dead_letter(sessions: Sessions) -> None:
    sync = ZohoSync(sessions, clock=Hands())
    await sync.create_tables()
    ahead = (START + timedelta(days=2)).isoformat()
    document = {"item_id": "41", "name": "Bolt", "last_modified_time": ahead}
    await sync.enqueue([SyncEvent("product", "41", document)])
    assert await sync.drain() == {Outcome.DEAD_LETTER: 1}
    assert not await rows(sessions, mirror.products)


async def test_a_resent_delete_of_an_undecided_contact_is_recognised(sessions: Sessions) -> None:
    sync = ZohoSync(sessions)
    await sync.create_tables()
    await sync.enqueue([SyncEvent("customer", "11", {"contact_id": "11"})])
    await sync.drain()
    gone = {"contact_id": "11", "last_modified_time": START.isoformat()}
    for status in (ReceiptStatus.ACCEPTED, ReceiptStatus.DUPLICATE):
        (receipt,) = await sync.enqueue([SyncEvent("contact", "11", gone, Operation.DELETE)])
        assert receipt.status is status
        await sync.drain()
