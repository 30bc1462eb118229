"""What lives in Zoho during the month: every entity, from its first document to its last.

An entity is made, edited a few times, now and then deleted, and sometimes brought back by a later
edit. Each change is one `Delivery`; when it is heard of is the affair of `month.py`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from examples.erp_awkward import documents
from examples.erp_awkward.documents import Document, number_of, zoho_id, zoho_time
from examples.erp_awkward.first import Sizes, firm, sku, thing

MONTH: Final = 30 * 24 * 3600
"""In seconds."""

WRAPPERS: Final = {
    "customer": ("contact", "contact_id"),
    "vendor": ("contact", "contact_id"),
    "product": ("item", "item_id"),
    "invoice": ("invoice", "invoice_id"),
    "sales_order": ("salesorder", "salesorder_id"),
    "payment": ("payment", "payment_id"),
    "bill": ("bill", "bill_id"),
    "user": ("user", "user_id"),
}
SPARSE: Final = {
    "customer": ("contact_name", "email", "billing_address", "custom_fields"),
    "product": ("name", "sku", "unit", "rate", "custom_fields"),
    "invoice": ("status", "total", "line_items"),
}
"""What an administrator's own template may carry alone."""

ALWAYS: Final = {"customer": ("contact_type",)}
"""What it cannot leave out: customers and vendors have one kind of document."""

_DELETED: Final = 0.06
_BARE: Final = 0.3
"""Of the deletes: those that carry nothing but the id."""
_SPARSE: Final = 0.2
_NEVER: Final = 900_000
_BY_HAND: Final = 800_000


@dataclass(frozen=True)
class Delivery:
    """One change as Zoho tells it.

    Attributes:
        kind: The entity type.
        name: Zoho's id.
        document: Without its id and its time.
        second: Of the change, from the beginning of the month; None where Zoho tells no time.
        deletes: Whether it is a delete; its document is the last one.
    """

    kind: str
    name: str
    document: Document
    second: int | None
    deletes: bool = False

    @property
    def body(self) -> Document:
        """The document in its wrapper, as it is sent."""
        wrapper, key = WRAPPERS[self.kind]
        timed: Document = {}
        if self.second is not None:
            field_name = "updated_time" if self.kind == "payment" else "last_modified_time"
            timed = {field_name: zoho_time(self.second)}
        return {wrapper: {key: self.name, **self.document, **timed}}


@dataclass
class Cast:
    """Who there is of one kind, by Zoho's ids.

    Attributes:
        there: Their one row was there first.
        twice: Two rows with their name were there first: nobody can tell which is meant.
        fresh: Zoho made them during the month.
        never: Documents name them, and they never come.
    """

    there: list[str]
    twice: list[str]
    fresh: list[str]
    never: list[str]

    @property
    def sure(self) -> list[str]:
        """Those that will have a row."""
        return [*self.there, *self.fresh]


