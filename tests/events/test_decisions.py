"""`decide`: whatever the order and however often, one entity's events come to one end.

The property plays histories over plain dicts: what `decide` says to write is written into one, and
an oracle that knows nothing of ledgers says what must stand there in the end.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from hypothesis import example, given, settings
from hypothesis import strategies as st

from zoho_sync import Operation, Outcome, SyncEvent
from zoho_sync.events.decision import Decision, LedgerState, Proposal, decide, writers
from zoho_sync.events.event import Arrival
from zoho_sync.events.version import Version
from zoho_sync.store.event_rows import dedupe_key

EXAMPLES: Final = int(os.environ.get("ZOHO_SYNC_PROPERTY_EXAMPLES", "0")) or 200
NOON: Final = datetime(2024, 5, 17, 12, 0, tzinfo=UTC)

OLD: Final = frozenset("abc")
"""What the mapping carries at first."""
NEW: Final = frozenset("bcd")
"""What the mapping carries after it was changed: one column less, one more."""


@dataclass(frozen=True)
class Change:
    """One event of the one entity.

    Attributes:
        at: Second of its own time, counted from noon; None if it has none.
        values: What an upsert carries; None for a delete.
        arrived: Seconds after noon; the position in the history decides between equal ones.
    """

    at: int | None
    values: Mapping[str, int] | None
    arrived: int = 0

    def event(self, sequence: int) -> SyncEvent:
        own = None if self.at is None else NOON + timedelta(seconds=self.at)
        document: dict[str, Any] = dict(self.values or {})
        if own is not None:
            # The document's time is part of its content.
            document["last_modified_time"] = own.isoformat()
        return SyncEvent(
            "product",
            "41",
            document,
            Operation.DELETE if self.values is None else Operation.UPSERT,
            effective_time=own,
            arrival=Arrival(NOON + timedelta(seconds=self.arrived), sequence),
            id=f"event-{sequence}",
        )

    def place(self, sequence: int) -> tuple[int, bool, int, int]:
        """The version order, in the oracle's own words."""
        delete = self.values is None
        second = self.arrived + (600 if delete else 0) if self.at is None else self.at
        return second, delete, self.arrived, sequence


@dataclass
class Entity:
    """One row as a plain dict, and the ledger's state beside it."""

    columns: frozenset[str] = OLD
    hard: bool = False
    fingerprint: str = "old"
    state: LedgerState = field(default_factory=LedgerState)
    row: dict[str, int] = field(default_factory=dict)
    exists: bool = False
    deleted: bool = False
    journal: list[tuple[str, SyncEvent]] = field(default_factory=list)

    def apply(self, event: SyncEvent) -> Decision:
        carried = self.columns & event.payload.keys()
        proposal = Proposal.of(event, carried, fingerprint=self.fingerprint, hard=self.hard)
        decision = decide(self.state, proposal)
        if arrivals := writers(self.state, proposal, decision):
            equals = self._equals(event) & arrivals
            decision = decide(self.state, replace(proposal, equals=equals))
        self.journal.append((self.fingerprint, event))
        if decision.outcome is Outcome.APPLIED:
            self._write(event, decision)
        else:
            assert not decision.write
        self.state = decision.state
        self.deleted = self.state.deleted_at is not None
        return decision

    def _equals(self, event: SyncEvent) -> set[tuple[int, int]]:
        """As they are looked for: without a time nobody can tell."""
        key = dedupe_key(event)
        return {
            Version.of(each)[2:]
            for fingerprint, each in self.journal
            if key is not None and (fingerprint, dedupe_key(each)) == (self.fingerprint, key)
        }

    def _write(self, event: SyncEvent, decision: Decision) -> None:
        if event.operation is Operation.UPSERT:
            self.exists = True
            self.row |= {column: event.payload[column] for column in decision.write}
        elif self.hard:
            self.exists = False
            self.row = {}


def versions(history: Sequence[Change]) -> list[Version]:
    return [Version.of(change.event(number)) for number, change in enumerate(history)]


def by_age(history: Sequence[Change]) -> list[tuple[int, Change]]:
    return sorted(enumerate(history), key=lambda item: item[1].place(item[0]))


def expected_row(history: Sequence[Change], columns: frozenset[str]) -> dict[str, int]:
    row: dict[str, int] = {}
    for _, change in by_age(history):
        row |= {name: value for name, value in (change.values or {}).items() if name in columns}
    return row


def expected_state(
    history: Sequence[Change], columns: frozenset[str], fingerprint: str
) -> LedgerState:
    placed = versions(history)
    newest, change = by_age(history)[-1]
    carried = columns & (change.values or {}).keys()
    older = {
        name: placed[number]
        for number, each in by_age(history)
        for name in columns & (each.values or {}).keys() - carried
    }
    event = change.event(newest)
    deleted_at = None
    if change.values is None:
        deleted_at = NOON + timedelta(seconds=change.arrived if change.at is None else change.at)
    return LedgerState(placed[newest], deleted_at, event.content_hash, fingerprint, carried, older)


