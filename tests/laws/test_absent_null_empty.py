"""Law 5: absent is not null is not empty; money is exact, times are aware UTC, ids are text.

A first document fills a row of the host; a second one has each key absent, ``""``, null or with a
value, and what the row holds then is told by a model that fits on a page.
"""

from __future__ import annotations

import enum
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import (
    Column,
    Date,
    DateTime,
    ForeignKey,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    text,
)

from tests.hosts.documents import at
from tests.hosts.sql import Sessions, library, make, row, rows
from tests.laws.tools import EXAMPLES
from zoho_sync import (
    ChildMap,
    EntityMap,
    HandlerRegistry,
    Outcome,
    Reference,
    ZohoSync,
    custom_field,
    mirror,
)
from zoho_sync.handlers import CustomerHandler, InvoiceHandler
from zoho_sync.mirror import ExactDecimal, UtcDateTime

MONEY: Final = Numeric(28, 10).with_variant(ExactDecimal(), "sqlite")

host = MetaData()
clients = Table(
    "absent_clients",
    host,
    Column("id", Integer, primary_key=True),
    Column("zoho_id", String(100), unique=True),
    Column("name", Text),
    sqlite_autoincrement=True,
)
invoices = Table(
    "absent_invoices",
    host,
    Column("id", Integer, primary_key=True),
    Column("zoho_id", String(100), unique=True),
    Column("number", Text, nullable=False),
    Column("status", String(20), nullable=False, server_default="open"),
    Column("digits", Integer, nullable=False, default=3),
    Column("rounds", Integer, nullable=False, server_default=text("4")),
    Column("total", MONEY),
    Column("rate", MONEY, nullable=False, server_default=text("1.5")),
    Column("issued_on", Date),
    Column("made_at", UtcDateTime),
    Column("changed_at", DateTime),
    Column("city", Text),
    Column("note", Text),
    Column("customer", String(100)),
    Column("client_id", ForeignKey(clients.c.id)),
    Column("deleted_at", UtcDateTime),
    sqlite_autoincrement=True,
)
lines = Table(
    "absent_lines",
    host,
    Column("id", Integer, primary_key=True),
    Column("zoho_id", String(100)),
    Column("invoice_id", ForeignKey(invoices.c.id), nullable=False),
    Column("quantity", MONEY),
    Column("unit", String(20), nullable=False, server_default="piece"),
    sqlite_autoincrement=True,
)


class Clients(CustomerHandler):
    mapping = EntityMap(
        table=clients, key="zoho_id", columns={"name": "contact_name"}, on_delete="ignore"
    )


class Invoices(InvoiceHandler):
    mapping = EntityMap(
        table=invoices,
        key="zoho_id",
        columns={
            "number": "invoice_number",
            "status": "status",
            "digits": "price_precision",
            "rounds": custom_field("cf_rounds"),
            "total": "total",
            "rate": "exchange_rate",
            "issued_on": "date",
            "made_at": "created_time",
            "changed_at": "created_time",
            "city": "billing_address.city",
            "note": custom_field("cf_note"),
            "customer": "customer_id",
        },
        references=[Reference("client_id", to="customer", source="customer_id")],
        children=[
            ChildMap(
                table=lines,
                source="line_items",
                key="zoho_id",
                parent="invoice_id",
                columns={"quantity": "quantity", "unit": "unit"},
            )
        ],
        deleted_column="deleted_at",
    )


class Nothing(enum.Enum):
    """What a key may hold besides a value."""

    ABSENT = enum.auto()
    EMPTY = ""
    NULL = None


NUMBERS: Final = itertools.count(1)
CREATED: Final = "2024-05-17T02:17:40-0800"
FIRST: Final[dict[str, Any]] = {
    "invoice_number": "INV-1",
    "status": "sent",
    "price_precision": 2,
    "total": "99999999999999.99",
    "exchange_rate": "83.0000000001",
    "date": "2024-05-17",
    "created_time": CREATED,
    "billing_address": {"city": "Basel", "zip": "4001"},
    "cf_note": "first",
    "cf_rounds": "7",
    "customer_id": 460000000026049,
    "line_items": [{"line_item_id": 1, "quantity": "2.50", "unit": "kg"}, {"line_item_id": 2}],
}
FILLED: Final[dict[str, Any]] = {
    "number": "INV-1",
    "status": "sent",
    "digits": 2,
    "rounds": 7,
    "total": Decimal("99999999999999.99"),
    "rate": Decimal("83.0000000001"),
    "issued_on": date(2024, 5, 17),
    "made_at": datetime(2024, 5, 17, 10, 17, 40, tzinfo=UTC),
    "changed_at": datetime(2024, 5, 17, 10, 17, 40),  # noqa: DTZ001  # the host's column is naive
    "city": "Basel",
    "note": "first",
    "customer": "460000000026049",
    "client_id": 1,
    "deleted_at": None,
}
LINES: Final = {"1": (Decimal("2.50"), "kg"), "2": (None, "piece")}

