"""The month as the ERP sees it: when each change is heard of, and what its people do meanwhile.

Deliveries come roughly in order: many late, some very late, some twice. In a wild month they come
in any order at all.
"""

from __future__ import annotations

import random
from typing import Any, Final

from examples.erp_awkward.documents import number_of
from examples.erp_awkward.first import Sizes, first_rows
from examples.erp_awkward.host import Row
from examples.erp_awkward.lives import MONTH, Delivery, Lives

_AT_ONCE: Final = 0.6
_VERY_LATE: Final = 0.05

Step = tuple[str, Any]
"""``("deliver", Delivery)``, ``("drain", None)``, or what the ERP's people do, and with what."""


class Month:
    """Everything that happens.

    Args:
        sizes: How much of it.

    Attributes:
        first: The rows that were there first.
        lives: What is changed in Zoho.
        steps: What happens, in order.
    """

    def __init__(self, sizes: Sizes) -> None:
        self.sizes = sizes
        self._dice = random.Random(sizes.seed)  # noqa: S311  # repeatable, not secret
        self.first = first_rows(sizes, self._dice)
        self.lives = Lives(sizes, self._dice)
        self.steps = self._in_order()

    @property
    def deliveries(self) -> list[Delivery]:
        """All deliveries, in the order in which they come; some come twice."""
        sent = [step[1] for step in self.steps if step[0] == "deliver"]
        return [*sent, *self.lives.last_words]

    def untouchable(self) -> list[tuple[str, Row]]:
        """Return the first rows that Zoho never speaks of, or cannot tell apart."""
        first, lives = self.first, self.lives
        known = {number_of(name) for name in (*lives.customers.there, *lives.expendable)}
        items = {number_of(name) for name in lives.items.there}
        vendors = {delivery.name for delivery in lives.told if delivery.kind == "vendor"}
        return [
            *(("customer", row) for n, row in enumerate(first.customers) if n not in known),
            *(("product", row) for n, row in enumerate(first.items) if n not in items),
            *(("vendor", row) for row in first.vendors if row["zoho_vendor_id"] not in vendors),
        ]

    def _in_order(self) -> list[Step]:
        """Return the steps, each at the moment when it happens."""
        sizes, dice = self.sizes, self._dice
        heard = [(self._moment(each), each) for each in self.lives.told]
        missing = sizes.events - len(heard) - len(self.lives.last_words)
        for moment, each in dice.choices(heard, k=max(missing, len(heard) // 20)):
            # Two of Zoho's rules that match one edit both tell of it; senders repeat themselves.
            heard.append((moment + dice.expovariate(1 / 3600), each))
        timed: list[tuple[float, Step]] = [(moment, ("deliver", each)) for moment, each in heard]
        rounds = max(6, sizes.events // 250)
        for what in ("drain", "work", "add lines", "add lines", "insert customer"):
            timed += [(dice.random() * MONTH, (what, None)) for _ in range(rounds)]
        timed += [(dice.random() * MONTH, step) for step in self.lives.erp]
        if sizes.wild:
            return [
                step
                for _, step in sorted(
                    ((dice.random(), step) for _, step in timed), key=lambda pair: pair[0]
                )
            ]
        return [step for _, step in sorted(timed, key=lambda pair: pair[0])]

    def _moment(self, delivery: Delivery) -> float:
        """Return when a change is heard of first: at once, late, or very late."""
        dice = self._dice
        changed = dice.random() * MONTH if delivery.second is None else delivery.second
        late = 0.0 if dice.random() < _AT_ONCE else dice.expovariate(1 / 3600)
        return changed + late + (dice.random() * MONTH / 3 if dice.random() < _VERY_LATE else 0.0)
