"""``zoho-sync parked``: what waits, for what, and until when."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click
from rich.table import Table

from zoho_sync.cli.opening import opened
from zoho_sync.cli.output import age, one_line, print_json, safe, show, table
from zoho_sync.cli.running import run
from zoho_sync.cli.target import Target, common_options
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
@common_options()
@click.pass_obj
def list_events(
    target: Target, /, entity: str | None, waiting_for: tuple[str, str] | None, limit: int
) -> None:
    """List parked events, oldest first, without their documents."""
    found = run(_list(target, entity, waiting_for, limit))
    now = datetime.now(UTC)
    if target.as_json:
        print_json([_as_json(each, now) for each in found])
    elif found:
        show(_for_people(found, now))
        if len(found) == limit:
            show(f"\nOnly the oldest {limit}; --limit shows more.")
    else:
        show("There are no such parked events.")


async def _list(
    target: Target, entity: str | None, waiting_for: tuple[str, str] | None, limit: int
) -> Sequence[ParkedEvent]:
    async with opened(target) as chosen:
        awaited = None
        if waiting_for is not None:
            awaited = (str(chosen.entity_type(waiting_for[0])), waiting_for[1])
        return await chosen.sync.parked.list(
            entity_type=chosen.entity_type(entity), waiting_for=awaited, limit=limit
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
        "id": event.id,
        "organization_id": event.organization_id,
        "entity_type": event.entity_type,
        "entity_id": event.entity_id,
        "operation": event.operation,
        "waiting_type": each.waiting_type,
        "waiting_id": each.waiting_id,
        "reason": each.reason,
        "arrived_at": event.arrival.time if event.arrival else None,
        "parked_at": each.parked_at,
        "expires_at": each.expires_at,
        "age_seconds": now - each.parked_at,
    }