seconds = st.sampled_from([0, 1, 2, 600, 601])
# Few values and few columns: equal content, returns to an earlier state and gaps come up often.
documents = st.dictionaries(st.sampled_from(sorted(OLD | NEW)), st.integers(1, 2), max_size=4)
changes = st.builds(
    Change,
    at=st.none() | seconds,
    values=st.none() | documents | documents,
    arrived=st.integers(0, 3),
)
histories = st.lists(changes, min_size=1, max_size=7).map(
    lambda history: sorted(history, key=lambda change: change.arrived)
)


@st.composite
def played(draw: st.DrawFn) -> tuple[list[Change], list[int]]:
    """A history, and an order of application in which each event comes up at least once."""
    history = draw(histories)
    again = draw(st.lists(st.integers(0, len(history) - 1), max_size=5))
    return history, draw(st.permutations([*range(len(history)), *again]))


def play(entity: Entity, history: Sequence[Change], order: Iterable[int]) -> None:
    for number in order:
        entity.apply(history[number].event(number))


def full(at: int | None, value: int, arrived: int = 0) -> Change:
    """An upsert that carries every column."""
    return Change(at, dict.fromkeys("abc", value), arrived)


A_TO_B_TO_A: Final = [Change(0, {"a": 1}), Change(0, {"a": 2}), Change(0, {"a": 1})]


@settings(max_examples=EXAMPLES, deadline=None)
@given(played())
@example((A_TO_B_TO_A, [0, 2, 1]))
@example((A_TO_B_TO_A, [2, 1, 0, 2]))
def test_soft_deletes_any_order_any_duplication_one_end(
    plan: tuple[list[Change], list[int]],
) -> None:
    history, order = plan
    entity = Entity()
    play(entity, history, order)
    assert entity.row == expected_row(history, OLD)
    assert entity.state == expected_state(history, OLD, "old")
    if any(OLD & (change.values or {}).keys() for change in history):
        # One that carries nothing may be overtaken by a delete before it made a row.
        assert entity.exists


@settings(max_examples=EXAMPLES, deadline=None)
@given(played())
def test_hard_deletes_any_order_any_duplication_one_end(
    plan: tuple[list[Change], list[int]],
) -> None:
    history, order = plan
    entity = Entity(hard=True)
    play(entity, history, order)
    if any(change.values is None for change in history):
        assert (entity.deleted, entity.exists, entity.row) == (True, False, {})
    else:
        assert entity.row == expected_row(history, OLD)
        assert entity.state == expected_state(history, OLD, "old")


@settings(max_examples=EXAMPLES, deadline=None)
@given(played())
def test_no_event_writes_over_a_newer_value(plan: tuple[list[Change], list[int]]) -> None:
    history, order = plan
    entity, placed = Entity(), versions(history)
    wrote: dict[str, Version] = {}
    for number in order:
        decision = entity.apply(history[number].event(number))
        for column in decision.write:
            assert column not in wrote or wrote[column] <= placed[number]
            wrote[column] = placed[number]
        for column, version in wrote.items():
            # A repeated newest document raises what the ledger says, not what was written.
            known = entity.state.written_by(column)
            assert known is not None
            assert known >= version


@settings(max_examples=EXAMPLES, deadline=None)
@given(played())
@example(([full(0, 1), Change(1, None), full(0, 1, 1)], [0, 1, 2]))
@example(([Change(0, {"a": 1}), Change(0, {"b": 1}), Change(0, {"a": 1})], [0, 1, 2]))
def test_no_event_writes_what_its_equals_have_written(
    plan: tuple[list[Change], list[int]],
) -> None:
    """An unrecognised resend of a document writes no row, whatever was applied in between."""
    history, order = plan
    entity = Entity()
    wrote: dict[str, Change] = {}
    for number in order:
        change = history[number]
        decision = entity.apply(change.event(number))
        if change.at is not None and decision.write:
            before = [wrote.get(column) for column in decision.write]
            same = (change.at, change.values)
            assert not all(each is not None and (each.at, each.values) == same for each in before)
        wrote |= dict.fromkeys(decision.write, change)


