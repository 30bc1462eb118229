"""What is sent to a trial, in which order, and what must come of it: the oracle."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final

from tests.hosts.events import customer, deletion, invoice
from zoho_sync import SyncEvent
from zoho_sync.events.event import new_event_id

__all__ = ["DEADLY", "Traffic", "traffic"]

_REPEATED: Final = 0.2  # of the deliveries
_CHANGES: Final = 2.4  # of an entity, on average
_ORPHANS: Final = 2

DEADLY: Final = {"poison": "WorkerDied", "fail": "RuntimeError"}
"""Marks of events that end as dead letters, and the error that they end with."""

Client = tuple[str, str, bool]
Invoice = tuple[str, Decimal, str, bool, list[tuple[str, Decimal]]]


@dataclass
class Traffic:
    """What is sent, and what must come of it.

    Attributes:
        deliveries: As they arrive; some come twice, under the same id or another.
        clients: Zoho's id → name, stamp, closed.
        invoices: Zoho's id → Zoho's id of the client, total, stamp, voided, lines.
        dead: Ids of the events that end as dead letters → the error that is named there.
        waiting: Ids of the events whose client never comes.
    """

    deliveries: list[SyncEvent] = field(default_factory=list)
    clients: dict[str, Client] = field(default_factory=dict)
    invoices: dict[str, Invoice] = field(default_factory=dict)
    dead: dict[str, str] = field(default_factory=dict)
    waiting: set[str] = field(default_factory=set)

    def add_client(self, entity_id: str, stamp: str) -> SyncEvent:
        """Add a client with one document, which arrives last."""
        event = customer(entity_id, 1, stamp=stamp)
        self.deliveries.append(event)
        self.clients[entity_id] = (f"Client {entity_id}", stamp, False)
        return event

    def add_deadly(self, entity_id: str, second: int, mark: str, stamp: str) -> None:
        """Add a document that ends as a dead letter; the entity stays as it is without it."""
        event = customer(entity_id, second, stamp=stamp)
        self.deliveries.append(event)
        self.dead[event.id] = DEADLY[mark]


def traffic(dice: random.Random, size: int, marks: Sequence[str] = ()) -> Traffic:
    """Make deliveries out of order, with repetitions.

    Args:
        dice: Decides everything.
        size: How many deliveries.
        marks: One event more for each, whose stamp begins with it: the handlers, or the proxy, know
            what to do then.
    """
    made = Traffic()
    entities = max(2, int(size * (1 - _REPEATED) / _CHANGES))
    clients = [str(1000 + number) for number in range(max(1, entities // 2))]
    for client in clients:
        _client(made, client, dice)
    for number in range(entities - len(clients)):
        _invoice(made, str(5000 + number), dice.choice(clients), dice)
    for number in range(_ORPHANS):
        orphan = invoice(f"70{number}", "404", 1, stamp=f"orphan.{number}")
        made.deliveries.append(orphan)
        made.waiting.add(orphan.id)
    _repeat(made, size - len(made.deliveries), dice)
    _mark(made, marks, clients)
    dice.shuffle(made.deliveries)
    return made


def _client(made: Traffic, client: str, dice: random.Random) -> None:
    name = stamp = ""
    for second in range(dice.randint(1, 4)):
        name, stamp = f"Client {client} v{second}", f"c{client}.{second}"
        made.deliveries.append(customer(client, second, stamp=stamp, contact_name=name))
    made.clients[client] = (name, stamp, False)


def _invoice(made: Traffic, zoho_id: str, client: str, dice: random.Random) -> None:
    for second in range(dice.randint(1, 4)):
        lines = [
            (f"line {zoho_id}.{i} v{second}", Decimal(dice.randint(1, 99)) / 4)
            for i in range(second)
        ]
        total, stamp = Decimal(dice.randint(0, 10**6)) / 100, f"i{zoho_id}.{second}"
        listed = [
            {"line_item_id": f"{zoho_id}{i}", "description": words, "quantity": quantity}
            for i, (words, quantity) in enumerate(lines)
        ]
        event = invoice(zoho_id, client, second, stamp=stamp, total=total, line_items=listed)
        made.deliveries.append(event)
    gone = dice.random() < 0.2
    if gone:
        made.deliveries.append(deletion(event, second + 1))
    made.invoices[zoho_id] = (client, total, stamp, gone, lines)


def _repeat(made: Traffic, times: int, dice: random.Random) -> None:
    """Let some come twice: the same event once more, or its equal as a sender repeats it."""
    known = [event for event in made.deliveries if event.id not in made.waiting]
    for _ in range(max(0, times)):
        event = dice.choice(known)
        again = dice.random() < 0.5
        made.deliveries.append(event if again else replace(event, id=new_event_id()))


def _mark(made: Traffic, marks: Sequence[str], clients: Sequence[str]) -> None:
    for number, mark in enumerate(marks):
        stamp = f"{mark}.{number}"
        if mark not in DEADLY:
            made.add_client(str(9000 + number), stamp)
        elif number % 2:
            # The newest of an entity that has a row.
            made.add_deadly(clients[0], 900 + number, mark, stamp)
        else:
            # All that is known of its entity.
            made.add_deadly(str(9000 + number), 1, mark, stamp)