@dataclass
class Lives:
    """Everything that is changed in Zoho, and what the ERP does because of it.

    Attributes:
        sizes: How much of it there is.
        dice: Decides.
        told: The deliveries, each entity's in the order of its changes.
        erp: What the ERP's people do about single entities: the name of it, and with what.
        last_words: Deliveries after everything else: of what the ERP has deleted in between.
    """

    sizes: Sizes
    dice: random.Random
    told: list[Delivery] = field(default_factory=list)
    erp: list[tuple[str, str]] = field(default_factory=list)
    last_words: list[Delivery] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.customers = self._cast("customer", self.sizes.customers, 0.08, 0.02)
        self.items = self._cast("product", self.sizes.products, 0.045, 0.01)
        # The ERP deletes these itself, and no document names them.
        count = max(1, len(self.customers.there) // 50)
        self.expendable, self.customers.there = (
            self.customers.there[:count],
            self.customers.there[count:],
        )
        self.by_hand = [zoho_id("product", _BY_HAND + n) for n in range(self._share(0.01))]
        self._live_customers()
        self._live_items()
        self._live_vendors_and_bills()
        self._live_invoices()
        self._live_payments()
        self._live_orders()
        self._live_users()

    def _share(self, part: float) -> int:
        return max(2, round(self.sizes.events * part))

    def _cast(self, kind: str, rows: int, known: float, fresh: float) -> Cast:
        sizes = self.sizes
        originals = [number for number in range(rows) if not sizes.is_copy(number)]
        twice = {number for number in originals if number + 1 < rows and sizes.is_copy(number + 1)}
        once = [number for number in originals if number not in twice]
        there = self.dice.sample(once, min(self._share(known), len(once)))
        return Cast(
            [zoho_id(kind, number) for number in there],
            [zoho_id(kind, number) for number in sorted(twice)],
            [zoho_id(kind, rows + number) for number in range(self._share(fresh))],
            [zoho_id(kind, _NEVER + number) for number in range(self._share(0.002))],
        )

    def _live(
        self, kind: str, name: str, draw: Callable[[str], Document], deleted: float = _DELETED
    ) -> None:
        """Let an entity live; one of its documents at least is whole.

        Args:
            kind: The entity type.
            name: Zoho's id.
            draw: Gives a document for that id, another one each time.
            deleted: How likely a delete is after each change.
        """
        dice = self.dice
        count = dice.choices((1, 2, 3, 4), (4, 3, 2, 1))[0]
        seconds = sorted(dice.sample(range(MONTH), count))
        if self.sizes.wild and deleted:
            # What is a dead letter for now is not recognised when it comes again; so no ties there.
            seconds = sorted(dice.randint(1, 4) for _ in range(count))
        whole = dice.randrange(count)
        for place, second in enumerate(seconds):
            document = draw(name)
            if place != whole and kind in SPARSE and dice.random() < _SPARSE:
                kept = (*dice.sample(SPARSE[kind], 2), *ALWAYS.get(kind, ()))
                document = {key: document[key] for key in kept}
            change = Delivery(kind, name, document, second)
            self.told.append(change)
            if dice.random() < deleted:
                self.told.append(self._deletion(change))

    def _deletion(self, last: Delivery) -> Delivery:
        """Return a delete: with the last document and its time, or with nothing but the id."""
        if last.kind in {"product", "invoice"} and self.dice.random() < _BARE:
            return Delivery(last.kind, last.name, {}, None, deletes=True)
        return replace(last, deletes=True)

    def _live_customers(self) -> None:
        cast, dice = self.customers, self.dice
        parents = [*cast.sure, *cast.never, *cast.twice, *[""] * len(cast.sure)]

        def document(name: str) -> Document:
            above = dice.choice(
                [other for other in (*dice.sample(parents, 2), "") if other != name]
            )
            email = f"zoho-{number_of(name)}@example.com"
            return documents.customer(dice, firm(number_of(name)), email, above)

        for name in cast.sure:
            self._live("customer", name, document)
        for name in (*cast.twice, *self.expendable):
            self._live("customer", name, document, 0.0)
        for name in self.expendable:
            last = document(name)
            self.erp.append(("delete customer", last["email"]))
            self.last_words.append(Delivery("customer", name, last, MONTH + 9))

    def _live_items(self) -> None:
        cast, dice = self.items, self.dice
        groups = [*cast.sure, *cast.never, *self.by_hand, *[""] * len(cast.sure)]

        def document(name: str, code: str = "") -> Document:
            number, group = number_of(name), dice.choice(groups)
            own = number >= _BY_HAND
            title = f"By hand {name}" if own else thing(number)
            code = code or (f"H-{name}" if own else sku(number))
            return documents.item(dice, title, code, "" if group == name else group)

        # Zoho speaks of every other item that the ERP types in itself.
        for name in (*cast.sure, *self.by_hand[::2]):
            self._live("product", name, document)
        for name in cast.twice:
            self._live("product", name, document, 0.0)
        self.erp += [("insert item", name) for name in self.by_hand]
        # Numbers that change hands: each gets what another one had, all in the same second.
        for ring in _rings(cast.there, self.sizes.swaps):
            for name, other in zip(ring, [*ring[1:], ring[0]], strict=True):
                last = document(name, sku(number_of(other)))
                self.told.append(Delivery("product", name, last, MONTH + 1))

    def _live_vendors_and_bills(self) -> None:
        dice = self.dice
        names = [zoho_id("vendor", number) for number in range(0, 2 * self._share(0.01), 2)]
        bills = [zoho_id("bill", number) for number in range(self._share(0.025))]
        sellers = {name: dice.choice(names) for name in bills}

        def vendor(name: str) -> Document:
            number = number_of(name)
            return documents.vendor(dice, f"Works {number:02d}", f"works-{number}@example.com")

        def bill(name: str) -> Document:
            return documents.bill(dice, f"B/{number_of(name)}", sellers[name])

        for name in names:
            # Every fourth one is named by bills alone.
            if number_of(name) % 8:
                self._live("vendor", name, vendor)
        for name in bills:
            self._live("bill", name, bill)

    def _live_invoices(self) -> None:
        cast, dice = self.customers, self.dice
        sold = [*self.items.sure, *self.by_hand, *self.items.never, *self.items.twice]
        names = [zoho_id("invoice", number) for number in range(self._share(0.09))]
        # The ERP deletes the first ones itself; nobody pays them.
        count = max(1, len(names) // 40)
        unpaid, self.invoices = names[:count], names[count:]
        buyers = {name: dice.choice(cast.sure) for name in unpaid}
        wanted = [*cast.sure, *cast.sure, *cast.never, *cast.twice]
        buyers |= {name: dice.choice(wanted) for name in self.invoices}

        def document(name: str, code: str = "") -> Document:
            code, listed = code or number(name), documents.lines(dice, name, sold)
            return documents.invoice(dice, code, buyers[name], listed)

        def number(name: str) -> str:
            return f"INV-{number_of(name):06d}"

        for name in self.invoices:
            self._live("invoice", name, document)
        for name in unpaid:
            self._live("invoice", name, document, 0.0)
            self.erp.append(("delete invoice", number(name)))
            self.last_words.append(Delivery("invoice", name, document(name), MONTH + 9))
        sure = set(cast.sure)
        for ring in _rings([n for n in self.invoices if buyers[n] in sure], self.sizes.swaps):
            for name, other in zip(ring, [*ring[1:], ring[0]], strict=True):
                last = document(name, number(other))
                self.told.append(Delivery("invoice", name, last, MONTH + 1))

    def _live_payments(self) -> None:
        dice = self.dice
        names = [zoho_id("payment", number) for number in range(self._share(0.05))]
        payers = {name: dice.choice(self.customers.sure) for name in names}

        def document(name: str) -> Document:
            paid = dice.sample(self.invoices, min(len(self.invoices), dice.randint(1, 2)))
            return documents.payment(dice, name, payers[name], paid)

        for name in names:
            self._live("payment", name, document)

    def _live_orders(self) -> None:
        cast, dice = self.customers, self.dice
        # Orders wait for every item; some wait for one that never comes.
        items = [*self.items.sure, *self.by_hand] * 8 + self.items.never + self.items.twice
        names = [zoho_id("sales_order", number) for number in range(self._share(0.05))]
        buyers = {name: dice.choice(cast.sure) for name in names}

        def document(name: str) -> Document:
            listed = documents.lines(dice, name, sorted({*dice.sample(items, 3)}), at_least=1)
            return documents.order(dice, f"SO-{number_of(name)}", buyers[name], listed)

        for name in names:
            self._live("sales_order", name, document)

    def _live_users(self) -> None:
        dice = self.dice
        for number in range(min(8, self._share(0.05))):
            email = f"desk.{number}@example.com"
            for _ in range(dice.randint(1, 3)):
                document = documents.user(dice, f"Desk {number}", email)
                self.told.append(Delivery("user", zoho_id("user", number), document, None))


def _rings(names: Sequence[str], count: int) -> list[list[str]]:
    """Return groups of two and of three by turns, as many as there are names for."""
    rings: list[list[str]] = []
    start = 0
    for number in range(count):
        ring = list(names[start : start + 2 + number % 2])
        start += len(ring)
        if len(ring) > 1:
            rings.append(ring)
    return rings
