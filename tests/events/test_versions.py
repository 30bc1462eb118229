"""The version order: effective second, rank, arrival; nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoho_sync import Operation, SyncEvent
from zoho_sync.events.event import Arrival
from zoho_sync.events.version import (
    TIMELESS_DELETE_GRACE,
    Version,
    arrival_of,
    from_microseconds,
    to_microseconds,
)

NOON = datetime(2024, 5, 17, 12, 0, tzinfo=UTC)

moments = st.integers(0, 4_000_000_000_000_000).map(
    lambda microseconds: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
)


def event(
    own: datetime | None = None,
    arrived: datetime | None = NOON,
    *,
    sequence: int = 1,
    operation: Operation = Operation.UPSERT,
) -> SyncEvent:
    """An event with a time of its own, an arrival, both or neither."""
    return SyncEvent(
        "product",
        "41",
        operation=operation,
        effective_time=own,
        arrival=None if arrived is None else Arrival(arrived, sequence),
    )


def test_own_time_decides_before_arrival() -> None:
    earlier = event(NOON, NOON + timedelta(hours=9))
    later = event(NOON + timedelta(seconds=1), NOON)
    assert Version.of(earlier) < Version.of(later)


def test_own_time_is_cut_to_whole_seconds() -> None:
    early = event(NOON + timedelta(microseconds=999_999), NOON)
    late = event(NOON, NOON + timedelta(microseconds=1))
    assert Version.of(early).second == Version.of(late).second
    assert Version.of(early) < Version.of(late)


def test_without_own_time_the_arrival_is_the_effective_second() -> None:
    arrived = NOON + timedelta(microseconds=999_999)
    assert Version.of(event(None, arrived)).effective_time == NOON
    assert Version.of(event(NOON + timedelta(seconds=1), NOON)) > Version.of(event(None, arrived))


def test_at_one_second_a_delete_stands_above_every_upsert() -> None:
    delete = event(NOON, NOON, operation=Operation.DELETE)
    upsert = event(NOON, NOON + timedelta(days=1))
    assert Version.of(delete) > Version.of(upsert)


def test_at_one_second_the_later_arrival_wins() -> None:
    assert Version.of(event(NOON, NOON + timedelta(microseconds=1))) > Version.of(event(NOON, NOON))


def test_equal_arrivals_are_told_apart_by_their_sequence() -> None:
    assert Version.of(event(NOON, sequence=2)) > Version.of(event(NOON, sequence=1))


def test_a_delete_without_a_time_counts_as_arrived_ten_minutes_later() -> None:
    delete = Version.of(event(None, operation=Operation.DELETE))
    assert timedelta(minutes=10) == TIMELESS_DELETE_GRACE
    assert delete.effective_time == NOON + timedelta(minutes=10)
    # An edit made just before it, delivered just after it: its clock may run ahead of ours.
    edit = event(NOON + timedelta(minutes=10), NOON + timedelta(seconds=5))
    assert Version.of(edit) < delete
    revival = event(NOON + timedelta(minutes=10, seconds=1), NOON + timedelta(minutes=11))
    assert Version.of(revival) > delete


def test_the_grace_is_configurable_and_leaves_other_events_alone() -> None:
    none = timedelta()
    delete = event(None, operation=Operation.DELETE)
    assert Version.of(delete, grace=none).effective_time == NOON
    timed = event(NOON, operation=Operation.DELETE)
    assert Version.of(timed) == Version.of(timed, grace=none)
    assert Version.of(event(None)) == Version.of(event(None), grace=none)


def test_the_grace_moves_the_second_and_not_the_arrival() -> None:
    version = Version.of(event(None, operation=Operation.DELETE))
    assert version.arrival == to_microseconds(NOON)


def test_an_offset_changes_nothing() -> None:
    there = NOON.astimezone(timezone(timedelta(hours=-7)))
    assert Version.of(event(there)) == Version.of(event(NOON))


def test_an_event_that_was_not_received_has_no_version() -> None:
    waiting = event(NOON, None)
    with pytest.raises(ValueError, match=waiting.id):
        Version.of(waiting)
    with pytest.raises(ValueError, match="no arrival"):
        arrival_of(waiting)


@given(moments)
def test_microseconds_are_exact_both_ways(moment: datetime) -> None:
    assert from_microseconds(to_microseconds(moment)) == moment


@given(moments, moments, st.integers(0, 5), st.sampled_from(Operation))
def test_the_effective_second_is_the_second_of_the_event(
    own: datetime, arrived: datetime, sequence: int, operation: Operation
) -> None:
    version = Version.of(event(own, arrived, sequence=sequence, operation=operation))
    assert version.effective_time == own.replace(microsecond=0)
    assert version == (
        int(own.replace(microsecond=0).timestamp()),
        int(operation is Operation.DELETE),
        to_microseconds(arrived),
        sequence,
    )