# Key → the columns that it fills, and what they hold once it is cleared.
CLEARED: Final[dict[str, dict[str, Any]]] = {
    "status": {"status": "open"},
    "price_precision": {"digits": 3},
    "cf_rounds": {"rounds": 4},
    "total": {"total": None},
    "exchange_rate": {"rate": Decimal("1.5")},
    "date": {"issued_on": None},
    "created_time": {"made_at": None, "changed_at": None},
    "billing_address": {"city": None},
    "cf_note": {"note": None},
    "customer_id": {"customer": None, "client_id": None},
}


def money(digits: int = 18, places: int = 10) -> st.SearchStrategy[Decimal]:
    """Exact numbers that NUMERIC(28, 10) holds."""
    whole = st.integers(-(10**digits) + 1, 10**digits - 1)
    return st.builds(
        lambda number, shift: Decimal(number).scaleb(-shift), whole, st.integers(0, places)
    )


def spelled(number: Decimal) -> st.SearchStrategy[Any]:
    """One number in the ways in which Zoho prints it: as text, or as a JSON number."""
    return st.sampled_from([f"{number:f}", Digits(f"{number:f}")])


class Digits(str):
    """A JSON number, digit by digit."""

    __slots__ = ()


def dumps(value: Any) -> str:
    """Write JSON whose numbers are not touched."""
    if isinstance(value, Digits):
        return str(value)
    if isinstance(value, Mapping):
        pairs = (f"{json.dumps(key)}:{dumps(item)}" for key, item in value.items())
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(dumps, value)) + "]"
    return json.dumps(value)


TEXT: Final = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)
# White space alone is text: it is kept as it came.
WORDS: Final = TEXT
MOMENTS: Final = st.datetimes(
    datetime(1990, 1, 1),  # noqa: DTZ001  # the zone comes from the next strategy
    datetime(2035, 1, 1),  # noqa: DTZ001  # as above
    timezones=st.sampled_from([UTC]),
).map(lambda moment: moment.replace(microsecond=0))
OFFSETS: Final = st.sampled_from(["+0000", "-0800", "+04:00", "+0530", "Z"])


def written(moment: datetime, offset: str) -> str:
    """Return a time as Zoho writes it."""
    sign = -1 if offset[0] == "-" else 1
    minutes = 0 if offset == "Z" else int(offset[1:3]) * 60 + int(offset[-2:])
    there = moment + sign * timedelta(minutes=minutes)
    return there.strftime("%Y-%m-%dT%H:%M:%S") + offset


VALUES: Final[dict[str, st.SearchStrategy[Any]]] = {
    # Each gives what the document holds, and what the columns hold then.
    "status": WORDS.map(lambda text: (text, {"status": text})),
    "price_precision": st.integers(-9, 9).flatmap(
        lambda n: st.sampled_from([n, str(n)]).map(lambda v: (v, {"digits": n}))
    ),
    "cf_rounds": st.integers(-(2**31), 2**31 - 1).map(lambda n: (str(n), {"rounds": n})),
    "total": money().flatmap(lambda n: spelled(n).map(lambda v: (v, {"total": n}))),
    "exchange_rate": money().flatmap(lambda n: spelled(n).map(lambda v: (v, {"rate": n}))),
    "date": st.dates(date(1900, 1, 1)).map(lambda d: (d.isoformat(), {"issued_on": d})),
    "created_time": st.builds(
        lambda moment, offset: (
            written(moment, offset),
            {"made_at": moment, "changed_at": moment.replace(tzinfo=None)},
        ),
        MOMENTS,
        OFFSETS,
    ),
    "billing_address": st.one_of(
        WORDS.map(lambda city: ({"city": city}, {"city": city})),
        st.sampled_from([({"city": ""}, {"city": None}), ({"city": None}, {"city": None})]),
        st.just(({"zip": "1"}, {})),  # the key within is absent
    ),
    "cf_note": WORDS.filter(str.strip).map(lambda text: (text, {"note": text})),
    "customer_id": st.just(("460000000026049", {"customer": "460000000026049", "client_id": 1})),
}
STATES: Final = st.fixed_dictionaries(
    {key: st.one_of(st.sampled_from(Nothing), values) for key, values in VALUES.items()}
)
LISTS: Final = st.one_of(
    st.sampled_from([(state, None if state is Nothing.ABSENT else {}) for state in Nothing]),
    st.dictionaries(
        st.sampled_from(["1", "2", "3"]),
        st.tuples(
            st.one_of(st.sampled_from(Nothing), money()),
            st.one_of(st.sampled_from(Nothing), WORDS.map(lambda word: word[:20])),
        ),
    ).map(lambda found: (found, found)),
)