@settings(max_examples=EXAMPLES, deadline=None)
@given(played(), st.data())
def test_a_replay_under_a_changed_mapping_ends_where_that_mapping_alone_would(
    plan: tuple[list[Change], list[int]], data: st.DataObject
) -> None:
    history, order = plan
    entity = Entity()
    play(entity, history, data.draw(st.lists(st.integers(0, len(history) - 1), max_size=6)))
    entity.columns, entity.fingerprint = NEW, "new"
    play(entity, history, order)
    wanted = expected_state(history, NEW, "new")
    assert {name: entity.row[name] for name in NEW & entity.row.keys()} == expected_row(
        history, NEW
    )
    assert {name: entity.state.written_by(name) for name in NEW} == {
        name: wanted.written_by(name) for name in NEW
    }
    assert entity.state.version == wanted.version
    assert entity.state.deleted_at == wanted.deleted_at


@settings(max_examples=EXAMPLES, deadline=None)
@given(played())
def test_deciding_once_more_changes_nothing(plan: tuple[list[Change], list[int]]) -> None:
    history, order = plan
    entity = Entity()
    play(entity, history, order)
    before, row = entity.state, dict(entity.row)
    for number in order:
        assert entity.apply(history[number].event(number)).outcome in {
            Outcome.STALE,
            Outcome.DUPLICATE,
        }
    assert (entity.state, entity.row) == (before, row)


def after(*history: Change, order: Sequence[int] | None = None, **more: Any) -> Entity:
    """An entity to which a history, in order of arrival, was applied in another order."""
    entity = Entity(**more)
    play(entity, history, range(len(history)) if order is None else order)
    return entity


def outcome(entity: Entity, change: Change, sequence: int) -> tuple[Outcome, set[str], str]:
    decision = entity.apply(change.event(sequence))
    return decision.outcome, set(decision.write), decision.reason


