"""Finds where an event is, by its id: in the queue, parked, a dead letter or settled."""

from __future__ import annotations

import enum
from collections.abc import Iterable

from sqlalchemy import Column, ColumnElement, Table, exists, literal, or_, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from zoho_sync.database.dialects import chunks
from zoho_sync.store.tables import Tables

__all__ = ["Place", "find_places", "is_placed"]


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
    place: that other one counts. The outbox is no such place: an event that comes from the engine
    may be there still, and whoever took it for known would lose it.
    """
    found: dict[str, Place] = {}
    for chunk in chunks(event_ids):
        looks = [
            select(literal(place.name), table.c.event_id).where(table.c.event_id.in_(chunk))
            for place, table in _places(tables).items()
        ]
        for name, event_id in await connection.execute(union_all(*looks)):
            place = Place[name]
            if found.get(event_id, Place.QUEUED) is Place.QUEUED:
                found[event_id] = place
    return found


def is_placed(tables: Tables, event_id: Column[str]) -> ColumnElement[bool]:
    """Say, in a statement, whether an event is in one of these places."""
    tables_of_places = _places(tables).values()
    return or_(*(exists().where(each.c.event_id == event_id) for each in tables_of_places))


def _places(tables: Tables) -> dict[Place, Table]:
    return {
        Place.QUEUED: tables.jobs,
        Place.PARKED: tables.parked,
        Place.DEAD_LETTER: tables.dead_letters,
        Place.SETTLED: tables.journal,
    }
