"""Decides what each event writes: the rule.

Pure functions over frozen values: `decide` takes what the ledger knows and one event, and gives
back what to write and what the ledger knows then. Whatever the order in which an entity's events
are decided, the ledger ends in the same state, and each column was written last by the newest
upsert that carried it, or by an equal of that one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from zoho_sync.events.event import Operation, SyncEvent
from zoho_sync.events.outcome import Outcome
from zoho_sync.events.version import TIMELESS_DELETE_GRACE, Version, arrival_of

__all__ = ["Decision", "LedgerState", "Proposal", "decide", "writers"]


@dataclass(frozen=True, slots=True)
class LedgerState:
    """What the ledger knows of one entity.

    Attributes:
        version: Of the newest event that was applied; None while the entity is unknown.
        deleted_at: When it was deleted, if the newest event deleted it.
        content_hash: Of the newest event.
        fingerprint: Of the mapping that applied the newest event.
        carried: The columns, and lists of children, that the newest event carried.
        older: For columns that it did not carry, the version of the newest upsert that did.
    """

    version: Version | None = None
    deleted_at: datetime | None = None
    content_hash: str = ""
    fingerprint: str = ""
    carried: frozenset[str] = frozenset()
    older: Mapping[str, Version] = field(default_factory=dict)

    def written_by(self, column: str) -> Version | None:
        """Return the version of the newest upsert that carried a column; None if none has.

        It wrote the column, or its equal did.
        """
        return self.version if column in self.carried else self.older.get(column)


@dataclass(frozen=True, slots=True)
class Proposal:
    """An event as `decide` sees it.

    Attributes:
        version: Its place in the order.
        content_hash: Of its operation and document.
        columns: The mapped columns, and lists of children, that it carries; none for a delete.
        fingerprint: Of the mapping in force.
        deletes: Whether it is a delete.
        deleted_at: What a delete writes into the row.
        hard: Whether deletes of this entity are final.
        equals: Arrivals, as in versions, of settled events that it equals; those of `writers`
            matter.
    """

    version: Version
    content_hash: str
    columns: frozenset[str] = frozenset()
    fingerprint: str = ""
    deletes: bool = False
    deleted_at: datetime | None = None
    hard: bool = False
    equals: Collection[tuple[int, int]] = ()

    @classmethod
    def of(
        cls,
        event: SyncEvent,
        columns: frozenset[str],
        *,
        fingerprint: str = "",
        hard: bool = False,
        grace: timedelta = TIMELESS_DELETE_GRACE,
    ) -> Proposal:
        """Return the proposal of an event that has arrived."""
        deletes = event.operation is Operation.DELETE
        moment = event.effective_time or arrival_of(event).time.replace(microsecond=0)
        return cls(
            version=Version.of(event, grace=grace),
            content_hash=event.content_hash,
            columns=frozenset() if deletes else columns,
            fingerprint=fingerprint,
            deletes=deletes,
            deleted_at=moment if deletes else None,
            hard=hard,
        )


@dataclass(frozen=True, slots=True)
class Decision:
    """What one event does.

    Attributes:
        outcome: APPLIED, STALE or DUPLICATE.
        state: What the ledger knows once the event has been applied.
        write: The columns, and lists of children, to write; empty for a delete.
        reason: Why it is stale or a duplicate.
    """

    outcome: Outcome
    state: LedgerState
    write: frozenset[str] = frozenset()
    reason: str = ""


def decide(state: LedgerState, proposal: Proposal) -> Decision:
    """Decide what an event does to an entity of which the ledger knows ``state``."""
    if proposal.hard and state.deleted_at is not None:
        outcome, reason = (Outcome.STALE, "deleted")
        if proposal.deletes:
            outcome, reason = (Outcome.DUPLICATE, "deleted before")
        return Decision(outcome, state, reason=reason)
    if proposal.hard and proposal.deletes:
        return _delete(state, proposal)
    newest = state.version
    if newest is None or proposal.version > newest:
        return _unless_repeated(state, proposal, _fresh(state, proposal))
    if proposal.version < newest:
        return _unless_repeated(state, proposal, _late(state, proposal))
    if proposal.fingerprint != state.fingerprint and not proposal.deletes:
        return _newest(state, proposal)
    return Decision(Outcome.DUPLICATE, state, reason="applied before")


def writers(
    state: LedgerState, proposal: Proposal, decision: Decision
) -> frozenset[tuple[int, int]]:
    """Return the arrivals of the events that wrote what is to be written, if it may be their equal.

    Whether it is has to be looked up: a resend that nobody recognised when it was received is not
    known by the ledger where a delete, or a sparse document, has been applied since.
    """
    written = [state.written_by(column) for column in decision.write]
    moment = proposal.version[:2]
    if any(each is None or each[:2] != moment for each in written):
        return frozenset()
    return frozenset(each[2:] for each in written if each is not None)


def _unless_repeated(state: LedgerState, proposal: Proposal, decision: Decision) -> Decision:
    """Return the decision; a duplicate, if equals have written all that it would write."""
    written = [state.written_by(column) for column in decision.write]
    if not written or any(each is None or each[2:] not in proposal.equals for each in written):
        return decision
    return Decision(Outcome.DUPLICATE, decision.state, reason="equal to one that was applied")


def _fresh(state: LedgerState, proposal: Proposal) -> Decision:
    if _repeats(state, proposal):
        raised = replace(state, version=proposal.version)
        return Decision(Outcome.DUPLICATE, raised, reason="equal to the newest applied")
    return _delete(state, proposal) if proposal.deletes else _newest(state, proposal)


def _repeats(state: LedgerState, proposal: Proposal) -> bool:
    newest = state.version
    return (
        newest is not None
        and proposal.content_hash == state.content_hash
        and proposal.version[:2] == newest[:2]
        and (proposal.deletes or proposal.fingerprint == state.fingerprint)
    )


def _versions(state: LedgerState) -> dict[str, Version]:
    versions = dict(state.older)
    if state.version is not None:
        versions.update(dict.fromkeys(state.carried, state.version))
    return versions


def _newest(state: LedgerState, proposal: Proposal) -> Decision:
    older = {c: v for c, v in _versions(state).items() if c not in proposal.columns}
    after = LedgerState(
        version=proposal.version,
        content_hash=proposal.content_hash,
        fingerprint=proposal.fingerprint,
        carried=proposal.columns,
        older=older,
    )
    return Decision(Outcome.APPLIED, after, write=proposal.columns)


def _delete(state: LedgerState, proposal: Proposal) -> Decision:
    after = LedgerState(
        version=max(proposal.version, state.version or proposal.version),
        deleted_at=proposal.deleted_at,
        content_hash=proposal.content_hash,
        fingerprint=proposal.fingerprint,
        older=_versions(state),
    )
    return Decision(Outcome.APPLIED, after)


def _late(state: LedgerState, proposal: Proposal) -> Decision:
    written = _versions(state)
    write = frozenset(
        column
        for column in proposal.columns
        if column not in written or proposal.version > written[column]
    )
    if not write:
        return Decision(Outcome.STALE, state, reason="overtaken by a newer event")
    older = {**state.older, **dict.fromkeys(write, proposal.version)}
    return Decision(Outcome.APPLIED, replace(state, older=older), write=write)