def put(document: dict[str, Any], key: str, value: Any) -> None:
    """Put a value, or one of the three nothings, into a document."""
    if value is not Nothing.ABSENT:
        document[key] = value.value if isinstance(value, Nothing) else value


def put_custom(document: dict[str, Any], spelling: str, key: str, value: Any) -> None:
    """Put a custom field into a document, in one of its spellings."""
    if value is Nothing.ABSENT:
        return
    plain = value.value if isinstance(value, Nothing) else value
    if spelling == "list":
        document.setdefault("custom_fields", []).append({"api_name": key, "value": plain})
    elif spelling == "label":
        document.setdefault("custom_fields", []).append({"label": key, "value": plain})
    elif spelling == "hash":
        document.setdefault("custom_field_hash", {})[key] = plain
    else:
        document[key] = plain


def second(states: Mapping[str, Any], spelling: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a document, and what it makes of a row that the first one filled."""
    document: dict[str, Any] = {}
    expected = dict(FILLED)
    for key, state in states.items():
        value, columns = state if isinstance(state, tuple) else (state, CLEARED[key])
        if key.startswith("cf_"):
            put_custom(document, spelling, key, value)
        else:
            put(document, key, value)
        if value is not Nothing.ABSENT:
            expected |= columns
    # Zoho lists the custom fields that have a value: one that is not there was emptied.
    custom = {key for key in states if key.startswith("cf_")}
    absent = {key for key in custom if states[key] is Nothing.ABSENT}
    if spelling in {"list", "hash"} and absent != custom:
        for key in absent:
            expected |= CLEARED[key]
    return document, expected


def line_items(found: Any) -> Any:
    """Return lines as the document has them."""
    if isinstance(found, Nothing):
        return found
    items = []
    for key, (quantity, unit) in found.items():
        item: dict[str, Any] = {"line_item_id": key}
        put(item, "quantity", f"{quantity:f}" if isinstance(quantity, Decimal) else quantity)
        put(item, "unit", unit)
        items.append(item)
    return items


def held(found: Mapping[str, tuple[Any, Any]]) -> dict[str, tuple[Any, Any]]:
    """Return what the rows of these lines hold: a field that a line lacks is empty."""
    return {
        key: (
            quantity if isinstance(quantity, Decimal) else None,
            unit if isinstance(unit, str) else "piece",
        )
        for key, (quantity, unit) in found.items()
    }


@pytest.fixture
async def sync(sessions: Sessions) -> ZohoSync:
    """A host with one customer."""
    sync = ZohoSync(sessions, registry=HandlerRegistry([Clients, Invoices]))
    await sync.create_tables()
    await make(sessions, host)
    await sync.ingest({"contact": {"contact_id": 460000000026049, "contact_type": "customer"}})
    assert await sync.drain() == {Outcome.APPLIED: 1}
    return sync


@pytest.fixture
async def mirrored(sessions: Sessions) -> ZohoSync:
    """A host that uses the mirror."""
    sync = ZohoSync(sessions)
    await sync.create_tables()
    return sync


QUICK: Final = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck)
)


@QUICK
@given(states=STATES, items=LISTS, spelling=st.sampled_from(["list", "label", "hash", "top"]))
async def test_law_5_absent_leaves_empty_clears_and_a_value_sets(
    sync: ZohoSync,
    sessions: Sessions,
    states: Mapping[str, Any],
    items: tuple[Any, Any],
    spelling: str,
) -> None:
    number = f"{next(NUMBERS)}"
    document, expected = second(states, spelling)
    put(document, "line_items", line_items(items[0]))
    first = {"invoice": {"invoice_id": number, "last_modified_time": at(0)} | FIRST}
    then = {"invoice": {"invoice_id": number, "last_modified_time": at(1)} | document}
    for each in (first, then):
        await sync.ingest(dumps(each))
        assert await sync.drain() == {Outcome.APPLIED: 1}
    found = await row(sessions, invoices, zoho_id=number)
    assert found | expected == found
    kept = await rows(sessions, lines, invoice_id=found["id"])
    assert {line["zoho_id"]: (line["quantity"], line["unit"]) for line in kept} == (
        LINES if items[1] is None else held(items[1])
    )


@pytest.mark.parametrize("nothing", ["", None])
async def test_law_5_a_column_that_cannot_be_cleared_is_named(
    sync: ZohoSync, sessions: Sessions, nothing: str | None
) -> None:
    first = {"invoice_id": "1", "last_modified_time": at(0)} | FIRST
    await sync.ingest(dumps({"invoice": first}))
    await sync.drain()
    before = await row(sessions, invoices)
    for invoice_id in ("1", "2"):  # one that has a row, and one that has none
        document = first | {"invoice_id": invoice_id, "invoice_number": nothing, "total": 1}
        await sync.ingest(dumps({"invoice": document | {"last_modified_time": at(1)}}))
    assert await sync.drain() == {Outcome.DEAD_LETTER: 2}
    assert await row(sessions, invoices) == before
    letters = await sync.dead_letters.list()
    assert [letter.path for letter in letters] == ["invoice.invoice_number"] * 2
    assert all(".number" in letter.error for letter in letters)


@dataclass(frozen=True)
class Exact:
    """What a document holds, and the mirror then."""

    total: Decimal
    long: Decimal
    moment: datetime
    offset: str
    customer: int
    as_text: bool

    def body(self, number: str) -> str:
        """Return the document."""
        invoice = {
            "invoice_id": number,
            "total": Digits(f"{self.total:f}"),
            "balance": f"{self.long:f}",
            "customer_id": str(self.customer) if self.as_text else Digits(self.customer),
            "created_time": written(self.moment, self.offset),
            "cf_unknown": Digits(f"{self.long:f}"),
        }
        return dumps({"invoice": invoice})


EXACT: Final = st.builds(
    Exact, money(), money(18, 30), MOMENTS, OFFSETS, st.integers(1, 10**40 - 1), st.booleans()
)


@QUICK
@given(exact=EXACT)
async def test_law_5_mirror_keeps_every_digit_or_refuses_the_number(
    mirrored: ZohoSync, sessions: Sessions, exact: Exact
) -> None:
    number = str(next(NUMBERS))
    receipt = await mirrored.ingest(exact.body(number))
    counts = await mirrored.drain()
    if exact.long.normalize(Context(prec=40)).as_tuple().exponent < -10:  # type: ignore[operator]  # finite
        assert counts == {Outcome.DEAD_LETTER: 1}
        letter = await mirrored.dead_letters.get(receipt.event_ids[0])
        assert letter is not None
        assert (letter.kind, letter.path) == ("data", "invoice.balance")
        assert "would be rounded" in letter.error
        return
    assert counts == {Outcome.APPLIED: 1}
    found = await row(sessions, mirror.invoices, invoice_id=number)
    assert (found["total"], found["balance"]) == (exact.total, exact.long)
    assert all(type(found[name]) is Decimal for name in ("total", "balance"))
    assert found["customer_id"] == str(exact.customer)
    assert (found["created_time"], found["created_time"].tzinfo) == (exact.moment, UTC)
    assert Decimal(found["raw"]["cf_unknown"]) == exact.long
    assert found["due_date"] is None


async def test_law_5_ids_are_text_whatever_they_came_as(sync: ZohoSync, sessions: Sessions) -> None:
    long = 1234567890123456789012345678901234567890
    for contact_id in (long, f" {long} ", Digits("460000000026049")):
        contact = {"contact_id": contact_id, "contact_type": "customer", "contact_name": "Again"}
        await sync.ingest(dumps({"contact": contact}))
    assert await sync.drain() == {Outcome.APPLIED: 3}
    found = await rows(sessions, clients)
    assert [client["zoho_id"] for client in found] == ["460000000026049", str(long)]
    assert {each["entity_id"] for each in await rows(sessions, library.ledger)} == {
        "460000000026049",
        str(long),
    }
