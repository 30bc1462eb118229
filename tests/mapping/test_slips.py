"""A slip in the application's own code is its failure, and says at which line."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from rich.console import Console
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.hosts.clock import Hands
from tests.hosts.shop import CLIENTS, INVOICES, create_shop
from tests.hosts.sql import Sessions
from zoho_sync import (
    EntityMap,
    HandlerRegistry,
    Outcome,
    PayloadError,
    Reference,
    RetryPolicy,
    SyncEvent,
    ZohoSync,
)
from zoho_sync.cli.letters import as_json, for_people
from zoho_sync.exceptions.places import own_line
from zoho_sync.handlers import CustomerHandler, InvoiceHandler
from zoho_sync.operate import DeadLetter

pytestmark = pytest.mark.databases("sqlite")

PRIVATE = "4711-private"
CLIENT: Mapping[str, Any] = {
    "contact": {"contact_id": "71", "contact_type": "customer", "contact_name": PRIVATE}
}
INVOICE: Mapping[str, Any] = {
    "invoice": {
        "invoice_id": "81",
        "invoice_number": "INV-1",
        "customer_id": "71",
        "notes": PRIVATE,
        "line_items": [{"line_item_id": "91", "description": PRIVATE}],
    }
}
ONCE = RetryPolicy(max_attempts=1)


def deeper(word: str) -> int:
    return int(word)


SLIPS: Mapping[str, Callable[[Any], Any]] = {
    "KeyError": lambda _node: {PRIVATE: 1}[PRIVATE + "x"],
    "AttributeError": lambda node: node.no_such_field,
    "TypeError": lambda _node: PRIVATE + 1,  # type: ignore[operator]  # that is the slip
    "ZeroDivisionError": lambda _node: 1 / 0,
    "ValueError": lambda _node: deeper(PRIVATE),
    "IndexError": lambda node: [node][len(PRIVATE)],
    "InvalidOperation": lambda _node: Decimal(PRIVATE),
    "StopIteration": lambda _node: next(iter(())),
    "NameError": lambda _node: nowhere,  # type: ignore[name-defined]  # noqa: F821  # the slip
    "AssertionError": lambda _node: _asserted(),
    "RuntimeError": lambda _node: _runtime(),
}
MINE = {name: slip.__code__.co_firstlineno for name, slip in SLIPS.items()}


def _asserted() -> None:
    raise AssertionError(PRIVATE)


def _runtime() -> None:
    raise RuntimeError(PRIVATE)


INNER = {
    "ValueError": deeper.__code__.co_firstlineno + 1,
    "AssertionError": _asserted.__code__.co_firstlineno + 1,
    "RuntimeError": _runtime.__code__.co_firstlineno + 1,
}


def in_place(place: str, slip: Callable[[Any], Any]) -> EntityMap:
    """Return the invoices' mapping with a callable in one of its places."""
    child = INVOICES.children[0]
    changed: Mapping[str, EntityMap] = {
        "columns": replace(INVOICES, columns={**INVOICES.columns, "number": slip}),
        "when": replace(INVOICES, when=slip),
        "source": replace(INVOICES, children=[replace(child, source=slip)]),
        "insert_only": replace(
            INVOICES, columns={"note": "notes"}, insert_only={"branch": 7, "number": slip}
        ),
        "reference": replace(
            INVOICES, references=[Reference("client_id", to="customer", source=slip)]
        ),
        "placeholder": replace(
            INVOICES,
            references=[Reference("client_id", to="customer", source="customer_id", missing=slip)],
        ),
    }
    return changed[place]


async def letter_of(
    engine: AsyncEngine, sessions: Sessions, mapping: EntityMap, *, clients: bool = True
) -> tuple[ZohoSync, DeadLetter]:
    """Return the dead letter that an invoice becomes."""
    await create_shop(engine)
    handlers = [
        type("Clients", (CustomerHandler,), {"mapping": CLIENTS}),
        type("Invoices", (InvoiceHandler,), {"mapping": mapping}),
    ]
    sync = ZohoSync(sessions, registry=HandlerRegistry(handlers), retry=ONCE)
    if clients:
        await sync.ingest(CLIENT)
    await sync.ingest(INVOICE)
    await sync.drain()
    (letter,) = await sync.dead_letters.list()
    return sync, letter


