"""Histories of events, and ways of applying them: what the property of law 3 draws."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from hypothesis import strategies as st

from tests.hosts.clock import START

CLOCKS: Final = {"payment": "updated_time"}

# Zoho's seconds. The events arrive between 0 and 40; 610 stands above a delete without a time.
SECONDS: Final = (-100, 0, 8, 9, 100, 610, 2000)


@dataclass(frozen=True)
class Sent:
    """One delivery of the history.

    Attributes:
        kind: Entity type, as received.
        name: Zoho's id.
        at: Seconds after the start, of its own time; None if it has none.
        fields: What its document says besides.
        deletes: Whether it is a delete.
        again: How many places later it is sent once more, if it is.
    """

    kind: str
    name: str
    at: int | None
    fields: Mapping[str, Any] = field(default_factory=dict)
    deletes: bool = False
    again: int | None = None

    @property
    def document(self) -> dict[str, Any]:
        own = {} if self.at is None else {CLOCKS.get(self.kind, "last_modified_time"): self.time}
        return {ID_FIELDS[self.kind]: self.name, **self.fields, **own}

    @property
    def time(self) -> str:
        return (START + timedelta(seconds=self.at or 0)).isoformat()


@dataclass(frozen=True)
class Way:
    """How a history is received and applied.

    Attributes:
        waves: Where the history is cut: what comes later is received after the first was applied.
        order: For every place in the history its priority.
        batches: The batch sizes of the workers, in turn.
        breaks: For the workers in turn: after how many statements it ends, and how.
        failing: Places whose events fail once, and how.
        directly: Places whose documents are applied once more, past the queue.
        replays: Whether dead letters are replayed after every wave, and not only in the end.
        strict: Whether a resend that is recognised only on its way back into the queue, from the
            parked events or the dead letters, counts as an event: it is no more one than a resend
            that is recognised at receipt.
    """

    waves: tuple[int, ...]
    order: tuple[int, ...]
    batches: tuple[int, ...] = (50,)
    breaks: tuple[tuple[int, str], ...] = ()
    failing: Mapping[int, str] = field(default_factory=dict)
    directly: frozenset[int] = frozenset()
    replays: bool = False
    strict: bool = False


@dataclass(frozen=True)
class Plan:
    """A history, and a way of applying it."""

    history: tuple[Sent, ...]
    way: Way

    def told(self) -> str:
        """The history and the way, one event a line."""
        place = {number: rank for rank, number in enumerate(self.way.order)}
        lines = [
            f"{n:>2}. {'DELETE' if s.deletes else 'upsert'} {s.kind} {s.name} at {s.at} "
            f"applied {place.get(n)}. {dict(s.fields)}"
            for n, s in enumerate(self.history)
        ]
        return "\n".join([*lines, repr(self.way)])


ERP_KINDS: Final = ("customer", "product", "invoice", "payment")
ID_FIELDS: Final = {
    "customer": "contact_id",
    "contact": "contact_id",
    "product": "item_id",
    "invoice": "invoice_id",
    "payment": "payment_id",
    "user": "user_id",
}

# Histories. Few values, few ids and few seconds: equal documents, returns and ties come by
# themselves.

amounts = st.sampled_from([0, "12.5", Decimal("1.10"), Decimal("99999999999999.99"), ""])
words = st.sampled_from(["A", "B", ""])


def names(*ids: str) -> st.SearchStrategy[str]:
    return st.sampled_from(ids)


@st.composite
def listed(draw: st.DrawFn, owner: str, key: str, line: Mapping[str, Any]) -> Any:
    """A list of lines, some without an id, or what Zoho writes for an empty one."""
    ids = draw(st.lists(st.sampled_from(["1", "2", "3"]), unique=True, max_size=3))
    found = []
    for name in ids:
        told = {part: draw(value) for part, value in line.items()}
        if draw(st.booleans()):
            told.pop("description", None)
        anonymous = draw(st.integers(0, 5)) == 0
        found.append(told if anonymous else {key: f"{owner}-{name}", **told})
    return found or draw(st.sampled_from([[], ""]))


LINE: Final[Mapping[str, Any]] = {
    "item_id": names("41", "42"),
    "quantity": st.sampled_from([1, "2.5"]),
    "description": words,
}
ALLOCATION: Final[Mapping[str, Any]] = {
    "invoice_id": names("21", "22"),
    "amount_applied": st.sampled_from([1, "7.25", ""]),
}
FULL: Final[Mapping[str, Mapping[str, Any]]] = {
    "customer": {"contact_name": st.sampled_from(["Acme", "Emca"])},
    "product": {"name": st.sampled_from(["Bolt", "Nut"])},
    "invoice": {
        "invoice_number": st.sampled_from(["N1", "N2"]),
        "customer_id": names("11", "12"),
    },
    "payment": {"amount": st.sampled_from([10, "20.00"]), "customer_id": names("11", "12")},
    "user": {"name": st.sampled_from(["Ann", "Bob"])},
}
SPARE: Final[Mapping[str, Mapping[str, Any]]] = {
    "customer": {"email": words},
    "product": {"sku": words, "rate": amounts},
    "invoice": {"total": amounts, "notes": words},
    "payment": {"reference_number": words},
    "user": {"email": words},
}
IDS: Final = {
    "customer": ("11", "12"),
    "product": ("41", "42"),
    "invoice": ("21", "22"),
    "payment": ("51", "52"),
    "user": ("61",),
}


def _lists(kind: str, name: str) -> dict[str, st.SearchStrategy[Any]]:
    if kind == "invoice":
        return {"line_items": listed(name, "line_item_id", LINE)}
    if kind == "payment":
        thin = names("21", "22")
        return {"invoices": listed(name, "invoice_payment_id", ALLOCATION), "invoice_id": thin}
    return {}


@st.composite
def documents(draw: st.DrawFn, kind: str, name: str, *, full: bool) -> dict[str, Any]:
    """What an upsert says; a sparse one has at least one field."""
    needed, spare = FULL[kind], {**SPARE[kind], **_lists(kind, name)}
    found = {key: draw(value) for key, value in needed.items() if full or draw(st.booleans())}
    for key, value in spare.items():
        if draw(st.integers(0, 2 if key != "invoice_id" else 5)) == 0:
            found[key] = draw(value)
    if not found.keys() & needed.keys() | SPARE[kind].keys() & found.keys():
        first = min(needed)
        found[first] = draw(needed[first])
    return found


@st.composite
def deliveries(
    draw: st.DrawFn, entities: Sequence[tuple[str, str]], seconds: Sequence[int | None]
) -> Sent:
    kind, name = draw(st.sampled_from(entities))
    at = None if kind == "user" else draw(st.sampled_from(seconds))
    again = draw(st.none() | st.none() | st.integers(1, 4))
    if draw(st.integers(0, 3)) == 0:
        kind = "contact" if kind == "customer" and draw(st.booleans()) else kind
        return Sent(kind, name, at, {}, deletes=True, again=again)
    full = draw(st.booleans())
    return Sent(kind, name, at, draw(documents(kind, name, full=full)), again=again)


def _mentioned(history: Iterable[Sent]) -> set[tuple[str, str]]:
    """The entities that upserts refer to."""
    found = set()
    for sent in history:
        lists = (sent.fields.get("line_items") or [], sent.fields.get("invoices") or [])
        for node in (sent.fields, *lists[0], *lists[1]):
            for key, kind in (("customer_id", "customer"), ("item_id", "product")):
                found |= {(kind, node[key])} if key in node else set()
            found |= {("invoice", node["invoice_id"])} if "invoice_id" in node else set()
    return found


def _made(history: Iterable[Sent]) -> set[tuple[str, str]]:
    """The entities of which an upsert holds everything that a row needs."""
    return {
        (sent.kind, sent.name)
        for sent in history
        if not sent.deletes and FULL[sent.kind].keys() <= sent.fields.keys()
    }


@st.composite
def histories(draw: st.DrawFn, kinds: Sequence[str]) -> tuple[Sent, ...]:
    """A history in which everything that is referred to arrives some time.

    Most of it is about few entities at few seconds: it takes several events of one, and ties among
    them, for anything to go wrong.
    """
    known = [(kind, name) for kind in kinds for name in IDS[kind]]
    entities = draw(st.lists(st.sampled_from(known), min_size=1, max_size=3, unique=True))
    seconds = draw(st.lists(st.sampled_from([None, *SECONDS]), min_size=1, max_size=4, unique=True))
    history = draw(st.lists(deliveries(entities, seconds), min_size=3, max_size=12))
    while missing := sorted(_mentioned(history) - _made(history)):
        kind, name = missing[0]
        at = draw(st.sampled_from(seconds))
        sent = Sent(kind, name, at, draw(documents(kind, name, full=True)))
        history.insert(draw(st.integers(0, len(history))), sent)
    for place in reversed(range(len(history))):
        again = history[place].again
        if again is not None:
            history.insert(min(place + again, len(history)), history[place])
    return tuple(history)


@st.composite
def plans(draw: st.DrawFn, kinds: Sequence[str]) -> Plan:
    history = draw(histories(kinds))
    places = st.integers(0, len(history) - 1)
    ends = st.tuples(st.integers(1, 70), st.sampled_from(["dies", "is cancelled"]))
    failures = st.sampled_from(["before", "after", "for a while"])
    way = Way(
        waves=tuple(sorted(draw(st.sets(places, max_size=2)))),
        order=tuple(draw(st.permutations(range(len(history))))),
        batches=tuple(draw(st.lists(st.sampled_from([1, 2, 3, 5, 50]), min_size=1, max_size=3))),
        breaks=tuple(draw(st.lists(ends, max_size=4))),
        failing=draw(st.dictionaries(places, failures, max_size=2)),
        directly=draw(st.frozensets(places, max_size=2)),
        replays=draw(st.booleans()),
    )
    return Plan(history, way)
