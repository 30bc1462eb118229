"""Lists what waits, for what, and until when: ``zoho-sync parked``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click
from rich.table import Table

from zoho_sync.cli.answer import Answer, answering
from zoho_sync.cli.opening import Opened
from zoho_sync.cli.output import age, listed, one_line, picked, safe, table
from zoho_sync.operate.parked import ParkedEvent

__all__ = ["parked"]


@click.group()
def parked() -> None:
    """Events that wait for another entity."""


@parked.command("list")
@click.option("--entity", metavar="TYPE", help="Of this entity type, by any of its names.")
@click.option(
    "--waiting-for", nargs=2, metavar="TYPE ID", help="That wait for this entity: customer 9001."
)
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True)
@answering()
async def list_events(
    chosen: Opened, entity: str | None, waiting_for: tuple[str, str] | None, limit: int
) -> Answer:
    """List parked events, oldest first, without their documents."""
    if waiting_for is not None:
        waiting_for = (str(chosen.entity_type(waiting_for[0])), waiting_for[1])
    found = await chosen.sync.parked.list(
        entity_type=chosen.entity_type(entity), waiting_for=waiting_for, limit=limit
    )
    now = datetime.now(UTC)
    return Answer(
        [_as_json(each, now) for each in found],
        listed(_for_people(found, now), len(found), limit, "parked events"),
    )


def _for_people(found: Sequence[ParkedEvent], now: datetime) -> Table:
    rows = table("id", "entity", "why", "age", "dead in", narrow=["id", "age", "dead in"])
    for each in found:
        rows.add_row(
            safe(each.event.id),
            safe(f"{each.event.entity_type} {each.event.entity_id}"),
            safe(one_line(each.reason, 120)),
            age(now - each.parked_at),
            age(each.expires_at - now),
        )
    return rows


def _as_json(each: ParkedEvent, now: datetime) -> dict[str, Any]:
    event = each.event
    return {
        **picked(event, "id organization_id entity_type entity_id operation"),
        **picked(each, "waiting_type waiting_id reason"),
        "arrived_at": event.arrival.time if event.arrival else None,
        **picked(each, "parked_at expires_at"),
        "age_seconds": now - each.parked_at,
    }
