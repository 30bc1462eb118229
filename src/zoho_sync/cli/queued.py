"""Lists what waits to be applied: ``zoho-sync queued``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click
from rich.table import Table

from zoho_sync.cli.answer import Answer, answering
from zoho_sync.cli.opening import Opened
from zoho_sync.cli.output import age, listed, picked, safe, table
from zoho_sync.operate.queued import QueuedEvent

__all__ = ["queued"]

_OUTSIDE = (
    "\nOnly what is in the database is listed. What is in the queue outside it, status counts."
)


@click.group()
def queued() -> None:
    """Events that wait to be applied."""


@queued.command("list")
@click.option("--entity", metavar="TYPE", help="Of this entity type, by any of its names.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True)
@answering()
async def list_events(chosen: Opened, entity: str | None, limit: int) -> Answer:
    """List queued events, oldest first, without their documents.

    A queue outside the database does not show what it holds: `status` counts that.
    """
    found = await chosen.sync.queued.list(entity_type=chosen.entity_type(entity), limit=limit)
    now = datetime.now(UTC)
    shown = listed(_for_people(found, now), len(found), limit, "queued events")
    if not chosen.runtime.queue.capabilities.completes_in_transaction:
        shown = [*shown, _OUTSIDE]
    return Answer([_as_json(each, now) for each in found], shown)


def _for_people(found: Sequence[QueuedEvent], now: datetime) -> Table:
    rows = table("id", "entity", "state", "attempts", "age", narrow=["id", "age"])
    for each in found:
        rows.add_row(
            safe(each.event.id),
            safe(f"{each.event.entity_type} {each.event.entity_id}"),
            _state(each, now),
            str(each.attempts),
            age(_age(each, now)),
        )
    return rows


def _state(each: QueuedEvent, now: datetime) -> str:
    if each.in_outbox:
        return "in the outbox"
    if each.leased_until is not None:
        return "under way"
    return f"due in {age(each.due_at - now)}" if each.due_at > now else "due"


def _age(each: QueuedEvent, now: datetime) -> Any:
    return now - (each.event.arrival.time if each.event.arrival else each.due_at)


def _as_json(each: QueuedEvent, now: datetime) -> dict[str, Any]:
    event = each.event
    return {
        **picked(event, "id organization_id entity_type entity_id operation"),
        **picked(each, "due_at leased_until attempts priority in_outbox"),
        "arrived_at": event.arrival.time if event.arrival else None,
        "age_seconds": _age(each, now),
    }
