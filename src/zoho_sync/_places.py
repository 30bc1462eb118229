"""Where an event is, found by its id: in the queue, parked, a dead letter or settled."""

from __future__ import annotations

import enum
from collections.abc import Iterable

from sqlalchemy import literal, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from zoho_sync._dialects import chunks
from zoho_sync._tables import Tables

__all__ = ["Place", "find_places"]


class Place(enum.StrEnum):
    """A place of an event; its value says so in an answer."""

    QUEUED = "queued already"
    PARKED = "parked already"
    DEAD_LETTER = "a dead letter already"
    SETTLED = "settled already"


async def find_places(
    connection: AsyncConnection, tables: Tables, event_ids: Iterable[str]
) -> dict[str, Place]:
    """Return, by id, where events are; those that are nowhere are left out.

    An event that was queued and applied directly at one moment can be in the queue and in another
    place: that other one counts.
    """
    places = {
        Place.QUEUED: tables.jobs,
        Place.PARKED: tables.parked,
        Place.DEAD_LETTER: tables.dead_letters,
        Place.SETTLED: tables.journal,
    }
    found: dict[str, Place] = {}
    for chunk in chunks(event_ids):
        statement = union_all(
            *(
                select(literal(place.name).label("place"), table.c.event_id).where(
                    table.c.event_id.in_(chunk)
                )
                for place, table in places.items()
            )
        )
        for name, event_id in await connection.execute(statement):
            place = Place[name]
            if found.get(event_id, Place.QUEUED) is Place.QUEUED:
                found[event_id] = place
    return found
