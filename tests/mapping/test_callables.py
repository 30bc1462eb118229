"""What a mapping's callable raises names the attribute that holds it, and is no matter of luck."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.hosts.shop import CLIENTS, INVOICES, create_shop
from tests.hosts.sql import Sessions
from zoho_sync import (
    ABSENT,
    EntityMap,
    HandlerRegistry,
    Outcome,
    Reference,
    ReferencePending,
    RetryPolicy,
    ZohoSync,
)
from zoho_sync.exceptions import CallableFailed
from zoho_sync.exceptions.wording import raised_in
from zoho_sync.handlers import CustomerHandler, InvoiceHandler
from zoho_sync.mapping.callables import named

PRIVATE = "4711-private"
CLIENT: Mapping[str, Any] = {
    "contact": {"contact_id": "11", "contact_type": "customer", "contact_name": PRIVATE}
}
INVOICE: Mapping[str, Any] = {
    "invoice": {
        "invoice_id": "21",
        "invoice_number": "INV-1",
        "customer_id": "11",
        "notes": PRIVATE,
        "line_items": [{"line_item_id": "l1", "description": PRIVATE}],
    }
}
LATE = RetryPolicy(base_delay=timedelta(hours=1), max_delay=timedelta(hours=1))


def typo(node: Any) -> Any:
    """Misspell a field, as a host would."""
    return node.notse


TYPO_LINE = typo.__code__.co_firstlineno + 2


def number(node: Any) -> Any:
    """Read a number where there is none; the error quotes the text."""
    return int(getattr(node, "notes", None) or node.contact_name)


def lazily(node: Any) -> Iterator[Any]:
    """Fail only once the lines are asked for."""
    yield node.notse


def unlucky(_node: Any) -> Any:
    """Fail in a way that may pass."""
    raise ConnectionError(PRIVATE)


def registry(invoices: EntityMap = INVOICES, clients: EntityMap = CLIENTS) -> HandlerRegistry:
    """Return handlers with these mappings."""

    class Clients(CustomerHandler):
        mapping = clients

    class Invoices(InvoiceHandler):
        mapping = invoices

    return HandlerRegistry([Clients, Invoices])


async def open_shop(engine: AsyncEngine, sessions: Sessions, *maps: EntityMap) -> ZohoSync:
    """Make the tables, and a library that does not retry while a test runs."""
    await create_shop(engine)
    sync = ZohoSync(sessions, registry=registry(*maps), retry=LATE)
    await sync.create_tables()
    return sync


def with_child(**changes: Any) -> EntityMap:
    """Return the invoices' mapping with other lines."""
    return replace(INVOICES, children=[replace(INVOICES.children[0], **changes)])


PLACES: Mapping[str, EntityMap] = {
    "columns['number']": replace(INVOICES, columns={**INVOICES.columns, "number": typo}),
    "insert_only['number']": replace(
        INVOICES, columns={"note": "notes"}, insert_only={"branch": 7, "number": typo}
    ),
    "references['client_id']": replace(
        INVOICES, references=[Reference("client_id", to="customer", source=typo)]
    ),
    "when": replace(INVOICES, when=typo),
    "children[0].source": with_child(source=typo),
    "children[0].columns['description']": with_child(
        columns={"description": typo}, insert_only={"quantity": 1}
    ),
    "children[0].insert_only['description']": with_child(
        columns={}, insert_only={"quantity": 1, "description": typo}
    ),
}