@pytest.mark.parametrize("place", ["columns", "when", "source", "insert_only", "reference"])
@pytest.mark.parametrize("slip", SLIPS)
async def test_a_slip_is_a_failure_that_names_its_line(
    engine: AsyncEngine,
    sessions: Sessions,
    caplog: pytest.LogCaptureFixture,
    place: str,
    slip: str,
) -> None:
    with caplog.at_level(logging.DEBUG, "zoho_sync"):
        sync, letter = await letter_of(engine, sessions, in_place(place, SLIPS[slip]))
    assert letter.kind == "failure"
    (entry,) = letter.history
    assert entry["line"] == f"{__file__}:{INNER.get(slip, MINE[slip])}"
    console = Console(width=400)
    with console.capture() as shown:
        for part in for_people(letter, letter.died_at):
            console.print(part)
    assert f"at {entry['line']}" in shown.get()
    assert as_json(letter, letter.died_at)["history"][0]["line"] == entry["line"]
    report = await sync.status()
    assert report.failures == 1
    assert not report.healthy
    assert PRIVATE not in caplog.text


async def test_a_slip_of_a_placeholder_is_one_as_well(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    slip = SLIPS["KeyError"]
    _, letter = await letter_of(engine, sessions, in_place("placeholder", slip), clients=False)
    assert (letter.kind, letter.error_type) == ("failure", "CallableFailed")


async def test_what_gives_something_else_is_a_failure(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    mapping = in_place("reference", lambda _node: [])
    _, letter = await letter_of(engine, sessions, mapping)
    assert (letter.kind, letter.error_type) == ("failure", "CallableFailed")
    assert letter.path == "Invoices.references['client_id']"


async def test_a_callable_may_say_that_the_document_is_wrong(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    def choose(payload: Any) -> Any:
        raise PayloadError("invoice.notes", f"is no branch of {payload.invoice_id}")

    sync, letter = await letter_of(engine, sessions, in_place("columns", choose))
    assert (letter.kind, letter.path) == ("data", "invoice.notes")
    assert "line" not in letter.history[0]
    assert (await sync.status()).failures == 0


@pytest.mark.parametrize("place", ["before_apply", "upsert", "resolve"])
async def test_a_handlers_own_code_names_its_line(
    engine: AsyncEngine, sessions: Sessions, place: str
) -> None:
    """Also where it is the database, or the library, that has refused what it asked for."""

    class Invoices(InvoiceHandler):
        mapping = replace(
            INVOICES, references=[Reference("client_id", to="customer", source="customer_id")]
        )

        async def before_apply(self, event: SyncEvent) -> None:
            del event
            if place == "before_apply":
                await self.execute_with_context(text("SELECT nothing FROM nowhere"))

        async def upsert(self, payload: Any) -> Any:
            if place == "upsert":
                json.loads("{")
            return await super().upsert(payload)

        async def resolve(self, entity_type: str, zoho_id: str, *, missing: str = "park") -> Any:
            return await super().resolve(f"{entity_type}ship", zoho_id, missing=missing)

    line = {
        "before_apply": Invoices.before_apply.__code__.co_firstlineno + 3,
        "upsert": Invoices.upsert.__code__.co_firstlineno + 2,
        "resolve": Invoices.resolve.__code__.co_firstlineno + 1,
    }[place]
    await create_shop(engine)
    clients = type("Clients", (CustomerHandler,), {"mapping": CLIENTS})
    sync = ZohoSync(sessions, registry=HandlerRegistry([clients, Invoices]), retry=ONCE)
    await sync.ingest(CLIENT)
    await sync.ingest(INVOICE)
    assert await sync.drain() == {Outcome.APPLIED: 1, Outcome.DEAD_LETTER: 1}
    (letter,) = await sync.dead_letters.list()
    assert (letter.kind, letter.history[0]["line"]) == ("failure", f"{__file__}:{line}")


async def test_a_failure_stays_a_problem_until_it_is_handled(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    """However old it is, and however well the others do."""
    await create_shop(engine)
    clock = Hands()

    class Clients(CustomerHandler):
        mapping = CLIENTS

        async def before_apply(self, event: SyncEvent) -> None:
            if event.entity_id == "13":
                raise LookupError(PRIVATE)

    sync = ZohoSync(sessions, registry=HandlerRegistry([Clients]), retry=ONCE, clock=clock)
    for number in range(10, 20):
        contact = {**CLIENT["contact"], "contact_id": str(number), "contact_name": f"C{number}"}
        await sync.ingest({"contact": contact})
    assert await sync.drain() == {Outcome.APPLIED: 9, Outcome.DEAD_LETTER: 1}
    said = "1 event(s) are dead letters since the application failed: LookupError"
    assert said in (await sync.status()).problems
    clock.move(hours=23)
    assert said in (await sync.status(timedelta(hours=1))).problems
    (letter,) = await sync.dead_letters.list()
    await sync.dead_letters.resolve(letter.id)
    assert (await sync.status()).healthy


def test_an_error_of_no_code_of_ours_names_no_line() -> None:
    assert own_line(ValueError()) == ""
    caught: list[BaseException] = []
    with contextlib.suppress(ValueError):
        try:
            json.loads("{")
        except ValueError as error:
            caught.append(error)
            raise
    assert own_line(caught[0]).startswith(__file__)
