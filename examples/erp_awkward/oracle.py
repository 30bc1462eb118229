"""What must stand in the tables in the end, found out without the library.

The rule is one sentence: each column, and each list of lines, has the value of the newest upsert
that carried it, and the newest of all upserts and deletes says whether the row lives. Nothing here
knows of ledgers, queues or the order in which events were applied; an oracle that shared the
machinery would share its mistakes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from examples.erp_awkward.changes import FIELDS, Event, events_of, fold
from examples.erp_awkward.documents import START
from examples.erp_awkward.first import First
from examples.erp_awkward.handlers import COST_CENTRE
from examples.erp_awkward.host import Row, Shadow
from examples.erp_awkward.lives import Delivery
from examples.erp_awkward.tables import HEAD_OFFICE

Label = str | int
"""What names a row: its primary key if it was there first, else something that Zoho says."""


@dataclass
class Oracle:
    """Expected tables.

    Attributes:
        first: The rows that were there first.
        shadow: What the ERP has done itself.
        linked: Zoho's ids that an operator has linked to the first of two rows, by kind.
        rows: Table → label → mapped columns; references hold labels.
        lines: Table → lines, each with the label of its parent in front.
        entities: Table → label → kind and id of the entity whose row it is.
        renumbered: Kind and id of entities whose number changed.
        waiting: Kind and id of entities of which an event may wait for ever.
    """

    first: First
    shadow: Shadow
    linked: Mapping[str, Collection[str]]
    rows: dict[str, dict[Label, Row]] = field(default_factory=dict)
    lines: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)
    entities: dict[str, dict[Label, tuple[str, str]]] = field(default_factory=dict)
    renumbered: set[tuple[str, str]] = field(default_factory=set)
    waiting: set[tuple[str, str]] = field(default_factory=set)

    def foresee(self, deliveries: Iterable[Delivery]) -> None:
        """Find out everything; what is referred to comes before what refers to it."""
        self._events = events_of(deliveries)
        for known in (self.rows, self.lines, self.entities, self.renumbered, self.waiting):
            known.clear()
        for kind, column in (("product", "Item No."), ("invoice", "number")):
            for name, events in self._events[kind].items():
                if len({event.values.get(column) for event in events} - {None}) > 1:
                    self.renumbered.add((kind, name))
        self._known: dict[str, dict[str, Label]] = {kind: {} for kind in FIELDS}
        self._customers()
        self._items()
        self._vendors_and_bills()
        self._staff()
        self._documents("invoice", "invoices", "number", {"customer": "customer"}, "void")
        self._documents("sales_order", "order", "Number", {"Customer": "customer"}, "Cancelled On")
        self._documents("payment", "receipts", "Voucher", {"Customer": "customer"}, None)

    def _final(self, kind: str, events: Sequence[Event]) -> Row | None:
        """Return what the newest events that carried them say; None where no row comes of it."""
        whole = {column for column, _, _ in FIELDS[kind]}
        if not any(whole <= event.values.keys() for event in events):
            return None
        values: Row = {}
        for event in events:
            values |= event.values
        return values

    def _deleted(self, events: Sequence[Event]) -> datetime | None:
        """Return when the newest event deleted the entity; None if it lives."""
        newest = events[-1].delivery
        if not newest.deletes:
            return None
        return START + timedelta(seconds=newest.second or 0)

    def _place(self, table: str, label: Label, kind: str, name: str, values: Row) -> None:
        self.rows.setdefault(table, {})[label] = values
        self.entities.setdefault(table, {})[label] = (kind, name)
        self._known[kind][name] = label

    def _match(self, kind: str, names: Mapping[str, list[Row]], name: str, said: str) -> Row | None:
        """Return the first row that an entity takes over; None for a new one.

        Raises:
            LookupError: There are several, and nobody has said which.
        """
        rows = names.get(fold(said), [])
        if len(rows) > 1 and name not in self.linked.get(kind, ()):
            self.waiting.add((kind, name))
            raise LookupError(name)
        return rows[0] if rows else None

    def _customers(self) -> None:
        empty = {"email": None, "city": None, "region": None, "parent": None, "closed_at": None}
        gone = self.shadow.deleted.get("customers", set())
        table = self.rows["customers"] = {}
        for row in self.first.customers:
            if row["key"] not in gone:
                mapped = {column: row[column] for column in ("name", "email", "city")}
                table[row["key"]] = empty | mapped
        for row in self.shadow.rows.get("customers", {}).values():
            table[row["name"]] = empty | {"name": row["name"]}
        names = _by_name(self.first.customers, "name")
        for name, events in self._events["customer"].items():
            values = self._final("customer", events)
            if values is None:
                continue
            try:
                mine = self._match("customer", names, name, values["name"])
            except LookupError:
                continue
            label = values["name"] if mine is None or mine["key"] in gone else mine["key"]
            closed = {"closed_at": self._deleted(events)}
            self._place("customers", label, "customer", name, values | closed)
        self._refer("customers", "parent", "customer")

    def _items(self) -> None:
        empty = {"Unit": "pcs", "Part Of": None, "Discontinued?": False}
        table = self.rows["Stock Items"] = {}
        for row in self.first.items:
            mapped = {column: row[column] for column in ("Item No.", "Name", "Net Price")}
            table[row["Item No."]] = empty | mapped | {"key": row["key"]}
        for name, row in self.shadow.items.items():
            mapped = {column: row[column] for column in ("Item No.", "Name", "Net Price")}
            self._place("Stock Items", name, "product", name, empty | mapped)
        names = _by_name(self.first.items, "Name")
        for name, events in self._events["product"].items():
            values = self._final("product", events)
            if values is None:
                continue
            try:
                mine = self._match("product", names, name, values["Name"])
            except LookupError:
                continue
            known = table.pop(mine["Item No."]) if mine is not None else {}
            gone = {"Discontinued?": self._deleted(events) is not None}
            self._place("Stock Items", name, "product", name, known | values | gone)
        self._refer("Stock Items", "Part Of", "product")

    def _vendors_and_bills(self) -> None:
        table = self.rows["vendors"] = {}
        empty = {"email": None, "payment_days": 30, "short_name": None}
        for row in self.first.vendors:
            label = row["zoho_vendor_id"] or row["key"]
            table[label] = empty | {"name": row["name"], "key": row["key"]}
        known = self._known["vendor"]
        known |= {str(label): label for label in table if isinstance(label, str)}
        for name, events in self._events["vendor"].items():
            values = self._final("vendor", events) or {}
            self._place("vendors", name, "vendor", name, table.get(name, {}) | values)
        self.rows["bills"] = {}
        for name, events in self._events["bill"].items():
            booked = self._final("bill", events)
            if booked is None:
                continue
            seller = booked["vendor"]
            if seller not in known:
                stand_in = empty | {"name": f"Zoho vendor {seller}"}
                self._place("vendors", seller, "vendor", seller, stand_in)
            constant = {"source_system": "ZOHO", "cost_centre": COST_CENTRE}
            self._place("bills", name, "bill", name, booked | constant)

    def _staff(self) -> None:
        table = self.rows["staff"] = {}
        for row in self.first.staff:
            table[row["key"]] = {column: row[column] for column in ("email", "full_name", "role")}
        names = _by_name(self.first.staff, "email")
        for name, events in self._events["user"].items():
            values = self._final("user", events)
            if values is not None:
                mine = self._match("user", names, name, values["email"])
                label = values["email"] if mine is None else mine["key"]
                self._place("staff", label, "user", name, values)

    def _documents(
        self, kind: str, table: str, label: str, heads: Mapping[str, str], mark: str | None
    ) -> None:
        """Foresee documents, whose events wait for what they refer to."""
        target = "invoice" if kind == "payment" else "product"
        self.rows[table] = {}
        lines = self.lines[table] = []
        for name, events in self._events[kind].items():
            if mark is None and any(event.delivery.deletes for event in events):
                continue  # deleted for good, whatever else is said
            done = [event for event in events if not self._waits(kind, event, heads, target)]
            if len(done) < len(events):
                self.waiting.add((kind, name))
            values = self._final(kind, done)
            if values is None:
                continue
            named = values.get(label, name)
            own = values.pop("lines")
            for column, other in heads.items():
                values[column] = self._known[other][values[column]]
            if mark is not None:
                deleted = self._deleted(done)
                is_date = mark == "Cancelled On"
                values[mark] = deleted and deleted.date() if is_date else deleted is not None
            fixed = {"branch_id": HEAD_OFFICE} if kind == "invoice" else {}
            self._place(table, named, kind, name, values | fixed)
            known = self._known[target]
            lines += [(named, known.get(first), *rest) for first, *rest in own]

    def _waits(self, kind: str, event: Event, heads: Mapping[str, str], target: str) -> bool:
        """Whether an event waits in the end for an entity that has no row."""
        for column, other in heads.items():
            if column in event.values and event.values[column] not in self._known[other]:
                return True
        if kind == "invoice":
            return False  # a line of an invoice is written without its item
        return any(line[0] not in self._known[target] for line in event.values.get("lines", ()))

    def _refer(self, table: str, column: str, kind: str) -> None:
        """Put labels into a column that refers to rows of one kind; NULL to what has none."""
        for label in self.entities.get(table, {}):
            row = self.rows[table][label]
            row[column] = self._known[kind].get(row[column])


def _by_name(rows: Iterable[Row], column: str) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(fold(row[column]), []).append(row)
    return found