class TestRulings:
    """Each ruling on versions, one example."""

    def test_the_first_event_is_fresh(self) -> None:
        assert outcome(Entity(), full(0, 1), 0) == (Outcome.APPLIED, {"a", "b", "c"}, "")

    def test_an_event_that_carries_nothing_still_raises_the_version(self) -> None:
        entity = after(full(0, 1))
        assert outcome(entity, Change(2, {}), 1) == (Outcome.APPLIED, set(), "")
        assert entity.state.version == versions([full(0, 1), Change(2, {})])[1]

    def test_equal_second_other_content_later_arrival_wins(self) -> None:
        history = [full(0, 1), full(0, 2)]
        assert after(*history).row == after(*history, order=[1, 0]).row == dict.fromkeys("abc", 2)

    def test_a_late_event_is_stale_if_it_is_the_newest_nowhere(self) -> None:
        entity = after(full(1, 2))
        assert outcome(entity, full(0, 1), 1) == (
            Outcome.STALE,
            set(),
            "overtaken by a newer event",
        )

    def test_a_late_event_writes_exactly_the_columns_on_which_it_is_the_newest(self) -> None:
        entity = after(Change(5, {"a": 9}), Change(3, {"b": 9}))
        assert outcome(entity, full(4, 1), 2) == (Outcome.APPLIED, {"b", "c"}, "")
        assert entity.row == {"a": 9, "b": 1, "c": 1}
        # The newest event stays the newest.
        assert entity.state.version is not None
        assert entity.state.version.effective_time == NOON + timedelta(seconds=5)

    def test_a_sparse_event_leaves_the_versions_of_the_other_columns(self) -> None:
        entity = after(full(0, 1), Change(2, {"a": 2}))
        assert outcome(entity, Change(1, {"a": 3, "b": 3}), 2)[1] == {"b"}

    def test_a_resend_of_the_newest_is_a_duplicate_that_raises_the_ledger(self) -> None:
        entity = after(full(0, 1))
        assert outcome(entity, full(0, 1), 7) == (
            Outcome.DUPLICATE,
            set(),
            "equal to the newest applied",
        )
        assert entity.state.version is not None
        assert entity.state.version.sequence == 7
        # What stands between the two does not win any more.
        assert outcome(entity, full(0, 2), 3)[0] is Outcome.STALE

    def test_the_same_event_again_is_a_duplicate(self) -> None:
        entity = after(full(0, 1))
        assert outcome(entity, full(0, 1), 0) == (Outcome.DUPLICATE, set(), "applied before")

    def test_an_unrecognised_resend_of_the_earlier_state_wins_until_the_next_event(self) -> None:
        entity = after(full(0, 1), full(0, 2), full(0, 1))
        assert entity.row == dict.fromkeys("abc", 1)
        entity.apply(full(1, 3).event(3))
        assert entity.row == dict.fromkeys("abc", 3)

    def test_a_return_to_an_old_state_at_another_second_is_no_duplicate(self) -> None:
        entity = after(full(0, 10), full(1, 20))
        assert outcome(entity, full(2, 10), 2)[0] is Outcome.APPLIED
        assert entity.row == dict.fromkeys("abc", 10)

    def test_a_return_to_an_old_state_without_times_goes_by_arrival(self) -> None:
        history = [full(None, 10, 0), full(None, 20, 1), full(None, 10, 2)]
        for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0], [0, 2, 1]):
            assert after(*history, order=order).row == dict.fromkeys("abc", 10)

    def test_a_delete_carries_no_column(self) -> None:
        entity = after(full(0, 1))
        assert outcome(entity, Change(1, None), 1) == (Outcome.APPLIED, set(), "")
        assert entity.state.carried == frozenset()
        assert set(entity.state.older) == OLD

    def test_a_delete_at_the_second_of_the_last_edit_deletes(self) -> None:
        history = [full(0, 1), Change(0, None)]
        assert after(*history).deleted
        assert after(*history, order=[1, 0]).deleted
        assert after(*reversed(history)).deleted

    def test_an_upsert_that_arrives_under_its_delete_is_written_and_stays_deleted(self) -> None:
        entity = after(Change(5, None))
        assert outcome(entity, full(0, 1), 1)[0] is Outcome.APPLIED
        assert (entity.row, entity.deleted) == (dict.fromkeys("abc", 1), True)

    def test_a_newer_upsert_revives_after_a_soft_delete(self) -> None:
        entity = after(full(0, 1), Change(1, None), Change(2, {"a": 2}))
        assert not entity.deleted
        assert entity.row == {"a": 2, "b": 1, "c": 1}

    def test_a_late_soft_delete_is_stale(self) -> None:
        entity = after(full(2, 1))
        assert outcome(entity, Change(1, None), 1)[0] is Outcome.STALE
        assert not entity.deleted

    def test_a_hard_delete_is_final(self) -> None:
        entity = after(full(0, 1), Change(1, None), hard=True)
        assert outcome(entity, full(9, 2), 2) == (Outcome.STALE, set(), "deleted")
        assert outcome(entity, Change(10, None), 3) == (
            Outcome.DUPLICATE,
            set(),
            "deleted before",
        )
        assert not entity.exists

    def test_a_late_hard_delete_deletes(self) -> None:
        entity = after(full(5, 1), hard=True)
        assert outcome(entity, Change(1, None), 1)[0] is Outcome.APPLIED
        assert not entity.exists

    def test_a_timeless_delete_outlives_an_edit_made_just_before_it(self) -> None:
        # The edit's own clock runs five seconds ahead of the delete's arrival.
        history = [Change(None, None, 0), full(5, 1, 1)]
        assert after(*history).deleted
        assert after(*history, order=[1, 0]).deleted

    def test_a_timeless_delete_marks_the_row_with_its_arrival(self) -> None:
        entity = after(full(0, 1), Change(None, None, 3))
        assert entity.state.deleted_at == NOON + timedelta(seconds=3)

    def test_an_equal_version_under_another_fingerprint_is_applied(self) -> None:
        entity = after(Change(0, {"b": 1, "c": 1, "d": 1}))
        entity.columns, entity.fingerprint = NEW, "new"
        assert outcome(entity, Change(0, {"b": 1, "c": 1, "d": 1}), 0)[:2] == (
            Outcome.APPLIED,
            {"b", "c", "d"},
        )

    def test_a_resend_under_another_fingerprint_is_applied(self) -> None:
        entity = after(Change(0, {"b": 1, "d": 1}))
        entity.columns, entity.fingerprint = NEW, "new"
        assert outcome(entity, Change(0, {"b": 1, "d": 1}), 4)[:2] == (
            Outcome.APPLIED,
            {"b", "d"},
        )

    def test_a_delete_under_another_fingerprint_stays_a_duplicate(self) -> None:
        entity = after(full(0, 1), Change(1, None))
        entity.fingerprint = "new"
        assert outcome(entity, Change(1, None), 1)[0] is Outcome.DUPLICATE
        assert outcome(entity, Change(1, None), 4)[0] is Outcome.DUPLICATE

    def test_a_column_new_to_the_mapping_has_no_version(self) -> None:
        late = Change(0, {"a": 1, "b": 1, "c": 1, "d": 1})
        entity = after(late, full(5, 2))
        entity.columns, entity.fingerprint = NEW, "new"
        assert entity.state.written_by("d") is None
        assert outcome(entity, late, 0)[:2] == (Outcome.APPLIED, {"d"})
        assert entity.row["d"] == 1

    def test_decide_changes_neither_of_its_arguments(self) -> None:
        state = after(full(0, 1), Change(2, {"a": 2})).state
        older, untouched = dict(state.older), replace(state)
        decide(state, Proposal.of(full(1, 3).event(5), OLD, fingerprint="old"))
        assert (state, state.older) == (untouched, older)

    def test_a_delete_proposes_no_columns(self) -> None:
        proposal = Proposal.of(Change(0, None).event(0), OLD)
        assert (proposal.deletes, proposal.columns) == (True, frozenset())
        assert Proposal.of(full(0, 1).event(0), OLD).deleted_at is None