@pytest.mark.parametrize("place", PLACES)
async def test_a_mistake_in_a_callable_is_a_dead_letter_that_names_its_place(
    place: str, engine: AsyncEngine, sessions: Sessions, caplog: pytest.LogCaptureFixture
) -> None:
    sync = await open_shop(engine, sessions, PLACES[place])
    await sync.ingest(CLIENT)
    await sync.drain()
    receipt = await sync.ingest(INVOICE)
    assert await sync.drain() == {Outcome.DEAD_LETTER: 1}
    (letter,) = await sync.dead_letters.list()
    assert (letter.path, letter.attempts) == (f"Invoices.{place}", 1)
    assert letter.kind == "failure"
    assert letter.history[0]["line"] == f"{__file__}:{TYPO_LINE}"
    (problem,) = (each for each in (await sync.status()).problems if "failed" in each)
    assert problem == "1 event(s) are dead letters since the application failed: CallableFailed"
    assert letter.error.startswith(f"Invoices.{place}: the callable raised AttributeError: Invoice")
    assert " has no field 'notse'." in letter.error
    (record,) = [each for each in caplog.records if each.name == "zoho_sync.worker.settlement"]
    assert record.levelno == logging.WARNING
    line = record.getMessage()
    assert line.startswith(f"event {receipt.event_ids[0]} (invoice 21) is a dead letter: ")
    assert f"Invoices.{place}: the callable raised AttributeError" in line
    assert PRIVATE not in caplog.text


async def test_an_error_that_may_pass_comes_again_and_names_its_place(
    engine: AsyncEngine, sessions: Sessions, caplog: pytest.LogCaptureFixture
) -> None:
    sync = await open_shop(engine, sessions, INVOICES, replace(CLIENTS, columns={"name": unlucky}))
    await sync.ingest(CLIENT)
    assert await sync.drain() == {Outcome.RETRY: 1}
    assert "(customer 11) failed in attempt 1, and comes again: ConnectionError" in caplog.text
    assert "in Clients.columns['name'] at " in caplog.text


async def test_a_document_that_a_callable_cannot_read_is_quoted_nowhere(
    engine: AsyncEngine, sessions: Sessions, caplog: pytest.LogCaptureFixture
) -> None:
    clients = replace(CLIENTS, columns={"name": number})
    sync = await open_shop(engine, sessions, INVOICES, clients)
    await sync.ingest(CLIENT)
    assert await sync.drain() == {Outcome.DEAD_LETTER: 1}
    (letter,) = await sync.dead_letters.list()
    assert letter.error == "Clients.columns['name']: the callable raised ValueError"
    assert PRIVATE not in caplog.text


async def test_a_direct_call_raises_it_with_its_cause(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    clients = replace(CLIENTS, columns={"name": number})
    await open_shop(engine, sessions, INVOICES, clients)
    handler = registry(INVOICES, clients)["customer"]
    async with sessions() as session:
        with pytest.raises(CallableFailed, match="raised ValueError") as raised:
            await handler(session).sync(CLIENT["contact"])
    assert isinstance(raised.value.__cause__, ValueError)


@pytest.mark.parametrize(
    "function",
    [
        typo,
        number,
        lazily,
        lambda node: node.missing(),
        lambda _node: nowhere,  # type: ignore[name-defined]  # noqa: F821  # that is the mistake
        lambda _node: dict[str, int]()["missing"],
        lambda _node: list[Any]()[1],
        lambda _node: 1 / 0,
        lambda _node: Decimal("many"),
        lambda _node: len(5),  # type: ignore[arg-type]  # that is the mistake
    ],
)
def test_what_is_a_mistake(function: Callable[[Any], Any]) -> None:
    node = type("Node", (), {"contact_name": PRIVATE})()
    with pytest.raises(CallableFailed, match=r"^Clients\.when: the callable raised \w+$") as raised:
        named(function, "Clients.when")(node)
    assert PRIVATE not in str(raised.value)


def test_what_the_library_raises_on_purpose_is_left_alone() -> None:
    def pending(_node: Any) -> Any:
        raise ReferencePending("customer", "7")

    with pytest.raises(ReferencePending) as raised:
        named(pending, "Clients.when")(None)
    assert raised_in(raised.value) == ""


def test_only_callables_are_named() -> None:
    assert named("total", "x") == "total"
    assert named(ABSENT, "x") is ABSENT
    assert named(None, "x") is None
    assert repr(named(typo, "x")) == repr(typo)
    assert raised_in(ValueError()) == ""
